"""`gfedge models` against a server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import builders
import pytest
from conftest import Api, Serving
from test_promotion import UNGATED, nearest, put_policy, up

from gfedge.cli import main


async def run(api: Api, *words: str) -> int:
    """The exit code of a command; its output is captured."""
    server = f"http://{api.http.server.host}:{api.http.server.port}"  # type: ignore[union-attr]
    return await asyncio.to_thread(main, ["models", *words, "--server", server])


async def test_an_operator_registers_promotes_and_rolls_back(
    serving: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = await up(serving)
    folder = builders.make_superres_folder(tmp_path / "made", version="2", onnx_bytes=nearest())
    assert await run(client, "register", str(folder), "--note", "sharper") == 0
    assert "registered superres@2 (dev)" in capsys.readouterr().out
    assert await run(client, "register", str(folder)) == 0
    assert "these files are superres@2" in capsys.readouterr().out
    assert await run(client, "promote", "superres@2", "--reason", "good") == 0
    assert "superres@2 is in staging" in capsys.readouterr().out
    await put_policy(client, prod={**UNGATED, "metrics": {"psnr": {"min": 30}}})
    assert await run(client, "promote", "superres@2") == 1
    said = capsys.readouterr()
    assert "FAILED  metric psnr" in said.out
    assert "does not come to prod" in said.err
    assert await run(client, "promote", "superres@2", "--dry-run") == 0
    assert "would not pass" in capsys.readouterr().out
    assert await run(client, "promote", "superres@2", "--force") == 0
    assert await run(client, "list") == 0
    assert "* superres@2" in capsys.readouterr().out
    assert await run(client, "rollback", "superres", "--reason", "blurry") == 0
    assert "superres@1 is in prod, before it 2" in capsys.readouterr().out
    assert await run(client, "history", "superres") == 0
    history = capsys.readouterr().out
    assert "rolled back archived -> prod" in history
    assert "staging -> prod (forced)" in history
    assert await run(client, "show", "superres@2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["note"] == "sharper"


async def test_a_graph_is_sent_to_the_model_that_is_named(
    serving: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = await up(serving)
    file = tmp_path / "net.onnx"
    file.write_bytes(nearest())
    assert await run(client, "register", str(file)) == 1
    assert "no model.toml came along" in capsys.readouterr().err
    assert await run(client, "register", str(file), "--name", "superres") == 0
    assert "registered superres@2" in capsys.readouterr().out
    assert await run(client, "register", str(tmp_path / "nothing")) == 2
    assert await run(client, "show", "nothing") == 1
