"""Writes the libraries of vendor.toml into the tree: fetched by npm, checked by sha512, no script of theirs run.

    python tools/vendor/vendor.py        # needs npm and the network

Each is taken as its makers publish it, but for three things: the names of other packages become the files beside it
(an import map would need an inline script, which the policy forbids), pointers to source maps go, and a plain script
becomes a module. `DIGESTS` in each folder names what was written; tests/test_dashboard_files.py holds it to that.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = "gfedge/dashboard/web/vendor"
BESIDE = {
    "preact": "./preact.js",
    "preact/hooks": "./hooks.js",
    "@preact/signals-core": "./signals-core.js",
}
"""Where the names that modules import stand."""
_import = re.compile(r'(from|import)\s*"([^".][^"]*)"')
_map = re.compile(r"\n?//# sourceMappingURL=\S*\s*$")


def main() -> None:
    packages = tomllib.loads((ROOT / "tools/vendor/vendor.toml").read_text())["package"]
    written: dict[Path, bytes] = {}
    for package in packages:
        folder = ROOT / package.get("folder", FOLDER)
        archive = fetched(package)
        for inside, name in package["files"].items():
            written[folder / name] = changed(archive[inside], name, package)
        title = package["name"].strip("@").replace("/", "-")
        written[folder / f"{title}.LICENSE"] = archive["LICENSE"]
    for path, data in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        print(f"{len(data):>8,}  {path.relative_to(ROOT)}")
    for folder in {path.parent for path in written}:
        (folder / "DIGESTS").write_text(digests(folder, written), encoding="utf-8")


def fetched(package: dict[str, Any]) -> dict[str, bytes]:
    """The files of a package, after its integrity was checked."""
    asked = f"{package['name']}@{package['version']}"
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", folder]
        subprocess.run([*command, asked], check=True, stdout=subprocess.DEVNULL)
        data = next(Path(folder).iterdir()).read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != package["integrity"]:
        raise SystemExit(f"{asked} is {found}, not {package['integrity']}")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            member.name.removeprefix("package/"): archive.extractfile(member).read()
            for member in archive
            if member.isfile()
        }


def changed(data: bytes, name: str, package: dict[str, Any]) -> bytes:
    """A file as a browser can load it from beside the others."""
    if package.get("folder") or not name.endswith(".js"):
        return data
    text = _map.sub("\n", data.decode())
    text = _import.sub(lambda found: f'{found[1]}"{BESIDE[found[2]]}"', text)
    if exported := package.get("exports", {}).get(name):
        text += f"\nexport default {exported};\n"
    return text.encode()


def digests(folder: Path, written: dict[Path, bytes]) -> str:
    """As `sha256sum --check` reads it."""
    mine = sorted(path for path in written if path.parent == folder)
    return "".join(f"{hashlib.sha256(written[path]).hexdigest()}  {path.name}\n" for path in mine)


if __name__ == "__main__":
    main()
