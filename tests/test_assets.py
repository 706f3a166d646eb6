"""Assets over HTTP: immutable, cached by digest, in ranges, and stored once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import builders
import pytest
from conftest import JOBS, Api, Serving

PNG = builders.png_file(24, 20)
SHA256 = hashlib.sha256(PNG).hexdigest()
URL = f"/api/v1/assets/{SHA256}"


@pytest.fixture
async def stored(client: Api) -> Api:
    """A server that has PNG."""
    await client.upscale(PNG, mode="pixel")
    return client


async def fetched(api: Api, status: int, **headers: str) -> tuple[Any, bytes]:
    """(headers, body) of the asset."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.http.request("GET", URL, headers=headers) as response:
        assert response.status == status
        return response.headers, await response.read()


async def test_an_asset_is_sent_as_it_came(stored: Api) -> None:
    headers, body = await fetched(stored, 200)
    assert body == PNG
    assert headers["Content-Type"] == "image/png"
    assert headers["Content-Length"] == str(len(PNG))
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_an_asset_is_cached_for_ever(stored: Api) -> None:
    headers, _ = await fetched(stored, 200)
    assert headers["ETag"] == f'"{SHA256}"'
    assert "immutable" in headers["Cache-Control"]
    assert "max-age=31536000" in headers["Cache-Control"]


@pytest.mark.parametrize("tag", [f'"{SHA256}"', f'W/"{SHA256}"', f'"other", "{SHA256}"', "*"])
async def test_who_has_the_asset_is_told_so(stored: Api, tag: str) -> None:
    headers, body = await fetched(stored, 304, If_None_Match=tag)
    assert body == b""
    assert headers["ETag"] == f'"{SHA256}"'


async def test_who_has_another_asset_gets_this_one(stored: Api) -> None:
    assert (await fetched(stored, 200, If_None_Match='"0000"'))[1] == PNG


async def test_if_match_compares_the_digest(stored: Api) -> None:
    assert (await fetched(stored, 200, If_Match=f'"{SHA256}"'))[1] == PNG
    await fetched(stored, 412, If_Match='"0000"')


@pytest.mark.parametrize(
    ("wanted", "part"),
    [("bytes=0-9", slice(0, 10)), ("bytes=100-", slice(100, None)), ("bytes=-7", slice(-7, None))],
)
async def test_a_range_is_sent_alone(stored: Api, wanted: str, part: slice) -> None:
    headers, body = await fetched(stored, 206, Range=wanted)
    assert body == PNG[part]
    assert headers["Content-Range"].endswith(f"/{len(PNG)}")
    assert headers["ETag"] == f'"{SHA256}"'


async def test_a_range_of_another_version_gets_the_whole(stored: Api) -> None:
    assert (await fetched(stored, 206, Range="bytes=0-9", If_Range=f'"{SHA256}"'))[1] == PNG[:10]
    assert (await fetched(stored, 200, Range="bytes=0-9", If_Range='"0000"'))[1] == PNG


async def test_a_range_outside_is_refused(stored: Api) -> None:
    headers, _ = await fetched(stored, 416, Range=f"bytes={len(PNG)}-")
    assert headers["Content-Range"] == f"bytes */{len(PNG)}"


async def test_a_range_that_cannot_be_satisfied_is_a_problem(stored: Api) -> None:
    async with stored.http.request("GET", URL, headers={"Range": "bytes=99999-"}) as response:
        assert response.status == 416
        assert response.content_type == "application/problem+json"
        assert (await response.json(content_type=None))["code"] == "range_not_satisfiable"


async def test_a_range_in_another_unit_is_ignored(stored: Api) -> None:
    assert (await fetched(stored, 200, Range="lines=1-2"))[1] == PNG


async def test_head_of_an_asset_says_its_size(stored: Api) -> None:
    async with stored.http.request("HEAD", URL) as response:
        assert response.status == 200
        assert response.headers["Content-Length"] == str(len(PNG))
        assert response.headers["ETag"] == f'"{SHA256}"'
        assert await response.read() == b""


async def test_head_has_no_ranges(stored: Api) -> None:
    async with stored.http.request("HEAD", URL, headers={"Range": "bytes=0-9"}) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(PNG)))


async def test_both_prefixes_give_the_asset(stored: Api) -> None:
    assert await stored.bytes(URL) == await stored.bytes(URL.replace("/api/v1", "/api")) == PNG


async def test_the_same_bytes_are_stored_once(stored: Api, tmp_path: Path) -> None:
    await stored.upscale(PNG, mode="pixel")
    await stored.upscale(PNG)
    jobs = (await stored.get(JOBS))["jobs"]
    assert [job["inputs"] for job in jobs] == [[SHA256]] * 3
    files = [path for path in (tmp_path / "data" / "assets").rglob("*") if path.is_file()]
    outputs = {output["sha256"] for job in jobs for output in job["outputs"]}
    assert {path.parent.name + path.stem for path in files} == {SHA256} | outputs
    assert len(files) == 1 + len(outputs)


async def test_an_asset_is_named_by_its_bytes(client: Api) -> None:
    output = (await client.generate(scale=2))["outputs"][0]
    data = await client.bytes(output["url"])
    assert hashlib.sha256(data).hexdigest() == output["sha256"]
    assert len(data) == output["bytes"]
    assert output["url"] == f"/api/v1/assets/{output['sha256']}"


async def test_assets_survive_a_restart(serving: Serving) -> None:
    output = (await (await serving()).generate())["outputs"][0]
    data = await (await serving()).bytes(output["url"])
    assert hashlib.sha256(data).hexdigest() == output["sha256"]


async def test_what_a_crash_left_half_written_is_removed(serving: Serving, tmp_path: Path) -> None:
    await (await serving()).upscale(PNG, mode="pixel")
    folder = tmp_path / "data" / "assets" / SHA256[:2]
    (folder / ".0123456789abcdef.part").write_bytes(PNG[:50])
    client = await serving()
    assert [path.name for path in folder.iterdir()] == [f"{SHA256[2:]}.png"]
    assert await client.bytes(URL) == PNG


async def test_an_asset_that_is_gone_is_a_problem(stored: Api, tmp_path: Path) -> None:
    (tmp_path / "data" / "assets" / SHA256[:2] / f"{SHA256[2:]}.png").unlink()
    await stored.refused("GET", URL, 404, "asset_not_found")


async def test_a_picture_sent_again_mends_an_asset_that_was_gone(
    stored: Api, tmp_path: Path
) -> None:
    (tmp_path / "data" / "assets" / SHA256[:2] / f"{SHA256[2:]}.png").unlink()
    await stored.upscale(PNG, mode="pixel")
    assert await stored.bytes(URL) == PNG
