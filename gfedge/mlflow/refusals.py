"""Errors as MLflow's clients know them: `error_code` and `message`, with a status that they retry only where it helps."""

from __future__ import annotations

import msgspec
from aiohttp import web

from gfedge import errors
from gfedge.wire import JSON

INVALID = "INVALID_PARAMETER_VALUE"
EXISTS = "RESOURCE_ALREADY_EXISTS"
ABSENT = "RESOURCE_DOES_NOT_EXIST"

BY_CODE = {
    "experiment_exists": (400, EXISTS),
    "experiment_deleted": (400, EXISTS),
    "artifact_exists": (400, INVALID),
    "bad_alias": (400, INVALID),
    "bad_artifact_path": (400, INVALID),
    "gate_failed": (403, "PERMISSION_DENIED"),
    "run_deleted": (400, INVALID),
    "method_not_allowed": (404, "ENDPOINT_NOT_FOUND"),
    "not_found": (404, "ENDPOINT_NOT_FOUND"),
}
BY_STATUS = {
    400: (400, "BAD_REQUEST"),
    401: (401, "UNAUTHENTICATED"),
    403: (403, "PERMISSION_DENIED"),
    404: (404, ABSENT),
    409: (400, "INVALID_STATE"),
    413: (413, "RESOURCE_EXHAUSTED"),
    415: (400, "BAD_REQUEST"),
    422: (400, INVALID),
    429: (429, "REQUEST_LIMIT_EXCEEDED"),
    500: (500, "INTERNAL_ERROR"),
    503: (503, "TEMPORARILY_UNAVAILABLE"),
    504: (504, "DEADLINE_EXCEEDED"),
    507: (507, "RESOURCE_EXHAUSTED"),
}
"""A client tries 408, 429, 500, 502, 503 and 504 again, for four minutes."""


TEXTS = {
    "bad_artifact_path": "Invalid path",
    "token_needed": "this server wants a token: set MLFLOW_TRACKING_TOKEN (`gfedge token create` makes one)",
}
"""What MLflow says in words of its own, and clients look for; and what its users can do."""


class Failure(msgspec.Struct, kw_only=True, frozen=True):
    """The body of every error."""

    error_code: str
    message: str


class Refused(errors.ApiError):
    """What MLflow has a code of its own for."""

    status, title, code = 400, "Refused", "mlflow_refused"

    def __init__(self, detail: str, error_code: str = INVALID, status: int = 400) -> None:
        super().__init__(detail)
        self.error_code = error_code
        self.status = status


def answer(error: errors.ApiError) -> web.Response:
    """Any error of this server in MLflow's form."""
    status, error_code = BY_STATUS.get(error.status, (error.status, "BAD_REQUEST"))
    status, error_code = BY_CODE.get(error.code, (status, error_code))
    if isinstance(error, Refused):
        status, error_code = error.status, error.error_code
    message = TEXTS.get(error.code) or error.problem().detail
    body = msgspec.json.encode(Failure(error_code=error_code, message=message))
    response = web.Response(body=body, status=status, headers=error.headers, content_type=JSON)
    if error.headers.get("Connection") == "close":
        response.force_close()
    return response


def invalid(text: str) -> Refused:
    return Refused(text)


def missing(name: str) -> Refused:
    return Refused(
        f"Missing value for required parameter '{name}'. See the API docs for more information about "
        "request parameters."
    )


def absent(text: str) -> Refused:
    return Refused(text, ABSENT, 404)


def exists(text: str) -> Refused:
    return Refused(text, EXISTS)


def denied(text: str) -> Refused:
    return Refused(text, "PERMISSION_DENIED", 403)


def not_implemented(text: str) -> Refused:
    return Refused(text, "NOT_IMPLEMENTED", 501)
