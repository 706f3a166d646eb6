"""A call of MLflow's REST API as a row of the route table: JSON or a query in, JSON out, errors in MLflow's form.

Unlike this server's own interface it ignores unknown fields and takes numbers as text, as MLflow's clients send them.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from gfedge import wire
from gfedge.errors import ApiError
from gfedge.mlflow import refusals
from gfedge.mlflow.refusals import Failure
from gfedge.validation import explain
from gfedge.wire import JSON, Route, Scope

BASE = "/api/2.0/mlflow"
SHOWN = 200
"""Characters of a value that does not fit, told with the error."""
_NO_JSON = refusals.Refused("The body is not JSON.", "BAD_REQUEST")
Asked = TypeVar("Asked", bound=msgspec.Struct)
Work = Callable[..., Awaitable[Any]]
_encode = msgspec.json.Encoder().encode
_step = re.compile(r"(\w+)|\[(\d+)\]")
_absent = re.compile(r"missing required field|length >= 1|got `null`")


class Nothing(msgspec.Struct):
    """The answer of a call that only does something."""


def call(
    method: str,
    path: str,
    work: Work,
    asked: type[msgspec.Struct],
    answers: type[msgspec.Struct],
    summary: str,
    *,
    scope: Scope | None = None,
    twins: tuple[str, ...] = (),
    example: dict[str, Any] | None = None,
    tail: bool = False,
) -> Route:
    """A row of the table: `work` gets the request and what was asked, and gives what is answered."""
    named = tuple(re.findall(r"\{(\w+)\}", path))
    read = _reader(asked, named)

    async def answered(request: web.Request) -> web.StreamResponse:
        found = await work(request, await read(request))
        if isinstance(found, web.StreamResponse):
            return found
        return web.Response(body=_encode(found), content_type=JSON)

    rooted = path.startswith("/")
    return row(
        method,
        path if rooted else f"{BASE}/{path}",
        answered,
        summary,
        name=work.__name__,
        reply=answers,
        options=asked if method == "GET" else None,
        reads=asked if method != "GET" else None,
        scope=scope,
        example=example,
        twins=twins if rooted else (f"/ajax-api/2.0/mlflow/{path}", *twins),
        tail=tail,
    )


def row(method: str, path: str, handler: Work, summary: str, *, name: str, **more: Any) -> Route:
    """A rooted row whose errors are told in MLflow's form."""
    handler.__name__ = f"mlflow_{name}"
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        rooted=True,
        refuses=Failure,
        tells=tells,
        **more,
    )


def in_query(request: web.Request, asked: type[Asked]) -> Asked:
    """What a row that reads its own body is asked for in the query."""
    return _fitting(_query(request), asked)


def tells(error: ApiError) -> web.Response:
    return refusals.answer(error)


def _reader(
    asked: type[msgspec.Struct], named: tuple[str, ...]
) -> Callable[[web.Request], Awaitable[Any]]:
    """What reads a request: names in the path, then the query of a GET or the JSON of the others."""
    decode = msgspec.json.Decoder(asked, strict=False).decode
    fields = {field.name: field.type for field in msgspec.structs.fields(asked)}
    lists = frozenset(name for name, kind in fields.items() if _is_list(kind))

    async def read(request: web.Request) -> Any:
        if request.method in ("GET", "HEAD"):
            return _fitting(_query(request, lists), asked)
        data = await wire.read_json(request)
        if data and request.content_type != JSON:
            raise refusals.Refused(f"Bad Request. Content-Type must be {JSON}.", "BAD_REQUEST")
        try:
            if not named:
                return decode(data or b"{}")
        except msgspec.ValidationError:
            pass  # it may yet fit without its nulls, and else is told in full
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _NO_JSON from None
        try:
            sent = _without_nulls(msgspec.json.decode(data or b"{}"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _NO_JSON from None
        return _fitting({**request.match_info, **sent} if isinstance(sent, dict) else sent, asked)

    return read


def _fitting(sent: Any, asked: type[Asked]) -> Asked:
    try:
        return msgspec.convert(sent, asked, strict=False)
    except msgspec.ValidationError as error:
        raise _misfit(error, asked, sent) from None


def _without_nulls(sent: Any) -> Any:
    """A null is a field that is not there, as protobuf has it."""
    if isinstance(sent, dict):
        return {name: _without_nulls(one) for name, one in sent.items() if one is not None}
    return [_without_nulls(one) for one in sent] if isinstance(sent, list) else sent


def _is_list(kind: Any) -> bool:
    return "list[" in str(kind)


def _query(request: web.Request, lists: frozenset[str] = frozenset()) -> dict[str, Any]:
    values: dict[str, Any] = dict(request.match_info)
    for name in request.query:
        found = request.query.getall(name)
        values[name] = found if name in lists else found[0]
    return values


def _misfit(
    error: msgspec.ValidationError, asked: type[msgspec.Struct], sent: Any
) -> refusals.Refused:
    found = explain(error, asked)
    if not found.path:
        return refusals.Refused(f"The body does not fit: {found.text}.", "BAD_REQUEST")
    if _absent.search(str(error)):
        return refusals.missing(found.path)
    value = msgspec.json.encode(_at(sent, found.path)).decode()
    return refusals.invalid(
        f"Invalid value {value[:SHOWN]} for parameter '{found.path}' supplied: {found.text}. See the API "
        "docs for more information about request parameters."
    )


def _at(sent: Any, path: str) -> Any:
    """What was sent at a path like `metrics[0].step`."""
    for name, index in _step.findall(path):
        sent = sent[int(index)] if index else sent[name]
    return sent
