"""The files of runs: what comes back is what was sent, under names that are only names."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import Api, Serving, eventually

from gfedge import errors
from gfedge.tracking import paths

EXPERIMENTS, RUNS = "/api/v1/ml-platform/experiments", "/api/v1/ml-platform/runs"


async def begin(client: Api) -> str:
    """The address of the artifacts of a new run."""
    async with client.http.request("POST", EXPERIMENTS, json={"name": "e"}) as response:
        assert response.status in (201, 409)
    run = await client.call("POST", f"{EXPERIMENTS}/e/runs", 201, json={})
    return f"{RUNS}/{run['id']}/artifacts"


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


async def test_a_name_with_a_line_break_is_refused_as_a_name(client: Api) -> None:
    await client.refused(
        "GET", "/api/v1/ml-platform/runs/x/artifacts/a%0Ab", 422, "bad_artifact_path"
    )


async def test_a_file_comes_back_as_it_went(serving: Serving, tmp_path: Path) -> None:
    client = await serving()
    at = await begin(client)
    data = random.Random(1).randbytes(3_000_000)
    sha256 = hashlib.sha256(data).hexdigest()
    path = f"{at}/plots/ä loss.bin"
    headers = {"Content-Type": "image/png"}
    row = await client.call("PUT", path, 201, data=io.BytesIO(data), headers=headers)
    assert row.items() >= {"path": "plots/ä loss.bin", "sha256": sha256}.items()
    assert (row["bytes"], row["media_type"]) == (len(data), "image/png")
    assert files_in(tmp_path / "data" / "artifacts") == {
        tmp_path / "data" / "artifacts" / sha256[:2] / sha256[2:]
    }
    client = await serving()
    async with client.http.request("GET", path) as response:
        assert await response.read() == data
        shown = response.headers
    assert shown["Content-Type"] == "image/png"
    assert shown["ETag"] == f'"{sha256}"'
    assert shown["X-Content-Type-Options"] == "nosniff"
    assert shown["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%A4%20loss.bin"
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    assert shown["Repr-Digest"] == f"sha-256=:{digest}:"
    ranged = {"Range": "bytes=1000-1999"}
    async with client.http.request("GET", path, headers=ranged) as response:
        assert (response.status, await response.read()) == (206, data[1000:2000])
    async with client.http.request("GET", path, headers={"If-None-Match": shown["ETag"]}) as same:
        assert same.status == 304
    async with client.http.request("HEAD", path) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(data)))


DATA = b"0123456789"
TAG = f'"{hashlib.sha256(DATA).hexdigest()}"'
ASKED: list[tuple[dict[str, str], int, bytes]] = [
    ({"Range": "bytes=2-4"}, 206, b"234"),
    ({"Range": "bytes=-3", "If-Range": TAG}, 206, b"789"),
    ({"Range": "bytes=2-4", "If-Range": '"another"'}, 200, DATA),
    ({"Range": "bytes=2-4", "If-Range": "Mon, 23 Nov 2026 00:00:00 GMT"}, 200, DATA),
    ({"Range": "lines=1-2"}, 200, DATA),
    ({"Range": "bytes=0-1,4-5"}, 200, DATA),
    ({"Range": "bytes=0x1-"}, 200, DATA),
    ({"If-Match": TAG}, 200, DATA),
    ({"If-Match": '"another"'}, 412, b"precondition_failed"),
    ({"If-None-Match": f'"x", {TAG}'}, 304, b""),
    ({"Accept-Language": "\udce9\udcff"}, 200, DATA),
    ({"Range": "bytes=10-"}, 416, b"range_not_satisfiable"),
    ({"Range": "bytes=-0"}, 416, b"range_not_satisfiable"),
    ({"If-Modified-Since": "Thu, 01 Jan 99999999999 00:00:00 GMT"}, 200, DATA),
    ({"If-Unmodified-Since": "Thu, 01 Jan 99999999999 00:00:00 GMT"}, 200, DATA),
    ({"Range": "bytes=0-", "If-Range": "Thu, 01 Jan 99999999999 00:00:00 GMT"}, 200, DATA),
]


async def test_conditions_and_ranges_of_files_go_by_their_digest(client: Api) -> None:
    """What cannot be met is a problem, and what cannot be read is let be (RFC 9110, 13 and 14)."""
    path = f"{await begin(client)}/a.bin"
    await client.call("PUT", path, 201, data=DATA)
    for headers, status, text in ASKED:
        async with client.http.request("GET", path, headers=headers) as response:
            body = await response.read()
            assert (response.status, text in body) == (status, True), (headers, body)
            if status < 400:
                assert body == text
                assert response.headers["ETag"] == TAG
            else:
                assert response.content_type == "application/problem+json"
            if status == 416:
                assert response.headers["Content-Range"] == "bytes */10"


async def test_what_comes_without_a_media_type_has_that_of_its_name(client: Api) -> None:
    anything, at = "application/octet-stream", await begin(client)
    for name, sent, kind in (
        ("a.png", None, "image/png"),
        ("a.webp", None, "image/webp"),
        ("a.json", anything, "application/json"),
        ("curl.csv", "application/x-www-form-urlencoded", "text/csv"),
        ("a.tar.gz", None, anything),
        ("data,a.txt", None, "text/plain"),
        ("a", None, anything),
        ("b.png", "image/webp", "image/webp"),
    ):
        headers = {"Content-Type": sent} if sent else {}
        row = await client.call("PUT", f"{at}/{name}", 201, data=b"x", headers=headers)
        assert (name, row["media_type"]) == (name, kind)


async def test_the_same_bytes_are_stored_once(client: Api, tmp_path: Path) -> None:
    one, two = await begin(client), await begin(client)
    await asyncio.gather(
        *(client.call("PUT", f"{at}/{i}", 201, data=b"same") for at in (one, two) for i in range(4))
    )
    assert len(files_in(tmp_path / "data" / "artifacts")) == 1
    assert await client.call("PUT", f"{one}/0", 200, data=b"other")
    assert await client.bytes(f"{one}/0") == b"other"
    assert await client.bytes(f"{two}/0") == b"same"


async def test_an_empty_file_is_a_file(client: Api) -> None:
    at = await begin(client)
    row = await client.call("PUT", f"{at}/empty", 201, data=b"")
    assert (row["bytes"], row["media_type"]) == (0, "application/octet-stream")
    assert await client.bytes(f"{at}/empty") == b""


async def test_a_digest_that_was_announced_is_checked(client: Api, tmp_path: Path) -> None:
    at = await begin(client)

    def announced(data: bytes) -> dict[str, str]:
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        return {"Content-Digest": f"sha-512=:AAAA:, sha-256=:{digest}:"}

    await client.call("PUT", f"{at}/a", 201, data=b"abc", headers=announced(b"abc"))
    path = f"{at}/b"
    for headers in (announced(b"abd"), {"Content-Digest": "sha-256=:AAAA:"}):
        await client.refused("PUT", path, 422, "digest_mismatch", data=b"abc", headers=headers)
    await client.refused("GET", path, 404, "artifact_not_found")
    assert len(files_in(tmp_path / "data" / "artifacts")) == 1


async def test_a_media_type_that_is_none_is_bytes(client: Api) -> None:
    at = await begin(client)
    for i, kind in enumerate(("text", "text/html<x>", "a/" + "b" * 200)):
        row = await client.call("PUT", f"{at}/{i}", 201, data=b"x", headers={"Content-Type": kind})
        assert row["media_type"] == "application/octet-stream"


async def test_too_large_a_file_is_refused_while_it_comes(serving: Serving, tmp_path: Path) -> None:
    client = await serving(max_artifact=1_000_000)
    at = await begin(client)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    await client.call("PUT", f"{at}/fits", 201, data=io.BytesIO(bytes(1_000_000)))
    await client.refused("PUT", f"{at}/big", 413, "too_large", data=io.BytesIO(bytes(1_000_001)))
    try:
        async with client.http.request("PUT", f"{at}/big", data=endless()) as response:
            assert response.status == 413
    except ConnectionError:
        pass  # the server had closed before this client stopped sending
    await client.refused("GET", f"{at}/big", 404, "artifact_not_found")
    assert len(files_in(tmp_path / "data" / "artifacts")) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
async def test_a_file_beyond_the_limit_of_the_process_finds_no_room(client: Api) -> None:
    """`ulimit -f` fails a write with EFBIG, which is no failure of the server's."""
    import resource

    path, before = f"{await begin(client)}/a.bin", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        await client.refused("PUT", path, 507, "disk_full", data=bytes(900_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await client.call("PUT", path, 201, data=bytes(900_000))


async def test_a_full_disk_is_507_and_leaves_nothing(serving: Serving, tmp_path: Path) -> None:
    client = await serving(min_free_disk=1 << 60)
    at = await begin(client)
    await client.refused("PUT", f"{at}/a", 507, "disk_full", data=b"x")
    assert files_in(tmp_path / "data" / "artifacts") == set()


async def test_an_upload_that_breaks_off_leaves_nothing(client: Api, tmp_path: Path) -> None:
    at = await begin(client)
    url = client.http.make_url(f"{at}/half")  # type: ignore[union-attr]
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"PUT {url.raw_path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    writer.write(head.encode() + bytes(500_000))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    del reader
    await client.refused("GET", f"{at}/half", 404, "artifact_not_found")
    await client.call("PUT", f"{at}/whole", 201, data=b"x")

    async def names() -> list[str]:
        return sorted(path.parent.name for path in files_in(tmp_path / "data" / "artifacts"))

    await eventually(names, lambda found: found == [hashlib.sha256(b"x").hexdigest()[:2]])


async def test_what_a_crash_left_goes_at_the_start(serving: Serving, tmp_path: Path) -> None:
    client = await serving()
    part = tmp_path / "data" / "artifacts" / "parts" / "left"
    part.write_bytes(b"half")
    client = await serving()
    assert not part.exists()
    assert await begin(client)


# -- folders --------------------------------------------------------------------------------------


async def test_artifacts_are_listed_by_folder(client: Api) -> None:
    at = await begin(client)
    for path, size in (
        ("a.txt", 1),
        ("m/x.onnx", 10),
        ("m/sub/y", 100),
        ("m/sub/z", 1000),
        ("n", 5),
    ):
        await client.call("PUT", f"{at}/{path}", 201, data=bytes(size))

    async def names(folder: str, limit: int = 2) -> list[tuple[str, bool, int, int]]:
        found = await client.pages(f"{at}?path={folder}", "artifacts", limit)
        return [(e["path"], e["is_folder"], e["bytes"], e["files"]) for e in found]

    assert await names("") == [("a.txt", False, 1, 1), ("m", True, 1110, 3), ("n", False, 5, 1)]
    inside = [("m/sub", True, 1100, 2), ("m/x.onnx", False, 10, 1)]
    assert await names("m", 1) == await names("m/") == inside
    assert await names("a.txt") == await names("nothing") == []
    await client.refused("GET", f"{at}?path=../m", 422, "bad_artifact_path")
    await client.refused("GET", f"{RUNS}/x/artifacts", 404, "run_not_found")


async def test_a_file_is_never_a_folder_too(client: Api) -> None:
    at = await begin(client)
    await client.call("PUT", f"{at}/a/b/c", 201, data=b"")
    for path in ("a", "a/b", "a/b/c/d", "a/b/c/d/e"):
        await client.refused("PUT", f"{at}/{path}", 409, "artifact_exists", data=b"")
    await client.call("PUT", f"{at}/a/bc", 201, data=b"")
    await client.refused("GET", f"{at}/a/b", 404, "artifact_not_found")


async def test_artifacts_go_alone_and_by_folder(client: Api) -> None:
    at = await begin(client)
    for path in ("a", "ab", "m/x", "m/sub/y", "mx"):
        await client.call("PUT", f"{at}/{path}", 201, data=b"")
    assert await client.call("DELETE", f"{at}/a") == {"files": 1}
    assert await client.call("DELETE", f"{at}/m") == {"files": 2}
    await client.refused("DELETE", f"{at}/m", 404, "artifact_not_found")
    assert [e["path"] for e in (await client.get(at))["artifacts"]] == ["ab", "mx"]


async def test_a_deleted_run_takes_no_files(client: Api) -> None:
    at = await begin(client)
    await client.call("PUT", f"{at}/a", 201, data=b"x")
    await client.call("DELETE", at.removesuffix("/artifacts"))
    await client.refused("PUT", f"{at}/b", 409, "run_deleted", data=b"x")
    await client.refused("DELETE", f"{at}/a", 409, "run_deleted")
    assert await client.bytes(f"{at}/a") == b"x"
    await client.refused("PUT", f"{RUNS}/x/artifacts/a", 404, "run_not_found", data=b"x")


# -- names ----------------------------------------------------------------------------------------

BAD_PATHS = [
    *("", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "a/."),
    *("a\0b", "a\nb", "a\x7f", "a\\b", "..\\a", "\\\\host\\share", "C:", "C:/a", "c:a"),
    *("con", "CON.txt", "a/nul", "Prn", "aux.tar.gz", "com1", "LPT9.log", "conin$", "com¹"),
    *("a.", "a ", " a", "a./b", "a /b", "...", "%2e%2e", "%2E%2e/a", "a%2fb", "a%5cb", "a%00"),
    *("a*", "a?", 'a"', "a<b", "a|b", "x" * 256, "ä" * 128, "/".join("a" * 33), "a/" * 500 + "a"),
    "\ud800",
]
GOOD_PATHS = [
    *("a", "a.b", ".hidden", "q/b/c", "a b", "ä/ö", "console", "com10", "a..b", "..a", "a%20b"),
    *("x" * 255, "model@3/weights-v1_(2).onnx", "%", "100%", "😀.png", "~", "$HOME", "-rf"),
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(errors.Invalid) as raised:
        paths.checked(path)
    assert raised.value.code == "bad_artifact_path"


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_a_path_that_is_a_name_is_taken(path: str) -> None:
    assert paths.checked(path) == path


async def raw(client: Api, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """A request whose path goes out as it is written here."""
    url = client.http.make_url("/")  # type: ignore[union-attr]
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split(b" ", 2)[1]), answer


async def test_no_request_leads_out_of_the_folder(client: Api, tmp_path: Path) -> None:
    at = await begin(client)
    before = {path for path in files_in(tmp_path) if "artifacts" not in path.parts}
    for path in (
        *(
            "../x",
            "../../x",
            "%2e%2e/x",
            "%2e%2e%2fx",
            "..%2fx",
            "%252e%252e/x",
            "..%5cx",
            "a/..;/x",
        ),
        *(
            "%00",
            "a%00.png",
            "%2fetc%2fpasswd",
            "/etc/passwd",
            "C:%5Cx",
            "con",
            "a/%2e%2e/x",
            "%ff",
        ),
    ):
        for method in ("PUT", "GET", "DELETE"):
            status, answer = await raw(client, method, f"{at}/{path}", b"evil" * (method == "PUT"))
            assert 400 <= status < 500 or path in ("a/..;/x", "%ff"), (method, path, answer)
    after = {path for path in files_in(tmp_path) if "artifacts" not in path.parts}
    assert after == before


async def test_every_good_path_comes_back(client: Api) -> None:
    at = await begin(client)
    for path in GOOD_PATHS:
        await client.call("PUT", f"{at}/{quote(path)}", 201, data=path.encode())
    for path in GOOD_PATHS:
        assert await client.bytes(f"{at}/{quote(path)}") == path.encode()
