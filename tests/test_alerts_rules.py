"""Rule files and their faults, templates, the states of alerts, and every shipped rule on made-up series."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gfedge import http_metrics, metrics
from gfedge.alerts import alerting, rules
from gfedge.alerts.alerting import AlertingRule, Found, RuleFailed
from gfedge.alerts.evaluation import Setting, found, recorded
from gfedge.alerts.functions import Context
from gfedge.alerts.rules import Faults, Group, Rule
from gfedge.alerts.templates import Template, TemplateError
from gfedge.cli import main
from gfedge.monitoring import measured
from gfedge.promql.engine import Engine
from gfedge.promql.memory import MemoryStorage
from gfedge.promql.parser import parse, parse_selector
from gfedge.promql.syntax import Selector, walk
from gfedge.promql.types import Labels, Limits, make_labels

SOUND = """
groups:
  - name: edge
    interval: 30s
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: Down
        expr: up == 0
        for: 5m
        keep_firing_for: 1m
        labels: {severity: critical, level: 1}
        annotations: {summary: '{{ $labels.instance }} is down'}
"""


def read(tmp_path: Path, text: str) -> list[Group]:
    path = tmp_path / "rules.yml"
    path.write_text(text)
    return rules.load(path)


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    (group,) = read(tmp_path, SOUND)
    record, alert = group.rules
    assert (group.interval, record.alerting, alert.hold, alert.keep_firing_for) == (
        30,
        False,
        300,
        60,
    )
    assert alert.labels == {"severity": "critical", "level": "1"}


@pytest.mark.parametrize(
    ("before", "after", "line", "says"),
    [
        ("for: 5m", "forr: 5m", 10, "did you mean for?"),
        ("for: 5m", "for: 5 m", 10, "not a valid duration"),
        ("expr: up == 0", "expr: up ==", 9, "could not parse expression"),
        ("expr: up == 0", "expr: up[5m]", 9, "range vector"),
        ("$labels.instance }}", "nosuch 1 }}", 13, 'function "nosuch" not defined'),
        ("severity: critical", "bad-name: critical", 12, "invalid labels name"),
        ("record: job:up:sum", "record: job up", 6, "invalid recording rule name"),
        ("interval: 30s", "interval: soon", 4, "not a valid duration"),
        ("groups:", "groups: [", 3, "not YAML"),
    ],
)
def test_a_fault_is_told_with_file_and_line(
    tmp_path: Path, before: str, after: str, line: int, says: str
) -> None:
    with pytest.raises(Faults) as raised:
        read(tmp_path, SOUND.replace(before, after))
    text = str(raised.value)
    assert says in text
    assert re.match(rf"{re.escape(str(tmp_path))}/rules.yml:{line}: ", text), text


def test_the_command_checks_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read(tmp_path, SOUND)
    path = tmp_path / "rules.yml"
    assert main(["rules", "check", str(path)]) == 0
    assert "2 rules are fine" in capsys.readouterr().out
    path.write_text(SOUND.replace("for:", "forr:"))
    assert main(["rules", "check", str(path)]) == 1
    assert "rules.yml:10" in capsys.readouterr().err


# -- templates (captured from Prometheus 3.5) ---------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("{{ $labels }}", 0.0, "map[a:1 b:2]"),
        ("[{{ $labels.missing }}]", 0.0, "[]"),
        ("{{ $value }}", 1234567891.0, "1.234567891e+09"),
        ("{{ $value }}", 0.1, "0.1"),
        ('{{ printf "%.2f" $value }}', 1234567.891, "1234567.89"),
        ('{{ $value | printf "%.0f" }}', 1234567.891, "1234568"),
        ("{{ humanize $value }}", 1234567.891, "1.235M"),
        ("{{ humanize $value }}", 0.00123, "1.23m"),
        ("{{ humanize1024 $value }}", 1234567.891, "1.177Mi"),
        ("{{ $value | humanizePercentage }}", 0.1234567, "12.35%"),
        ("{{ $value | humanizeDuration }}", 90061.0, "1d 1h 1m 1s"),
        ("{{ $value | humanizeDuration }}", 61.7, "1m 1s"),
        ("{{ $value | humanizeTimestamp }}", 1435065584.128, "2015-06-23 13:19:44.128 +0000 UTC"),
        ('{{ reReplaceAll "a(.)" "x$1" "abab" }}', 0.0, "xbxb"),
        ("{{ if gt $value 1.0 }}high{{ else }}low{{ end }}", 2.0, "high"),
        ("{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}", 0.0, "a=1;b=2;"),
        ("{{ query }}", 0.0, "<error expanding template: wrong arguments for query>"),
    ],
)
def test_templates_write_what_prometheus_writes(text: str, value: float, expected: str) -> None:
    assert Template.of(text).expand(Context(labels={"a": "1", "b": "2"}, value=value)) == expected


@pytest.mark.parametrize("text", ["{{ $x }}", "{{ nosuch }}", "{{ if 1 }}", "{{", "{{ end }}"])
def test_templates_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        Template.of(text)


# -- states -------------------------------------------------------------------------------------

RULE = Rule(name="Down", alerting=True, expr="up == 0", hold=60.0)


def one(**labels: str) -> Found:
    made = make_labels({"alertname": "Down", **labels})
    return Found(labels=made, annotations={}, value=0.0)


def test_an_alert_waits_fires_and_is_resolved() -> None:
    rule = AlertingRule(RULE)
    assert rule.step(0.0, [one(i="1")]).changed[0].state == "pending"
    assert rule.state == "pending"
    assert not rule.step(59.0, [one(i="1")])
    assert rule.step(60.0, [one(i="1")]).changed[0].state == "firing"
    assert [value for _, value in rule.samples()] == [1.0, 0.0]
    assert rule.step(75.0, []).changed[0].state == "resolved"
    assert (rule.state, rule.samples()) == ("inactive", [])
    assert len(rule.alerts) == 1
    rule.step(75.0 + alerting.RESOLVED_SECONDS + 1, [])
    assert not rule.alerts


def test_a_pending_alert_that_is_over_is_dropped() -> None:
    rule = AlertingRule(RULE)
    rule.step(0.0, [one(i="1")])
    assert len(rule.step(15.0, []).gone) == 1
    assert not rule.alerts


def test_keep_firing_for_holds_an_alert() -> None:
    rule = AlertingRule(Rule(name="Down", alerting=True, expr="x", keep_firing_for=30.0))
    assert rule.step(0.0, [one()]).changed[0].state == "firing"
    assert not rule.step(10.0, [])
    assert not rule.step(39.0, [])
    assert rule.step(40.0, []).changed[0].state == "resolved"


def test_two_alerts_with_the_same_labels_and_too_many_are_failures() -> None:
    rule = AlertingRule(RULE)
    with pytest.raises(RuleFailed, match="same labelset"):
        rule.step(0.0, [one(), one()])
    with pytest.raises(RuleFailed, match="exceeded limit of 1 with 2 alerts"):
        rule.step(0.0, [one(i="1"), one(i="2")], limit=1)


@pytest.mark.parametrize(
    ("hold", "outage", "state"),
    [(60.0, 30.0, "gone"), (1200.0, 30.0, "pending"), (1200.0, 4000.0, "gone")],
)
def test_waiting_goes_on_over_a_restart_as_in_prometheus(
    hold: float, outage: float, state: str
) -> None:
    before = AlertingRule(Rule(name="Down", alerting=True, expr="x", hold=hold))
    (alert,) = before.step(1000.0, [one()]).changed
    row = alerting.row(alert, "g", "", 1100.0)
    rule = AlertingRule(before.rule)
    changes = rule.restore([row], 1100.0 + outage)
    assert bool(changes.gone) == (state == "gone")
    if state == "pending":
        assert [known.active_at for known in rule.active] == [1000.0 + outage]


# -- the shipped rules --------------------------------------------------------------------------

(SHIPPED, _) = rules.load_all([], shipped=True)
ALERTS = {rule.name: rule for group in SHIPPED for rule in group.rules if rule.alerting}
RECORDS = [rule for group in SHIPPED for rule in group.rules if not rule.alerting]
STEP = 15
JOBS = 'gfedge_jobs_total{kind="generate",status="%s",model="m",version="%s"}'
ROLES = [
    'gfedge_model_role{model="m",version="1",role="prod"} 1',
    'gfedge_model_role{model="m",version="2",role="canary"} 1',
]


def of_canary(failed: int) -> list[str]:
    ok, bad = JOBS % ("succeeded", "1"), JOBS % ("failed", "1")
    ok2, bad2 = JOBS % ("succeeded", "2"), JOBS % ("failed", "2")
    return [*ROLES, f"{ok} 0+10", f"{bad} 0+0", f"{ok2} 0+{10 - failed}", f"{bad2} 0+{failed}"]


def histogram(name: str, slow: int, labels: str = "") -> list[str]:
    """All fast but for `slow` of ten, which are slower than the bound of 0.25 or 60."""
    bound = "60.0" if "job" in name else "0.1"
    return [
        f'{name}_bucket{{{labels}le="{bound}"}} 0+{10 - slow}',
        f'{name}_bucket{{{labels}le="300.0"}} 0+10',
        f'{name}_bucket{{{labels}le="+Inf"}} 0+10',
    ]


FIRES: dict[str, tuple[list[str], list[str]]] = {
    "JobFailureRateHigh": (
        [f"{JOBS % ('succeeded', '1')} 0+8", f"{JOBS % ('failed', '1')} 0+2"],
        [f"{JOBS % ('succeeded', '1')} 0+99", f"{JOBS % ('failed', '1')} 0+1"],
    ),
    "QueueTooLong": (["gfedge_jobs_queued 150"], ["gfedge_jobs_queued 20"]),
    "JobLatencyHigh": (
        histogram("gfedge_job_seconds", 3, 'kind="generate",'),
        histogram("gfedge_job_seconds", 0, 'kind="generate",'),
    ),
    "WorkerAway": (
        ['gfedge_worker_up{worker="edge-2/gpu0"} 0'],
        ['gfedge_worker_up{worker="edge-2/gpu0"} 1'],
    ),
    "NoJobWhileQueued": (
        ["gfedge_jobs_queued 3", f"{JOBS % ('succeeded', '1')} 7"],
        ["gfedge_jobs_queued 3", f"{JOBS % ('succeeded', '1')} 0+1"],
    ),
    "GpuHot": (
        ['gfedge_gpu_temperature_celsius{gpu="0",mig=""} 91'],
        ['gfedge_gpu_temperature_celsius{gpu="0",mig=""} 60'],
    ),
    "GpuLost": (['gfedge_gpu_up{gpu="0",mig=""} 0'], ['gfedge_gpu_up{gpu="0",mig=""} 1']),
    "GpuXidError": (
        ['gfedge_gpu_xid_errors_total{gpu="0",mig="",xid="79"} 0+1'],
        ['gfedge_gpu_xid_errors_total{gpu="0",mig="",xid="79"} 1'],
    ),
    "GpuMemoryNearlyFull": (
        [
            'gfedge_gpu_memory_used_bytes{gpu="0",mig=""} 98',
            'gfedge_gpu_memory_bytes{gpu="0",mig=""} 100',
        ],
        [
            'gfedge_gpu_memory_used_bytes{gpu="0",mig=""} 50',
            'gfedge_gpu_memory_bytes{gpu="0",mig=""} 100',
        ],
    ),
    "ModelFailedToLoad": (
        ['gfedge_model_state{model="m",version="1",state="failed"} 1'],
        ['gfedge_model_state{model="m",version="1",state="failed"} 0'],
    ),
    "CanaryWorseThanProd": (of_canary(4), of_canary(0)),
    "TrainingStalled": (
        ['gfedge_training_jobs{state="running"} 1', "gfedge_training_reports_total 5"],
        ['gfedge_training_jobs{state="running"} 1', "gfedge_training_reports_total 0+1"],
    ),
    "DiskNearlyFull": (
        ["gfedge_disk_free_bytes 3", "gfedge_disk_size_bytes 100"],
        ["gfedge_disk_free_bytes 30", "gfedge_disk_size_bytes 100"],
    ),
    "DatabaseCommitSlow": (
        histogram("gfedge_database_commit_seconds", 3),
        histogram("gfedge_database_commit_seconds", 0),
    ),
    "NotificationsFailing": (
        [
            'gfedge_notifications_total{receiver="r"} 0+1',
            'gfedge_notifications_failed_total{receiver="r"} 0+1',
        ],
        [
            'gfedge_notifications_total{receiver="r"} 0+1',
            'gfedge_notifications_failed_total{receiver="r"} 0',
        ],
    ),
    "RuleEvaluationFailing": (
        ['gfedge_rule_evaluation_failures_total{rule_group="g"} 0+1'],
        ['gfedge_rule_evaluation_failures_total{rule_group="g"} 0'],
    ),
}


def labels_of(text: str) -> Labels:
    return make_labels({one.name: one.value for one in parse_selector(text)})


def setting(series: list[str], at: int) -> Setting:
    """Two hours of series: a constant, or `0+N` each step; recording rules are evaluated first."""
    storage = MemoryStorage()
    times = list(range(0, 7_200_001, STEP * 1000))
    for text in series:
        name, _, value = text.rpartition(" ")
        start, plus, step = value.partition("+")
        values = [float(start) + (float(step) * n if plus else 0.0) for n in range(len(times))]
        storage.add(labels_of(name), times, values)
    made = Setting(
        engine=Engine(storage, limits=Limits()),
        time_ms=at,
        cancelled=lambda: False,
        external_labels={},
        external_url="",
    )
    for rule in RECORDS:
        for labels, value in recorded(rule, made, 0):
            storage.add(labels, [at], [value])
    return made


def test_every_shipped_rule_has_its_series() -> None:
    assert set(FIRES) == set(ALERTS)


@pytest.mark.parametrize("name", FIRES)
def test_every_shipped_rule_fires_on_trouble_and_not_on_health(name: str) -> None:
    sick, healthy = FIRES[name]
    alerts = found(ALERTS[name], setting(sick, 7_200_000))
    assert alerts
    for alert in alerts:
        assert alert.annotations["summary"]
        assert "<error" not in "".join(alert.annotations.values())
        assert "<no value>" not in "".join(alert.annotations.values())
    assert not found(ALERTS[name], setting(healthy, 7_200_000))


@pytest.mark.parametrize(("name", "seconds"), [("ModelFailedToLoad", 240.0), ("GpuLost", 45.0)])
def test_what_a_start_has_to_find_anew_goes_on_firing_meanwhile(name: str, seconds: float) -> None:
    before, after = AlertingRule(ALERTS[name]), AlertingRule(ALERTS[name])
    before.step(0.0, [one()])
    before.step(60.0, [one()])
    (alert,) = before.active
    after.restore([alerting.row(alert, "g", "", 60.0)], 70.0)
    assert not after.step(70.0, [])
    assert not after.step(70.0 + seconds, [])
    assert not after.step(71.0 + seconds, [one()])
    assert after.state == "firing"


def declared() -> set[str]:
    names = {one.name for one in measured.MEASURED}
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    for metric in (*vars(metrics).values(), http_metrics.requests):
        if hasattr(metric, "describe") and not isinstance(metric, type):
            for family in metric.describe():
                names |= {family.name + end for end in suffixes.get(family.type, ("",))}
    return names | {rule.name for rule in RECORDS}


def test_every_metric_of_the_shipped_rules_exists() -> None:
    known = declared()
    for group in SHIPPED:
        for rule in group.rules:
            selectors = [node for node in walk(parse(rule.expr)) if isinstance(node, Selector)]
            asked = {m.value for s in selectors for m in s.matchers if m.name == "__name__"}
            assert asked
            assert asked <= known, rule.name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_takes_the_shipped_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", rules.SHIPPED], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
