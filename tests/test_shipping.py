"""What runs a server elsewhere: systemd units, the image, compose and its provisioning, selftest, the single binary."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import builders
import pytest
import yaml
from conftest import Process

import gfedge
from gfedge import configuration
from gfedge.cli import main, service
from gfedge.monitoring import grafana
from gfedge.settings import Settings

ROOT = Path(gfedge.__file__).parent.parent
SLOW = pytest.mark.skipif("GFEDGE_SLOW" not in os.environ, reason="takes minutes: GFEDGE_SLOW=1")


# -- systemd ------------------------------------------------------------------------------------


def test_the_units_are_written_below_a_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["install-service", "--root", str(tmp_path), "--command", "/opt/gfedge/bin/gfedge"]
    assert main(command) == 0
    assert "systemctl enable --now gfedge gfedge-backup.timer" in capsys.readouterr().out
    written = (tmp_path / "etc/systemd/system/gfedge.service").read_text()
    assert "ExecStart=/opt/gfedge/bin/gfedge serve\n" in written
    config = tmp_path / "etc/gfedge/gfedge.toml"
    assert configuration.load({}, {}, str(config)) == configuration.load({}, {})
    config.write_text("port = 9000\n")
    assert main(command) == 0
    assert config.read_text() == "port = 9000\n", "a file that somebody changed is left"


def test_a_program_in_a_home_folder_cannot_be_a_service(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert main(["install-service", "--command", "/home/ada/gfedge"]) == 2
    assert "it sees no home folders. Install gfedge elsewhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/opt/none/gfedge", "there is no program /opt/none/gfedge"),
        ("/opt/my dir/gfedge", "put the program where the path has no blanks"),
        ("/opt/100%/gfedge", "put the program where the path has no blanks"),
        ("/bin/sh", "systemd does not run this machine: --dry-run shows the units"),
    ],
)
def test_what_cannot_be_a_service_is_said(
    command: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("gfedge.cli.service.BOOTED", Path("/none"))
    assert main(["install-service", "--command", command]) == 2
    assert said in capsys.readouterr().err


def test_a_root_that_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    asked = ["install-service", "--root", str(tmp_path / "file"), "--command", "bin/gfedge"]
    assert main(asked) == 1
    assert "Not a directory" in capsys.readouterr().err
    assert main([*asked, "--dry-run"]) == 0
    assert f"ExecStart={Path.cwd()}/bin/gfedge serve\n" in capsys.readouterr().out


def test_the_one_file_binary_is_no_service_and_the_folder_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PyInstaller's bootloader: the parent of the one file waits, and systemd hears the parent alone."""
    monkeypatch.setattr("sys.frozen", True, raising=False)
    monkeypatch.setattr("sys.executable", str(tmp_path / "gfedge"))
    monkeypatch.setattr("sys._MEIPASS", str(tmp_path / "_MEIq1w2e3"), raising=False)
    for more in ([], ["--dry-run"], ["--command", str(tmp_path / "gfedge")]):
        assert main(["install-service", "--root", str(tmp_path / "root"), *more]) == 2
        assert "Take the folder build" in capsys.readouterr().err
    assert main(["install-service", "--dry-run", "--command", "/opt/gfedge/gfedge"]) == 0
    monkeypatch.setattr("sys._MEIPASS", str(tmp_path / "_internal"))
    assert main(["install-service", "--root", str(tmp_path / "root")]) == 0


def test_nightly_backups_lie_on_one_mount_with_the_pictures() -> None:
    """Each writable path of a unit is a mount, and there are no hard links between mounts."""
    text = service.unit("gfedge-backup.service", "/opt/gfedge/bin/gfedge")
    assert "ReadWritePaths" not in text
    assert "StateDirectory=gfedge\n" in text
    assert set(re.findall(r"/var/[a-z/]+", text)) == {"/var/lib/gfedge", "/var/lib/gfedge/backups/nightly", "/var/lib/gfedge/backups"}  # fmt: skip
    assert "-name 'nightly-*' -mtime +14 -exec rm -r {} +" in text, "those made by hand stay"


def test_everybody_else_is_told_to_use_sudo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(["install-service"]) == 2
    assert "run it with sudo; --dry-run shows what" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    for name in service.UNITS:
        (tmp_path / name).write_text(service.unit(name, shutil.which("sh") or "/bin/sh"))
    asked = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in service.UNITS)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "gfedge" in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("name", ["gfedge.service", "gfedge-backup.service"])
def test_the_services_are_shut_in(tmp_path: Path, name: str) -> None:
    """2.0 of 10 is what systemd calls OK; a service of which it knows nothing has 9.6."""
    (tmp_path / name).write_text(service.unit(name, "/bin/sh"))
    asked = [
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=20",
        str(tmp_path / name),
    ]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if "offline" in done.stderr:
        pytest.skip("this systemd-analyze looks at running services alone")
    assert done.returncode == 0, done.stdout[-300:]


# -- the image ----------------------------------------------------------------------------------


def test_the_image_copies_what_is_there_and_sets_what_is_a_setting() -> None:
    text = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in sources.split():
            assert (ROOT / name).exists()
            assert any(
                f"!{name}".startswith(line.rstrip("*")) for line in ignored if line[0] == "!"
            )
    set_here = dict(re.findall(r"\b(GFEDGE_\w+)=(\S+)", text))
    loaded = configuration.load({}, set_here)
    assert (loaded.host, str(loaded.data), loaded.log_format) == ("0.0.0.0", "/data", "json")
    assert {name.removeprefix("GFEDGE_").lower() for name in set_here} <= {
        *Settings.__struct_fields__
    }
    assert text.rindex("USER 10001") > text.rindex("RUN ")


def _shell_of(dockerfile: str, word: str) -> str:
    """The RUN instruction with a word in it, as the shell gets it."""
    joined = dockerfile.replace("\\\n", "")
    return next(line[4:] for line in joined.splitlines() if line[:4] == "RUN " and word in line)


@pytest.mark.parametrize(
    ("release", "python", "code"),
    [("", "python:3.13-slim", 0), ("1", "python:3.13-slim", 1), ("1", f"python@sha256:{'0' * 64}", 0)],
)  # fmt: skip
def test_a_release_is_built_from_a_base_with_its_digest(
    release: str, python: str, code: int
) -> None:
    check = _shell_of((ROOT / "Dockerfile").read_text(), "RELEASE")
    done = subprocess.run(["sh", "-c", check], env={"RELEASE": release, "PYTHON": python}, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == code
    assert code == 0 or "not from python:3.13-slim: tools/docker/pin.sh" in done.stderr


def test_the_digests_of_all_images_are_asked_for(tmp_path: Path) -> None:
    skopeo = tmp_path / "skopeo"
    skopeo.write_text(f"#!/bin/sh\necho $5 >> {tmp_path}/asked; echo sha256:{'a1' * 32}\n")
    skopeo.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run([ROOT / "tools/docker/pin.sh"], env=environ, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    pinned = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert set(pinned) == {"PYTHON", "PROMETHEUS", "GRAFANA"}
    assert all(re.fullmatch(r"\S+:\S+@sha256:(a1){32}", image) for image in pinned.values())
    asked = (tmp_path / "asked").read_text()
    assert "docker://docker.io/library/python:3.13-slim" in asked
    skopeo.write_text("#!/bin/sh\necho 'connection refused' >&2; exit 1\n")
    failed = subprocess.run([ROOT / "tools/docker/pin.sh"], env=environ, capture_output=True, text=True, check=False)  # fmt: skip
    assert failed.returncode == 1
    assert "no digest of python:3.13-slim: is its registry reachable?" in failed.stderr


LINTERS = (
    ("hadolint", "Dockerfile"),
    ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"),
)


@pytest.mark.parametrize("command", LINTERS, ids=lambda command: command[0])
def test_linters_find_nothing(command: tuple[str, ...]) -> None:
    path = f"{ROOT}/.venv-lint/bin:{os.environ['PATH']}"
    if (program := shutil.which(command[0], path=path)) is None:
        pytest.skip(f"needs {command[0]}: `make lint`")
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_for_the_cpu_differs_in_onnxruntime_alone() -> None:
    pins = [
        set(re.findall(r"(?m)^([a-z0-9-]+==\S+)", (ROOT / name).read_text()))
        for name in ("requirements.lock", "requirements-cpu.lock")
    ]
    assert {pin.partition("==")[0] for pin in pins[0] ^ pins[1]} == {"onnxruntime-gpu"}


def test_the_lock_for_training_fits_the_server_and_leaves_the_build_of_torch_open() -> None:
    """What both have is of one version; torch is pinned beside it, and nothing of one of its builds comes along."""
    server, train = (
        dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text()))
        for name in ("requirements-cpu.lock", "requirements-train.lock")
    )
    assert {name: version for name, version in train.items() if name in server} == {
        name: server[name] for name in train.keys() & server.keys()
    }
    assert "sympy" in train
    assert not [name for name in train if re.match("torch|nvidia|cuda|triton", name)]
    assert re.search(r"(?m)^torch==\d+\.\d+\.\d+$", (ROOT / "requirements-train.in").read_text())


def test_compose_wires_what_is_there() -> None:
    found = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for name, one in found["services"].items():
        for volume in one.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if "/" in source else source in found["volumes"]
        assert name in ("gfedge", "tokens", *one.get("profiles", ()))
    ours = {name: one for name, one in found["services"].items() if one["image"] == "gfedge"}
    assert set(ours) == {"gfedge", "tokens"}
    for one in ours.values():
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in one, "the image's: 10001"
    names = {n.removeprefix("GFEDGE_").lower() for n in ours["gfedge"]["environment"]}
    assert names <= set(Settings.__struct_fields__)


def test_compose_mints_tokens_that_the_server_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tokens volume may outlive the data that it was made for."""
    monkeypatch.setenv("GFEDGE_DATA", str(tmp_path / "data"))
    assert main(["token", "create", "--name", "prometheus", "--scope", "metrics"]) == 0
    (tmp_path / "prometheus").write_text(known := capsys.readouterr().out)
    (tmp_path / "grafana").write_text(dead := f"gfe_abcdefgh_{'a' * 52}\n")
    found = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    *shell, script = found["services"]["tokens"]["entrypoint"]
    script = script.replace("$$", "$").replace("/tokens", str(tmp_path)).replace("/tmp/known", f"{tmp_path}/known")  # fmt: skip
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    here = {"PATH": path, "GFEDGE_DATA": str(tmp_path / "data"), "HOME": str(tmp_path)}
    subprocess.run([*shell, script], env=here, check=True)
    assert (tmp_path / "prometheus").read_text() == known
    minted = (tmp_path / "grafana").read_text()
    assert minted != dead
    assert main(["token", "list"]) == 0
    assert re.search(rf"(?m)^{minted[4:12]} +read +valid .* grafana$", capsys.readouterr().out)


def test_grafana_gets_what_the_server_would_give_it() -> None:
    provisioned = ROOT / "deploy" / "grafana"
    given = yaml.safe_load(grafana.provisioning("http://gfedge:8000", 5.0))
    source = yaml.safe_load((provisioned / "datasources.yaml").read_text())["datasources"][0]
    token = {"httpHeaderValue1": "Bearer $__file{/tokens/grafana}"}
    assert source.pop("secureJsonData") == token
    assert source["jsonData"].pop("httpHeaderName1") == "Authorization"
    assert source == given["datasources"][0]
    boards = yaml.safe_load((provisioned / "dashboards.yaml").read_text())
    assert boards["providers"] == given["providers"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_prometheus_takes_its_file() -> None:
    asked = ["promtool", "check", "config", "--syntax-only", str(ROOT / "deploy/prometheus.yml")]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- a server elsewhere -------------------------------------------------------------------------


def test_health_of_a_data_folder(
    process: Callable[..., Process], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data", str(tmp_path / "data")]
    assert main(["health", *where]) == 1
    assert f"no server runs on {tmp_path / 'data'}" in capsys.readouterr().err
    server = process()
    server.start()
    assert main(["health", *where]) == 0
    assert capsys.readouterr().out == "ok\n"
    server.kill()
    assert main(["health", *where]) == 2
    assert "no gfedge server answers" in capsys.readouterr().err


def test_a_backup_finds_the_server_by_its_data_folder_and_needs_no_token(
    process: Callable[..., Process], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = process(host="0.0.0.0", admin_token_file=tmp_path / "token")
    server.launch()
    server.wait_for(" on http")
    kept, where = str(tmp_path / "kept"), ["--data", str(tmp_path / "data")]
    assert main(["backup", kept, *where]) == 0
    assert main(["verify", *where]) == 0
    assert main(["verify", kept]) == 0
    assert capsys.readouterr().out.count("all is sound") == 2
    assert server.stop() == 0


def test_selftest(models: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", "--models", str(models), "--device", "cpu"]) == 0
    said = capfd.readouterr().out
    assert [line.split()[0] for line in said.splitlines()] == [
        "serves", "generates", "upscales", "traces", "stops", "works",
    ]  # fmt: skip


def test_selftest_shows_the_log_of_a_server_that_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builders.make_superres_folder(tmp_path)
    (tmp_path / "superres" / "1" / "model.toml").write_text("name = 1")
    config = tmp_path / "gfedge.toml"
    config.write_text('tls_cert = "missing.crt"\ntls_key = "missing.key"')
    assert main(["selftest", "--models", str(tmp_path), "--config", str(config)]) == 1
    said = capsys.readouterr().err
    assert "the server ended with code 2\nthe log of its server:" in said
    assert "missing.crt and" in said
    assert main(["selftest", "--models", str(tmp_path / "none")]) == 1
    assert "there is no model in" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs readelf")
def test_the_oldest_glibc_is_told(tmp_path: Path) -> None:
    """A program asks for some version or other; what is no program asks for none."""
    program = ROOT / "tools/binary/glibc.sh"
    shutil.copy("/bin/sh", tmp_path / "sh")
    said = subprocess.run([program, tmp_path], check=True, capture_output=True, text=True).stdout
    assert re.fullmatch(rf"glibc 2\.[0-9.]+\n{tmp_path}/sh\n", said)
    (tmp_path / "sh").write_text("#!/bin/sh\n")
    failed = subprocess.run([program, tmp_path], capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr) == (1, "nothing here asks for a glibc\n")


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs readelf")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="of x86-64 it is told")
def test_the_page_of_operations_says_what_the_wheels_allow() -> None:
    asked = [ROOT / "tools/binary/glibc.sh", sysconfig.get_path("platlib") + "/onnxruntime"]
    said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    found = re.search(
        r"wheels of the lock ask for glibc (\S+)", (ROOT / "docs/operations.md").read_text()
    )
    assert found is not None
    assert said.startswith(f"glibc {found[1]}\n")
    assert f"\nGLIBC={found[1]}\n" in (ROOT / "tools/binary/floor.sh").read_text()


DEBIAN_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ROOT_NEEDED = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for chroot and mount")


def _works_in(*root: str) -> None:
    """Both forms of the binary, in an empty root or another."""
    for name in ("gfedge", "gfedge-onefile"):
        asked = ["tools/binary/chroot.sh", f"dist/{name}", *root]
        said = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        assert said.count("works") == 2


@SLOW
@ROOT_NEEDED
def test_the_single_binary_where_there_is_nothing_else() -> None:
    """Builds it, and runs its selftest in a root with the C library and zlib alone; needs root and the network."""
    subprocess.run(["make", "binary"], cwd=ROOT, check=True)
    _works_in()


@SLOW
@ROOT_NEEDED
@pytest.mark.skipif(
    not (shutil.which("dpkg-source") and DEBIAN_KEYS.exists()),
    reason="needs a Debian with dpkg-dev",
)
def test_the_single_binary_for_an_old_glibc() -> None:
    """It asks for no newer one than the wheels do, and runs with that of Debian 11 and with this system's."""
    subprocess.run(["make", "binary", "FLOOR=1"], cwd=ROOT, check=True)
    asked = ["tools/binary/glibc.sh", "dist/gfedge"]
    said = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert said.startswith("glibc 2.28\n")
    _works_in()
    _works_in("build/floor/debian11")
