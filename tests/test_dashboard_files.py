"""The dashboard's files: what is served, kept and compressed, and that it is whole without a build step."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

from conftest import Api

from gfedge import app, openapi
from gfedge.dashboard.files import HERE, WEB, Web
from gfedge.promql.signatures import SIGNATURES

ROOT = Path(__file__).parents[1]
FIRST_PAINT = 150_000
_static = re.compile(r'^(?:import|export)\b[^;]*?from\s*"([^"]+)"', re.MULTILINE)
_import = re.compile(
    r'(?:^|;)(?:import|export)\b[^;"]*?from\s*"([^"]+)"|\bimport\("([^"]+)"\)', re.MULTILINE
)


def tool(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_page_and_its_files_are_served_compressed_and_kept(client: Api) -> None:
    page = (await client.bytes("/")).decode()
    address = re.search(r'src="(/ui/([0-9a-f]{16})/app\.js)"', page)
    assert address is not None
    async with client.http.get(address[1], auto_decompress=False) as response:
        assert response.status == 200
        assert response.content_type == "text/javascript"
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["Content-Encoding"] == "gzip"
        body, tag = gzip.decompress(await response.read()), response.headers["ETag"]
    assert body == (WEB / "app.js").read_bytes()
    async with client.http.get(address[1], headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers
        assert await response.read() == body
    async with client.http.get("/ui/app.js", headers={"If-None-Match": tag}) as response:
        assert response.status == 304
        assert response.headers["Cache-Control"] == "public, no-cache"


async def test_only_what_a_browser_needs_is_served(client: Api) -> None:
    for path in ("vendor/DIGESTS", "vendor/preact.LICENSE", "..%2ffiles.py", "no.js", "0" * 16):
        await client.refused("GET", f"/ui/{path}", 404, "file_not_found")


async def test_no_file_holds_what_the_policy_forbids(client: Api) -> None:
    async with client.http.get("/") as response:
        policy = response.headers["Content-Security-Policy"]
        page = await response.text()
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy
    assert not re.search(r"<style|<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=|https?://", page)
    for path in WEB.rglob("*.js"):
        if path.parent.name != "vendor":
            text = path.read_text("utf-8")
            assert not re.search(r"style=\"|\beval\(|new Function\(|innerHTML", text), path


def modules(name: str) -> set[str]:
    """A module, and all that it imports at once."""
    found, waiting = {name}, [name]
    while waiting:
        current = waiting.pop()
        for other in _static.findall((WEB / current).read_text("utf-8")):
            path = (WEB / current).parent.joinpath(other).resolve().relative_to(WEB)
            if path.as_posix() not in found:
                found.add(path.as_posix())
                waiting.append(path.as_posix())
    return found


def test_every_import_leads_to_a_file_of_ours() -> None:
    for path in WEB.rglob("*.js"):
        for name in map("".join, _import.findall(path.read_text("utf-8"))):
            assert name.startswith(("./", "../")), (path, name)
            assert path.parent.joinpath(name).is_file(), (path, name)


def test_the_studio_paints_with_few_bytes() -> None:
    web = Web()
    first = {"index.html", "app.css", "icon.svg", *modules("app.js"), *modules("pages/studio.js")}
    total = 0
    for name in first:
        file, _ = web.find(name)
        assert file is not None, name
        total += len(file.gzipped)
    assert total < FIRST_PAINT, total


def test_the_page_loads_ahead_what_it_needs_first() -> None:
    page = (WEB / "index.html").read_text("utf-8")
    ahead = set(re.findall(rf'modulepreload" href="/ui/{HERE.decode()}/([^"]+)"', page))
    assert ahead == modules("app.js") - {"app.js"}


def test_the_types_of_the_client_are_those_of_the_interface() -> None:
    types = tool("tools/client_types.py")
    text = types.FILE.read_text("utf-8")
    made = types.made(text, openapi.document(app.routes()))
    assert made == text, "run `python tools/client_types.py`: the interface has changed"


def test_the_libraries_are_those_whose_digests_are_noted() -> None:
    for folder in (WEB / "vendor", ROOT / "tests/vendor"):
        noted = dict(
            reversed(line.split("  ")) for line in (folder / "DIGESTS").read_text().splitlines()
        )
        held = {path.name: path for path in folder.iterdir() if path.name != "DIGESTS"}
        assert set(noted) == set(held)
        for name, path in held.items():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == noted[name], name


def test_every_function_of_promql_is_among_the_completions() -> None:
    known = set(re.findall(r"\w+", (WEB / "parts/promql.js").read_text("utf-8")))
    assert set(SIGNATURES) <= known
