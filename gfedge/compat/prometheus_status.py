"""The rest of Prometheus' HTTP API: rules, alerts, targets, and what a server says of itself."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import yaml
from aiohttp import web

from gfedge import __version__, keys
from gfedge.compat import prometheus_json as json
from gfedge.compat.prometheus import route
from gfedge.compat.prometheus_forms import FARTHEST, Form, invalid
from gfedge.compat.prometheus_types import RuleNames
from gfedge.configuration import public
from gfedge.monitoring.queries import QUERIES, Cancelled
from gfedge.monitoring.routes import HISTORY
from gfedge.promql.engine import Engine
from gfedge.wire import Route

LEVEL = "3.5.0"
"""The version of Prometheus whose API this is: clients ask for it to know what they may use."""

PATHS = frozenset(
    {
        *("data", "models", "cuda_dir", "export_dir", "train_python", "vast_python"),
        *("rule_files", "receivers_file", "admin_token_file", "tls_cert", "tls_key"),
    }
)
"""Settings that name files of the machine, which are nobody's business here."""

Plain = dict[str, Any]


class Alerting(Protocol):
    """Who knows the rules and the alerts; both as Prometheus' API shows them."""

    def prometheus_groups(self) -> Sequence[Plain]:
        """Rule groups, by file and name."""
        ...

    def prometheus_alerts(self) -> Sequence[Plain]:
        """Those that are pending or firing."""
        ...

    def alertmanagers(self) -> Sequence[str]:
        """The addresses of those that are notified."""
        ...

    def reloaded(self) -> tuple[bool, float]:
        """Whether the latest reading of the files found no faults, and when it was."""
        ...


ALERTING = web.AppKey[Alerting]("alerting")
STARTED = time.time()


def routes() -> list[Route]:
    return [
        route("GET", "rules", rules, "Rule groups with the state of their alerts", RuleNames),
        route("GET", "alerts", alerts, "Alerts that are pending or firing"),
        route("GET", "alertmanagers", alertmanagers, "Alertmanagers that are notified"),
        route("GET", "targets", targets, "What is sampled: this server itself"),
        route("GET", "status/buildinfo", buildinfo, "Which version's interface this is"),
        route("GET", "status/runtimeinfo", runtimeinfo, "What the server says of its process"),
        route("GET", "status/flags", flags, "Flags: the limits of queries"),
        route("GET", "status/config", config, "The effective settings, without secrets and paths"),
        route("GET", "status/tsdb", tsdb, "How many series there are, by name and label"),
        _probe("ready", prometheus_ready),
        _probe("healthy", prometheus_healthy),
    ]


def _probe(word: str, handler: Callable[[web.Request], Awaitable[web.Response]]) -> Route:
    return Route(
        method="GET",
        path=f"/prometheus/-/{word}",
        handler=handler,
        summary=f"Whether the server is {word}",
        produces=("text/plain",),
        rooted=True,
        scope="metrics",
    )


async def prometheus_ready(request: web.Request) -> web.Response:
    return web.Response(text="Prometheus Server is Ready.\n")


async def prometheus_healthy(request: web.Request) -> web.Response:
    return web.Response(text="Prometheus Server is Healthy.\n")


async def rules(form: Form, request: web.Request) -> bytes:
    kind = form.text("type").lower()
    if kind not in ("", "alert", "record"):
        raise invalid("type", f"not supported value {kind!r}".replace("'", '"'))
    selectors = form.selectors()
    found = []
    for group in _groups(request.app):
        kept = [
            _shown(rule, form)
            for rule in group.get("rules", ())
            if _wanted(rule, kind, form.all("rule_name[]"), selectors)
        ]
        named = form.all("rule_group[]"), form.all("file[]")
        if not all(
            not some or group.get(key) in some
            for key, some in zip(("name", "file"), named, strict=True)
        ):
            continue
        narrowed = kind or form.all("rule_name[]") or selectors
        if kept or not narrowed:
            found.append({**group, "rules": kept})
    return json.answer(_page(found, form))


def _groups(app: web.Application) -> Sequence[Plain]:
    return app[ALERTING].prometheus_groups() if ALERTING in app else ()


def _wanted(
    rule: Mapping[str, Any], kind: str, names: Sequence[str], selectors: Sequence[Any]
) -> bool:
    if kind and rule.get("type") != {"alert": "alerting", "record": "recording"}[kind]:
        return False
    if names and rule.get("name") not in names:
        return False
    known = rule.get("labels") or {}
    return not selectors or any(
        all(m.matches(known.get(m.name, "")) for m in selector) for selector in selectors
    )


def _shown(rule: Plain, form: Form) -> Plain:
    if form.text("exclude_alerts").lower() in ("true", "1") and rule.get("type") == "alerting":
        return {**rule, "alerts": None}
    return rule


def _page(groups: Sequence[Plain], form: Form) -> Plain:
    """The groups from the one that the token names, as many as asked for."""
    limit, token = form.limit("group_limit"), form.text("group_next_token")
    if token and not limit:
        raise invalid("group_limit", "group_limit must be set with group_next_token")
    keyed = [(_token(group), group) for group in groups]
    first = 0
    if token:
        places = [at for at, (key, _) in enumerate(keyed) if key == token]
        if not places:
            raise invalid("group_next_token", "invalid group_next_token")
        first = places[0]
    last = first + limit if limit else len(keyed)
    page: Plain = {"groups": [group for _, group in keyed[first:last]]}
    if last < len(keyed):
        page["groupNextToken"] = keyed[last][0]
    return page


def _token(group: Plain) -> str:
    return f"{group.get('file', '')};{group.get('name', '')}".encode().hex()


async def alerts(form: Form, request: web.Request) -> bytes:
    found = request.app[ALERTING].prometheus_alerts() if ALERTING in request.app else ()
    return json.answer({"alerts": list(found)})


async def alertmanagers(form: Form, request: web.Request) -> bytes:
    urls = request.app[ALERTING].alertmanagers() if ALERTING in request.app else ()
    active = [{"url": url} for url in urls]
    return json.answer({"activeAlertmanagers": active, "droppedAlertmanagers": []})


async def targets(form: Form, request: web.Request) -> bytes:
    settings = request.app[keys.SETTINGS]
    address = settings.address.partition("://")[2]
    interval = f"{settings.metrics_interval:g}s"
    shown: Plain = {
        "discoveredLabels": {"__address__": address, "job": "gfedge"},
        "labels": {"instance": address, "job": "gfedge"},
        "scrapePool": "gfedge",
        "scrapeUrl": f"{settings.address}/metrics",
        "globalUrl": f"{settings.address}/metrics",
        "lastError": "",
        "lastScrape": _rfc3339(time.time()),
        "lastScrapeDuration": 0.0,
        "health": "up",
        "scrapeInterval": interval,
        "scrapeTimeout": interval,
    }
    active = [] if form.text("state") == "dropped" else [shown]
    answer = {"activeTargets": active, "droppedTargets": [], "droppedTargetCounts": None}
    return json.answer(answer)


async def buildinfo(form: Form, request: web.Request) -> bytes:
    # Grafana takes a list of features for Mimir, so there is none.
    answer = {
        "version": LEVEL,
        "revision": f"gfedge-{__version__}",
        "branch": "gfedge",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    }
    return json.answer(answer)


async def runtimeinfo(form: Form, request: web.Request) -> bytes:
    sound, at = request.app[ALERTING].reloaded() if ALERTING in request.app else (True, STARTED)
    answer = {
        "startTime": _rfc3339(STARTED),
        "CWD": "",
        "hostname": socket.gethostname(),
        "serverTime": _rfc3339(time.time()),
        "reloadConfigSuccess": sound,
        "lastConfigTime": _rfc3339(at),
        "corruptionCount": 0,
        "goroutineCount": 0,
        "GOMAXPROCS": os.cpu_count() or 1,
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": "",
    }
    return json.answer(answer)


def _rfc3339(seconds: float) -> str:
    whole, part = divmod(seconds, 1)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int(part * 1e6):06d}Z"


async def flags(form: Form, request: web.Request) -> bytes:
    engine = request.app[QUERIES].engine
    answer = {
        "query.lookback-delta": f"{engine.lookback // 60_000}m",
        "query.max-samples": str(engine.limits.samples),
        "query.timeout": f"{engine.limits.seconds:g}s",
        "storage.tsdb.path": "",
    }
    return json.answer(answer)


async def config(form: Form, request: web.Request) -> bytes:
    settings = request.app[keys.SETTINGS]
    own = {
        name: public(name, value)
        for name, value in msgspec.structs.asdict(settings).items()
        if name not in PATHS
    }
    shown = {"global": {"scrape_interval": f"{settings.metrics_interval:g}s"}, "gfedge": own}
    return json.answer({"yaml": yaml.safe_dump(shown, sort_keys=False)})


async def tsdb(form: Form, request: web.Request) -> bytes:
    top = form.limit() or 10
    history = request.app[HISTORY]
    stored = [round(entry.started_at * 1000) for entry in history.archive.entries]
    first = history.memory.start
    span = min([*stored, *([first] if first is not None else [])], default=0), history.memory.last

    def work(engine: Engine, cancelled: Cancelled) -> bytes:
        return json.answer(_heads(engine, top, span))

    return await request.app[QUERIES].run(work)


def _heads(engine: Engine, top: int, span: tuple[int, int]) -> Plain:
    rows = engine.storage.series([], -FARTHEST, FARTHEST)
    names: dict[str, int] = {}
    values: dict[str, set[str]] = {}
    pairs: dict[str, int] = {}
    size: dict[str, int] = {}
    for row in rows:
        for name, value in row:
            if name == "__name__":
                names[value] = names.get(value, 0) + 1
            if value not in (known := values.setdefault(name, set())):
                known.add(value)
                size[name] = size.get(name, 0) + len(value)
            pair = f"{name}={value}"
            pairs[pair] = pairs.get(pair, 0) + 1
    first, last = span
    return {
        "headStats": {
            "numSeries": len(rows),
            "numLabelPairs": len(pairs),
            "chunkCount": len(rows),
            "minTime": first,
            "maxTime": last,
        },
        "seriesCountByMetricName": _top(names, top),
        "labelValueCountByLabelName": _top({k: len(v) for k, v in values.items()}, top),
        "memoryInBytesByLabelName": _top(size, top),
        "seriesCountByLabelValuePair": _top(pairs, top),
    }


def _top(counts: Mapping[str, int], top: int) -> list[Plain]:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"name": name, "value": count} for name, count in ordered[:top]]
