"""CUDA libraries outside of gfedge: the order of the search, what is said of those that are nowhere. No GPU is needed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gfedge.cli import doctor
from gfedge.inference import cuda
from gfedge.inference.device import onnxruntime
from gfedge.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libraries are named so on Linux")
LOADABLE = Path(msgspec._core.__file__)
"""Some shared object."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A toolkit of stand-ins: one library that loads, one that does not, the others missing."""
    (tmp_path / "lib64").mkdir()
    shutil.copy(LOADABLE, tmp_path / "lib64" / "libcudart.so.13")
    (tmp_path / "libcudnn.so.9").write_text("not a library")
    return tmp_path


def test_the_folder_of_the_setting_comes_first(folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    packages = tmp_path_factory.mktemp("env") / "site-packages"
    for name in ("libcudart.so.13", "libcurand.so.10"):
        path = packages / "nvidia/cu13/lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(LOADABLE, path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    found = {one.name: one for one in cuda.load(str(folder))}
    assert found["libcudart.so.13"].place == str(folder / "lib64" / "libcudart.so.13")
    assert found["libcurand.so.10"].place == str(packages / "nvidia/cu13/lib/libcurand.so.10")
    without = {one.name: one for one in cuda.load("")}
    assert without["libcudart.so.13"].place.startswith(str(packages))


def test_what_is_missing_is_named_with_the_places(folder: Path) -> None:
    found = [one for one in cuda.load(str(folder)) if one.place != "the system"]
    said = cuda.missing(found, str(folder))
    assert f"libcudnn.so.9 does not load: {folder}/libcudnn.so.9: " in said[0]
    assert "libcublasLt.so.13" in said[1]
    assert f"looked in {folder} (cuda_dir)" in said[1]
    assert "cuda_dir is not set" in cuda.missing([cuda.Found("libcudart.so.13", "")], "")[0]
    assert cuda.missing([cuda.Found("libcudart.so.13", "the system")], "") == []


def test_the_doctor_says_what_the_folder_has(folder: Path) -> None:
    said = [one for one in doctor.device(Settings(cuda_dir=str(folder), device="cpu")) if one.subject == "cuda_dir"]  # fmt: skip
    assert said[0].level == "ok"
    assert said[0].text == f"{folder} has libcudart.so.13"
    assert any("libcudnn.so.9 does not load" in one.text for one in said)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_what_was_loaded_by_its_path_serves_who_asks_for_the_name(tmp_path: Path) -> None:
    """As ONNX Runtime's CUDA provider does; in a process of its own, because nothing is unloaded."""
    for name in cuda.LIBRARIES:
        made = ["cc", "-shared", "-nostdlib", f"-Wl,-soname,{name}", "-o", str(tmp_path / name)]
        subprocess.run([*made, "-x", "c", "/dev/null"], check=True)
    script = """
import ctypes, sys
from gfedge.inference import cuda
try:
    ctypes.CDLL("libcudnn.so.9")
except OSError:
    pass
else:
    sys.exit("it is on the system")
assert cuda.missing(cuda.load(sys.argv[1]), sys.argv[1]) == []
for name in cuda.LIBRARIES:
    ctypes.CDLL(name)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or "on the system" in done.stderr, done.stderr


def test_the_list_is_that_of_the_locked_onnxruntime() -> None:
    ort = onnxruntime()
    if not getattr(ort, "cuda_version", ""):
        pytest.skip("this onnxruntime is for the CPU")
    assert {path[-1] for path in ort._get_nvidia_dll_paths(False)} == set(cuda.LIBRARIES)


@pytest.mark.skipif(not doctor.version("onnxruntime-gpu"), reason="needs onnxruntime-gpu")
def test_the_binary_for_gpus_is_told_how_to_bring_what_it_does_not_carry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a driver too: a machine is got ready before its card works. It has no packages of a Python to look in."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(cuda, "LIBRARIES", ("libnone.so.13",))
    (said,) = [
        one.text for one in doctor.device(Settings(device="cpu")) if one.subject == "cuda_dir"
    ]
    assert said.startswith("libnone.so.13 is nowhere: looked in no folder of its own (cuda_dir is not set) and the system's libraries.")  # fmt: skip
    assert "pip install --target FOLDER 'onnxruntime-gpu[cuda,cudnn]', then cuda_dir = FOLDER" in said  # fmt: skip
    monkeypatch.setattr(sys, "frozen", False)
    assert not [one for one in doctor.device(Settings(device="cpu")) if one.subject == "cuda_dir"]


def test_the_doctor_says_the_same_only_once(folder: Path) -> None:
    missing = cuda.missing(cuda.load(str(folder)), str(folder))
    assert [one.text for one in doctor._cuda_folder(str(folder), missing)] == [
        f"{folder} has libcudart.so.13"
    ]
