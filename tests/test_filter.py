"""The filter language over runs: what it says, checked against a plain reading of it, and where it complains."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Api

from gfedge import errors
from gfedge.tracking.filter import MAX_COMPARISONS, Comparison, Junction, Node, parse

EXPERIMENTS, RUNS = "/api/v1/ml-platform/experiments", "/api/v1/ml-platform/runs"
LOSSES = [0.05, 0.5, 0.5, -3.0, "NaN", "Infinity", "-Infinity", None, 0.1, 7.0]
RATES = ["0.001", "0.01", "1e-3", "fast", "", None, "nan", "0.001"]
TEAMS = ["art", "Art dept", "code", "a%t", "it's", 'say "hi"', None, "ärt_1"]


def described(i: int) -> dict[str, Any]:
    """The i-th of the runs that are searched."""
    params = {"lr": RATES[i % 8], "learning rate": str(i)}
    tags = {"team": TEAMS[i % 7], "odd": "yes" if i % 2 else None}
    metrics = {"loss": LOSSES[i % 10], "val/loss": i / 4}
    return {
        "name": f"run {i:02}",
        "params": {k: v for k, v in params.items() if v is not None},
        "tags": {k: v for k, v in tags.items() if v is not None},
        "metrics": {k: v for k, v in metrics.items() if v is not None},
        "status": "finished" if i % 3 else "failed",
    }


async def fill(client: Api, count: int) -> list[dict[str, Any]]:
    for name in ("one", "two"):
        await client.call("POST", EXPERIMENTS, 201, json={"name": name})
    runs = []
    for i in range(count):
        run = described(i)
        body = {key: run[key] for key in ("name", "params", "tags")}
        where = f"{EXPERIMENTS}/{('one', 'two')[i % 2]}/runs"
        run["id"] = (await client.call("POST", where, 201, json=body))["id"]
        points = [{"key": k, "value": v} for k, v in run["metrics"].items()]
        await client.call("POST", f"{RUNS}/{run['id']}/log", json={"metrics": points})
        if i % 5:
            await client.call("PATCH", f"{RUNS}/{run['id']}", json={"status": run["status"]})
        else:
            run["status"] = "running"
        runs.append(run)
    return runs


async def names(client: Api, text: str, **query: Any) -> list[str]:
    return [run["name"] for run in await client.pages(RUNS, "runs", 7, filter=text, **query)]


# -- a plain reading of the language --------------------------------------------------------------


def value_of(run: dict[str, Any], node: Comparison) -> Any:
    if node.key.entity == "attributes":
        return run[node.key.name]
    value = run[node.key.entity].get(node.key.name)
    if value is not None and node.key.entity == "metrics":
        return float(value)
    if node.key.entity == "params" and isinstance(node.value, float):
        try:
            return float(value)
        except (TypeError, ValueError):
            return None
    return value


def like(value: str, pattern: str, flags: int = 0) -> bool:
    parts = (re.escape(c) if c not in "%_" else {"%": ".*", "_": "."}[c] for c in pattern)
    return re.fullmatch("".join(parts), value, flags | re.DOTALL) is not None


HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
    "like": like,
    "ilike": lambda a, b: like(a, b, re.IGNORECASE),
}


def holds(run: dict[str, Any], node: Node | None) -> bool:
    if node is None:
        return True
    if isinstance(node, Junction):
        return (all if node.word == "and" else any)(holds(run, part) for part in node.parts)
    value = value_of(run, node)
    if node.operator == "null":
        return (value is None) != node.negated
    return value is not None and HOLDS[node.operator](value, node.value) != node.negated


FILTERS = [
    "",
    "metrics.loss < 0.1",
    "metrics.loss <= 0.1 or metrics.loss > 6",
    "metric.loss >= .5",
    "metrics.loss > -1e300",
    "metrics.loss < 1e999",
    "metrics.loss = 0.5",
    "metrics.loss != 0.5",
    "metrics.loss <> 0.5",
    "metrics.loss in (0.5, -3, 7.0)",
    "metrics.loss not in (0.5)",
    "metrics.loss is null",
    "metrics.loss is not null",
    "metrics.val/loss < 2 and metrics.`val/loss` >= 0.5",
    "params.lr = '0.001'",
    'params.lr = "0.001"',
    "params.lr != '0.001'",
    "params.lr = 0.001",
    "params.lr <= 0.001",
    "params.lr > 0",
    "params.lr = ''",
    "params.lr in ('fast', '0.01')",
    "params.lr IS NULL OR tags.team IS NULL",
    "params.`learning rate` < 5",
    "params.\"learning rate\" like '1%'",
    "tags.team like 'a%'",
    "tags.team ilike 'A%'",
    "tags.team not like 'a_t'",
    "tags.team ilike '%ÄRT%'",
    "tags.team = 'it''s'",
    "tags.team = 'say \"hi\"'",
    "tags.team != 'code' and tags.odd = 'yes'",
    "tags.nothing != 'x'",
    "tags.nothing is null",
    "status = 'running'",
    "attributes.status in ('failed', 'running')",
    "run.status not in ('failed')",
    "name like 'run 1_'",
    "run_name = 'run 03'",
    "(status = 'failed' or tags.odd = 'yes') and (metrics.loss < 1 or params.lr is null)",
    "status = 'failed' or tags.odd = 'yes' and metrics.loss < 1",
    "((((name != 'x'))))",
]


async def test_a_filter_finds_what_it_says(client: Api) -> None:
    runs = await fill(client, 40)
    for text in FILTERS:
        wanted = [run["name"] for run in runs[::-1] if holds(run, parse(text).where)]
        assert await names(client, text) == wanted, text


async def test_filters_at_random(client: Api) -> None:
    runs, dice = await fill(client, 40), random.Random(3)

    def node(depth: int) -> str:
        if depth and dice.random() < 0.6:
            word = dice.choice([" and ", " or "])
            return f"({word.join(node(depth - 1) for _ in range(dice.randint(1, 3)))})"
        return dice.choice(FILTERS[1:38])

    for _ in range(60):
        text = node(3)
        wanted = [run["name"] for run in runs[::-1] if holds(run, parse(text).where)]
        assert await names(client, text) == wanted, text


def rank(value: Any) -> int:
    """Numbers and texts first, then NaN, then what is missing."""
    return 2 if value is None else int(isinstance(value, float) and math.isnan(value))


ORDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "metrics.loss": lambda run: float(run["metrics"]["loss"]) if "loss" in run["metrics"] else None,
    "metrics.`val/loss`": lambda run: float(run["metrics"]["val/loss"]),
    "params.lr": lambda run: run["params"].get("lr"),
    "tags.team": lambda run: run["tags"].get("team"),
    "attributes.name": lambda run: run["name"],
    "status": lambda run: run["status"],
    "metrics.nothing": lambda run: None,
}


def ordered(runs: list[dict[str, Any]], keys: list[tuple[str, bool]]) -> list[str]:
    """Names of the runs: by each key, the missing last either way, the newest of equals first."""
    found = runs[::-1]
    for key, descending in reversed(keys):
        of = ORDERS[key]
        there = sorted((r for r in found if rank(of(r)) == 0), key=of, reverse=descending)
        found = there + [r for rest in (1, 2) for r in found if rank(of(r)) == rest]
    return [run["name"] for run in found]


async def test_an_order_is_kept_over_pages(client: Api) -> None:
    runs = await fill(client, 40)
    cases: list[list[tuple[str, bool]]] = [[(k, d)] for k in ORDERS for d in (False, True)]
    pairs = itertools.permutations(["metrics.loss", "params.lr", "status", "metrics.nothing"], 2)
    cases += [[(a, i % 2 == 0), (b, i % 3 == 0)] for i, (a, b) in enumerate(pairs)]
    for case in cases:
        text = "order by " + ", ".join(f"{k} {'desc' if d else 'asc'}" for k, d in case)
        assert await names(client, text) == ordered(runs, case), text


async def test_pages_are_stable_while_runs_come_and_go(client: Api) -> None:
    runs = await fill(client, 30)
    query = {"filter": "metrics.`val/loss` >= 0 order by metrics.`val/loss` desc", "limit": "10"}
    first = await client.get(RUNS, **query)
    for value in (100.0, 4.9):
        body = {"name": "late"}
        late = await client.call("POST", f"{EXPERIMENTS}/one/runs", 201, json=body)
        points = {"metrics": [{"key": "val/loss", "value": value}]}
        await client.call("POST", f"{RUNS}/{late['id']}/log", json=points)
    await client.call("DELETE", f"{RUNS}/{runs[15]['id']}")
    second = await client.get(RUNS, **query, cursor=first["next"])
    shown = [run["name"] for page in (first, second) for run in page["runs"]]
    seen = [*range(29, 19, -1), None, *range(19, 15, -1), *range(14, 9, -1)]
    assert shown == ["late" if i is None else f"run {i:02}" for i in seen]


async def test_a_cursor_belongs_to_its_search(client: Api) -> None:
    await fill(client, 6)
    page = await client.get(RUNS, filter="metrics.loss > 0", limit=1)
    for query in (
        f"filter=&cursor={page['next']}",
        "cursor=x",
        "cursor=e30=",
        "cursor=%F0%9F%98%80",
    ):
        problem = await client.refused("GET", f"{RUNS}?{query}", 422, "bad_cursor")
        assert problem["field"] == "cursor"


async def test_a_search_in_some_experiments(client: Api) -> None:
    await fill(client, 10)
    assert len(await names(client, "", experiment="one")) == 5
    assert len(await names(client, "", experiment="one, two")) == 10
    ident = (await client.get(f"{EXPERIMENTS}/two"))["id"]
    wanted = [f"run {i:02}" for i in (9, 7, 5, 3, 1)]
    assert await names(client, f"experiment_id = '{ident}'") == wanted
    assert await names(client, "order by created_at desc", experiment=ident) == wanted
    await client.refused("GET", f"{RUNS}?experiment=one,x", 404, "experiment_not_found")


async def test_newest_first_with_many_deleted_ones(client: Api) -> None:
    """The newest page is sought among the last runs first; those may be deleted, all of them."""
    runs = await fill(client, 30)
    for run in runs[3:]:
        await client.call("DELETE", f"{RUNS}/{run['id']}")
    page = await client.get(RUNS, limit=2)
    assert [run["name"] for run in page["runs"]] == ["run 02", "run 01"]
    assert await names(client, "") == ["run 02", "run 01", "run 00"]


# -- complaints -----------------------------------------------------------------------------------

COMPLAINTS = {
    "metrics.loss < 'a'": (16, "a number without quotes"),
    "metrics.loss like 'a'": (14, "is a number"),
    "metrics.loss <": (15, "found the end"),
    "metrics.loss 0.1": (14, "expected =, !=, <"),
    "metrics. loss < 1": (8, "does not belong"),
    "metrics.`` < 1": (1, "the key is empty"),
    "foo.x = 1": (1, "'foo' is not one of"),
    "size = 1": (1, "there are commit, created_at"),
    "status < 'a'": (8, "= and !="),
    "status = failed": (10, "a text in quotes"),
    "params.lr = ": (13, "a text in quotes"),
    "params.lr < '0.1'": (11, "leave the quotes"),
    "params.lr in ('a', 1)": (21, "not both"),
    "params.lr in ()": (15, "a text in quotes"),
    "params.lr in 'a'": (14, "`(`"),
    "params.lr is 'a'": (14, "`null`"),
    "params.lr not = 'a'": (15, "in, like or ilike"),
    "status = 'a' and": (17, "a key such as"),
    "status = 'a' status = 'b'": (14, "`and`, `or`"),
    "(status = 'a'": (14, "`)`"),
    "status = 'a')": (13, "the end"),
    "status = 'a": (10, "is not closed"),
    "metrics.`a < 1": (8, "does not belong"),
    "status = 'a'; drop table runs": (13, "';' does not belong"),
    "metrics.loss = 1x": (16, "does not belong"),
    "order metrics.loss": (7, "`by`"),
    "order by": (9, "a key such as"),
    "order by datasets.name": (10, "cannot be ordered"),
    "datasets.size = '1'": (1, "name, digest, context"),
    "order by metrics.a desc desc": (25, "the end"),
}


@pytest.mark.parametrize("text", COMPLAINTS)
def test_a_complaint_names_the_place_and_what_was_expected(text: str) -> None:
    at, words = COMPLAINTS[text]
    with pytest.raises(errors.Invalid) as raised:
        parse(text)
    assert raised.value.detail.startswith(f"filter, character {at}: "), raised.value.detail
    assert words in raised.value.detail
    assert (raised.value.code, raised.value.field) == ("bad_filter", "filter")


async def test_a_complaint_is_an_answer(client: Api) -> None:
    await client.refused("GET", f"{RUNS}?filter=nonsense", 422, "bad_filter")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 51 + "status = 'a'" + ")" * 51,
        " or ".join(["status = 'a'"] * (MAX_COMPARISONS + 1)),
        "order by " + ", ".join(["status"] * 11),
        f"status = '{'a' * 10_000}'",
    ],
    ids=["depth", "comparisons", "orders", "length"],
)
def test_a_filter_is_bounded(text: str) -> None:
    with pytest.raises(errors.Invalid):
        parse(text)


async def test_the_largest_filter_that_is_taken_is_answered(client: Api) -> None:
    await fill(client, 3)
    text = "(" * 50 + " or ".join(["metrics.loss < 1 "] * 50) + ")" * 50
    text += " order by " + ", ".join(["metrics.loss", "params.lr"] * 5)
    assert len(await names(client, text)) == 3


async def test_what_looks_like_sql_is_a_value(client: Api) -> None:
    await fill(client, 3)
    for text in (
        "tags.team = '''; delete from runs; --'",
        "tags.`') or true --` is not null",
        'metrics."$1" < 5',
        "params.`a\"b` = '{value}'",
        "tags.team like '{of}'",
    ):
        assert await names(client, text) == []
    assert len(await names(client, "")) == 3
