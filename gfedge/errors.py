"""The whole error story: what handlers and rules raise, and the one shape in which clients see it (RFC 9457)."""

from __future__ import annotations

import re

import msgspec


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """The body of every error answer, `application/problem+json`."""

    status: int
    title: str
    detail: str
    code: str
    """Stable and machine-readable; texts may change, codes do not."""
    type: str = "about:blank"
    instance: str = ""
    field: str = ""
    """JSON path of the value that was refused, or the name of a query parameter."""


MOST_DETAIL, MOST_NAME = 2000, 500
"""Characters of a text and of a name in an answer; what a client sent may stand in both."""


_token = re.compile(r"gfe_\w+")


def _cut(text: str, most: int) -> str:
    """Bounded, and without a token that a client put where it does not belong."""
    text = _token.sub("gfe_…", text[: most + 1000])
    return text if len(text) <= most else f"{text[:most]}…"


class ApiError(Exception):
    """An answer that is not the one hoped for; raised anywhere below a handler."""

    status = 500
    title = "Internal Server Error"
    code = "internal"

    def __init__(
        self,
        detail: str,
        *,
        code: str = "",
        field: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.field = field
        self.headers = headers or {}

    def problem(self, instance: str = "") -> Problem:
        return Problem(
            status=self.status,
            title=self.title,
            detail=_cut(self.detail, MOST_DETAIL),
            code=self.code,
            instance=_cut(instance, MOST_NAME),
            field=_cut(self.field, MOST_NAME),
        )


class BadRequest(ApiError):
    status, title, code = 400, "Bad Request", "bad_request"


class Unauthorized(ApiError):
    """Nobody that this server knows; raised by the guard, which adds `WWW-Authenticate`."""

    status, title, code = 401, "Unauthorized", "token_needed"


class Forbidden(ApiError):
    status, title, code = 403, "Forbidden", "forbidden"


class NotFound(ApiError):
    status, title, code = 404, "Not Found", "not_found"


class MethodNotAllowed(ApiError):
    status, title, code = 405, "Method Not Allowed", "method_not_allowed"


class TimedOut(ApiError):
    """The client took too long to send what it began."""

    status, title, code = 408, "Request Timeout", "body_timeout"


class Conflict(ApiError):
    status, title, code = 409, "Conflict", "conflict"


class PreconditionFailed(ApiError):
    status, title, code = 412, "Precondition Failed", "precondition_failed"


class TooLarge(ApiError):
    status, title, code = 413, "Content Too Large", "too_large"


class UnsupportedMedia(ApiError):
    status, title, code = 415, "Unsupported Media Type", "unsupported_media_type"


class RangeNotSatisfiable(ApiError):
    status, title, code = 416, "Range Not Satisfiable", "range_not_satisfiable"


class Misdirected(ApiError):
    status, title, code = 421, "Misdirected Request", "host_not_allowed"


class Invalid(ApiError):
    """Understood, but not acceptable: a value out of range, an unknown field, a picture that is none."""

    status, title, code = 422, "Unprocessable Content", "invalid"


class TooBusy(ApiError):
    status, title, code = 429, "Too Many Requests", "queue_full"


class UnknownCoding(ApiError):
    status, title, code = 501, "Not Implemented", "transfer_coding"


class Unavailable(ApiError):
    status, title, code = 503, "Service Unavailable", "unavailable"


class NoSpace(ApiError):
    status, title, code = 507, "Insufficient Storage", "disk_full"
