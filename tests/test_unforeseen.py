"""What nobody foresaw ends one job with a reason; it does not leave it running for ever."""

from __future__ import annotations

from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer

from gfedge import keys
from gfedge.app import make_app
from gfedge.settings import Settings


async def test_an_end_that_cannot_be_recorded_fails_the_job(models: Path, tmp_path: Path) -> None:
    app = make_app(Settings(data=tmp_path / "other", models=models, port=0))
    async with TestClient(TestServer(app)) as client:
        await app[keys.DB].write(lambda cursor: cursor.execute("drop table jobs"))
        asked = {"prompt": "red dragon", "steps": 1}
        answer = await client.post("/api/v1/ai/generate", json=asked, headers={"Prefer": "wait=20"})
        job = await answer.json()
    assert (answer.status, job["status"]) == (200, "failed")
    assert job["error"]["code"] == "internal"
