"""One HTTP connection to a gfedge server, with the standard library alone so that commands start fast."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import SplitResult, urlencode, urlsplit

import gfedge
from gfedge.cli.errors import UNUSABLE, CommandError

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0


ASKED = (
    "this server wants a token: give one with GFEDGE_TOKEN, --token-file FILE or --token TOKEN "
    "(`gfedge token create` on its machine makes one)"
)


class NoServer(CommandError):
    """Nothing answers at the address, or it stopped answering."""


class Refused(CommandError):
    """The server said no, in its own words."""

    def __init__(self, text: str, status: int, problem: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.problem = problem or {}
        """All that the server said, where it is a problem as JSON."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer of the server."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; raises CommandError where it is something else."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CommandError(_not_ours(self.status))
        return found


class Server:
    """A server by its address. One connection is kept; it is made anew when the server closed it."""

    def __init__(
        self,
        address: str,
        timeout: float = ANSWER_SECONDS,
        *,
        token: str = "",
        certificate: str = "",
    ) -> None:
        """A certificate in a file is one to trust by itself, whatever name is in it."""
        self.address = address.rstrip("/")
        self.token = token
        self._url = _checked(address)
        self._timeout = timeout
        self._certificate = certificate
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def of(cls, args: argparse.Namespace, timeout: float = ANSWER_SECONDS) -> Self:
        """The server that a command's options name, with the token that they or the environment give."""
        return cls(args.server, timeout, token=_token(args))

    def get(self, path: str) -> Reply:
        return self.request("GET", path)

    def post(
        self,
        path: str,
        body: bytes,
        *,
        media_type: str,
        query: Mapping[str, str] | None = None,
        key: str = "",
    ) -> Reply:
        """Send a body; with an idempotency key it is safe to send it again, so a lost answer is asked for once more."""
        headers = {"Content-Type": media_type}
        if key:
            headers["Idempotency-Key"] = key
        path = f"{path}?{urlencode(query)}" if query else path
        return self.request("POST", path, body, headers, again=bool(key))

    def delete(self, path: str) -> Reply:
        return self.request("DELETE", path)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        again: bool = True,
    ) -> Reply:
        """One request and its answer; raises NoServer, or Refused with the server's own words."""
        try:
            reply = self._exchange(method, path, body, headers or {})
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if rewind := getattr(body, "seek", None):
                rewind(0)
            if not again or isinstance(error, ConnectionRefusedError | TimeoutError | ssl.SSLError):
                raise self._lost(error) from None
            reply = self._second_try(method, path, body, headers or {})
        if reply.status >= 400:
            text = ASKED if reply.status == 401 and not self.token else problem_text(reply)
            raise Refused(text, reply.status, _problem(reply))
        return reply

    def save(self, path: str, target: Path) -> None:
        """GET a file, piece by piece; a connection that breaks leaves what came until then."""
        try:
            answer = self._answer("GET", path, None, {})
            if answer.status < 400:
                with target.open("wb") as file:
                    shutil.copyfileobj(answer, file, 1 << 20)
                return
            body = answer.read()
        except http.client.HTTPException as error:
            self.close()
            raise self._lost(error) from None
        reply = Reply(status=answer.status, headers=_lowered(answer), body=body)
        raise Refused(problem_text(reply), reply.status, _problem(reply))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _second_try(
        self, method: str, path: str, body: bytes | BinaryIO | None, headers: Mapping[str, str]
    ) -> Reply:
        try:
            return self._exchange(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._lost(error) from None

    def _exchange(
        self, method: str, path: str, body: bytes | BinaryIO | None, headers: Mapping[str, str]
    ) -> Reply:
        answer = self._answer(method, path, body, headers)
        return Reply(status=answer.status, headers=_lowered(answer), body=answer.read())

    def _answer(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        """The beginning of an answer, whose body is still to be read."""
        if self._connection is None:
            self._connection = _connect(self._url, self._timeout, self._certificate)
        fixed = {"User-Agent": f"gfedge/{gfedge.__version__}", "Accept": "application/json, */*"}
        if self.token:
            fixed["Authorization"] = f"Bearer {self.token}"
        self._connection.request(
            method, self._url.path.rstrip("/") + path, body, {**fixed, **headers}
        )
        return self._connection.getresponse()

    def _lost(self, error: Exception) -> NoServer:
        if isinstance(error, TimeoutError):
            text = f"the server at {self.address} did not answer in time"
            return NoServer(f"{text}: is it very busy, or the address wrong?", UNUSABLE)
        if isinstance(error, ssl.SSLCertVerificationError):
            return NoServer(
                f"the certificate of {self.address} is not trusted: {error.verify_message};"
                " for one of `gfedge tls init` set SSL_CERT_FILE to it",
                UNUSABLE,
            )
        if isinstance(error, http.client.HTTPException):
            text = f"the connection to {self.address} ended in the middle of an answer"
            return NoServer(f"{text} ({type(error).__name__})", UNUSABLE)
        reason = "" if isinstance(error, ConnectionRefusedError) else f" ({error})"
        return NoServer(
            f"no gfedge server answers at {self.address}{reason}:"
            " start one with `gfedge serve` or `make run`",
            UNUSABLE,
        )


def _lowered(answer: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def problem_text(reply: Reply) -> str:
    """What the server said is wrong, in one line."""
    said = _problem(reply)
    text = str(said.get("detail") or said.get("title") or _not_ours(reply.status))
    wait = reply.headers.get("retry-after")
    return f"{text} (try again in {wait} s)" if wait else text


def _not_ours(status: int) -> str:
    return (
        f"the server answered {status}, but not as gfedge does: is another program listening at this address?"
        " (--server URL says where gfedge is)"
    )


def _problem(reply: Reply) -> dict[str, Any]:
    try:
        found = json.loads(reply.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _checked(address: str) -> SplitResult:
    url = urlsplit(address)
    try:
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or not address.isprintable() or url.query or url.fragment:
        text = f"{address!r} is not a server address: it looks like http://127.0.0.1:8000"
        raise CommandError(text, UNUSABLE)
    return url


def _token(args: argparse.Namespace) -> str:
    """A token from the options, or from the environment; empty where there is none."""
    file = args.token_file
    if not args.token and not file:
        if text := os.environ.get("GFEDGE_TOKEN", "").strip():
            return _usable(text, "GFEDGE_TOKEN")
        file = os.environ.get("GFEDGE_TOKEN_FILE")
    if args.token or not file:
        return _usable(args.token or "", "--token")
    try:
        return _usable(Path(file).expanduser().read_text().strip(), file)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CommandError(f"the token file {file} cannot be read: {reason}", UNUSABLE) from None


def _usable(token: str, origin: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise CommandError(f"{origin}: this is not a token", UNUSABLE)
    return token


def _connect(url: SplitResult, timeout: float, certificate: str) -> http.client.HTTPConnection:
    wait = min(timeout, CONNECT_SECONDS)
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        context = _trusting(certificate) if certificate else None
        connection = http.client.HTTPSConnection(
            url.hostname or "", url.port, timeout=wait, context=context
        )
    else:
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=wait)
    connection.connect()
    connection.sock.settimeout(timeout)
    return connection


def _trusting(certificate: str) -> ssl.SSLContext:
    """Trust in that very certificate, which this machine's own server shows."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
