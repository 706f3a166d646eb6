"""The command line without a server: help, refusals, the doctor, and what the commands make of their options."""

from __future__ import annotations

import http.server
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import gfedge
from gfedge.cli import DEFAULT_SERVER, jobs, main, parser, progress, trace
from gfedge.cli.errors import CommandError

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


def test_doctor_reads_bad_settings(nobody: str, capsys: pytest.CaptureFixture[str],
                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("GFEDGE_PORT", "many")
    code, found = _doctor(capsys, "--server", nobody)
    assert code == 1
    assert "port" in found["settings"]["text"]


def test_doctor_for_people(nobody: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--server", nobody, "--models", "/nowhere"])
    shown = capsys.readouterr().out
    assert code == 1
    assert re.search(r"^broken +models .*\n +-> ", shown, re.MULTILINE)
    assert re.search(r"^\d broken$", shown, re.MULTILINE)
