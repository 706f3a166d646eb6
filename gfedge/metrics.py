"""Every metric that the server declares, in Prometheus' conventions: base units, bounded labels, a help text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from aiohttp import web

jobs_total = Counter(
    "gfedge_jobs_total", "Jobs that ended.", ["kind", "status", "model", "version"]
)
jobs_queued = Gauge("gfedge_jobs_queued", "Jobs that wait to be started.")
jobs_running = Gauge("gfedge_jobs_running", "Jobs that run now.")
job_queue_seconds = Histogram(
    "gfedge_job_queue_seconds", "Time from acknowledging a job to starting it.", ["kind"]
)
job_seconds = Histogram("gfedge_job_seconds", "Time from starting a job to its end.", ["kind"])
job_stage_seconds = Histogram(
    "gfedge_job_stage_seconds", "Time of a job's stages.", ["kind", "stage"]
)
http_requests_total = Counter(
    "gfedge_http_requests_total", "HTTP requests.", ["method", "route", "status"]
)
http_request_seconds = Histogram(
    "gfedge_http_request_seconds", "Time to answer an HTTP request.", ["route"]
)

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

_requests: dict[tuple[str, str, int], Counter] = {}
_times: dict[str, Histogram] = {}


def http_request(request: web.Request, status: int, seconds: float) -> None:
    """Counts one answered request. Children are kept, because looking them up costs more than counting."""
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unmatched"
    method = request.method if request.method in METHODS else "other"
    key = (method, route, status)
    if (counter := _requests.get(key)) is None:
        counter = _requests[key] = http_requests_total.labels(key[0], key[1], str(status))
        _times[route] = http_request_seconds.labels(route)
    counter.inc()
    _times[route].observe(seconds)


def exposition(accept: str) -> tuple[bytes, str]:
    """(body, content type) of all metrics, as text or OpenMetrics by the Accept header."""
    encode, kind = choose_encoder(accept)
    return encode(REGISTRY), kind
