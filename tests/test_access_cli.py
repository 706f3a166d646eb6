"""Access from the command line: a server on a network and its clients, tokens and the audit log with and without it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Process

from gfedge.cli.client import Server

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def gfedge(tmp_path: Path) -> Run:
    """Runs a command on the data folder of this test."""

    def run(*words: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        environment = {"GFEDGE_DATA": str(tmp_path / "data"), **environment}
        done = subprocess.run(
            [sys.executable, "-m", "gfedge", *words],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


def serve(process: Callable[..., Process], **settings: str) -> Process:
    """A server on all addresses, asked for on one."""
    one = process(host="0.0.0.0", **settings)
    one.launch()
    said = one.wait_for(" on http")
    found = re.search(r" on (https?)://[^ ]*:(\d+),", said)
    assert found is not None
    one.address = f"{found[1]}://127.0.0.1:{found[2]}"
    one.environment["GFEDGE_PORT"] = found[2]
    return one


def status(address: str, path: str, token: str = "") -> int:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_tokens_from_an_empty_folder_to_a_running_server_and_back(
    gfedge: Run, process: Callable[..., Process], tmp_path: Path
) -> None:
    """Made before the first start, asked of the running server, listed after its end: always the same tokens."""
    admin = gfedge("token", "create", "--name", "me", "--scope", "admin").stdout.strip()
    server = serve(process)
    assert (tmp_path / "data" / "server.json").stat().st_mode & 0o777 == 0o600
    assert status(server.address, "/metrics") == 401
    assert status(server.address, "/metrics", admin) == 200
    text = gfedge("token", "create", "--name", "unreal", "--expires", "90d").stdout.strip()
    assert status(server.address, "/metrics", text) == 200
    shown = json.loads(gfedge("token", "list", "--json").stdout)
    assert [(t["name"], t["scope"], t["state"]) for t in shown] == [
        ("unreal", "run", "valid"),
        ("me", "admin", "valid"),
    ]
    gfedge("token", "revoke", shown[0]["id"])
    assert status(server.address, "/metrics", text) == 401
    assert server.stop() == 0
    assert not (tmp_path / "data" / "server.json").exists()
    assert "unreal" in gfedge("token", "list").stdout
    said = gfedge("audit", "list").stdout
    assert [line.split(": ")[1].split()[0] for line in said.splitlines()] == [
        "token.create",
        "token.create",
        "token.revoke",
    ]
    verified = gfedge("audit", "verify").stdout
    assert verified.startswith("3 records, none changed")
    digest = verified.split()[-1]
    gfedge("audit", "verify", "--expect", digest)
    assert "cut off" in gfedge("audit", "verify", "--expect", "0" * 64, status=1).stdout
    for name in (admin, text):
        assert name.rpartition("_")[2] not in server.log.read_text()


def test_a_client_brings_its_token(
    gfedge: Run, process: Callable[..., Process], tmp_path: Path
) -> None:
    token = gfedge("token", "create", "--name", "me").stdout.strip()
    server = serve(process)
    (tmp_path / "token").write_text(token + "\n")
    out = str(tmp_path / "dragon.png")
    words = ("generate", "a red dragon", "-o", out, "--server", server.address)
    assert "GFEDGE_TOKEN" in gfedge(*words, status=1).stderr
    assert "not valid here" in gfedge(*words, "--token", "gfe_wrong", status=1).stderr
    gfedge(*words, GFEDGE_TOKEN=token)
    gfedge(*words, "--token-file", str(tmp_path / "token"))
    gfedge(*words, GFEDGE_TOKEN_FILE=str(tmp_path / "token"))
    gfedge("trace", out, "--server", server.address, "--token", token)
    missing = str(tmp_path / "nothing")
    assert "cannot be read" in gfedge(*words, "--token-file", missing, status=2).stderr


def test_a_server_on_a_network_does_not_start_without_a_place_for_its_token(gfedge: Run) -> None:
    words = ("serve", "--host", "0.0.0.0", "--port", "0")
    said = gfedge(*words, status=2).stderr
    assert "--admin-token-file" in said
    assert "Traceback" not in said


def test_the_flag_that_lets_everybody_in_is_typed_in_full(gfedge: Run) -> None:
    for short in ("--insecure", "--insecure-no-aut"):
        said = gfedge("serve", "--host", "0.0.0.0", short, status=2).stderr
        assert f"gfedge serve has no {short}: " in said
    assert (
        "GFEDGE_INSECURE_NO_AUTH is not a setting"
        in gfedge(
            "serve", "--host", "0.0.0.0", "--port", "0", status=2, GFEDGE_INSECURE_NO_AUTH="true"
        ).stderr
    )


def test_a_server_without_tokens_says_so_loudly(process: Callable[..., Process]) -> None:
    one = process(host="0.0.0.0")
    one.launch("--insecure-no-auth")
    said = one.wait_for(" on http")
    assert "ANYBODY" in said
    port = re.findall(r":(\d+),", said)[-1]
    assert status(f"http://127.0.0.1:{port}", "/api/v1/admin/tokens") == 200


def test_tls_with_a_certificate_of_its_own(
    gfedge: Run, process: Callable[..., Process], tmp_path: Path
) -> None:
    said = gfedge("tls", "init", str(tmp_path / "tls"), "--name", "edge.lan").stdout
    certificate, key = tmp_path / "tls" / "gfedge.crt", tmp_path / "tls" / "gfedge.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert re.search(r"sha256\): ([0-9A-F]{2}:){31}[0-9A-F]{2}", said)
    assert "there already" in gfedge("tls", "init", str(tmp_path / "tls"), status=2).stderr
    token = gfedge("token", "create", "--name", "me").stdout.strip()
    server = serve(process, tls_cert=str(certificate), tls_key=str(key))
    assert server.address.startswith("https://")
    words = ("doctor", "--server", server.address, "--token", token)
    found = gfedge(*words, SSL_CERT_FILE=str(certificate)).stdout
    # Its engine may start yet.
    assert re.search(f"{server.address} (answers: ok|runs no jobs now)", found)
    assert "me" in gfedge("token", "list").stdout
    with (
        Server(server.address, token=token) as client,
        pytest.raises(Exception, match="not trusted"),
    ):
        client.get("/health")
    context = ssl.create_default_context(cafile=str(certificate))
    port = int(server.address.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="edge.lan") as secure,
    ):
        assert secure.version() in ("TLSv1.2", "TLSv1.3")
    cookie = _login(port, context, token)
    assert cookie.startswith("__Host-gfedge_session=")
    assert "; Secure" in cookie


def test_a_renewed_certificate_needs_no_restart(
    gfedge: Run, process: Callable[..., Process], tmp_path: Path
) -> None:
    folder = tmp_path / "tls"
    certificate, key = folder / "gfedge.crt", folder / "gfedge.key"
    gfedge("tls", "init", str(folder))
    gfedge("token", "create", "--name", "me")
    server = serve(process, tls_cert=str(certificate), tls_key=str(key))
    address = ("127.0.0.1", int(server.address.rpartition(":")[2]))
    before = ssl.get_server_certificate(address)
    gfedge("tls", "init", str(tmp_path / "renewed"))
    certificate.write_text("not a certificate")
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("not reloaded: certificate: ")
    assert ssl.get_server_certificate(address) == before
    for file in (certificate, key):
        file.write_bytes((tmp_path / "renewed" / file.name).read_bytes())
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(f"reloaded certificate: read {certificate}")
    assert ssl.get_server_certificate(address) == certificate.read_text() != before


def _login(port: int, context: ssl.SSLContext, token: str) -> str:
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
    body, headers = json.dumps({"token": token}), {"Content-Type": "application/json"}
    connection.request("POST", "/api/v1/auth/session", body, headers)
    found = connection.getresponse().headers["Set-Cookie"]
    connection.close()
    return str(found)


def test_a_certificate_that_does_not_fit_is_refused(gfedge: Run, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no certificate")
    words = ("serve", "--port", "0", "--tls-cert", str(tmp_path / "x"))
    assert "both" in gfedge(*words, status=2).stderr
    assert "gfedge tls init" in gfedge(*words, "--tls-key", str(tmp_path / "x"), status=2).stderr


@pytest.mark.parametrize(
    "origin", ["*", "app.lan", "http://*.lan", "http://app.lan/", "http://a.lan,*", "null"]
)
def test_an_origin_that_is_none_is_refused(gfedge: Run, origin: str) -> None:
    said = gfedge("serve", "--cors-origin", origin, status=2).stderr
    assert "expected something like http://app.lan:5173" in said
