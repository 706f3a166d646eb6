"""Prometheus' HTTP API: the calls of Grafana and promtool, and the errors in Prometheus' own words."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import shutil
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Api
from hypothesis import given
from hypothesis import strategies as st

from gfedge.compat import prometheus_status
from gfedge.compat.prometheus_forms import milliseconds, unescaped
from gfedge.compat.prometheus_json import digits, time_text
from gfedge.monitoring.queries import QUERIES
from gfedge.promql.memory import MemoryStorage
from gfedge.promql.types import Metadata, make_labels

BASE = "/prometheus/api/v1"
NOW = 1_795_404_848.191
Answer = dict[str, Any]


def filled() -> MemoryStorage:
    """Two instances of a gauge, a counter and a histogram over the last hour, every 15 s."""
    storage = MemoryStorage()
    times = [round(NOW * 1000) - 15_000 * k for k in range(240)][::-1]
    for row, instance in enumerate("ab"):
        names = {"job": "edge", "instance": instance}
        storage.add(make_labels({"__name__": "up", **names}), times, [1.0 + row] * 240)
        counts = [float(k) for k in range(240)]
        storage.add(make_labels({"__name__": "requests_total", **names}), times, counts)
        storage.add(make_labels({"__name__": "temperature.celsius", **names}), times, counts)
        for le in ("0.1", "1", "+Inf"):
            bucket = {"__name__": "seconds_bucket", "le": le, **names}
            storage.add(make_labels(bucket), times, counts)
    storage.known["up"] = Metadata("gauge", "Whether it is up.")
    storage.known["requests_total"] = Metadata("counter", "Requests.", "requests")
    return storage


@pytest.fixture
async def api(client: Api) -> Api:
    client.http.app[QUERIES].engine.storage = filled()  # type: ignore[union-attr]
    return client


async def ask(api: Api, path: str, status: int = 200, method: str = "POST", **form: Any) -> Answer:
    values = [
        (name.rstrip("_"), str(one))
        for name, value in form.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    values = [("match[]" if name == "match" else name, value) for name, value in values]
    sent = {"data": values} if method == "POST" else {"params": values}
    async with api.http.request(method, f"{BASE}/{path}", **sent) as response:
        text = await response.text()
        assert response.status == status, text
        assert response.content_type == "application/json"
        found: Answer = json.loads(text)
        assert found["status"] == ("success" if status == 200 else "error")
        return found


# -- what queries answer ------------------------------------------------------------------------


async def test_a_vector_has_values_as_text_and_the_time_as_a_number(api: Api) -> None:
    found = await ask(api, "query", query='up{instance="a"}', time=NOW)
    assert found["data"] == {
        "resultType": "vector",
        "result": [
            {
                "metric": {"__name__": "up", "instance": "a", "job": "edge"},
                "value": [NOW, "1"],
            }
        ],
    }


FORMS: list[tuple[str, str, Any]] = [
    ("1+1", "scalar", [4, "2"]),
    ("1e21", "scalar", [4, "1e+21"]),
    ("1/0", "scalar", [4, "+Inf"]),
    ('"x\\u00e9"', "string", [4, "xé"]),
    ("nothing", "vector", []),
    ("vector(NaN)", "vector", [{"metric": {}, "value": [4, "NaN"]}]),
]


async def test_other_forms(api: Api) -> None:
    """`1+1` at the time 4 is what Grafana's "Save & test" asks."""
    for query, kind, result in FORMS:
        found = await ask(api, "query", query=query, time=4)
        assert found["data"] == {"resultType": kind, "result": result}


FORM_ERRORS = [
    ("query=%66oo&query=\xff", "", "not UTF-8"),
    ("\x1f\x8b", "; charset=bogus", "not UTF-8"),
    ("&".join(["a=1"] * 1001), "", "more than 1000 fields"),
]


@pytest.mark.parametrize(("body", "charset", "text"), FORM_ERRORS)
async def test_a_form_that_cannot_be_read_is_bad_data(
    api: Api, body: str, charset: str, text: str
) -> None:
    headers = {"Content-Type": f"application/x-www-form-urlencoded{charset}"}
    sent = body.encode("latin-1")
    async with api.http.post(f"{BASE}/query", data=sent, headers=headers) as response:
        found = await response.json()
    assert (response.status, found["errorType"]) == (400, "bad_data")
    assert text in found["error"]


async def test_a_client_does_not_choose_how_a_form_is_decoded(api: Api) -> None:
    """Punycode takes the square of a text's length: 100 KB were 6 s in which nobody else was served."""
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=punycode"}
    body = b"query=vector(1)%2Bvector(2)&x=" + b"9b" * 500_000
    async with asyncio.timeout(20):
        async with api.http.post(f"{BASE}/query", data=body, headers=headers) as response:
            assert (await response.json())["data"]["result"][0]["value"][1] == "3"


async def test_a_range_is_a_matrix(api: Api) -> None:
    form = {"start": NOW - 30, "end": NOW, "step": "15s"}
    found = await ask(api, "query_range", query="sum by (job) (requests_total)", **form)
    values = [[round(NOW - 30, 3), "474"], [round(NOW - 15, 3), "476"], [NOW, "478"]]
    series = {"metric": {"job": "edge"}, "values": values}
    assert found["data"] == {"resultType": "matrix", "result": [series]}
    raw = await ask(api, "query", query='requests_total{instance="b"}[30s]', time=NOW)
    assert raw["data"]["resultType"] == "matrix"
    assert [value for _, value in raw["data"]["result"][0]["values"]] == ["238", "239"]


async def test_gaps_are_left_out_of_a_matrix(api: Api) -> None:
    form = {"start": NOW - 60, "end": NOW, "step": 15}
    found = await ask(api, "query_range", query="requests_total % 2 == 1", **form)
    assert {len(series["values"]) for series in found["data"]["result"]} == {3}


async def test_a_scalar_over_a_range_is_a_series_without_labels(api: Api) -> None:
    found = await ask(api, "query_range", query="time()", start=0, end=2, step=1)
    assert found["data"]["result"] == [{"metric": {}, "values": [[0, "0"], [1, "1"], [2, "2"]]}]


async def test_annotations_stand_beside_the_data(api: Api) -> None:
    found = await ask(api, "query", query="rate(up[1m])", time=NOW)
    text = 'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "up" (1:6)'
    assert found["infos"] == [text]
    found = await ask(api, "query", query="quantile(2, up)", time=NOW)
    text = "PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"
    assert found["warnings"] == [text]


async def test_a_limit_says_that_there_were_more(api: Api) -> None:
    found = await ask(api, "query", query="up", time=NOW, limit=1)
    assert len(found["data"]["result"]) == 1
    assert found["warnings"] == ["results truncated due to limit"]
    found = await ask(api, "series", match="up", limit=1)
    assert found["warnings"] == ["results truncated due to limit"]
    assert "warnings" not in await ask(api, "query", query="up", time=NOW, limit=0)


async def test_stats_count_samples(api: Api) -> None:
    found = await ask(api, "query", query="sum_over_time(up[1m])", time=NOW, stats="all")
    assert found["data"]["stats"]["samples"]["totalQueryableSamples"] == 8
    assert found["data"]["stats"]["timings"]["evalTotalTime"] > 0


async def test_an_answer_is_compressed_for_who_can_read_it(api: Api) -> None:
    url = f"{BASE}/query_range?query=up&start={NOW - 3000}&end={NOW}&step=5"
    headers = {"Accept-Encoding": "gzip"}
    async with api.http.request("GET", url, headers=headers, auto_decompress=False) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        body = await response.read()
    assert len(json.loads(gzip.decompress(body))["data"]["result"]) == 2


# -- errors, as captured from Prometheus 3.5.3 --------------------------------------------------

PARSE = [
    ("sum(", "1:5: parse error: unclosed left parenthesis"),
    ("", "unknown position: parse error: no expression found in input"),
    ("foo bar", '1:5: parse error: unexpected identifier "bar"'),
    ("nosuch(up)", '1:1: parse error: unknown function with name "nosuch"'),
    ('up{a=~"("}', "1:4: parse error: error parsing regexp: missing closing ): `(`"),
    ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
    (
        "rate(up)",
        '1:6: parse error: expected type range vector in call to function "rate", got instant vector',
    ),
]


async def test_what_cannot_be_parsed_is_bad_data(api: Api) -> None:
    for query, text in PARSE:
        for path, form in (("query", {}), ("query_range", {"start": 0, "end": 1, "step": 1})):
            found = await ask(api, path, 400, query=query, **form)
            assert found["errorType"] == "bad_data"
            assert found["error"] == f'invalid parameter "query": {text}'


TIME = 'invalid parameter "time": invalid time value for \'time\': cannot parse "abc" to a valid timestamp'
STEP = "zero or negative query resolution step widths are not accepted. Try a positive integer"
MANY = (
    "exceeded maximum resolution of 11,000 points per timeseries. "
    "Try decreasing the query resolution (?step=XX)"
)


PARAMETERS: list[tuple[str, dict[str, Any], str]] = [
    ("query", {"query": "1", "time": "abc"}, TIME),
    (
        "query_range",
        {"query": "1", "start": 2, "end": 1, "step": 1},
        'invalid parameter "end": end timestamp must not be before start time',
    ),
    (
        "query_range",
        {"query": "1", "start": 1, "end": 2, "step": 0},
        f'invalid parameter "step": {STEP}',
    ),
    ("query_range", {"query": "1", "start": 0, "end": 11_001, "step": 1}, MANY),
    (
        "query_range",
        {"query": "up[1m]", "start": 0, "end": 1, "step": 1},
        'invalid parameter "query": invalid expression type "range vector" for range query, must be Scalar or instant Vector',
    ),
    ("series", {}, "no match[] parameter provided"),
    (
        "series",
        {"match": "{"},
        'invalid parameter "match[]": 1:2: parse error: unexpected end of input inside braces',
    ),
]


async def test_bad_parameters(api: Api) -> None:
    for path, form, text in PARAMETERS:
        found = await ask(api, path, 400, **form)
        assert (found["errorType"], found["error"]) == ("bad_data", text)


async def test_11_001_points_are_fine(api: Api) -> None:
    found = await ask(api, "query_range", query="vector(1)", start=0, end=11_000, step=1)
    assert len(found["data"]["result"][0]["values"]) == 11_001


async def test_what_fails_while_it_runs_is_execution(api: Api) -> None:
    found = await ask(api, "query", 422, query='ceil({__name__=~"up|requests_total"})', time=NOW)
    assert found["errorType"] == "execution"
    assert found["error"] == "vector cannot contain metrics with the same labelset"
    found = await ask(api, "query", 422, query="up * on(job) up", time=NOW)
    assert found["error"] == (
        'found duplicate series for the match group {job="edge"} on the right hand-side of the operation: '
        '[{__name__="up", instance="a", job="edge"}, {__name__="up", instance="b", job="edge"}];'
        "many-to-many matching not allowed: matching labels must be unique on one side"
    )


async def test_what_takes_too_long_is_a_timeout(api: Api) -> None:
    query = "max_over_time(sum_over_time(up[1h:1s])[30m:1s])"
    found = await ask(api, "query", 503, query=query, time=NOW, timeout="1ms")
    assert (found["errorType"], found["error"]) == (
        "timeout",
        "query timed out in query execution",
    )


# -- the other calls ----------------------------------------------------------------------------


async def test_labels_and_series(api: Api) -> None:
    names = ["__name__", "instance", "job", "le"]
    form = {"start": NOW - 600, "end": NOW, "limit": 40_000}
    assert (await ask(api, "labels", **form))["data"] == names
    assert (await ask(api, "labels", match=["up", "nothing"]))["data"] == names[:3]
    found = await ask(api, "label/instance/values", method="GET", match='up{instance!="a"}')
    assert found["data"] == ["b"]
    found = await ask(api, "series", match='{job="edge",le="1",instance="a"}', method="GET")
    assert found["data"] == [
        {"__name__": "seconds_bucket", "instance": "a", "job": "edge", "le": "1"}
    ]
    assert (await ask(api, "label/U__no_2e_such/values", method="GET"))["data"] == []
    await api.refused("POST", f"{BASE}/label/job/values", 405, "method_not_allowed")


async def test_names_of_any_letters(api: Api) -> None:
    found = await ask(api, "query", query='{"temperature.celsius", instance="a"}', time=NOW)
    assert found["data"]["result"][0]["metric"]["__name__"] == "temperature.celsius"


async def test_metadata(api: Api) -> None:
    found = await ask(api, "metadata", method="GET", metric="up")
    assert found["data"] == {"up": [{"type": "gauge", "unit": "", "help": "Whether it is up."}]}
    assert (await ask(api, "metadata", method="GET", metric="nothing"))["data"] == {}
    assert list((await ask(api, "metadata", method="GET", limit=1))["data"]) == ["requests_total"]


async def test_what_grafana_asks_of_the_server(api: Api) -> None:
    info = (await ask(api, "status/buildinfo", method="GET"))["data"]
    assert info["version"].startswith("3.")
    assert "features" not in info, "Grafana takes that for Mimir"
    in_milliseconds = {"start": NOW * 1000, "end": NOW * 1000 + 1}
    assert (await ask(api, "query_exemplars", query="up", **in_milliseconds))["data"] == []
    groups = (await ask(api, "rules", method="GET"))["data"]["groups"]
    assert "gfedge-jobs" in [group["name"] for group in groups]
    assert (await ask(api, "alerts", method="GET"))["data"] == {"alerts": []}
    (target,) = (await ask(api, "targets", method="GET"))["data"]["activeTargets"]
    assert target["health"] == "up"
    head = (await ask(api, "status/tsdb", method="GET"))["data"]
    assert head["headStats"]["numSeries"] == 12
    assert head["seriesCountByMetricName"][0] == {"name": "seconds_bucket", "value": 6}
    config = yaml.safe_load((await ask(api, "status/config", method="GET"))["data"]["yaml"])
    assert config["global"] == {"scrape_interval": "5s"}
    assert config["gfedge"]["max_series"]
    assert not {"rule_files", "receivers_file", "tls_key"} & set(config["gfedge"])
    for path in ("status/runtimeinfo", "status/flags", "alertmanagers"):
        assert (await ask(api, path, method="GET"))["data"]
    assert (await api.bytes("/prometheus/-/ready")).startswith(b"Prometheus Server is Ready")


class Alerting:
    """Two groups, as the slice of alerts gives them."""

    def prometheus_groups(self) -> list[Answer]:
        labels = {"severity": "warning"}
        alert = {
            "name": "Hot",
            "type": "alerting",
            "labels": labels,
            "alerts": [{"state": "firing"}],
        }
        record = {"name": "job:up:sum", "type": "recording", "labels": {}}
        return [
            {"name": "a", "file": "x.yml", "rules": [alert, record]},
            {"name": "b", "file": "x.yml", "rules": [record]},
        ]

    def prometheus_alerts(self) -> list[Answer]:
        return [{"state": "firing"}]


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ({}, {"a": ["Hot", "job:up:sum"], "b": ["job:up:sum"]}),
        ({"type": "alert"}, {"a": ["Hot"]}),
        ({"type": "record"}, {"a": ["job:up:sum"], "b": ["job:up:sum"]}),
        ({"rule_name[]": "Hot"}, {"a": ["Hot"]}),
        ({"rule_group[]": "b"}, {"b": ["job:up:sum"]}),
        ({"file[]": "y.yml"}, {}),
        ({"match": '{severity="warning"}'}, {"a": ["Hot"]}),
    ],
)
def test_rules_are_filtered(form: dict[str, str], names: dict[str, list[str]]) -> None:
    """Without a server: the provider is asked when a request comes, so any application has one."""
    from aiohttp.test_utils import make_mocked_request
    from aiohttp.web import Application
    from multidict import MultiDict

    from gfedge.compat.prometheus_forms import Form

    app = Application()
    app[prometheus_status.ALERTING] = Alerting()
    values = MultiDict({"match[]" if k == "match" else k: v for k, v in form.items()})
    request = make_mocked_request("GET", "/", app=app)
    body = asyncio.run(prometheus_status.rules(Form(values), request))
    found = json.loads(body)["data"]["groups"]
    assert {g["name"]: [r["name"] for r in g["rules"]] for g in found} == names


async def test_format_query(api: Api) -> None:
    found = await ask(api, "format_query", query="sum(rate(up[5m])) by(job)")
    assert found["data"] == "sum by (job) (rate(up[5m]))"


# -- promtool -----------------------------------------------------------------------------------


PROMTOOL: list[tuple[tuple[str, ...], str]] = [
    (("instant", "--time", str(NOW)), 'up{instance="b", job="edge"} => 2 @[1795404848.191]'),
    (("range", f"--start={NOW - 60}", f"--end={NOW}", "--step=30s"), "2 @[1795404818.191]"),
    (("series", "--match=up"), '{__name__="up", instance="b", job="edge"}'),
    (("labels",), "b"),
]


async def promtool(address: str, kind: str, *options: str) -> str:
    last = {"instant": ["up"], "range": ["up"], "labels": ["instance"]}.get(kind, [])
    process = await asyncio.create_subprocess_exec(
        "promtool",
        *("query", kind, *options, address, *last),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    return out.decode()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed here")
async def test_promtool_understands(api: Api) -> None:
    for arguments, said in PROMTOOL:
        assert said in await promtool(str(api.http.make_url("/prometheus")), *arguments)  # type: ignore[union-attr]


# -- numbers and names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e16, "10000000000000000"),
        (123456789012345680.0, "123456789012345680"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-07"),
        (1.25e-9, "1.25e-09"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (100.0, "100"),
        (-5e-324, "-5e-324"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_numbers_are_written_as_go_does(value: float, text: str) -> None:
    assert digits(np.array([1.0, value, 2.5])) == [b"1", text.encode(), b"2.5"]


@given(st.lists(st.floats(), max_size=5))
def test_every_number_can_be_read_again(values: list[float]) -> None:
    written = [float(one) for one in digits(np.array(values))]
    assert np.array_equal(np.array(written), np.array(values), equal_nan=True)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1754560000.123", 1_754_560_000_123),
        ("4", 4000),
        ("2026-11-23T03:34:06.508734368Z", 1_795_404_846_509),
        ("2026-11-23T04:34:06+01:00", 1_795_404_846_000),
        ("-1.5", -1500),
    ],
)
def test_times(written: str, expected: int) -> None:
    assert milliseconds(written) == expected


@pytest.mark.parametrize("written", ["abc", "", "NaN", "Inf", "2026-13-01T00:00:00Z", "1e999"])
def test_what_is_no_time(written: str) -> None:
    with pytest.raises(ValueError, match="to a valid timestamp"):
        milliseconds(written)


def test_time_text() -> None:
    assert [time_text(at) for at in (5000, 1_795_404_848_191, -1, 7)] == [
        "5",
        "1795404848.191",
        "-0.001",
        "0.007",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("job", "job"), ("U__my_2e_name", "my.name"), ("U__a__b", "a_b"), ("U__", "U__")],
)
def test_escaped_names(name: str, expected: str) -> None:
    assert unescaped(name) == expected
