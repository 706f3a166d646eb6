"""The same calls of MLflow's own client to MLflow's own server and to this one: every answer is the same.

Ids and times aside, and but for what docs/mlflow.md says is different. GFEDGE_TWINS=500 tries so many sequences.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Process, make_models
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mlflowing import PYTHON, environment, needs_mlflow

from gfedge.sources import NOT_SETTINGS

SEQUENCES = int(os.environ.get("GFEDGE_TWINS", "8"))
TWIN = Path(__file__).parent / "mlflow_twin.py"
KEYS = ("a", "b c", "d/e.f")
NUMBERS = ("0", "1", "-2.5", "1e300", "nan", "inf", "-inf", "0.1")
TEXTS = ("", "x", "X", "Straße", "1", "it is")

small = st.integers(0, 3)
key = st.sampled_from((*KEYS, "a", "a", "../bad", "no\nline"))
text = st.sampled_from(TEXTS)
value = st.sampled_from(NUMBERS)
step = st.integers(-2, 5)
at = st.integers(1, 5)
order_way = st.sampled_from(("", " ASC", " DESC", " desc"))
quoted = st.sampled_from(("a", "`b c`", '"b c"', "`d/e.f`", "nothing"))
compared = st.sampled_from(("=", "!=", "<", "<=", ">", ">="))
likened = st.sampled_from(("=", "!=", "LIKE", "ilike"))
pattern = st.sampled_from(("x", "X", "%", "_", "%ß%", "1", ""))
clause = st.one_of(
    st.builds("metrics.{} {} {}".format, quoted, compared, st.sampled_from(("0", "1", "-2.5", ".1", "1e300"))),
    st.builds("params.{} {} '{}'".format, quoted, likened, pattern),
    st.builds("tags.{} {} '{}'".format, quoted, likened, pattern),
    st.builds("{}.{} {}".format, st.sampled_from(("params", "tag")), quoted, st.sampled_from(("IS NULL", "is not null"))),
    st.builds("attributes.status {} '{}'".format, st.sampled_from(("=", "!=")), st.sampled_from(("RUNNING", "FINISHED", "none"))),
    st.builds("run_name {} '{}'".format, likened, pattern),
    st.builds("attributes.start_time {} {}".format, compared, st.integers(10, 60)),
    st.sampled_from(("metrics.a > 'x'", "params.a > 1", "nothing = 'x'", "metrics.a = 1 OR metrics.a = 2", "tags.a IN ('x')")),
)  # fmt: skip
filters = st.one_of(st.just(""), clause, st.builds("{} AND {}".format, clause, clause))
orders = st.lists(
    st.builds(
        "{}{}".format,
        st.sampled_from(
            ("metrics.a", "metrics.`b c`", "params.a", "tags.a", "start_time", "run_name", "status")
        ),
        order_way,
    ),
    max_size=2,
    unique_by=lambda one: one.split(" ")[0],
)
experiment_name, model_name = st.sampled_from(("one", "two", "drei")), st.sampled_from(("m", "N n"))
tags = st.dictionaries(st.sampled_from(KEYS), text, max_size=2)
version = st.sampled_from(("1", "2", "3"))
alias = st.sampled_from(("best", "B-1", "latest", "v1", "not ok"))
view = st.sampled_from(("ACTIVE", "ACTIVE", "DELETED", "ALL"))


def op(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, list[Any]]]:
    return st.tuples(st.just(name), st.tuples(*arguments).map(list))


def pairs(*of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.tuples(*of).map(list), max_size=4)


RUN_OPS = [
    op("create_run", small, st.sampled_from(("x", "X", "Straße")), tags, at),
    op("log_metric", small, key, value, step, at),
    op("log_metric", small, key, value, step, at),
    op("log_param", small, key, text),
    op("set_tag", small, key, text),
    op("set_tag", small, st.just("mlflow.runName"), st.sampled_from(("x", "y"))),
    op("delete_tag", small, key),
    op("log_batch", small, pairs(key, value, step, at), pairs(key, text), pairs(key, text)),
    op("log_batch", small, pairs(st.sampled_from(KEYS), value, step, at), pairs(st.sampled_from(KEYS), text), pairs(st.sampled_from(KEYS), text)),
    op("end_run", small, st.sampled_from(("FINISHED", "FAILED", "KILLED")), at),
    op("update_run", small, st.sampled_from((None, "RUNNING", "SCHEDULED")), st.sampled_from((None, "new"))),
    op("get_run", small),
    op("history", small, key),
    op("search_runs", filters, orders, view, st.integers(1, 4)),
    op("search_runs", filters, orders, view, st.integers(1, 4)),
]  # fmt: skip
EXPERIMENT_OPS = [
    op("create_experiment", experiment_name, tags),
    op("experiment_by_name", experiment_name),
    op("rename_experiment", small, experiment_name),
    op("tag_experiment", small, key, text),
    op(
        "search_experiments",
        st.sampled_from(("", "tags.a = 'x'", "tags.`b c` IS NULL", "tags.a != 'x'", "foo = 'x'")),
        st.lists(st.builds("name{}".format, order_way), min_size=1, max_size=1),
        view,
    ),
]
MODEL_OPS = [
    op("create_model", model_name, tags),
    op("get_model", model_name),
    op("tag_model", model_name, key, text),
    op("create_version", model_name, st.sampled_from(("s3://b/x", "s3://b/y", "/etc/x")), tags),
    op("create_version", model_name, st.just("s3://b/x"), tags),
    op("get_version", model_name, version),
    op("describe_version", model_name, version, text),
    op("stage", model_name, version, st.sampled_from(("Staging", "archived", "Nope"))),
    op("set_alias", model_name, alias, version),
    op("get_alias", model_name, alias),
    op("delete_alias", model_name, alias),
    op(
        "search_versions",
        st.sampled_from(("", "tags.a = 'x'", "version_number > 1", "source_path LIKE '%x'", "foo = 1")),
        st.sampled_from((["name ASC", "version_number DESC"], ["version_number"])),
    ),
    op(
        "search_models",
        st.sampled_from(("", "tags.a ILIKE 'X'", "foo = 'x'")),
        st.sampled_from(([], ["name DESC"])),
    ),
]  # fmt: skip
# A run that was deleted by itself stays so here when its experiment comes back: no sequence does both.
WITHOUT_EXPERIMENTS_GONE = [*RUN_OPS, *EXPERIMENT_OPS, op("delete_run", small), op("restore_run", small)]  # fmt: skip
WITH_EXPERIMENTS_GONE = [*RUN_OPS, *EXPERIMENT_OPS, op("delete_experiment", small), op("restore_experiment", small)]  # fmt: skip
BEGIN = [("create_experiment", ["zero", {}]), ("create_run", [0, "x", {"a": "x"}, 3])]
sequences = st.one_of(
    *(
        st.lists(st.one_of(*ops), min_size=10, max_size=30)
        for ops in (WITHOUT_EXPERIMENTS_GONE, WITH_EXPERIMENTS_GONE, MODEL_OPS)
    )
)


class Driver:
    """MLflow's client in its own environment, told line by line."""

    def __init__(self, uri: str) -> None:
        self.process = subprocess.Popen(
            [str(PYTHON), str(TWIN), uri],
            env=environment(uri),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, name: str, arguments: list[Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([name, arguments]) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the client ended"
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)


@contextlib.contextmanager
def stock(folder: Path) -> Iterator[str]:
    """MLflow's own server with sqlite."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = [str(PYTHON.with_name("mlflow")), "server", "--workers", "1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    folder.mkdir()
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(uri, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
        stdout=log,
        stderr=log,
    )
    try:
        give_up_at = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{uri}/health") as answer:
                if answer.status == 200:
                    break
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < give_up_at
            time.sleep(0.1)
        yield uri
    finally:
        process.terminate()
        process.wait(30)
        log.close()


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Driver, Driver]]:
    """A client of this server, and one of MLflow's."""
    folder = tmp_path_factory.mktemp("twins")
    ours = Process(folder / "data", make_models(folder / "models"))
    with stock(folder / "stock") as uri:
        drivers = (Driver(ours.start()), Driver(uri))
        yield drivers
        for driver in drivers:
            driver.close()
        ours.stop()


def test_the_number_of_sequences_is_no_setting() -> None:
    assert "GFEDGE_TWINS" in NOT_SETTINGS


prefixes = itertools.count()


@needs_mlflow
@settings(
    max_examples=SEQUENCES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(sequence=sequences)
def test_every_answer_is_that_of_mlflows_own_server(
    twins: tuple[Driver, Driver], sequence: list[tuple[str, list[Any]]]
) -> None:
    done: list[Any] = []
    prefix = f"s{next(prefixes)}q"
    for name, arguments in [("begin", [prefix]), *BEGIN, *sequence]:
        for driver in twins:
            driver.tell(name, arguments)
        ours, theirs = (driver.answer() for driver in twins)
        done.append([name, arguments])
        assert ours == theirs, done
