"""`gfedge token` and `gfedge audit`: of a running server by asking it, else in the data folder itself.

Who may read the data folder may do both: a running server leaves its address and a token of its own there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gfedge.cli.client import ANSWER_SECONDS, NoServer, Refused, Server
from gfedge.cli.errors import FAILED, UNUSABLE, CommandError
from gfedge.cli.options import DEFAULT_SERVER
from gfedge.cli.serve import load

if TYPE_CHECKING:
    from gfedge.access.tokens import TokenBook
    from gfedge.db import Database

TOKENS, AUDIT = "/api/v1/admin/tokens", "/api/v1/admin/audit"
SPAN = re.compile(r"([1-9]\d{0,5})([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def token(args: argparse.Namespace) -> int:
    """`gfedge token create`, `list` or `revoke`."""
    return {"create": _create, "list": _list, "revoke": _revoke}[args.action](args)


def audit(args: argparse.Namespace) -> int:
    """`gfedge audit list` or `verify`; verify gives 1 where the chain is broken."""
    if args.action == "verify":
        return _verify(args)
    rows = _done(args, lambda server: _pages(server, args.limit), _audit_here)[: args.limit]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in reversed(rows):
        who = f"{row['name']} {row['token_id']}".strip()
        what = " ".join(part for part in (row["action"], row["target"], row["detail"]) if part)
        print(
            f"{row['number']:>6}  {_when(row['made_at'])}  {row['address'] or '-':15}  {who}: {what}"
        )
    return 0


def _create(args: argparse.Namespace) -> int:
    body: dict[str, Any] = {"name": args.name, "scope": args.scope}
    if args.expires:
        body["expires_in_seconds"] = seconds(args.expires)
    sent = json.dumps(body).encode()
    made = _done(
        args,
        lambda server: server.post(TOKENS, sent, media_type="application/json").json(),
        lambda book, db: _create_here(book, body),
        new=True,
    )
    print(
        f"token {made['id']} for {args.scope}; this is the only time that it is shown:",
        file=sys.stderr,
    )
    print(json.dumps(made, indent=2) if args.json else made["token"])
    return 0


def _list(args: argparse.Namespace) -> int:
    found = _done(args, lambda server: server.get(TOKENS).json(), _list_here)["tokens"]
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    print(f"{'ID':10} {'SCOPE':8} {'STATE':8} {'CREATED':17} {'LAST USE':17} {'EXPIRES':17} NAME")
    for one in found:
        times = " ".join(f"{_when(one[k]):17}" for k in ("created_at", "used_at", "expires_at"))
        print(f"{one['id']:10} {one['scope']:8} {one['state']:8} {times} {one['name']}")
    return 0


def _revoke(args: argparse.Namespace) -> int:
    if not re.fullmatch(r"[A-Za-z0-9]{1,32}", args.id):
        raise CommandError(f"{args.id!r} is not the id of a token: `gfedge token list`", UNUSABLE)
    _done(
        args,
        lambda server: server.delete(f"{TOKENS}/{args.id}").json(),
        lambda book, db: _revoke_here(book, args.id),
    )
    print(f"token {args.id} is revoked")
    return 0


def _verify(args: argparse.Namespace) -> int:
    """Recomputes the chain here, of what the server or the database holds."""
    from gfedge.access.audit import Broken, follow

    rows = _done(args, lambda server: _pages(server, None), _audit_here)
    try:
        number, digest = follow(reversed(_rows(rows)))
    except Broken as error:
        print(f"the audit log was changed: {error}")
        return FAILED
    print(f"{number} records, none changed; the last one is {digest}")
    if args.expect and args.expect not in {row["sha256"] for row in rows}:
        print(f"a record {args.expect} is not among them: records were cut off")
        return FAILED
    return 0


# A running server, or the data folder


def _done(
    args: argparse.Namespace,
    online: Callable[[Server], Any],
    offline: Callable[[TokenBook, Database], Awaitable[Any]],
    *,
    new: bool = False,
) -> Any:
    """Asks the server that was named, else the one that runs on the data folder, else works in the folder."""
    if args.server:
        with Server.of(args) as server:
            return online(server)
    data = _data(args)
    if (running := noted(data)) is not None:
        try:
            with running as server:
                server.get("/api/v1/auth/session")
                return online(server)
        except NoServer:
            pass  # it was killed, and its note stayed
        except Refused as refusal:
            if refusal.status != 401:
                raise
    return _here(data, offline, new=new)


def _data(args: argparse.Namespace) -> Path:

    return load(args).data


def noted(data: Path, timeout: float = ANSWER_SECONDS) -> Server | None:
    """The server that left a note in the data folder."""
    try:
        note = json.loads((data / "server.json").read_bytes())
        return Server(
            note["address"], timeout, token=note["token"], certificate=note["certificate"]
        )
    except (OSError, ValueError, KeyError):
        return None


def of_folder(args: argparse.Namespace, timeout: float) -> Server:
    """The server that works on the data folder, where none is named: it left its note there, and needs no token.

    A folder that `--data` names is that folder's matter alone: NoServer where none runs on it, whatever else answers.
    """
    if args.server != DEFAULT_SERVER or args.token or args.token_file:
        return Server.of(args, timeout)
    data = load(args).data
    if (found := noted(data, timeout)) is not None:
        return found
    if args.data is not None:
        raise NoServer(f"no server runs on {data}")
    return Server.of(args, timeout)


def _here(data: Path, work: Callable[[TokenBook, Database], Awaitable[Any]], *, new: bool) -> Any:
    import msgspec

    from gfedge import migrate
    from gfedge.access.tokens import TokenBook
    from gfedge.db import Database, DatabaseRefused
    from gfedge.errors import ApiError

    async def run() -> Any:
        database = Database(path)
        database.open(migrate.migrate)
        try:
            book = TokenBook(database)
            await book.open()
            return msgspec.to_builtins(await work(book, database))
        finally:
            await asyncio.to_thread(database.close)

    path = data / "gfedge.duckdb"
    if not path.is_file() and not new:
        raise CommandError(
            f"no database is in {data}: name its folder with --data, or a --server", UNUSABLE
        )
    try:
        data.mkdir(parents=True, exist_ok=True)
        return asyncio.run(run())
    except (DatabaseRefused, migrate.SchemaRefused) as error:
        raise CommandError(str(error), UNUSABLE) from None
    except ApiError as error:
        raise CommandError(error.detail) from None
    except OSError as error:
        raise CommandError(f"{data} cannot be used: {error.strerror}", UNUSABLE) from None


async def _create_here(book: TokenBook, body: dict[str, Any]) -> Any:
    import msgspec

    from gfedge.access import tokens
    from gfedge.access.types import NewToken

    try:
        asked = msgspec.convert(body, NewToken)
    except msgspec.ValidationError:
        raise CommandError(
            "a name has 1 to 100 characters, a token at most ten years", UNUSABLE
        ) from None
    text, row = tokens.made(asked, time.time())
    return await book.add(text, row, _act("token.create", row.id, f"{row.scope} {row.name}"))


async def _list_here(book: TokenBook, _: Database) -> Any:
    return {"tokens": book.list()}


async def _revoke_here(book: TokenBook, token_id: str) -> Any:
    return await book.revoke(token_id, _act("token.revoke", token_id))


async def _audit_here(_: TokenBook, db: Database) -> Any:
    from gfedge.access import store

    return await db.read(store.all_audit)


def _act(action: str, target: str, detail: str = "") -> Any:
    from gfedge.access.audit import Act
    from gfedge.auth import Who

    who = Who(name="command line", scope="admin")
    return Act(who=who, address="", action=action, target=target, detail=detail)


def _pages(server: Server, most: int | None) -> list[dict[str, Any]]:
    """The audit log of a server, newest first, as far as it is wanted."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None and (most is None or len(found) < most):
        page = server.get(f"{AUDIT}?limit=1000&cursor={cursor}").json()
        found += page["records"]
        cursor = page.get("next")
    return found


def _rows(values: list[dict[str, Any]]) -> list[Any]:
    import msgspec

    from gfedge.access.types import AuditRow

    return msgspec.convert(values, list[AuditRow])


def seconds(span: str) -> int:
    """Seconds of 90d, 12h, 30m or 45s."""
    if (found := SPAN.fullmatch(span)) is None:
        raise CommandError(f"--expires {span}: expected a time like 90d, 12h or 30m", UNUSABLE)
    return int(found[1]) * SECONDS[found[2]]


def _when(at: float | None) -> str:
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
