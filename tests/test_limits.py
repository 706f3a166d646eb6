"""What is refused, with a code of its own and always as problem+json; and what a refusal costs."""

from __future__ import annotations

import base64
import gzip
import io
import json
import resource
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import builders
import pytest
import pytest_asyncio
from conftest import JOBS, Api, make_models, start_server

GENERATE, SUPERRES, TRACE = "/api/v1/ai/generate", "/api/v1/ai/superres", "/api/v1/trace"
PNG = {"Content-Type": "image/png"}
JSON = {"Content-Type": "application/json"}
SIDE = 64
"""The largest picture of this server is SIDE x SIDE."""
BODY = 1 << 18

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """One server for the whole file; what it refuses must leave nothing behind, as the last test shows."""
    folder = tmp_path_factory.mktemp("limits")
    running = await start_server(
        folder / "data",
        make_models(folder / "models"),
        max_pixels=SIDE * SIDE,
        max_output_pixels=16 * SIDE * SIDE,
        max_body=BODY,
    )
    yield Api(running)
    await running.close()


# -- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", " \t\n"),
        ("prompt", "x" * 501),
        ("prompt", 7),
        ("prompt", None),
        ("prompt", ["red dragon"]),
        ("negative_prompt", "x" * 501),
        ("n", 0),
        ("n", 17),
        ("n", 10**30),
        ("n", "2"),
        ("steps", 0),
        ("steps", 101),
        ("steps", 2.5),
        ("guidance_scale", -0.1),
        ("guidance_scale", 31),
        ("scale", 0),
        ("scale", 5),
        ("scale", "4"),
        ("seed", -2),
        ("seed", 2**63),
        ("seed", 1.5),
        ("palette", 1),
        ("palette", 257),
        ("palette", []),
        ("palette", ["#ff000"]),
        ("palette", ["red"]),
        ("palette", ["#112233\n"]),
        ("palette", ["#112233"] * 257),
        ("palette", "16"),
        ("background", "red"),
        ("background", "#12345"),
        ("background", "#123456\n"),
        ("background", None),
        ("model", "../sprite"),
        ("model", ""),
        ("model", "x" * 201),
        ("experiment", ""),
        ("experiment", "a\nb"),
        ("experiment", "a\n"),
        ("experiment", "x" * 201),
        ("size", 64),
    ],
)
async def test_a_value_outside_its_limits_is_refused(server: Api, field: str, value: Any) -> None:
    body = {"prompt": "red dragon", field: value}
    problem = await server.refused("POST", GENERATE, 422, "invalid", json=body)
    assert problem["field"].partition("[")[0] == field
    assert not any(word in problem["detail"] for word in ("`str`", "`int", "regex", "Object"))


async def test_a_prompt_is_needed(server: Api) -> None:
    problem = await server.refused("POST", GENERATE, 422, "invalid", json={"n": 1})
    assert (problem["field"], problem["detail"]) == ("prompt", "prompt: is missing")


@pytest.mark.parametrize("path", [GENERATE, SUPERRES])
async def test_options_beside_a_json_body_are_refused_not_lost(server: Api, path: str) -> None:
    problem = await server.refused(
        "POST", f"{path}?scale=2", 422, "query_not_taken", json={"prompt": "red dragon"}
    )
    assert "scale" in problem["detail"]


async def test_the_limit_of_a_prompt_is_in_characters(server: Api) -> None:
    job = await server.call("POST", GENERATE, 202, json={"prompt": "龍" * 500, "n": 16})
    await server.until(job["id"])


async def test_an_unknown_model_is_refused_by_name(server: Api) -> None:
    body = {"prompt": "red dragon", "model": "sprite@99"}
    problem = await server.refused("POST", GENERATE, 422, "model_not_found", json=body)
    assert "sprite@1" in problem["detail"]


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (GENERATE, {"json": {"prompt": "red dragon", "model": "superres"}}),
        (f"{SUPERRES}?model=sprite", {"data": builders.png_file(), "headers": PNG}),
    ],
)
async def test_a_model_of_the_other_kind_is_refused(
    server: Api, path: str, options: dict[str, Any]
) -> None:
    await server.refused("POST", path, 422, "model_of_other_kind", **options)


@pytest.mark.parametrize(
    "query",
    ["scale=5", "scale=1", "scale=four", "mode=blurry", "tileable=maybe", "size=3", "scale="],
)
async def test_a_query_outside_its_limits_is_refused(server: Api, query: str) -> None:
    problem = await server.refused(
        "POST", f"{SUPERRES}?{query}", 422, "invalid", data=builders.png_file(), headers=PNG
    )
    assert query.partition("=")[0] in problem["detail"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=all",
        "status=done",
        "kind=paint",
        "after=noon",
        "page=2",
        "cursor=x",
        "after=nan",
        "before=inf",
    ],
)
async def test_a_listing_refuses_a_query_it_does_not_know(server: Api, query: str) -> None:
    await server.refused("GET", f"{JOBS}?{query}", 422, "invalid")


# -- bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"prompt": }',
        b'{"prompt": "red dragon"} x',
        b'{"prompt": "red dragon", "guidance_scale": NaN}',
        b'{"prompt": "\xff\xfe"}',
        "prompt".encode("utf-16"),
        b'{"prompt": "\\ud800"}',
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_body_that_is_no_json_is_refused(server: Api, body: bytes) -> None:
    await server.refused("POST", GENERATE, 400, "malformed_json", data=body, headers=JSON)


@pytest.mark.parametrize("body", ["[]", "null", "7", '"red dragon"', "{}"])
async def test_json_of_another_shape_is_refused(server: Api, body: str) -> None:
    await server.refused("POST", GENERATE, 422, "invalid", data=body, headers=JSON)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"other": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"prompt": "red dragon", "palette": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"prompt": ' + b'{"a": ' * 20_000 + b"1" + b"}" * 20_001,
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_json_that_is_nested_deeply_is_refused(server: Api, body: bytes) -> None:
    await server.refused("POST", GENERATE, 422, "invalid", data=body, headers=JSON)


@pytest.mark.parametrize("path", [GENERATE, SUPERRES, TRACE])
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "image/gif", "x/y"]
)
async def test_another_content_type_is_refused(server: Api, path: str, kind: str) -> None:
    headers = {"Content-Type": kind}
    await server.refused("POST", path, 415, "unsupported_media_type", data=b"a=1", headers=headers)


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size >> 12):
        yield bytes(1 << 12)


@pytest.mark.parametrize("path", [GENERATE, SUPERRES, TRACE])
async def test_a_body_over_the_limit_is_refused(server: Api, path: str) -> None:
    headers = JSON if path == GENERATE else PNG
    for data in (bytes(BODY + 1), chunks(2 * BODY)):
        await server.refused("POST", path, 413, "too_large", data=data, headers=headers)


async def test_a_form_over_the_limit_is_refused(server: Api) -> None:
    form = aiohttp.FormData()
    form.add_field("file", bytes(BODY + 1), filename="in.png")
    await server.refused("POST", SUPERRES, 413, "too_large", data=form)


async def test_a_packed_body_is_refused_by_its_unpacked_size(server: Api) -> None:
    body = gzip.compress(b'{"prompt": "' + b" " * (64 << 20) + b'"}')
    assert len(body) < BODY
    before = peak_memory()
    await server.refused(
        "POST", GENERATE, 413, "too_large", data=body, headers=JSON | {"Content-Encoding": "gzip"}
    )
    assert peak_memory() - before < 32 << 20


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_packed_as_it_says_is_refused(server: Api, encoding: str) -> None:
    headers = JSON | {"Content-Encoding": encoding}
    problem = await server.refused("POST", GENERATE, 400, "bad_body", data=b"nope", headers=headers)
    assert encoding in problem["detail"]


# -- pictures -----------------------------------------------------------------------------------


def peak_memory() -> int:
    """The most bytes that this process, which the server is in, ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG whose header promises this size, whatever follows."""
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    rest = chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + rest


async def test_too_many_pixels_are_refused(server: Api) -> None:
    data = builders.png_file(SIDE + 1, SIDE)
    problem = await server.refused("POST", SUPERRES, 413, "too_many_pixels", data=data, headers=PNG)
    assert "max_pixels" in problem["detail"]


async def test_a_result_with_too_many_pixels_is_refused(server: Api) -> None:
    data = builders.png_file(SIDE, SIDE)
    problem = await server.refused(
        "POST", f"{SUPERRES}?scale=8", 413, "too_many_pixels", data=data, headers=PNG
    )
    assert "max_output_pixels" in problem["detail"]


@pytest.mark.parametrize("path", [SUPERRES, TRACE])
async def test_a_decompression_bomb_is_refused_before_it_is_decoded(server: Api, path: str) -> None:
    bomb = png_of(50_000, 50_000, bytes(32 << 20))
    assert len(bomb) < BODY
    before = peak_memory()
    await server.refused("POST", path, 413, "too_many_pixels", data=bomb, headers=PNG)
    assert peak_memory() - before < 16 << 20


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (2**32 - 1, 1)])
async def test_the_largest_sizes_that_a_header_can_say_are_refused(
    server: Api, size: tuple[int, int]
) -> None:
    await server.refused("POST", SUPERRES, 413, "too_many_pixels", data=png_of(*size), headers=PNG)


WHOLE = builders.png_file(16, 16)
BROKEN = {
    "cut in the pixels": WHOLE[: len(WHOLE) // 2],
    "cut in the header": WHOLE[:20],
    "signature alone": WHOLE[:8],
    "no pixels": png_of(0, 5),
    "no data": png_of(16, 16),
    "text": b"this is no picture",
    "gif": builders.picture_file(builders.noise(4, 4), "GIF"),
    "jpeg cut short": builders.picture_file(builders.noise(9, 9), "JPEG")[:60],
    "webp cut short": builders.picture_file(builders.noise(9, 9), "WebP")[:40],
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize("path", [SUPERRES, TRACE])
@pytest.mark.parametrize("what", BROKEN)
async def test_a_file_that_is_no_whole_picture_is_refused(
    server: Api, path: str, what: str
) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    problem = await server.refused(
        "POST", path, 422, "bad_image", data=BROKEN[what], headers=headers
    )
    assert "picture" in problem["detail"] or "PNG" in problem["detail"]


@pytest.mark.parametrize("path", [SUPERRES, TRACE])
async def test_an_empty_body_is_refused(server: Api, path: str) -> None:
    await server.refused("POST", path, 400, "empty_body", data=b"", headers=PNG)


def form_of(*files: bytes, **fields: str) -> aiohttp.FormData:
    form = aiohttp.FormData(default_to_multipart=True)
    for data in files:
        form.add_field("file", io.BytesIO(data), filename="in.png", content_type="image/png")
    for name, value in fields.items():
        form.add_field(name, value)
    return form


@pytest.mark.parametrize("path", [SUPERRES, TRACE])
async def test_a_form_needs_one_file(server: Api, path: str) -> None:
    for form in (form_of(scale="2"), form_of(WHOLE, WHOLE)):
        await server.refused("POST", path, 400, "no_file", data=form)


@pytest.mark.parametrize("scales", [["2", "4"], ["2", "2"]])
async def test_an_option_given_twice_is_refused(server: Api, scales: list[str]) -> None:
    query = "&".join(f"scale={scale}" for scale in scales)
    twice = form_of(WHOLE)
    for scale in scales:
        twice.add_field("scale", scale)
    for path, data, headers in (
        (f"{SUPERRES}?{query}", WHOLE, PNG),
        (SUPERRES, twice, {}),
        (f"{SUPERRES}?scale=2", form_of(WHOLE, scale="4"), {}),
    ):
        problem = await server.refused("POST", path, 422, "invalid", data=data, headers=headers)
        assert problem["field"] == "scale"


async def test_an_empty_file_in_a_form_is_refused(server: Api) -> None:
    await server.refused("POST", SUPERRES, 400, "empty_body", data=form_of(b""))


async def test_a_picture_in_a_text_field_is_refused_with_advice(server: Api) -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + WHOLE + b"\r\n--B--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    problem = await server.refused(
        "POST", SUPERRES, 400, "malformed_form", data=body, headers=headers
    )
    assert "with a filename" in problem["detail"]


async def test_a_form_with_a_bad_field_is_refused(server: Api) -> None:
    for fields in ({"scale": "5"}, {"colour": "red"}):
        await server.refused("POST", SUPERRES, 422, "invalid", data=form_of(WHOLE, **fields))


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "multipart/form-data"},
        {"Content-Type": "multipart/form-data; boundary=x"},
    ],
)
async def test_a_broken_form_is_refused(server: Api, headers: dict[str, str]) -> None:
    problem = await server.refused(
        "POST", SUPERRES, 400, "malformed_form", data=b"no form", headers=headers
    )
    assert "boundary" in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"image": base64.b64encode(WHOLE).decode(), "asset": "0" * 64},
        {"image": "not base64!"},
        {"image": base64.b64encode(WHOLE).decode(), "file": "x"},
        {"image": base64.b64encode(WHOLE).decode(), "scale": 6},
    ],
    ids=json.dumps,
)
async def test_json_without_one_picture_is_refused(server: Api, body: dict[str, Any]) -> None:
    await server.refused("POST", SUPERRES, 422, "invalid", json=body)


TRAVERSALS = [
    "..",
    "../../gfedge.duckdb",
    "..\\..\\gfedge.duckdb",
    "/etc/passwd",
    "ab/" + "c" * 62,
    "0" * 63,
    "0" * 65,
    "A" * 64,
    "0" * 64,
    "٣" * 64,
    "0" * 63 + "\n",
]


@pytest.mark.parametrize("name", TRAVERSALS)
async def test_no_name_of_an_asset_leaves_the_folder(server: Api, name: str) -> None:
    await server.refused("POST", SUPERRES, 422, "asset_not_found", json={"asset": name})


@pytest.mark.parametrize(
    "path",
    [
        "%2e%2e",
        "%2e%2e%2f%2e%2e%2fgfedge.duckdb",
        "..%5c..%5cgfedge.duckdb",
        "%2fetc%2fpasswd",
        "0" * 64,
        "0" * 63 + "%0a",
        "%00",
        "%ff%fe",
        "../../gfedge.duckdb",
    ],
)
@pytest.mark.parametrize("after", ["", "/trace"])
async def test_no_path_of_an_asset_leaves_the_folder(server: Api, path: str, after: str) -> None:
    from yarl import URL

    url = server.http.make_url("/").with_path(f"/api/v1/assets/{path}{after}", encoded=True)
    assert isinstance(url, URL)
    async with server.http.session.get(url) as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"


# -- paths and methods --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v1/nothing", "/api/v2/ai/generate", "/favicon.ico"]
)
async def test_an_unknown_path_is_a_problem(server: Api, path: str) -> None:
    await server.refused("GET", path, 404, "not_found")


@pytest.mark.parametrize(
    "job_id", ["x", "00000000-0000-7000-8000-000000000000", "%27%3b--", "0" * 5000]
)
async def test_an_unknown_job_is_a_problem(server: Api, job_id: str) -> None:
    for path in (f"{JOBS}/{job_id}", f"{JOBS}/{job_id}/trace"):
        await server.refused("GET", path, 404, "job_not_found")


async def test_a_wrong_method_is_a_problem_that_names_the_right_ones(server: Api) -> None:
    async with server.http.request("PUT", JOBS) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
        assert response.content_type == "application/problem+json"
        problem = await response.json(content_type=None)
    assert problem["code"] == "method_not_allowed"
    assert "PUT" in problem["detail"]


@pytest.mark.parametrize("path", ["/health", "/api/v1/health", "/metrics", JOBS])
async def test_head_answers_as_get_without_a_body(server: Api, path: str) -> None:
    async with server.http.request("HEAD", path) as response:
        assert response.status == 200
        assert await response.read() == b""
        assert int(response.headers["Content-Length"]) > 0


async def test_after_all_this_nothing_is_left_and_the_server_goes_on(server: Api) -> None:
    listed = (await server.get(JOBS))["jobs"]
    assert {job["params"]["prompt"] for job in listed} <= {"龍" * 500}
    assert (await server.generate())["status"] == "succeeded"
