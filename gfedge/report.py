"""Report a training to a gfedge server, from any Python 3.8+ script; the standard library alone, so copy this file.

with report.job() as job: job.metrics(step, loss=...)        # what the server started (GFEDGE_JOB_*), or nothing
with report.start("http://server:8000", name="elsewhere") as job: ...             # a training anywhere
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Job", "ReportFailed", "job", "start"]

INTERVAL = 1.0
"""Seconds between batches."""
HEARTBEAT = 10.0
"""Seconds after which an empty report says that the script still runs."""
ANSWER_SECONDS = 20.0
UPLOAD_SECONDS = 600.0
FLUSH_SECONDS = 20.0
"""How long the end waits for what was not sent yet."""
STOPPED_SECONDS = 2.0
"""The same for a training that was told to stop: where the server stops too, nobody listens any more."""
BACK_OFF = (0.25, 15.0)
"""First and longest pause before a report is sent again."""
MOST_POINTS, MOST_LINES, MOST_WAITING = 5000, 1000, 200_000
"""Of one batch, and of all that waits; past it new ones are dropped, and said so."""


class ReportFailed(Exception):
    """The server refused a report; only raised where `strict` was asked for."""


def job(*, strict: bool = False, on_sigterm: bool = False) -> Job:
    """The job that a gfedge server started this script for. Run by hand, it reports to nobody and works all the same.

    With `on_sigterm` a SIGTERM only sets `job.cancelled`, so that the loop can write a checkpoint and end.
    """
    environ = os.environ
    made = Job(
        environ.get("GFEDGE_JOB_URL", ""), environ.get("GFEDGE_JOB_SECRET", ""), strict=strict
    )
    made.params = json.loads(environ.get("GFEDGE_JOB_PARAMS") or "{}")
    made.checkpoints = Path(environ.get("GFEDGE_JOB_CHECKPOINTS") or "checkpoints")
    made.export = Path(environ.get("GFEDGE_JOB_EXPORT") or "export")
    made.resumed = bool(environ.get("GFEDGE_JOB_RESUMED"))
    if on_sigterm:
        signal.signal(signal.SIGTERM, lambda *_: made.cancel())
    return made


def start(
    server: str,
    *,
    token: str = "",
    strict: bool = False,
    params: Mapping[str, Any] | None = None,
    **about: Any,
) -> Job:
    """Makes an external job on a server and reports to it; raises where that fails.

    `about` is name, experiment, tags, datasets, source, model: as in POST /training-jobs. `token` is the server's, if
    it asks for one; the job then has a secret of its own.
    """
    url = f"{server.rstrip('/')}/api/v1/ml-platform/training-jobs"
    body = {"backend": "external", "params": dict(params or {}), **about}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    found = _call("POST", url, "", json.dumps(body).encode(), headers)
    made = Job(f"{url}/{found['id']}", found["secret"], strict=strict)
    made.params, made.run_id = dict(params or {}), found["run_id"]
    return made


class Job:
    """One training. Calls return at once and never raise into the loop: a thread sends what they leave."""

    def __init__(self, url: str, secret: str, *, strict: bool = False) -> None:
        self.url = url
        self.params: dict[str, Any] = {}
        self.checkpoints = Path("checkpoints")
        self.export = Path("export")
        self.resumed = False
        self.run_id = ""
        self.error = ""
        """Why the last report was not taken."""
        self._secret = secret
        self._strict = strict
        self._session = uuid.uuid4().hex
        self._seq = 0
        self._items: queue.Queue[Any] = queue.Queue()
        self._cancelled = threading.Event()
        self._closing = threading.Event()
        self._dead = not url
        self._dropped = 0
        self._model = ""
        self._ended = False
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._send_all, name="gfedge-report", daemon=True)
        if url:
            self._thread.start()
            atexit.register(self._close)

    # What a training script calls

    def metrics(self, step: int, values: Mapping[str, float] | None = None, **more: float) -> None:
        """Points of metrics at a step."""
        now = time.time()
        for key, value in {**(values or {}), **more}.items():
            self._put(
                "metrics",
                {"key": key, "value": _number(value), "step": int(step), "logged_at": now},
            )

    def progress(
        self,
        step: int,
        steps: int = 0,
        *,
        epoch: float | None = None,
        epochs: float | None = None,
        message: str = "",
    ) -> None:
        """How far it is."""
        found = {"step": int(step), "steps": int(steps), "message": message[:500]}
        more = {"epoch": epoch, "epochs": epochs}
        self._put("progress", {**found, **{k: v for k, v in more.items() if v is not None}})

    def log(self, text: object) -> None:
        """Lines for the job's log. Of a local job the server has stdout and stderr already."""
        for line in str(text).splitlines():
            self._put("log", line[:10_000])

    def tags(self, **tags: object) -> None:
        self._put("tags", {key: str(value) for key, value in tags.items()})

    def artifact(self, path: str | Path, name: str = "") -> None:
        """Stores a file, or all files of a folder, with the run; they are read when their turn comes."""
        source = Path(path)
        name = name or source.name
        if source.is_dir():
            for file in sorted(one for one in source.rglob("*") if one.is_file()):
                self._put("file", (file, f"{name}/{file.relative_to(source).as_posix()}"))
        else:
            self._put("file", (source, name))

    def model(self, folder: str | Path) -> None:
        """Stores an exported model folder (with its model.toml); it is registered when the job has succeeded."""
        if not (Path(folder) / "model.toml").is_file():
            return self._complain(f"{folder} has no model.toml: it is not a model folder")
        self._model = "model"
        return self.artifact(folder, "model")

    @property
    def cancelled(self) -> bool:
        """Whether the loop should stop: somebody cancelled the job, or the server gave it up."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Sets `cancelled`; it does not cancel the job on the server."""
        self._cancelled.set()

    def finish(self, status: str = "succeeded", error: str = "") -> None:
        """Says how it ended, after all that was reported. Leaving `with` calls it."""
        if not self._ended:
            self._ended = True
            self._items.put(
                ("finish", {"status": status, "error": error[:5000], "model": self._model})
            )
        self.close()

    def flush(self) -> None:
        """Waits until all that was reported so far is sent."""
        if not self._dead:
            done = threading.Event()
            self._put("flush", done)
            while not done.wait(0.05) and self._thread.is_alive() and not self._dead:
                pass
        self._check()

    def close(self) -> None:
        """Sends what is left, for FLUSH_SECONDS at most."""
        self._close()
        self._check()

    def _close(self) -> None:
        patience = STOPPED_SECONDS if self.cancelled else FLUSH_SECONDS
        self._give_up_at = time.monotonic() + patience
        self._closing.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._items.put(None)
            self._thread.join(FLUSH_SECONDS + ANSWER_SECONDS)
        atexit.unregister(self._close)

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and not error.code):
            return self.finish("cancelled" if self.cancelled else "succeeded")
        if isinstance(error, KeyboardInterrupt):
            return self.finish("cancelled")
        return self.finish("failed", f"{type(error).__name__}: {error}")

    # The thread

    def _send_all(self) -> None:
        stop = False
        while not stop and not self._dead:
            batch, stop = self._gather()
            for kind, value in batch:
                if not self._dead:
                    self._send(kind, value)
                if kind == "flush":
                    value.set()

    def _gather(self) -> Any:
        """What came in an interval, as reports and files in order, and whether that was the end."""
        found: list[Any] = []
        report: dict[str, Any] = {}
        first, until = True, 0.0
        while True:
            wait = HEARTBEAT if first else max(0.0, until - time.monotonic())
            try:
                item = self._items.get(timeout=0 if self._closing.is_set() else wait)
            except queue.Empty:
                if first or report:
                    found.append(("report", report))
                return found, self._closing.is_set()
            if first:
                first, until = False, time.monotonic() + INTERVAL
            if item is None:
                if report:
                    found.append(("report", report))
                return found, True
            kind, value = item
            if kind in ("file", "finish", "flush"):
                if report:
                    found.append(("report", report))
                found.append((kind, value))
                report = {}
                if kind != "file":
                    return found, False
            elif _add(report, kind, value):
                found.append(("report", report))
                return found, False

    def _send(self, kind: str, value: Any) -> None:
        if kind == "report":
            if self._dropped:
                value.setdefault("log", []).append(
                    f"gfedge.report: {self._dropped} points or lines were dropped"
                )
                self._dropped = 0
            self._seq += 1
            self._deliver("POST", "report", {**value, "session": self._session, "seq": self._seq})
        elif kind == "finish":
            self._deliver("POST", "finish", value)
        elif kind == "file":
            path, name = value
            self._deliver("PUT", f"artifacts/{urllib.parse.quote(name)}", path)

    def _deliver(self, method: str, what: str, body: Any) -> None:
        """Sends until it is taken, refused, or too late."""
        pause = BACK_OFF[0]
        while True:
            try:
                answer = self._once(method, what, body)
            except urllib.error.HTTPError as error:
                if error.code not in (408, 425, 429) and error.code < 500:
                    return self._refused(error, what)
                self.error = f"{what}: the server answered {error.code}"
            except (OSError, ValueError) as error:
                if isinstance(body, Path) and not body.is_file():
                    return self._complain(f"{body} cannot be stored: {error}")
                self.error = f"{what}: {error}"
            else:
                self.error = ""
                if answer.get("cancelled"):
                    self.cancel()
                return None
            left = self._give_up_at - time.monotonic()
            if left <= 0:
                self._dead = True
                return self._complain(f"given up: {self.error}")
            if self._closing.wait(pause):
                time.sleep(min(pause, left))
            pause = min(2 * pause, BACK_OFF[1])

    def _once(self, method: str, what: str, body: Any) -> dict[str, Any]:
        url = f"{self.url}/{what}"
        if not isinstance(body, Path):
            return _call(method, url, self._secret, json.dumps(body, allow_nan=False).encode())
        with body.open("rb") as file:
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(body.stat().st_size),
            }
            return _call(method, url, self._secret, file, headers, UPLOAD_SECONDS)

    def _refused(self, error: urllib.error.HTTPError, what: str) -> None:
        """What is wrong now will be wrong again: it is dropped; a job that is over takes nothing more."""
        try:
            with error:
                problem = json.loads(error.read())
        except (OSError, ValueError):
            problem = {}
        if problem.get("code") in ("training_job_ended", "wrong_job_secret"):
            self._dead = True
            self.cancel()
        self._complain(f"{what} is refused: {problem.get('detail') or error}")

    # Inside

    def _put(self, kind: str, value: Any) -> None:
        self._check()
        if self._dead:
            return
        if kind in ("metrics", "log") and self._items.qsize() >= MOST_WAITING:
            self._dropped += 1
            return
        self._items.put((kind, value))

    def _complain(self, text: str) -> None:
        self.error = text
        print(f"gfedge.report: {text}", file=sys.stderr, flush=True)

    def _check(self) -> None:
        if self._strict and self.error and threading.current_thread() is not self._thread:
            raise ReportFailed(self.error)


def _add(report: dict[str, Any], kind: str, value: Any) -> bool:
    """Puts an item into a report; says whether that is full now."""
    if kind == "progress":
        report["progress"] = value
    elif kind == "tags":
        report.setdefault("tags", {}).update(value)
    else:
        report.setdefault(kind, []).append(value)
    return len(report.get("metrics", ())) >= MOST_POINTS or len(report.get("log", ())) >= MOST_LINES


def _number(value: Any) -> float | str:
    """A value as JSON can hold it; arrays and tensors of one element are numbers too."""
    number = float(value)
    if number != number:
        return "NaN"
    return number if abs(number) != float("inf") else "Infinity" if number > 0 else "-Infinity"


def _call(
    method: str,
    url: str,
    secret: str,
    body: Any,
    headers: Mapping[str, str] | None = None,
    timeout: float = ANSWER_SECONDS,
) -> dict[str, Any]:
    sent = {"Content-Type": "application/json", **(headers or {})}
    if secret:
        sent["X-Job-Secret"] = secret
    request = urllib.request.Request(url, body, sent, method=method)  # noqa: S310  the job's own URL
    host = urllib.parse.urlsplit(url).hostname
    # A proxy of the environment is for what is far away.
    proxies: dict[str, str] | None = {} if host in ("127.0.0.1", "::1", "localhost") else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    with opener.open(request, timeout=timeout) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found
