"""Alerts over HTTP: what fires, what fired, who looks after it, silences, rules and receivers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from gfedge import auth, errors, keys, sockets
from gfedge.access import audit
from gfedge.alerts import shown, store
from gfedge.alerts.alerts import STREAM, Alerts
from gfedge.alerts.senders import NotSent
from gfedge.alerts.types import (
    MESSAGES,
    Acknowledgement,
    ActiveAlerts,
    ActiveQuery,
    Alert,
    AlertPage,
    AlertSilence,
    HistoryQuery,
    ListedSilence,
    Matcher,
    NewSilence,
    Receivers,
    ReceiverState,
    RuleGroups,
    Silences,
)
from gfedge.monitoring.queries import QUERIES
from gfedge.monitoring.routes import HISTORY
from gfedge.promql.parser import parse_selector
from gfedge.promql.types import QueryError
from gfedge.wire import Route

ALERTS = web.AppKey("alerts", Alerts)
AT = "/monitoring/alerts"


def routes() -> list[Route]:
    return [*_alerts(), *_silences(), *_configured()]


def _alerts() -> list[Route]:
    one = f"{AT}/{{alert_id}}"
    missing = {404: ("alert_not_found",)}
    return [
        Route(
            method="GET",
            path=AT,
            handler=list_active,
            summary="Alerts that are pending or fire now",
            query=ActiveQuery,
            reply=ActiveAlerts,
            fails={422: ("bad_match",)},
        ),
        Route(
            method="GET",
            path=f"{AT}/history",
            handler=list_history,
            summary="Alerts that ever fired, newest first",
            query=HistoryQuery,
            reply=AlertPage,
        ),
        Route(
            method="GET",
            path=one,
            handler=find_alert,
            summary="One alert, also after it is over",
            reply=Alert,
            fails=missing,
        ),
        Route(
            method="POST",
            path=f"{one}/acknowledge",
            handler=acknowledge,
            summary="Say that you look after an alert: messages about it are not repeated",
            body=Acknowledgement,
            reply=Alert,
            fails={**missing, 409: ("alert_over",)},
        ),
        Route(
            method="DELETE",
            path=f"{one}/acknowledge",
            handler=unacknowledge,
            summary="Take an acknowledgement back",
            reply=Alert,
            fails={**missing, 409: ("alert_over",)},
        ),
        Route(
            method="POST",
            path=f"{one}/silence",
            handler=silence_alert,
            summary="Silence exactly this alert for a while",
            body=AlertSilence,
            reply=ListedSilence,
            status=201,
            fails={**missing, 409: ("too_many_silences",)},
        ),
        Route(
            method="GET",
            path="/monitoring/ws/alerts",
            handler=watch_alerts,
            summary="Alerts as they change, live",
            about="Topics: `rule:NAME` and `alert:ID`; none means all.",
            messages=MESSAGES,
        ),
    ]


def _silences() -> list[Route]:
    at, missing = "/monitoring/silences", {404: ("silence_not_found",)}
    return [
        Route(
            method="GET",
            path=at,
            handler=list_silences,
            summary="Silences, also those that ended within a week",
            reply=Silences,
        ),
        Route(
            method="POST",
            path=at,
            handler=make_silence,
            summary="Hold messages about the alerts that fulfil all matchers, until a time",
            body=NewSilence,
            reply=ListedSilence,
            status=201,
            example={
                "matchers": [{"name": "alertname", "value": "GpuHot"}],
                "duration_seconds": 3600,
            },
            fails={409: ("too_many_silences",), 422: ("bad_regex", "matches_everything")},
        ),
        Route(
            method="GET",
            path=f"{at}/{{silence_id}}",
            handler=find_silence,
            summary="One silence",
            reply=ListedSilence,
            fails=missing,
        ),
        Route(
            method="DELETE",
            path=f"{at}/{{silence_id}}",
            handler=end_silence,
            summary="End a silence now",
            reply=ListedSilence,
            fails=missing,
        ),
    ]


def _configured() -> list[Route]:
    receivers = "/monitoring/receivers"
    return [
        Route(
            method="GET",
            path="/monitoring/rules",
            handler=list_rules,
            summary="All rules: how they are, and the faults of files that could not be taken",
            reply=RuleGroups,
        ),
        Route(
            method="POST",
            path="/monitoring/rules/reload",
            handler=reload,
            summary="Read the files of rules and receivers again, as SIGHUP does",
            reply=RuleGroups,
            fails={409: ("bad_rule_files",)},
            scope="admin",
        ),
        Route(
            method="GET",
            path=receivers,
            handler=list_receivers,
            summary="Where messages about alerts go, and whether they arrive",
            reply=Receivers,
        ),
        Route(
            method="POST",
            path=f"{receivers}/{{name}}/test",
            handler=test_receiver,
            summary="Send a receiver a message that says it is a test",
            reply=ReceiverState,
            fails={404: ("receiver_not_found",), 503: ("not_sent",)},
            scope="admin",
        ),
    ]


async def opened(app: web.Application) -> AsyncIterator[None]:
    """Rules are evaluated, and receivers told, from the start of the server to its end."""
    settings, db = app[keys.SETTINGS], app[keys.DB]
    alerts = app[ALERTS] = Alerts(settings, db, app[keys.EVENTS], app[HISTORY], app[QUERIES])
    await alerts.open()
    yield
    await alerts.close()


async def list_active(request: web.Request, query: ActiveQuery) -> ActiveAlerts:
    try:
        matchers = parse_selector(query.match) if query.match else ()
    except QueryError as error:
        raise errors.Invalid(f"match: {error}", code="bad_match", field="match") from None

    def wanted(one: Alert) -> bool:
        return (
            query.state in ("active", one.state)
            and query.name in ("", one.name)
            and query.severity in ("", one.severity)
            and all(matcher.matches(one.labels.get(matcher.name, "")) for matcher in matchers)
        )

    return ActiveAlerts(alerts=request.app[ALERTS].active(wanted))


async def list_history(request: web.Request, query: HistoryQuery) -> AlertPage:
    rows = await request.app[keys.DB].read(store.list_history, query)
    page = rows[: query.limit]
    following = page[-1].id if len(rows) > query.limit else None
    return AlertPage(alerts=[shown.of_row(row) for row in page], next=following)


async def find_alert(request: web.Request) -> Alert:
    return await request.app[ALERTS].find(request.match_info["alert_id"])


async def acknowledge(request: web.Request, body: Acknowledgement) -> Alert:
    alerts, by = request.app[ALERTS], auth.who(request).name
    return await alerts.acknowledge(request.match_info["alert_id"], by, body.comment)


async def unacknowledge(request: web.Request) -> Alert:
    alert_id = request.match_info["alert_id"]
    return await request.app[ALERTS].acknowledge(alert_id, "", "", undo=True)


async def silence_alert(request: web.Request, body: AlertSilence) -> ListedSilence:
    alerts = request.app[ALERTS]
    one = await alerts.find(request.match_info["alert_id"])
    wanted = NewSilence(
        matchers=[Matcher(name=name, value=value) for name, value in one.labels.items()],
        duration_seconds=body.duration_seconds,
        comment=body.comment,
    )
    return await alerts.silence(wanted, auth.who(request).name)


async def watch_alerts(request: web.Request) -> web.StreamResponse:
    return await sockets.stream(request, STREAM)


async def list_silences(request: web.Request) -> Silences:
    return Silences(silences=request.app[ALERTS].silences())


async def make_silence(request: web.Request, body: NewSilence) -> ListedSilence:
    return await request.app[ALERTS].silence(body, auth.who(request).name)


async def find_silence(request: web.Request) -> ListedSilence:
    alerts, silence_id = request.app[ALERTS], request.match_info["silence_id"]
    alerts.silencing.find(silence_id)
    return next(one for one in alerts.silences() if one.id == silence_id)


async def end_silence(request: web.Request) -> ListedSilence:
    return await request.app[ALERTS].end_silence(request.match_info["silence_id"])


async def list_rules(request: web.Request) -> RuleGroups:
    return _rules(request.app[ALERTS])


def _rules(alerts: Alerts) -> RuleGroups:
    active = {one.id: one for one in alerts.active()}
    return RuleGroups(
        groups=[shown.group(one, active) for one in alerts.ruler.groups],
        faults=alerts.faults,
        loaded_at=alerts.loaded_at,
    )


async def reload(request: web.Request) -> RuleGroups:
    alerts = request.app[ALERTS]
    await alerts.reload(audit.act(request, "rules.reload"))
    faults = [*alerts.faults, *([alerts.receivers_fault] if alerts.receivers_fault else [])]
    if faults:
        text = "what was read before goes on, because of: " + "; ".join(faults)
        raise errors.Conflict(text, code="bad_rule_files")
    return _rules(alerts)


async def list_receivers(request: web.Request) -> Receivers:
    alerts = request.app[ALERTS]
    states = [one.state for one in alerts.delivery.notifiers]
    return Receivers(receivers=states, fault=alerts.receivers_fault)


async def test_receiver(request: web.Request) -> ReceiverState:
    one = request.app[ALERTS].delivery.find(request.match_info["name"])
    try:
        await one.test(time.time())
    except NotSent as error:
        raise errors.Unavailable(f"{one.receiver.name}: {error}", code="not_sent") from None
    return msgspec.structs.replace(one.state)
