"""What `gfedge token`, `audit` and `tls` understand; what they do is in access.py and tls.py."""

from __future__ import annotations

import argparse
import os
from typing import Any

from gfedge.cli.options import add_actions, add_data, add_token, flag
from gfedge.cli.sentences import sentence


def add_access(commands: Any) -> None:
    """Tokens and the audit log: of a running server, else of the data folder itself."""
    text = "who may use the server: make, list and revoke tokens"
    actions = add_actions(commands, "token", text)
    create = _action(actions, "create", "make a token and print it, once")
    create.add_argument("--name", required=True, metavar="NAME", help="who uses it: unreal-plugin")
    scopes, text = ("metrics", "read", "run", "admin"), "what it may do (default run)"
    create.add_argument("--scope", choices=scopes, default="run", help=text)
    flag(create, "--expires", "TIME", "how long it lives: 90d, 12h (default: until it is revoked)")
    _action(actions, "list", "list all tokens, without their secrets")
    revoke = _action(actions, "revoke", "end a token, and log out who logged in with it")
    revoke.add_argument("id", metavar="ID", help="as `gfedge token list` shows it")
    actions = add_actions(commands, "audit", "what admins did, in a chain that shows changes")
    listing = _action(actions, "list", "the newest records")
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="how many (default 50)")
    verify = _action(actions, "verify", "whether every record is there and none was changed")
    text = "digest of a record seen earlier, which must still be there"
    flag(verify, "--expect", "SHA256", text)


def _action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(
        name, help=text, description=sentence(text)
    )
    add_data(action)
    found, text = os.environ.get("GFEDGE_SERVER"), "a server (default: that of the data folder)"
    action.add_argument("--server", metavar="URL", default=found, help=text)
    add_token(action)
    action.add_argument("--json", action="store_true", help="print it as JSON")
    return action


def add_tls(commands: Any) -> None:
    actions = add_actions(commands, "tls", "serve over TLS")
    text = "make a certificate for this machine's names and addresses (needs openssl)"
    init = actions.add_parser("init", help=text, description=sentence(text))
    text = "where gfedge.crt and gfedge.key go (default: here)"
    init.add_argument("folder", metavar="DIR", nargs="?", default=".", help=text)
    text = "one more name or address of this machine (may be repeated)"
    init.add_argument("--name", metavar="NAME", action="append", default=[], help=text)
