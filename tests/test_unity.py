"""The component of docs/howto/unity.md, compiled by Mono with as much of Unity as it uses, on a real server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from blocks import ROOT, blocks
from conftest import Process


@pytest.mark.skipif(
    not (shutil.which("mcs") and shutil.which("mono")), reason="Mono is not installed"
)
def test_the_component_draws_and_hears(process: Callable[..., Process], tmp_path: Path) -> None:
    (page,) = [one for one in blocks(ROOT / "docs/howto/unity.md") if one.language == "csharp"]
    source, program = tmp_path / "Gfedge.cs", tmp_path / "unity.exe"
    source.write_text(page.text)
    line = ["mcs", f"-out:{program}", str(source), str(ROOT / "tests/unity.cs")]
    subprocess.run(line, check=True, timeout=60)
    server = process()
    server.start()
    line = ["mono", str(program), server.address]
    said = subprocess.run(line, check=True, capture_output=True, text=True, timeout=60).stdout
    first, *others = sorted(said.splitlines())
    assert first.startswith("error gfedge: prompt: ")
    assert others == ["job.ended", "snapshot", "sprite 64x64"]
