"""The command line without a server: help, refusals, the doctor, and what the commands make of their options."""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gfedge
from gfedge import configuration
from gfedge.cli import jobs, main, progress, trace
from gfedge.cli.client import Server
from gfedge.cli.commands import parser
from gfedge.cli.errors import INTERRUPTED, CommandError
from gfedge.cli.options import DEFAULT_SERVER
from gfedge.inference import png
from gfedge.parsing import SettingsError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nothing listens: the port is held, but not open."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def somebody_else() -> Iterator[str]:
    """An address at which another program answers everything with a page."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<h1>It works!</h1>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


Answers = dict[str, tuple[int, object]]
"""By method and path: a status and what the body says in JSON."""


@pytest.fixture
def answering() -> Iterator[Callable[[Answers], tuple[str, list[str]]]]:
    """Starts a server with these answers; gives its address and the list that its requests go to."""
    started: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def start(answers: Answers) -> tuple[str, list[str]]:
        asked: list[str] = []
        handler = type("Handler", (_Answers,), {"answers": answers, "asked": asked})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        started.append((server, threading.Thread(target=server.serve_forever)))
        started[-1][1].start()
        return f"http://127.0.0.1:{server.server_port}", asked

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


class _Answers(http.server.BaseHTTPRequestHandler):
    answers: Answers
    asked: list[str]

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        what = f"{self.command} {self.path}"
        self.asked.append(what)
        status, said = self.answers.get(what, (404, {"detail": "not known here"}))
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


def _refused(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 2) -> str:
    assert main(argv) == code
    return capsys.readouterr().err


def _parsed(*argv: str) -> dict[str, object]:
    return jobs.parameters(parser().parse_args(["generate", *argv, "-o", "x.png"]))


# -- help ---------------------------------------------------------------------------------------


def test_version_from_a_real_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gfedge", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["gfedge", gfedge.__version__]


def test_a_client_command_loads_none_of_the_server() -> None:
    code = (
        "import sys, gfedge.cli.jobs, gfedge.cli.trace;"
        "print(sorted({'numpy', 'aiohttp', 'duckdb', 'onnxruntime', 'msgspec'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["serve", "generate", "superres", "trace", "doctor"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: gfedge {command}" in capsys.readouterr().out


def lists_of_commands(command: argparse.ArgumentParser) -> Iterator[Any]:
    """The lists below a command: what each says of its commands, and their parsers."""
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield action
            for each in action.choices.values():
                yield from lists_of_commands(each)


def test_the_help_of_a_command_begins_with_what_the_list_says_of_it() -> None:
    """To the letter, but for the first: TLS stays TLS, and Parquet Parquet."""
    said = [
        (choice.dest, choice.help, found.choices[choice.dest].description)
        for found in lists_of_commands(parser())
        for choice in found._choices_actions
    ]
    assert ("tls", "serve over TLS", "Serve over TLS.") in said
    assert len(said) > 40
    for name, text, description in said:
        assert description.startswith(text[0].upper() + text[1:]), name
        assert description.endswith("."), name


def test_help_of_serve_lists_the_variables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    shown = capsys.readouterr().out
    assert "GFEDGE_MAX_QUEUE=" in shown
    assert not re.search(r"GFEDGE_\w+=.*\n +\n", shown), "a variable without help"


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "examples:" in capsys.readouterr().out


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["draw"])
    assert ended.value.code == 2
    assert "invalid choice: 'draw'" in capsys.readouterr().err


def test_serve_refuses_a_bad_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert "port" in _refused(capsys, "serve", "--port", "-1")


# -- nothing to talk to -------------------------------------------------------------------------


def test_no_server_says_how_to_start_one(
    nobody: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "dragon.png"
    said = _refused(capsys, "generate", "a red dragon", "-o", str(out), "--server", nobody)
    assert f"no gfedge server answers at {nobody}" in said
    assert "start one with `gfedge serve` or `make run`" in said
    assert list(tmp_path.iterdir()) == []


def test_server_from_the_environment(
    nobody: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GFEDGE_SERVER", nobody)
    assert nobody in _refused(capsys, "trace", "a" * 64)


@pytest.mark.parametrize("address", ["ftp://host", "127.0.0.1:8000", "http://host:port", "http://"])
def test_bad_address(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = _refused(capsys, "trace", "a" * 64, "--server", address)
    assert f"{address!r} is not a server address" in said


def test_another_program_at_the_address(
    somebody_else: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "x.png")
    said = _refused(capsys, "generate", "x", "-o", out, "--server", somebody_else, code=1)
    assert "is another program listening at this address?" in said


@pytest.mark.parametrize("page", ["<h1>Nothing here</h1>", {}, ["no"]])
def test_so_says_an_error_of_another_program(
    page: object,
    answering: Callable[[Answers], tuple[str, list[str]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, _ = answering({"POST /api/v1/ai/generate": (404, page)})
    said = _refused(capsys, "generate", "x", "-o", "x.png", "--server", address, code=1)
    assert "answered 404, but not as gfedge does: is another program listening" in said


# -- files --------------------------------------------------------------------------------------


def test_missing_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.png"
    said = _refused(capsys, "superres", str(missing), "-o", str(tmp_path / "out.png"))
    assert f"cannot read {missing}" in said


def test_empty_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    said = _refused(capsys, "superres", str(empty), "-o", str(tmp_path / "out.png"))
    assert "is empty" in said


def test_trace_of_nothing_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no file dragon.png" in _refused(capsys, "trace", "dragon.png")


@pytest.mark.parametrize(
    ("output", "count", "text"),
    [
        ("x.jpg", 1, "gfedge writes PNG"),
        ("no/such/x.png", 1, "mkdir -p no/such"),
        (".", 1, "is a folder"),
        ("-", 2, "-o - writes one picture"),
    ],
)
def test_output_is_refused_before_any_work(
    output: str, count: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match=re.escape(text)):
        jobs.check_output(output, count)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"old")
    jobs.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    folder = tmp_path / "folder.png"
    folder.mkdir()
    with pytest.raises(OSError, match=r"folder\.png"):
        jobs.write_atomically(folder, b"new")
    assert sorted(tmp_path.iterdir()) == [folder, path]


def test_names_of_several_pictures() -> None:
    assert jobs.names("a/dragon.png", 1) == [Path("a/dragon.png")]
    assert jobs.names("a/dragon.png", 2) == [Path("a/dragon-1.png"), Path("a/dragon-2.png")]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8L", "image/webp"),
        (b"GIF89a", "image/gif"),
        (b"hello", "application/octet-stream"),
    ],
)
def test_media_type_is_by_content(body: bytes, kind: str) -> None:
    assert jobs.media_type(body) == kind


# -- options ------------------------------------------------------------------------------------


def test_only_what_was_given_is_sent() -> None:
    assert _parsed("a red dragon") == {"prompt": "a red dragon"}


def test_every_option_is_sent() -> None:
    given = "d -n 2 --seed 7 --steps 9 --guidance-scale 2.5 --scale 4 --negative-prompt blue"
    more = "--palette 16 --background 203040 --model sprite --experiment dragons"
    assert _parsed(*given.split(), *more.split()) == {
        "prompt": "d", "n": 2, "seed": 7, "steps": 9, "guidance_scale": 2.5, "scale": 4,
        "negative_prompt": "blue", "palette": 16, "background": "#203040", "model": "sprite",
        "experiment": "dragons",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [("8", 8), ("112233", ["#112233"]), ("#FF0000,00ff00", ["#ff0000", "#00ff00"])],
)
def test_palette(text: str, found: int | list[str]) -> None:
    assert jobs.palette(text) == found


@pytest.mark.parametrize("text", ["red", "ff000", "", "ff0000,", "-3"])
def test_bad_palette(text: str) -> None:
    with pytest.raises(CommandError, match="is not a colour: write one as"):
        jobs.palette(text)


def test_background_may_be_transparent() -> None:
    assert _parsed("x", "--background", "transparent")["background"] == "transparent"


# -- what is shown ------------------------------------------------------------------------------


def test_the_bar() -> None:
    assert progress.line({"status": "queued", "queue_position": 3}) == "queued, number 3 in line"
    assert progress.line({"status": "running", "progress": {"step": 0, "steps": 0}}) == "starting"
    half = {"status": "running", "progress": {"step": 5, "steps": 10, "ratio": 0.5}}
    assert progress.line(half) == f"[{'#' * 12}{'.' * 12}] step 5 of 10"
    assert progress.line({**half, "kind": "superres"}).endswith("tile 5 of 10")


def test_the_trace_command_can_be_pasted() -> None:
    job = {"id": "0190aaaa"}
    assert jobs.trace_command(job, Path("x.png"), DEFAULT_SERVER) == "gfedge trace x.png"
    assert jobs.trace_command(job, Path("-"), DEFAULT_SERVER) == "gfedge trace 0190aaaa"
    assert (
        jobs.trace_command(job, Path("my x.png"), "http://h:1")
        == "gfedge trace 'my x.png' --server http://h:1"
    )


TRACE = {
    "subject": "asset:ab",
    "matched": "pixels",
    "nodes": [
        {"kind": "asset", "id": "ab"},
        {"kind": "job", "id": "1", "seed": 0, "error": None, "params": {"n": 1}},
        {"kind": "run", "id": "r"},
        {"kind": "model_version", "id": "sprite@1"},
    ],
    "edges": [
        {"source": "job:1", "target": "asset:ab", "relation": "output"},
        {"source": "job:1", "target": "run:r", "relation": "recorded_as"},
        {"source": "model_version:sprite@1", "target": "job:1", "relation": "ran"},
    ],
    "chain": ["asset ab was made by job 1", "job 1 ran", f"model sprite@1 has digest {'0' * 64}"],
}


def test_a_trace_reads_as_a_tree() -> None:
    assert trace.readable(TRACE) == [
        "recognised by its pixels",
        "asset ab was made by job 1",
        "└─ job 1 ran",
        "   ├─ model sprite@1 has digest 000000000000",
        "   └─ run r",
    ]
    facts = trace.readable(TRACE, facts=True)[5:]
    assert [line for line in facts if line] == [
        "asset ab",
        "job 1",
        "    seed: 0",
        '    params: {"n": 1}',
        "run r",
        "model_version sprite@1",
    ]
    assert trace.readable(TRACE, draws=False)[2] == "+- job 1 ran"


def test_facts_have_the_params_whole_and_cut_the_rest() -> None:
    long = "a" * 300
    node = {"kind": "job", "id": "1", "params": {"prompt": long}, "outputs": [long]}
    shown = trace.readable({"nodes": [node]}, facts=True)
    assert f'    params: {{"prompt": "{long}"}}' in shown
    assert next(line for line in shown if "outputs" in line).endswith("a...")


def test_the_trace_of_a_job_shows_what_it_made() -> None:
    shown = trace.readable({**TRACE, "subject": "job:1", "matched": ""})
    assert shown[0] == "job 1 ran"
    assert "└─ asset ab was made by job 1" in shown or "├─ asset ab was made by job 1" in shown


# -- doctor -------------------------------------------------------------------------------------


def _doctor(
    capsys: pytest.CaptureFixture[str], *argv: str
) -> tuple[int, dict[str, dict[str, str]]]:
    code = main(["doctor", "--json", *argv])
    answer = json.loads(capsys.readouterr().out)
    assert answer["healthy"] == (code == 0)
    return code, {finding["subject"]: finding for finding in answer["findings"]}


def test_doctor_of_a_healthy_machine(
    nobody: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = _doctor(capsys, "--data", str(tmp_path / "data"), "--server", nobody)
    assert [finding for finding in found.values() if finding["level"] == "broken"] == []
    assert code == 0
    assert found["gfedge"]["text"].startswith(gfedge.__version__)
    assert {"python", "duckdb", "onnxruntime", "device", "disk", "model"} <= set(found)
    assert found["server"]["level"] == "note"
    assert not (tmp_path / "data").exists(), "the doctor only looks"


def test_doctor_says_how_to_mend(
    somebody_else: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    where = ("--data", str(blocked / "data"), "--models", str(tmp_path), "--server", somebody_else)
    code, found = _doctor(capsys, *where)
    assert code == 1
    broken = {subject for subject, finding in found.items() if finding["level"] == "broken"}
    assert broken == {"data", "models", "server"}
    assert all(found[subject]["mend"] for subject in broken)


def test_doctor_when_cuda_is_asked_for(nobody: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = _doctor(capsys, "--device", "cuda", "--server", nobody)
    if "CUDAExecutionProvider" in found["device"]["text"]:
        assert code == 0
    else:
        assert code == 1
        assert found["cuda"]["level"] == "broken"
        assert "--device cpu" in found["cuda"]["mend"]


def test_doctor_refuses_a_model_that_does_not_match(
    nobody: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "models" / "sprite" / "1"
    folder.mkdir(parents=True)
    (folder / "model.toml").write_text("this is not toml")
    code, found = _doctor(capsys, "--models", str(tmp_path / "models"), "--server", nobody)
    assert code == 1
    assert found["model"]["level"] == "broken"
    assert "sprite/1" in found["model"]["text"]


def test_doctor_looks_at_every_library_that_is_needed(
    nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = _doctor(capsys, "--server", nobody)
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    needed = project["project"]["dependencies"]
    names = {re.split(r"[^A-Za-z0-9-]", line)[0] for line in needed}
    assert names - {"onnxruntime-gpu"} - set(found) == set()


def test_doctor_reads_bad_settings(nobody: str, capsys: pytest.CaptureFixture[str],
                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("GFEDGE_PORT", "many")
    code, found = _doctor(capsys, "--server", nobody)
    assert code == 1
    assert "GFEDGE_PORT=many: expected a whole number" in found["settings"]["text"]


def test_doctor_for_people(nobody: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--server", nobody, "--models", "/nowhere"])
    shown = capsys.readouterr().out
    assert code == 1
    assert re.search(r"^broken +models .*\n +-> ", shown, re.MULTILINE)
    assert re.search(r"^\d broken$", shown, re.MULTILINE)


# -- outputs that are no regular files ----------------------------------------------------------


def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    jobs.check_output(os.devnull, 1)
    jobs.write_atomically(Path(os.devnull), b"new")
    assert not Path(os.devnull).is_file()
    with pytest.raises(CommandError, match="leave out -n"):
        jobs.check_output(os.devnull, 2)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_fifo_is_written_to_and_stays(tmp_path: Path) -> None:
    fifo, read = tmp_path / "fifo", list[bytes]()
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    jobs.write_atomically(fifo, b"new")
    reader.join()
    assert read == [b"new"]
    assert fifo.is_fifo()


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    file, link = tmp_path / "there" / "file.png", tmp_path / "link.png"
    link.symlink_to(file)
    for body in (b"first", b"second"):
        jobs.check_output(str(link), 1)
        jobs.write_atomically(link, body)
        assert link.is_symlink()
        assert file.read_bytes() == body
    assert list(file.parent.iterdir()) == [file]
    dangling = tmp_path / "dangling.png"
    dangling.symlink_to(tmp_path / "nowhere" / "x.png")
    with pytest.raises(CommandError, match="does not exist: make it first"):
        jobs.check_output(str(dangling), 1)


# -- interrupted --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deleted", "now", "said"),
    [
        ((200, "cancelled"), "", "is cancelled"),
        ((200, "running"), "", "is still running and will stop within a step"),
        ((409, ""), "succeeded", "has succeeded already: the server keeps it (gfedge trace j1)"),
        ((409, ""), "failed", "failed: out of memory"),
        ((409, ""), "cancelled", "is cancelled"),
        ((500, ""), "", "could not be cancelled: not known here"),
    ],
)
def test_ctrl_c_says_what_became_of_the_job(
    deleted: tuple[int, str],
    now: str,
    said: str,
    answering: Callable[[Answers], tuple[str, list[str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, (status, state) = f"{progress.JOBS}/j1", deleted
    error = {"detail": "out of memory"} if now == "failed" else None
    answers: Answers = {f"DELETE {path}": (status, {"id": "j1", "status": state})}
    if now:
        answers[f"GET {path}"] = (200, {"id": "j1", "status": now, "error": error})
    address, asked = answering(answers)

    def interrupted(*args: object) -> dict[str, object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress, "_wait", interrupted)
    with Server(address) as server, pytest.raises(CommandError) as ended:
        progress.finish(server, {"id": "j1", "status": "running"})
    assert str(ended.value) == f"interrupted; job j1 {said}"
    assert ended.value.exit_code == INTERRUPTED
    assert asked[0] == f"DELETE {path}"


# -- trace of a file ----------------------------------------------------------------------------


def _picture(tmp_path: Path, texts: dict[str, str]) -> tuple[str, str]:
    """A PNG without pixels but with texts, and the path at which its trace is asked for."""
    data = png.SIGNATURE
    for key, text in texts.items():
        body = key.encode() + b"\0" + text.encode()
        data += len(body).to_bytes(4, "big") + b"tEXt" + body + bytes(4)
    file = tmp_path / "dragon.png"
    file.write_bytes(data + bytes(4))
    digest = hashlib.sha256(data + bytes(4)).hexdigest()
    return str(file), f"/api/v1/assets/{digest}/trace"


def test_a_known_file_is_traced_without_being_sent(
    tmp_path: Path,
    answering: Callable[[Answers], tuple[str, list[str]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, path = _picture(tmp_path, {})
    address, asked = answering({f"GET {path}": (200, TRACE)})
    assert main(["trace", file, "--server", address]) == 0
    assert "asset ab was made by job 1" in capsys.readouterr().out
    assert asked == [f"GET {path}"]


def test_an_unknown_file_is_sent(
    tmp_path: Path,
    answering: Callable[[Answers], tuple[str, list[str]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, path = _picture(tmp_path, {})
    address, asked = answering({"POST /api/v1/trace": (200, TRACE)})
    assert main(["trace", file, "--server", address]) == 0
    assert asked == [f"GET {path}", "POST /api/v1/trace"]
    address, asked = answering({f"GET {path}": (503, {"detail": "busy"})})
    assert "busy" in _refused(capsys, "trace", file, "--server", address, code=1)
    assert asked == [f"GET {path}"]


@pytest.mark.parametrize("status", [404, 413])
def test_a_file_of_another_server_says_where_to_ask(
    status: int,
    tmp_path: Path,
    answering: Callable[[Answers], tuple[str, list[str]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = "http://other:8000/api/v1/ml-platform/ai-jobs/j1/trace"
    file, _ = _picture(tmp_path, {"gfedge": json.dumps({"trace": there})})
    address, _ = answering({"POST /api/v1/trace": (status, {"detail": "no"})})
    said = _refused(capsys, "trace", file, "--server", address, code=1)
    hint = "its metadata names"
    assert said == f"error: no; {hint} {there}: ask there (--server http://other:8000)\n"
    for chunk in (
        json.dumps({"trace": f"{address}/api/v1/x"}),
        json.dumps({"trace": "http://other/\x1b[31m"}),
        json.dumps({"trace": "file:///etc/passwd"}),
        json.dumps({"trace": "http://[broken"}),
        json.dumps(["trace"]),
        "no JSON",
        "[" * 100_000,
    ):
        file, _ = _picture(tmp_path, {"gfedge": chunk})
        assert _refused(capsys, "trace", file, "--server", address, code=1) == "error: no\n"
    file, _ = _picture(tmp_path, {"gfedge": json.dumps({"trace": there})})
    address, _ = answering({"POST /api/v1/trace": (status, {"detail": f"no: ask at {there}"})})
    said = _refused(capsys, "trace", file, "--server", address, code=1)
    assert said == f"error: no: ask at {there} (--server http://other:8000)\n"


# -- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("generate", "drag\udce9n"), "the prompt is not UTF-8 text"),
        (("generate", "x", "--negative-prompt", "\udcff"), "the negative prompt is not UTF-8"),
        (("generate", "x", "--model", "\udcff"), "the model is not UTF-8 text"),
        (("superres", "x.png", "--experiment", "\udcff"), "the experiment is not UTF-8 text"),
        (("generate", "x", "--server", "http://\udcff"), "is not a server address"),
    ],
)
def test_what_is_not_utf_8_is_refused_before_it_is_sent(
    argv: tuple[str, ...], said: str, nobody: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    where = () if "--server" in argv else ("--server", nobody)
    assert said in _refused(capsys, *argv, "-o", str(tmp_path / "x.png"), *where)


def test_words_without_effect_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    jobs._warn_of_words(
        {
            "unknown_words": ["zorp", "late"],
            "undocumented_words": ["snake", "owl"],
            "dropped_words": ["late", "owl"],
            "suggestions": {"snake": ["naga"]},
        }
    )
    assert capsys.readouterr().err.splitlines() == [
        "warning: the model has not learned: zorp (it goes by their parts)",
        "warning: the model was not found to draw: snake (they may not show)",
        "warning: the model had no use for: late, owl (they changed nothing)",
        "         near snake: naga",
    ]
    jobs._warn_of_words({"unknown_words": [], "dropped_words": None})
    jobs._warn_of_words({})
    assert capsys.readouterr().err == ""


# -- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("port", "abc", "a whole number from 0 to 65535"),
        ("port", "65536", "a whole number from 0 to 65535"),
        ("max_prompt", "0", "a whole number of at least 1"),
        ("max_wait", "nan", "a number from 0 to 3600"),
        ("device", "tpu", "one of auto, cpu, cuda"),
        ("data", "", "a path"),
        ("max_body", "1T", "a size of 1024 bytes to a PiB; K, M and G behind it"),
        ("max_body", "512", "a size of 1024 bytes to a PiB"),
        ("database_memory", "99999999999G", "a size of 67108864 bytes to a PiB"),
        ("max_steps", "1K", "a whole number from 1 to 1000"),
    ],
)
def test_a_bad_setting_says_what_it_was_and_where_it_came_from(
    name: str, text: str, expected: str
) -> None:
    variable = f"GFEDGE_{name.upper()}"
    with pytest.raises(SettingsError, match=re.escape(f"{variable}={text}: expected {expected}")):
        configuration.load({}, {variable: text})
    flag = f"--{name.replace('_', '-')} {text}: expected {expected}"
    with pytest.raises(SettingsError, match=re.escape(flag)):
        configuration.load({name: text}, {variable: "1"})


@pytest.mark.parametrize(
    ("text", "size"),
    [("65536", 1 << 16), ("64K", 1 << 16), ("3m", 3 << 20), ("2 GiB", 2 << 30), ("1MiB", 1 << 20)],
)
def test_sizes_take_suffixes(text: str, size: int) -> None:
    assert configuration.load({}, {"GFEDGE_MAX_BODY": text}).max_body == size


def test_a_choice_takes_any_case() -> None:
    found = configuration.load({"device": "CPU"}, {"GFEDGE_LOG_LEVEL": "Warning"})
    assert (found.log_level, found.device) == ("warning", "cpu")


def test_unknown_variables_are_errors() -> None:
    known = ("GFEDGE_PORT", "GFEDGE_SERVER", "GFEDGE_KILL_ROUNDS", "GFEDGE_JOB_ID", "PATH")
    fine = dict.fromkeys(known, "1")
    assert configuration.load({}, fine).port == 1
    with pytest.raises(SettingsError) as told:
        configuration.load({}, {**fine, "GFEDGE_PROT": "1", "GFEDGE_ZZZ": "1"})
    assert str(told.value) == (
        "GFEDGE_PROT is not a setting: did you mean GFEDGE_PORT?; "
        "GFEDGE_ZZZ is not a setting: `gfedge settings` lists them"
    )


def test_what_kubernetes_sets_beside_a_service_is_left_aside() -> None:
    for service in ("GFEDGE", "GFEDGE_WEB"):
        given = {
            f"{service}_SERVICE_HOST": "10.0.0.1",
            f"{service}_SERVICE_PORT": "8000",
            f"{service}_SERVICE_PORT_HTTP": "8000",
            f"{service}_PORT": "tcp://10.0.0.1:8000",
            f"{service}_PORT_8000_TCP": "tcp://10.0.0.1:8000",
            f"{service}_PORT_8000_TCP_ADDR": "10.0.0.1",
        }
        assert configuration.load({}, given) == configuration.load({}, {})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("serve --prot 1", "gfedge serve has no --prot: did you mean --port?"),
        ("serve --max-quue=1", "gfedge serve has no --max-quue: did you mean --max-queue?"),
        ("serve --max-queue", "--max-queue needs a value"),
        ("serve --max-queue -1", "--max-queue -1: expected a whole number from 1 to 100000"),
        ("serve --vast-key x", "--vast-key: others on this machine see flags"),
        ("serve now", "gfedge serve has no now: `gfedge serve --help` lists what it takes"),
        ("gc --max-queue 1", "gfedge gc has no --max-queue: `gfedge gc --help`"),
        ("doctor --dta x", "gfedge doctor has no --dta: did you mean --data?"),
        ("token list --jsn", "gfedge token list has no --jsn: did you mean --json?"),
    ],
)
def test_unknown_flags_are_errors(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert f"error: {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "near"), [(["genrate"], "generate"), (["token", "crate"], "create")]
)
def test_the_nearest_command_is_named(
    words: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert capsys.readouterr().err.endswith(f": did you mean {near}?\n")


def test_help_is_a_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["help", "gc"], ["gc", "--help"]):
        with pytest.raises(SystemExit, match="0"):
            main(words)
    first, second = capsys.readouterr().out.split("usage: ")[1:]
    assert first == second
