"""The promises of the house: what holds for every route, setting, metric, migration and module."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from conftest import Api
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

import gfedge
from gfedge import app, configuration, errors, http_metrics, metrics, migrate, wire
from gfedge.ai.pipelines import PIPELINES
from gfedge.ai.types import Kind, SuperresBody, SuperresParams
from gfedge.monitoring import measured
from gfedge.parsing import SIZES

PACKAGE = Path(gfedge.__file__).parent
ROUTES = app.routes()
PATHS = [
    prefix + route.path
    for route in ROUTES
    for prefix in (("",) if route.rooted else wire.PREFIXES)
    if route.tells
    is None  # else it is another protocol's, which has rows for what is left (test_mlflow)
]


def named(route: wire.Route) -> str:
    return f"{route.method} {route.path}"


def filled(path: str) -> str:
    """The path with something for each of its parameters."""
    return re.sub(r"\{\w+(:[^}]*)?\}", "0" * 64, path)


# -- routes -------------------------------------------------------------------------------------


def methods_at(path: str) -> set[str]:
    """Methods of the routes that a path may mean: `/runs/compare` may mean `/runs/{id}` too."""
    return {
        route.method
        for route in ROUTES
        for shape in served(route)
        if re.fullmatch(
            re.sub(r"\{\w+(:[^}]*)?\}", lambda m: f"({(m[1] or ':[^/]+')[1:]})", shape), path
        )
    }


async def test_every_path_answers_a_wrong_method_in_one_shape(client: Api) -> None:
    for path in dict.fromkeys(PATHS):
        methods = methods_at(filled(path))
        wrong = next(m for m in ("PATCH", "PUT", "DELETE", "POST") if m not in methods)
        async with client.http.request(wrong, filled(path)) as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["code"]) == (405, "method_not_allowed"), path
            assert response.content_type == "application/problem+json"
            assert methods <= set(response.headers["Allow"].split(","))


async def test_every_path_answers_what_lies_below_it_in_one_shape(client: Api) -> None:
    for path in dict.fromkeys(PATHS):
        async with client.http.request(
            "GET", f"{filled(path).rstrip('/')}/nothing/here"
        ) as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["status"]) == (404, 404), path
            assert response.content_type == "application/problem+json"


def served(route: wire.Route) -> list[str]:
    return [prefix + route.path for prefix in (("",) if route.rooted else wire.PREFIXES)]


OF_THE_MOMENT = ("/monitoring/", "/admin/verify")
"""Where what is answered changes from one moment to the next."""


async def answer(api: Api, method: str, path: str) -> tuple[int, str, Any]:
    async with api.http.request(method, path) as response:
        if any(part in path for part in OF_THE_MOMENT) and response.status < 400:
            return response.status, response.content_type, None
        body = await response.json(content_type=None)
        body.pop("instance", None)
        body.pop("ticket", None)
        return response.status, response.content_type, body


async def test_every_route_answers_the_same_under_both_prefixes(client: Api) -> None:
    await client.generate()
    await client.call("POST", "/api/v1/admin/tokens", 201, json={"name": "first of the audit log"})
    for route in ROUTES:
        if not route.rooted:
            first, second = [
                await answer(client, route.method, filled(path)) for path in served(route)
            ]
            assert first == second, named(route)
            assert first[0] < 500, named(route)


async def test_every_get_answers_head(client: Api) -> None:
    for route in ROUTES:
        if route.method == "GET":
            for path in served(route):
                async with client.http.request("GET", filled(path)) as response:
                    expected = response.status
                async with client.http.request("HEAD", filled(path)) as response:
                    assert response.status == expected, path


def test_no_two_routes_collide() -> None:
    shapes = [
        (route.method, re.sub(r"\{\w+(:[^}]*)?\}", r"{\1}", path))
        for route in ROUTES
        for path in served(route)
    ]
    assert len(set(shapes)) == len(shapes)


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_every_route_says_what_it_is(route: wire.Route) -> None:
    assert route.summary
    assert inspect.iscoroutinefunction(route.handler)
    assert route.reply is not None or route.produces or route.messages is not None


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_no_body_or_query_takes_unknown_fields(route: wire.Route) -> None:
    for kind in (route.body, route.query):
        assert kind is None or kind.__struct_config__.forbid_unknown_fields
    assert SuperresBody.__struct_config__.forbid_unknown_fields
    assert SuperresParams.__struct_config__.forbid_unknown_fields


async def test_every_route_stands_in_the_openapi_document(client: Api) -> None:
    document = await client.get("/openapi.json")
    for route in ROUTES:
        operation = document["paths"][served(route)[0]][route.method.lower()]
        assert operation["summary"] == route.summary
        if route.secret:
            assert operation["security"] == [{"job": []}]
            continue
        scopes = [next(iter(one.values()), []) for one in operation["security"]]
        assert scopes == ([] if route.needs == "open" else [[route.needs], [route.needs], []])
        problem = {"$ref": "#/components/responses/Problem"}
        assert route.refuses is not None or operation["responses"]["default"] == problem
    shown = sum(len(operations) for operations in document["paths"].values())
    assert shown == len(ROUTES)
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)


async def test_every_reference_in_the_openapi_document_leads_somewhere(client: Api) -> None:
    async with client.http.request("GET", "/openapi.json") as response:
        text = await response.text()
    schemas = msgspec.json.decode(text)["components"]["schemas"]
    found = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert found
    assert found <= schemas.keys()


# -- errors -------------------------------------------------------------------------------------


def kinds_of_error() -> list[type[errors.ApiError]]:
    found, waiting = [], [errors.ApiError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", kinds_of_error(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_a_title_and_a_code(kind: type[errors.ApiError]) -> None:
    problem = kind("what went wrong").problem("/here")
    assert 400 <= problem.status < 600
    assert problem.title
    assert re.fullmatch(r"[a-z][a-z0-9_]*", problem.code)
    assert msgspec.to_builtins(problem).keys() >= {"status", "title", "detail", "code"}


# -- settings, metrics, pipelines, migrations ---------------------------------------------------


@pytest.mark.parametrize("row", configuration.table(), ids=lambda row: row[0])
def test_every_setting_has_help(row: tuple[str, str, str]) -> None:
    name, _, text = row
    assert len(text) > 10
    assert text.endswith(".")
    loaded = configuration.load({}, {f"GFEDGE_{name.upper()}": row[1]})
    expected = configuration.load({}, {})
    assert getattr(loaded, name) == getattr(expected, name)


def test_every_setting_in_bytes_takes_a_suffix() -> None:
    """A setting is in bytes where its name or help says so, or where it begins at a MiB and counts no pixels."""
    told = re.compile(r"\b(bytes|memory|size|space)\b", re.IGNORECASE)
    start = configuration.load({}, {})
    found = {
        name
        for name, _, text in configuration.table()
        if type(value := getattr(start, name)) is int and "pixels" not in f"{name} {text}"
        if told.search(f"{name} {text}".replace("_", " ")) or value >= 1 << 20
    }
    assert found == SIZES
    for name in SIZES:
        loaded = configuration.load({}, {f"GFEDGE_{name.upper()}": "96M"})
        assert getattr(loaded, name) == 96 << 20


METRICS = {n: m for n, m in vars(metrics).items() if isinstance(m, MetricWrapperBase)}
UNITS = (
    "_seconds",
    "_bytes",
    "_total",
    "_queued",
    "_running",
    "_ratio",
    "_clients",
    "_size",
    "_series",
    "_enabled",
    "_jobs",
    "_alerts",
    "_rules",
    "_successful",
)
MEASURED_UNITS = (*UNITS, "_info", "_celsius", "_watts", "_hertz", "_per_second", "_rows")
WITHOUT_UNIT = {
    "gfedge_model_state",
    "gfedge_model_role",
    "gfedge_gpu_up",
    "gfedge_worker_calls",
    "gfedge_worker_up",
    "gfedge_gpu_throttled",
    "gfedge_gpu_last_xid",
}
OF_OTHERS = {f"request_{stage}_seconds" for stage in ("preprocess", "predict", "postprocess")}
"""KServe's names, which its boards ask for."""


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_prefix_a_unit_and_help(name: str) -> None:
    (family,) = METRICS[name].describe()
    full = family.name + ("_total" if isinstance(METRICS[name], Counter) else "")
    assert full == (name if name in OF_OTHERS else f"gfedge_{name}")
    assert full.endswith(UNITS)
    assert family.documentation.endswith(".")
    assert isinstance(METRICS[name], Counter | Gauge | Histogram)


@pytest.mark.parametrize("metric", measured.MEASURED, ids=lambda metric: metric.name)
def test_every_measured_metric_has_a_prefix_a_unit_and_help(metric: measured.Measured) -> None:
    assert metric.name.startswith("gfedge_")
    assert metric.name.endswith(MEASURED_UNITS) or metric.name in WITHOUT_UNIT
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")


@pytest.mark.parametrize("family", http_metrics.requests.describe(), ids=lambda one: one.name)
def test_every_metric_of_requests_has_a_prefix_a_unit_and_help(family: Metric) -> None:
    full = family.name + ("_total" if family.type == "counter" else "")
    assert full.startswith("gfedge_")
    assert full.endswith(UNITS)
    assert family.documentation.endswith(".")


async def test_metrics_count_jobs_and_requests(client: Api) -> None:
    async def value(sample: str) -> float:
        text = (await client.bytes("/metrics")).decode()
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    jobs = 'gfedge_jobs_total{kind="generate",model="sprite",status="succeeded",version="1"}'
    requests = 'gfedge_http_requests_total{method="POST",route="/api/v1/ai/generate",status="200"}'
    before = await value(jobs), await value(requests)
    await client.generate()
    assert (await value(jobs), await value(requests)) == (before[0] + 1, before[1] + 1)
    assert await value("gfedge_jobs_running") == 0


def test_every_kind_of_job_has_its_pipeline() -> None:
    assert set(PIPELINES) == set(get_args(Kind))
    for pipeline in PIPELINES.values():
        assert pipeline.params.__struct_config__.forbid_unknown_fields
        assert callable(pipeline.run)


def test_every_migration_is_listed() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/migrations")}
    assert folders == set(migrate.SLICES)
    listed = [path for _, path in migrate.scripts()]
    assert set(listed) == set(PACKAGE.glob("*/migrations/*"))
    for path in listed:
        assert re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", path.name)
    assert len({(path.parent.parent, path.name[:4]) for path in listed}) == len(listed)


# -- modules ------------------------------------------------------------------------------------

MODULES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN = {"utils", "helpers", "common", "core", "services", "managers", "models", "util"}


def short(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_every_module_says_what_it_is(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text, "a docstring of one to five lines"
    assert len(text.splitlines()) <= 7
    assert not FORBIDDEN & {*path.relative_to(PACKAGE).parts, path.stem}


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_no_module_grows_past_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 450


def test_a_start_does_without_numpy() -> None:
    """What numpy takes to import is a tenth of the time to the first answer (gfedge/arrays.py)."""
    code = "import sys, gfedge.process; print([name for name in ('numpy', 'onnxruntime', 'PIL') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_tasks_alone_makes_tasks() -> None:
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [
            node.func.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        ]
        made = {"create_task", "ensure_future"} & set(calls)
        assert not made or path.name == "tasks.py", short(path)


# -- documents ----------------------------------------------------------------------------------


def test_every_error_code_is_documented() -> None:
    """Stable codes are for programs: whoever writes one finds it at its route, or on the page of its subject."""
    docs = "".join(path.read_text("utf-8") for path in (PACKAGE.parent / "docs").rglob("*.md"))
    told = set(re.findall(r"`([a-z_]+)`", docs))
    raised = {
        code
        for path in PACKAGE.rglob("*.py")
        for code in re.findall(r'\bcode="([a-z_]+)"', path.read_text("utf-8"))
    }
    mlflow = {"upload_not_found"}  # told in MLflow's own form
    assert raised - told - mlflow == set()


def test_tables_have_no_keys_and_migrations_no_gaps() -> None:
    """The single writer knows what is unique: an index is what DuckDB's log has been corrupted by."""
    for folder in PACKAGE.glob("*/migrations"):
        files = sorted(folder.glob("*.sql"))
        assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1)), folder
        for path in files:
            text = re.sub(r"--.*", "", path.read_text("utf-8")).lower()
            found = re.findall(
                r"primary key|\bunique\b|\breferences\b|create (?:unique )?index", text
            )
            assert found == [], path


def test_the_reference_is_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make reference` writes it anew."""
    monkeypatch.delenv("GFEDGE_SERVER", raising=False)
    monkeypatch.syspath_prepend(str(PACKAGE.parent / "tools"))
    pages = importlib.import_module("reference").pages()
    docs = PACKAGE.parent / "docs"
    for name, text in pages.items():
        written = (docs / name).read_text(encoding="utf-8")
        assert written == text, f"{name}: `make reference` writes it anew"
    made = {path.relative_to(docs).as_posix() for path in (docs / "reference").rglob("*.md")}
    assert made <= pages.keys(), "a page that nothing writes any more"


def test_no_two_decisions_have_one_number() -> None:
    names = [path.name for path in (PACKAGE.parent / "docs/decisions").glob("[0-9]*.md")]
    assert len({name[:4] for name in names}) == len(names)
