"""Who may come in: the two modes, tokens, sessions, tickets, pages of other origins, and the audit log."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from conftest import Api, make_models, start_server
from test_house import ROUTES, filled, named, served

from gfedge import auth, keys, wire
from gfedge.access import audit, start, store, tokens
from gfedge.access.guard import DOOR
from gfedge.access.sessions import Codes
from gfedge.access.throttle import Throttle
from gfedge.access.types import NewToken
from gfedge.db import Cursor

TOKENS, AUDIT = "/api/v1/admin/tokens", "/api/v1/admin/audit"
SESSION, TICKET = "/api/v1/auth/session", "/api/v1/auth/ws-ticket"
STREAM = "/api/v1/ml-platform/ws/training-jobs"
PAGE = "http://app.lan:5173"
"""The origin whose pages the operator allowed."""
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Lan(Api):
    """A server on a network, with its admin token."""

    def __init__(self, http: Any, token: str) -> None:
        super().__init__(http)
        self.admin = token

    async def asked(
        self, method: str, path: str, token: str | None = None, **options: Any
    ) -> tuple[int, Any, Any]:
        """(status, JSON, headers) of one request with that token."""
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self.http.request(method, path, headers=headers, **options) as response:
            body = await response.read()
            shown = wire.decode(body, Any) if "json" in response.content_type and body else body
            return response.status, shown, response.headers

    async def answered(self, path: str, token: str) -> bytes:
        """What a GET with that token is answered, whatever it is."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.request("GET", path, headers=headers) as response:
            return await response.read()

    async def token(self, scope: str, **more: Any) -> tuple[str, str]:
        """(text, id) of a new token."""
        body = {"name": f"a {scope} token", "scope": scope, **more}
        status, made, _ = await self.asked("POST", TOKENS, self.admin, json=body)
        assert status == 201, made
        return made["token"], made["id"]


async def start_lan(folder: Path, **settings: Any) -> tuple[Any, str]:
    models = folder / "models"
    if not models.exists():
        make_models(models)
    file = folder / "admin-token"
    given = {"host": "0.0.0.0", "admin_token_file": str(file), "cors_origin": PAGE, **settings}
    client = await start_server(folder / "data", models, **given)
    return client, file.read_text().strip()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lan(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lan]:
    client, token = await start_lan(tmp_path_factory.mktemp("lan"))
    client.session.cookie_jar.clear()
    yield Lan(client, token)
    await client.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lan]:
    folder = tmp_path_factory.mktemp("local")
    client = await start_server(folder / "data", make_models(folder / "models"))
    yield Lan(client, "")
    await client.close()


@pytest.fixture(autouse=True)
def _calm(request: pytest.FixtureRequest) -> None:
    """No test meets the wrong tokens of another."""
    if "lan" in request.fixturenames:
        server = request.getfixturevalue("lan").http.app
        server[DOOR].throttle = Throttle()


# -- a token for everybody ------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES, ids=named)
async def test_no_route_answers_without_a_token(lan: Lan, route: wire.Route) -> None:
    for path in served(route):
        for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
            status, problem, headers = await lan.asked(method, filled(path))
            if route.needs == "open" and not route.secret:
                assert status != 401, path
                continue
            assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="gfedge"'), path
            if (
                method != "HEAD" and route.tells is None
            ):  # others speak the errors of their protocol
                assert problem["code"] == "token_needed"


async def test_the_guard_knows_every_route_of_the_router(lan: Lan) -> None:
    """A route that did not come through the table would have no scope of its own."""
    app = lan.http.app
    for route in app.router.routes():
        assert route.handler in app[wire.TABLE], route


async def test_what_is_open_is_named_here() -> None:
    opened = [route for route in ROUTES if route.needs == "open"]
    assert {named(route) for route in opened if not route.secret} == {
        "GET /health",
        "GET /monitoring/health",
        "GET /monitoring/health/ready",
        "GET /ui/{path}",
        "POST /auth/session",
    }
    of_others = {route.secret: route.path.split("{")[0] for route in opened if route.secret}
    assert of_others == {
        "X-Job-Secret": "/ml-platform/training-jobs/",
        "X-Upload-Secret": "/api/2.0/mlflow-artifacts/mpu/parts/",
    }


async def test_nobody_learns_which_paths_there_are(lan: Lan) -> None:
    for path in ("/nothing", "/api/v1/nothing", "/"):
        status, problem, _ = await lan.asked("GET", path)
        assert (status, problem["code"]) == (401, "token_needed")


async def test_health_says_little_to_who_is_not_known(lan: Lan) -> None:
    status, found, _ = await lan.asked("GET", "/health")
    assert (status, found) == (200, {"status": "ok"})
    for path in ("/api/v1/monitoring/health", "/api/v1/monitoring/health/ready"):
        assert (await lan.asked("GET", path))[1].keys() == {"status"}
    text, _ = await lan.token("read")
    assert "device" in (await lan.asked("GET", "/health", text))[1]


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer gfe_abcdefgh_" + "a" * 52,
        "Bearer wrong",
        "Bearer gfe_ääääääää_" + "ä" * 52,
        "Basic YWRtaW46YWRtaW4=",
        "gfe_abcdefgh_" + "a" * 52,
        "Bearer " + "a" * 7000,
    ],
)
async def test_a_wrong_token_is_refused_and_not_repeated(lan: Lan, header: str) -> None:
    status, problem, headers = await lan.asked(
        "GET", "/api/v1/ml-platform/models", headers={"Authorization": header}
    )
    assert (status, problem["code"]) == (401, "bad_token")
    assert headers["WWW-Authenticate"] == 'Bearer realm="gfedge", error="invalid_token"'
    assert "aaaa" not in str(problem)


async def test_a_wrong_secret_for_a_known_id_is_refused(lan: Lan) -> None:
    wrong = lan.admin[:-1] + ("a" if lan.admin[-1] != "a" else "b")
    assert (await lan.asked("GET", "/metrics", wrong))[0] == 401


async def test_two_authorization_headers_are_refused(lan: Lan) -> None:
    from multidict import CIMultiDict

    both = CIMultiDict([("Authorization", f"Bearer {lan.admin}"), ("Authorization", "Bearer x")])
    async with lan.http.request("GET", "/metrics", headers=both) as response:
        assert response.status == 401


async def test_a_token_in_a_path_is_not_repeated(lan: Lan) -> None:
    for token, status in ((None, 401), (lan.admin, 404)):
        found, problem, _ = await lan.asked("GET", f"/metrics;token={lan.admin}/{lan.admin}", token)
        assert found == status
        assert lan.admin not in str(problem)
        assert "gfe_…" in str(problem)


@pytest.mark.parametrize("name", ["token", "access_token"])
async def test_a_token_in_a_query_is_refused(lan: Lan, name: str) -> None:
    for token in (None, lan.admin):
        status, problem, _ = await lan.asked("GET", f"/metrics?{name}={lan.admin}", token)
        assert (status, problem["code"]) == (400, "token_in_query")
        assert lan.admin not in str(problem)


LADDER = ("metrics", "read", "run", "admin")


@pytest.mark.parametrize("scope", LADDER)
async def test_a_scope_opens_its_step_of_the_ladder_and_those_below(lan: Lan, scope: str) -> None:
    text, _ = await lan.token(scope)
    asked = {
        "metrics": ("GET", "/metrics"),
        "read": ("GET", "/api/v1/ml-platform/ai-jobs"),
        "run": ("DELETE", "/api/v1/ml-platform/ai-jobs/x"),
        "admin": ("GET", TOKENS),
    }
    for needed, (method, path) in asked.items():
        status, problem, headers = await lan.asked(method, path, text)
        if LADDER.index(needed) <= LADDER.index(scope):
            assert status in (200, 404), path
        else:
            assert (status, problem["code"]) == (403, "scope_too_small"), path
            assert f'scope="{needed}"' in headers["WWW-Authenticate"]


async def test_only_who_administers_sees_where_the_data_folder_is(lan: Lan) -> None:
    text, _ = await lan.token("read")
    data = str(lan.http.app[keys.SETTINGS].data).encode()
    shown = {
        path
        for route in ROUTES
        if route.method == "GET" and route.messages is None
        for path in served(route)[:1]
        if data in (await lan.answered(filled(path), text))
    }
    assert shown == set()
    for path in ("/monitoring/status", "/monitoring/dashboard-data"):
        assert data in await lan.answered(f"/api/v1{path}", lan.admin)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/ai/generate", {"prompt": "red dragon"}),
        ("/api/v1/ml-platform/training-jobs", {"backend": "external"}),
    ],
)
async def test_each_token_has_its_own_idempotency_keys(
    lan: Lan, path: str, body: dict[str, Any]
) -> None:
    """Who guesses a key meets neither the job of another nor a conflict with it."""
    mine, others = (await lan.token("run"))[0], (await lan.token("run"))[0]
    headers = {"Idempotency-Key": "texture-1"}
    made = [
        await lan.asked("POST", path, who, json=body, headers=headers) for who in (mine, others)
    ]
    assert [status for status, _, _ in made] == [202, 202], made
    assert made[0][1]["id"] != made[1][1]["id"]
    assert "Idempotent-Replayed" not in made[1][2]
    again = await lan.asked("POST", path, mine, json=body, headers=headers)
    assert again[1]["id"] == made[0][1]["id"]
    assert again[2]["Idempotent-Replayed"] == "true"


async def test_a_revoked_token_is_refused_at_once(lan: Lan) -> None:
    text, token_id = await lan.token("read")
    assert (await lan.asked("GET", "/metrics", text))[0] == 200
    status, shown, _ = await lan.asked("DELETE", f"{TOKENS}/{token_id}", lan.admin)
    assert (status, shown["state"]) == (200, "revoked")
    assert (await lan.asked("GET", "/metrics", text))[0] == 401


async def test_a_stream_ends_with_its_token(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only at the next ping, 20 s later."""
    monkeypatch.setattr("gfedge.sockets.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("gfedge.sockets.PING_SECONDS", 600.0)
    text, token_id = await lan.token("read")
    headers = {"Authorization": f"Bearer {text}"}
    async with lan.http.ws_connect(STREAM, headers=headers) as ws:
        await lan.asked("DELETE", f"{TOKENS}/{token_id}", lan.admin)
        async with asyncio.timeout(20):
            async for _ in ws:
                pass
        assert ws.close_code == 1008


async def test_an_expired_token_is_refused(lan: Lan) -> None:
    text, token_id = await lan.token("read", expires_in_seconds=1)
    book = lan.http.app[DOOR].tokens
    assert book.who(text) is not None
    await asyncio.sleep(1.01)
    assert (await lan.asked("GET", "/metrics", text))[0] == 401
    listed = (await lan.asked("GET", TOKENS, lan.admin))[1]["tokens"]
    assert next(t for t in listed if t["id"] == token_id)["state"] == "expired"


async def test_a_list_of_tokens_shows_no_secret_and_the_last_use(lan: Lan) -> None:
    text, token_id = await lan.token("read")
    await lan.asked("GET", "/metrics", text)
    status, shown, _ = await lan.asked("GET", TOKENS, lan.admin)
    assert status == 200
    assert text.rpartition("_")[2] not in str(shown)
    assert "sha256" not in str(shown)
    used = next(t for t in shown["tokens"] if t["id"] == token_id)["used_at"]
    assert used == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 101},
        {"name": "x", "scope": "root"},
        {"name": "x", "expires_in_seconds": 0},
        {"name": "x", "admin": True},
    ],
)
async def test_a_token_that_makes_no_sense_is_refused(lan: Lan, body: dict[str, Any]) -> None:
    assert (await lan.asked("POST", TOKENS, lan.admin, json=body))[0] == 422


async def test_tokens_outlive_the_server_and_their_text_is_nowhere_on_the_disk(
    tmp_path: Path,
) -> None:
    client, admin = await start_lan(tmp_path)
    first = Lan(client, admin)
    text, _ = await first.token("run")
    gone, gone_id = await first.token("run")
    await first.asked("DELETE", f"{TOKENS}/{gone_id}", admin)
    await client.close()
    for file in (tmp_path / "data").rglob("*"):
        if file.is_file():
            assert text.rpartition("_")[2].encode() not in file.read_bytes(), file
    client, again = await start_lan(tmp_path)
    assert again == admin
    second = Lan(client, again)
    assert (await second.asked("GET", "/metrics", text))[0] == 200
    assert (await second.asked("GET", "/metrics", gone))[0] == 401
    await client.close()


async def test_two_installations_have_different_tokens() -> None:
    made = {tokens.made(NewToken(name="x"), 0)[0] for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"gfe_[a-z2-7]{8}_[a-z2-7]{52}", text) for text in made)


# -- who guesses ----------------------------------------------------------------------------------


async def test_wrong_tokens_are_slowed_down_and_a_valid_one_never(lan: Lan) -> None:
    statuses = []
    for _ in range(30):
        status, problem, headers = await lan.asked("GET", "/metrics", "wrong")
        statuses.append(status)
        if status == 429:
            assert problem["code"] == "too_many_tries"
            assert headers["Retry-After"] == "10"
        assert (await lan.asked("GET", "/metrics", lan.admin))[0] == 200
    assert statuses == [401] * 20 + [429] * 10
    assert (await lan.asked("POST", SESSION, json={"token": "wrong"}))[0] == 429
    newest = (await lan.asked("GET", AUDIT, lan.admin))[1]["records"][0]
    assert newest["action"] == "auth.burst"


async def test_a_request_without_a_token_is_no_wrong_try(lan: Lan) -> None:
    for _ in range(30):
        assert (await lan.asked("GET", "/metrics"))[0] == 401


async def test_a_throttle_forgets_and_counts_networks_not_addresses() -> None:
    throttle = Throttle(tries=2, seconds=10)
    assert [throttle.wrong("2001:db8::1", 0), throttle.wrong("2001:db8::2", 1)] == [1, 2]
    assert throttle.wrong("2001:db8:0:1::1", 1) == 1
    assert throttle.wrong("2001:db8::1", 10) == 1
    assert throttle.wrong("192.0.2.1", 0) == 1
    assert throttle.wrong("192.0.2.2", 0) == 1


# -- browsers ---------------------------------------------------------------------------------------


async def login(lan: Lan, **body: str) -> tuple[int, str, Any]:
    """(status, cookie, headers) of logging in."""
    status, _, headers = await lan.asked("POST", SESSION, json=body)
    lan.http.session.cookie_jar.clear()
    found = re.match(r"gfedge_session=([a-z2-7]{52});", headers.get("Set-Cookie", ""))
    return status, found[1] if found else "", headers


def cookie(value: str, **more: str) -> dict[str, str]:
    return {"Cookie": f"gfedge_session={value}", **more}


async def test_a_browser_logs_in_and_out(lan: Lan) -> None:
    text, _ = await lan.token("run")
    status, value, headers = await login(lan, token=text)
    assert status == 201
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite=Strict" in headers["Set-Cookie"]
    status, shown, _ = await lan.asked("GET", SESSION, headers=cookie(value))
    assert (status, shown["scope"]) == (200, "run")
    assert (await lan.asked("GET", TOKENS, headers=cookie(value)))[0] == 403
    assert (await lan.asked("DELETE", SESSION, headers=cookie(value)))[0] == 200
    assert (await lan.asked("GET", SESSION, headers=cookie(value)))[0] == 401


async def test_a_session_ends_with_its_token_and_is_hashed_where_it_is_stored(lan: Lan) -> None:
    text, token_id = await lan.token("read")
    _, value, _ = await login(lan, token=text)

    def stored(cursor: Cursor) -> str:
        return str(cursor.execute("select * from sessions").fetchall())

    kept = await lan.http.app[keys.DB].read(stored)
    assert value not in kept
    assert tokens.sha256(value) in kept
    await lan.asked("DELETE", f"{TOKENS}/{token_id}", lan.admin)
    assert (await lan.asked("GET", SESSION, headers=cookie(value)))[0] == 401


async def test_a_setup_link_works_once(lan: Lan) -> None:
    door = lan.http.app[DOOR]
    code = door.setups.issue(door.tokens.who(lan.admin))
    assert (await login(lan, setup=code))[0] == 201
    assert (await login(lan, setup=code))[0] == 401


async def test_a_code_works_in_its_time() -> None:
    assert Codes(60).take("never issued") is None
    late, who = Codes(0), auth.LOCAL
    assert late.take(late.issue(who)) is None


async def test_a_foreign_page_cannot_use_the_cookie(lan: Lan) -> None:
    _, value, _ = await login(lan, token=lan.admin)
    for headers in (
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        status, problem, _ = await lan.asked(
            "POST", TOKENS, headers=cookie(value, **headers), json={"name": "x"}
        )
        assert (status, problem["code"]) == (403, "foreign_origin")
    # Not even the allowed one: it brings a token of its own.
    asked = cookie(value, Origin=PAGE)
    assert (await lan.asked("POST", TOKENS, headers=asked, json={"name": "x"}))[0] == 401


async def test_a_browser_gets_a_page_to_log_in_on(lan: Lan) -> None:
    status, page, headers = await lan.asked("GET", "/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert status == 401
    assert b"<form>" in page
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe" not in policy


# -- WebSockets, and pages of other origins ---------------------------------------------------------


async def listen(lan: Lan, protocols: tuple[str, ...] = (), **headers: str) -> int:
    """Status of a WebSocket's handshake: 101 where it is open."""
    try:
        async with lan.http.ws_connect(STREAM, protocols=protocols, headers=headers) as ws:
            assert ws.protocol in (None, "gfedge.v1")
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


async def test_a_websocket_opens_with_a_header_a_cookie_or_a_ticket(lan: Lan) -> None:
    own = str(lan.http.make_url("/")).rstrip("/")
    _, value, _ = await login(lan, token=lan.admin)
    assert await listen(lan) == 401
    assert await listen(lan, Authorization=f"Bearer {lan.admin}") == 101
    assert await listen(lan, Cookie=f"gfedge_session={value}", Origin=own) == 101
    assert await listen(lan, Cookie=f"gfedge_session={value}", Origin="http://evil.test") == 403
    assert await listen(lan, Cookie=f"gfedge_session={value}", Origin="null") == 403
    assert await listen(lan, Cookie=f"gfedge_session={value}", Origin=PAGE) == 401
    assert await listen(lan, Authorization=f"Bearer {lan.admin}", Origin="http://evil.test") == 403


async def test_a_ticket_opens_one_websocket_of_an_allowed_page(lan: Lan) -> None:
    text, _ = await lan.token("read")
    status, made, _ = await lan.asked("POST", TICKET, text, headers={"Origin": PAGE})
    assert status == 201
    asked = ("gfedge.v1", f"ticket.{made['ticket']}")
    assert await listen(lan, asked, Origin=PAGE) == 101
    assert await listen(lan, asked, Origin=PAGE) == 401
    assert await listen(lan, ("gfedge.v1", "ticket.wrong"), Origin=PAGE) == 401


async def test_a_ticket_dies_with_its_token(lan: Lan) -> None:
    text, token_id = await lan.token("read")
    made = (await lan.asked("POST", TICKET, text))[1]
    await lan.asked("DELETE", f"{TOKENS}/{token_id}", lan.admin)
    assert await listen(lan, ("gfedge.v1", f"ticket.{made['ticket']}")) == 401


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


async def test_an_allowed_page_may_ask_and_read(lan: Lan) -> None:
    path = "/api/v1/ai/generate"
    status, _, headers = await lan.asked("OPTIONS", path, headers={"Origin": PAGE, **PREFLIGHT})
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == PAGE
    assert "Authorization" in headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in headers
    for token, expected in ((None, 401), ("wrong", 401), (lan.admin, 200)):
        status, _, headers = await lan.asked("GET", SESSION, token, headers={"Origin": PAGE})
        assert (status, headers["Access-Control-Allow-Origin"]) == (expected, PAGE)
        assert "Origin" in headers.getall("Vary")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.test",
        "null",
        "http://app.lan",
        "https://app.lan:5173",
        f"{PAGE}.evil.test",
        "*",
    ],
)
async def test_no_other_page_may_ask_or_read(lan: Lan, origin: str) -> None:
    path = "/api/v1/ai/generate"
    status, _, headers = await lan.asked("OPTIONS", path, headers={"Origin": origin, **PREFLIGHT})
    assert status == 403
    assert not [name for name in headers if name.startswith("Access-Control")]
    _, _, headers = await lan.asked("GET", SESSION, lan.admin, headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in headers


# -- names, proxies, methods: in both modes ---------------------------------------------------------


@pytest.fixture(params=["local", "lan"])
def either(request: pytest.FixtureRequest) -> Lan:
    found: Lan = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "127.0.0.1.evil.test",
        "localhost.evil.test",
        "10.9.8.7",
        "[::2]",
        "x@localhost",
        "local host",
        "[::1",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/health", "/metrics", "/"])
async def test_a_foreign_name_is_refused_everywhere(either: Lan, host: str, path: str) -> None:
    status, problem, _ = await either.asked("GET", path, either.admin, headers={"Host": host})
    assert (status, problem["code"]) == (421, "host_not_allowed")


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1234", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000"]
)
async def test_our_own_names_are_taken(either: Lan, host: str) -> None:
    assert (await either.asked("GET", "/health", headers={"Host": host}))[0] == 200


async def test_more_names_can_be_allowed(tmp_path: Path) -> None:
    client, _ = await start_lan(
        tmp_path, allowed_host="edge.lan, 10.9.8.7", public_url="https://art.lan/x"
    )
    for host in ("edge.lan:8000", "10.9.8.7", "art.lan"):
        async with client.get("/health", headers={"Host": host}) as response:
            assert response.status == 200
    await client.close()


PROXIES = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "x-forwarded-port"]


@pytest.mark.parametrize("name", [*PROXIES, "X-Forwarded-Prefix", "X-Forwarded"])
async def test_a_proxy_before_a_local_server_is_refused(local: Lan, name: str) -> None:
    status, problem, _ = await local.asked("GET", "/health", headers={name: "for=10.0.0.1"})
    assert (status, problem["code"]) == (400, "looks_proxied")


async def test_forwarded_headers_change_nothing_on_a_network(lan: Lan) -> None:
    forged = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost", "X-Real-IP": "::1"}
    assert (await lan.asked("GET", "/metrics", headers=forged))[0] == 401


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND"])
async def test_an_odd_method_is_refused(either: Lan, method: str) -> None:
    status, problem, headers = await either.asked(method, "/health", either.admin)
    assert (status, problem["code"]) == (405, "method_not_allowed")
    assert "GET" in headers["Allow"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.test"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    ],
    ids=str,
)
async def test_a_foreign_page_changes_nothing(
    either: Lan, method: str, headers: dict[str, str]
) -> None:
    path = "/api/v1/ml-platform/ai-jobs/x"
    status, problem, shown = await either.asked(method, path, either.admin, headers=headers)
    assert (status, problem["code"]) == (403, "foreign_origin")
    assert not [name for name in shown if name.startswith("Access-Control")]


async def test_our_own_page_may_do_everything(local: Lan) -> None:
    own = str(local.http.make_url("/")).rstrip("/")
    headers = {"Origin": own, "Sec-Fetch-Site": "same-origin"}
    body = {"prompt": "red dragon"}
    status, _, _ = await local.asked("POST", "/api/v1/ai/generate", headers=headers, json=body)
    assert status == 202


async def test_a_local_server_asks_for_no_token_and_has_no_cors(local: Lan) -> None:
    assert (await local.asked("GET", TOKENS))[0] == 200
    assert (await local.asked("GET", SESSION))[1]["name"] == "local"
    status, _, headers = await local.asked("GET", "/metrics", headers={"Origin": PAGE})
    assert status == 200
    assert "Access-Control-Allow-Origin" not in headers


async def test_every_answer_has_the_headers_that_keep_it_inert(either: Lan) -> None:
    for path in ("/health", "/metrics", "/nothing", TOKENS):
        _, _, headers = await either.asked("GET", path, either.admin)
        assert headers["Server"] == "gfedge"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


async def test_what_needed_a_token_stays_out_of_shared_caches(lan: Lan) -> None:
    _, _, headers = await lan.asked("GET", TOKENS, lan.admin)
    assert headers["Cache-Control"] == "no-store"


async def test_an_operator_may_let_others_frame_it(tmp_path: Path) -> None:
    client, _ = await start_lan(tmp_path, frame_ancestors="https://grafana.lan")
    async with client.get("/health") as response:
        assert "frame-ancestors https://grafana.lan" in response.headers["Content-Security-Policy"]
        assert "X-Frame-Options" not in response.headers
    await client.close()


# -- the start ----------------------------------------------------------------------------------------


async def test_a_server_on_a_network_needs_a_place_for_its_first_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_models(tmp_path / "models")
    with pytest.raises(start.AccessRefused, match="--admin-token-file"):
        await start_server(tmp_path / "data", tmp_path / "models", host="0.0.0.0")


async def test_the_first_token_is_shown_once_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_models(tmp_path / "models")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    client = await start_server(tmp_path / "data", tmp_path / "models", host="0.0.0.0")
    said = capsys.readouterr().out
    text, code = re.findall(r"gfe_\w+|(?<=#setup=)\w+", said)
    lan = Lan(client, text)
    assert (await lan.asked("GET", TOKENS, text))[0] == 200
    assert (await login(lan, setup=code))[0] == 201
    await client.close()
    client = await start_server(tmp_path / "data", tmp_path / "models", host="0.0.0.0")
    await client.close()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("text", ["", "secret", "gfe_short_secret"])
async def test_a_token_file_with_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "admin-token").write_text(text)
    with pytest.raises(start.AccessRefused, match="gfe_"):
        await start_lan(tmp_path)


async def test_a_token_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    client, _ = await start_lan(tmp_path)
    assert (tmp_path / "admin-token").stat().st_mode & 0o777 == 0o600
    await client.close()


# -- the audit log ------------------------------------------------------------------------------------


def whole_chain(cursor: Cursor) -> tuple[int, str]:
    return audit.follow(reversed(store.all_audit(cursor)))


async def test_what_admins_do_is_recorded_in_a_chain(lan: Lan) -> None:
    _, token_id = await lan.token("metrics")
    await lan.asked("DELETE", f"{TOKENS}/{token_id}", lan.admin)
    found = await lan.pages_of_audit()
    assert [row["action"] for row in found if row["target"] == token_id] == [
        "token.revoke",
        "token.create",
    ]
    assert found[0]["previous"] == found[1]["sha256"]
    number, last = await lan.http.app[keys.DB].read(whole_chain)
    assert (number, last) == (found[0]["number"], found[0]["sha256"])
    assert not re.search(r"gfe_[a-z2-7]{8}_", str(found))


async def pages_of_audit(self: Lan) -> list[Any]:
    found: list[Any] = []
    cursor = ""
    while cursor is not None:
        page = (await self.asked("GET", AUDIT, self.admin, params={"limit": 2, "cursor": cursor}))[
            1
        ]
        found += page["records"]
        cursor = page["next"]
    return found


Lan.pages_of_audit = pages_of_audit  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("update audit set target = 'other' where number = 2", "record 2 was changed"),
        ("delete from audit where number = 2", "record 2 is missing"),
        ("update audit set made_at = made_at + 1 where number = 3", "record 3 was changed"),
    ],
)
async def test_a_changed_record_breaks_the_chain(tmp_path: Path, change: str, text: str) -> None:
    client, admin = await start_lan(tmp_path)
    for _ in range(3):
        await Lan(client, admin).token("read")
    db = client.app[keys.DB]
    assert (await db.read(whole_chain))[0] == 4
    await db.write(lambda cursor: cursor.execute(change) and None)
    with pytest.raises(audit.Broken, match=text):
        await db.read(whole_chain)
    await client.close()
