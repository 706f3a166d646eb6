"""Settings: gfedge.toml, environment and flags, what `gfedge settings` shows, and what a reload changes."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import os
import queue
import re
import signal
import socket
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Process, connected

import gfedge
from gfedge import configuration, logs, notify
from gfedge.cli import main
from gfedge.parsing import SettingsError
from gfedge.settings import SECRETS, Settings
from gfedge.sources import LIVE


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("GFEDGE_"):
            monkeypatch.delenv(name)


def _written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "gfedge.toml"
    path.write_text(text, encoding="utf-8")
    return path


# -- the file -----------------------------------------------------------------------------------


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = _written(tmp_path, 'port = 1\nmax_queue = 2\nmax_body = "3M"\nisolate_inference = true')
    environ = {"GFEDGE_PORT": "4", "GFEDGE_MAX_QUEUE": "5"}
    found = configuration.load({"port": "6"}, environ, str(path))
    assert (found.port, found.max_queue, found.max_body) == (6, 5, 3 << 20)
    assert found.isolate_inference


def test_every_setting_is_a_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _written(tmp_path, "max_queue = 2\nmax_running = 3")
    monkeypatch.setenv("GFEDGE_MAX_QUEUE", "4")
    words = ["--max-queue", "5", "--max-body=3M", "--shipped-rules", "false"]
    assert main(["settings", "--config", str(path), "--json", *words]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert {
        name: (found[name]["value"], found[name]["source"])
        for name in ("max_queue", "max_running", "max_body", "shipped_rules")
    } == {
        "max_queue": (5, "--max-queue"),
        "max_running": (3, str(path)),
        "max_body": (3 << 20, "--max-body"),
        "shipped_rules": (False, "--shipped-rules"),
    }


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gfedge.toml"
    for text in ('["a.yml", "rules/*.yml", "/b.yml"]', '"a.yml, rules/*.yml,/b.yml"'):
        path.write_text(f"rule_files = {text}", encoding="utf-8-sig")  # as Notepad writes it
        found = configuration.load({}, {}, str(path)).listed("rule_files")
        assert found == (f"{tmp_path}/a.yml", f"{tmp_path}/rules/*.yml", "/b.yml")


def test_a_path_below_nobodys_home_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _written(tmp_path, 'tls_cert = "~/x"')
    monkeypatch.setenv("HOME", "/home/ada")
    assert configuration.load({}, {}, str(path)).tls_cert == "/home/ada/x"
    assert configuration.load({"tls_key": "~/y"}, {}).tls_key == "/home/ada/y"

    def homeless(path: Path) -> Path:
        if path.parts[0] == "~":
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(Path, "expanduser", homeless)
    for given in ({"config": str(path)}, {"flags": {"data": "/d", "tls_cert": "~/x"}}):
        with pytest.raises(SettingsError, match="x: no home folder is known here: write the whole"):
            configuration.load(**{"flags": {"data": "/d"}, "environ": {}, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "text"),
    [("host", ""), ("host", "a b"), ("public_url", "edge.lan:8000"), ("vast_url", "vast.ai")],
)
def test_what_is_no_address_is_refused(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{name.upper()}={text}: expected something like "):
        configuration.load({}, {f"GFEDGE_{name.upper()}": text})


def test_a_file_in_the_data_folder_is_found(tmp_path: Path) -> None:
    _written(tmp_path, "port = 1234")
    assert configuration.load({"data": str(tmp_path)}, {}).port == 1234
    assert configuration.load({}, {"GFEDGE_DATA": str(tmp_path)}).port == 1234
    other = _written(tmp_path / "other", "port = 4321")
    given = {"GFEDGE_DATA": str(tmp_path), "GFEDGE_CONFIG": str(other)}
    assert configuration.load({}, given).port == 4321


def test_a_named_file_may_say_where_the_data_is(tmp_path: Path) -> None:
    path = _written(tmp_path, 'data = "here"\nmodels = "/models"\ntls_cert = "tls/gfedge.crt"')
    found = configuration.load({}, {}, str(path))
    assert (found.data, found.models) == (tmp_path / "here", Path("/models"))
    assert found.tls_cert == str(tmp_path / "tls" / "gfedge.crt")


def test_lists_and_plain_names(tmp_path: Path) -> None:
    text = 'allowed_host = ["edge.lan", "10.0.0.7"]\ngrafana_url = "http://g:3000"'
    found = configuration.load({}, {}, str(_written(tmp_path, text)))
    assert found.listed("allowed_host") == ("edge.lan", "10.0.0.7")
    assert found.grafana_url == "http://g:3000"
    environ = {"GRAFANA_URL": "http://h:3000"}
    path = str(tmp_path / "gfedge.toml")
    assert configuration.load({}, environ, path).grafana_url == "http://h:3000"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_que = 3", "gfedge.toml: max_que is not a setting: did you mean max_queue?"),
        ("max-queue = 3", "did you mean max_queue?"),
        (
            "[server]\nport = 1",
            "gfedge.toml: server is not a setting: `gfedge settings` lists them",
        ),
        ("port = 'abc'", "gfedge.toml: port = abc: expected a whole number from 0 to 65535"),
        ("port = 2020-01-01", "port: expected a text, a number, true or false"),
        ("port = [1]", "port: expected a text, a number, true or false"),
        ("cors_origin = [1]", "true or false or a list of texts"),
        ("port = ", "gfedge.toml is not TOML: "),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    _written(tmp_path, text)
    with pytest.raises(SettingsError, match=re.escape(said)):
        configuration.load({"data": str(tmp_path)}, {})


def test_the_file_of_the_data_folder_does_not_lead_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".local" / "share" / "gfedge"
    folder.mkdir(parents=True)
    _written(folder, 'data = "x"')
    with pytest.raises(SettingsError, match="data cannot be set in the file of the data folder"):
        configuration.load({}, {})


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "no.toml")
    for given in ({"config": missing}, {"environ": {"GFEDGE_CONFIG": missing}}):
        with pytest.raises(SettingsError, match=r"cannot read .*no\.toml: No such file"):
            configuration.load({}, **{"environ": {}, **given})  # type: ignore[arg-type]


def test_serve_refuses_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _written(tmp_path, "prot = 1")
    assert main(["serve", "--config", str(path)]) == 2
    assert "prot is not a setting: did you mean port?" in capsys.readouterr().err


# -- what is shown ------------------------------------------------------------------------------


def test_what_is_printed_is_a_file_with_every_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GFEDGE_MAX_QUEUE", "7")
    monkeypatch.setenv("GFEDGE_VAST_KEY", "very secret")
    path = _written(tmp_path, 'port = 9000\ncors_origin = ["http://a:1"]')
    assert main(["settings", "--config", str(path)]) == 0
    text = capsys.readouterr().out
    assert tomllib.loads(text) == {"port": 9000, "max_queue": 7, "cors_origin": "http://a:1"}
    assert re.search(
        r"^max_queue = 7 +# \[GFEDGE_MAX_QUEUE\] Jobs that may wait", text, re.MULTILINE
    )
    assert "very secret" not in text
    everything = tomllib.loads(re.sub(r"(?m)^#(?=\w)", "", text))
    assert list(everything) == list(Settings.__struct_fields__)


def test_settings_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _written(tmp_path, 'grafana_api_key = "very secret"')
    assert main(["settings", "--json", "--config", str(path)]) == 0
    rows = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert rows["grafana_api_key"]["value"] == "(hidden)"
    assert rows["grafana_api_key"]["source"] == str(path)
    assert (rows["port"]["value"], rows["port"]["source"]) == (8000, "default")


def test_the_doctor_tells_of_keys_that_everybody_may_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _written(tmp_path, 'grafana_api_key = "very secret"')
    advice = f"chmod 640 {path}"
    for mode, told in ((0o644, True), (0o640, False)):
        path.chmod(mode)
        main(["doctor", "--config", str(path), "--data", str(tmp_path)])
        assert (advice in capsys.readouterr().out) is told


def test_whatever_sounds_secret_is_hidden() -> None:
    names = set(Settings.__struct_fields__)
    assert names >= SECRETS
    sounds = {n for n in names if re.search(r"(^|_)(key|password|secret|token)$", n)}
    assert sounds - {"tls_key"} <= SECRETS


# -- reloads ------------------------------------------------------------------------------------


def test_nobody_keeps_a_copy_of_a_live_setting() -> None:
    """Where an object that lives as long as the server copies one at its start, a reload would not reach it."""
    assert set(Settings.__struct_fields__) >= LIVE
    applied = {"allowed_host", "cors_origin", "public_url", "log_level"}
    """Those have a reload of their own."""
    for path in Path(gfedge.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                read = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
                assert not read & (LIVE - applied), (path, node.lineno)


async def test_a_reload_changes_what_it_can(
    tmp_path: Path, process: Callable[..., Process], capsys: pytest.CaptureFixture[str]
) -> None:
    path = _written(tmp_path / "etc", 'max_prompt = 5\nvast_key = "very secret"\ntile = 64')
    server = process(config=path)
    server.start()
    origin = {"Origin": "http://app.lan:1"}
    async with connected(server.address) as api:
        body = {"prompt": "a red dragon"}
        await api.refused("POST", "/api/v1/ai/generate", 422, "invalid", json=body)
        await api.call("POST", "/api/v1/admin/reload", 403, headers=origin)
        text = 'max_prompt = 50\nvast_key = "another secret"\ntile = 128\ncors_origin = "http://app.lan:1"'
        path.write_text(text, encoding="utf-8")
        listed = (await api.get("/api/v1/admin/settings"))["settings"]
        known = {one["name"]: one for one in listed}
        assert (known["tile"]["value"], known["tile"]["default"]) == (64, 256)
        assert (known["tile"]["live"], known["max_prompt"]["live"]) == (False, True)
        assert known["vast_key"]["value"] == "(hidden)"
        assert {name: known[name]["source"] for name in ("tile", "data", "cors_origin")} == {
            "tile": str(path),
            "data": "--data",
            "cors_origin": "default",
        }
        told = await api.call("POST", "/api/v1/admin/reload")
        assert [one["name"] for one in told["reloads"]] == [
            "settings",
            "names and origins",
            "rules and receivers",
        ]
        assert told["reloads"][0]["said"] == [
            "tile stays 64 until a restart, then 128",
            "cors_origin: nothing -> http://app.lan:1",
            "max_prompt: 5 -> 50",
            "vast_key stays (hidden) until a restart, then (hidden)",
        ]
        listed = (await api.get("/api/v1/admin/settings"))["settings"]
        assert {"name": "cors_origin", "source": str(path)}.items() <= next(
            one for one in listed if one["name"] == "cors_origin"
        ).items()
        await api.call("POST", "/api/v1/ai/generate", 202, json=body, headers=origin)
        path.write_text("max_promt = 1", encoding="utf-8")
        said = await api.refused("POST", "/api/v1/admin/reload", 422, "reload_refused")
        assert said["detail"].endswith(
            "max_promt is not a setting: did you mean max_prompt? (what was read before goes on)"
        )
        assert "gfedge_reload_failures_total 1.0" in (await api.bytes("/metrics")).decode()
        records = (await api.get("/api/v1/admin/audit"))["records"]
        assert [one["action"] for one in records][:2] == ["reload", "reload"]
        assert "max_prompt: 5 -> 50" in records[1]["detail"]
        assert "refused settings" in records[0]["detail"]
    where = ["--config", str(path), "--data", str(server.data)]
    assert await asyncio.to_thread(main, ["reload", *where]) == 2  # this file is wrong for us too
    path.write_text(text.replace("= 50", "= 60"), encoding="utf-8")
    assert await asyncio.to_thread(main, ["reload", *where]) == 0
    assert "settings: max_prompt: 50 -> 60" in capsys.readouterr().out
    assert await asyncio.to_thread(main, ["reload", *where]) == 0
    assert "max_prompt" not in capsys.readouterr().out
    path.write_text('log_level = "debug"', encoding="utf-8")
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("reloaded settings: log_level: info -> debug")
    assert "secret" not in server.log.read_text()
    assert server.stop() == 0


# -- the process --------------------------------------------------------------------------------


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[queue.SimpleQueue[bytes]]:
    """What systemd would hear."""
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address := str(tmp_path / "notify"))

        def listen() -> None:
            while said := listening.recv(1000):
                heard.put(said)

        thread = threading.Thread(target=listen)
        thread.start()
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield heard
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ending:
            ending.sendto(b"", address)
        thread.join()


def test_systemd_is_told(
    systemd: queue.SimpleQueue[bytes],
    process: Callable[..., Process],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    server = process(log_format="json")
    server.launch()
    ready = systemd.get(timeout=60)
    assert ready.startswith(b"READY=1\nSTATUS=serving on http://127.0.0.1:")
    assert systemd.get(timeout=60) == b"WATCHDOG=1"
    assert server.stop() == 0
    while (last := systemd.get(timeout=60)) == b"WATCHDOG=1":
        pass
    assert last == b"STOPPING=1"
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert any(line["message"].startswith("gfedge ") for line in lines)
    assert {line["level"] for line in lines} == {"info"}


def test_a_systemd_that_does_not_read_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(address := str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        for _ in range(5000):
            notify.tell("WATCHDOG=1")


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    assert notify.watchdog_seconds({"WATCHDOG_USEC": "2000000"}) == 2.0
    assert notify.watchdog_seconds({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}) == 0.0
    assert notify.watchdog_seconds({}) == 0.0


def test_an_exception_is_one_line_of_json() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("gfedge", logging.ERROR, "", 1, "it %s", ("failed",), info)
    text = logs.JsonLines().format(record)
    assert "\n" not in text
    found = json.loads(text)
    assert (found["message"], found["priority"]) == ("it failed", 3)
    assert "ValueError: two" in found["exception"]


def test_every_setting_is_in_the_table() -> None:
    assert [row[0] for row in configuration.table()] == list(Settings.__struct_fields__)


def test_where_no_home_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an empty root: no HOME and no /etc/passwd."""

    def nobody(path: Path) -> Path:
        if str(path).startswith("~"):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(Path, "expanduser", nobody)
    with pytest.raises(SettingsError, match="name a folder with --data or GFEDGE_DATA"):
        configuration.load({}, {})
    assert configuration.load({"data": "/srv/gfedge"}, {}).data == Path("/srv/gfedge")
