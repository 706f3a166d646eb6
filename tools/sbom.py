"""What gfedge is made of, as CycloneDX 1.6 (JSON), one document a lock: `make sbom`.

Names, versions and digests of packages are the lock's, licences those that the installed packages declare. Then what the
dashboard carries (tools/vendor) and the models, with the digest of each file. `…-cpu` is the image and the binary for
CPUs; a binary also carries the Python, and the bootloader of PyInstaller, that it was built with.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import importlib.metadata as installed
import json
import os
import re
import subprocess
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gfedge

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {"": "requirements.lock", "-cpu": "requirements-cpu.lock"}
LOCKED = re.compile(r"(?m)^([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))? \\\n((?: +--hash=.*\n)+)")
TWINS = {"onnxruntime": "onnxruntime-gpu", "onnxruntime-gpu": "onnxruntime"}
"""Builds of one project, of which one is installed."""
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "dist", metavar="DIR")
    into = parser.parse_args().into
    into.mkdir(parents=True, exist_ok=True)
    for suffix, lock in LOCKS.items():
        write(bill(lock), into / f"gfedge-{gfedge.__version__}{suffix}.cdx.json")


def write(found: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path}: {len(found['components'])} components")
    unknown = [one["name"] for one in found["components"] if "licenses" not in one]
    if unknown:
        print(f"no licence is known here of {', '.join(unknown)}: they are for other systems")


def bill(lock: str) -> dict[str, Any]:
    """The whole document for a lock; the same for the same tree and commit."""
    parts = [*packages(ROOT / lock), *vendored(), *models()]
    main_ref = f"pkg:pypi/gfedge@{gfedge.__version__}"
    content = json.dumps([main_ref, parts])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {
            "timestamp": _time(),
            "component": {
                "type": "application",
                "bom-ref": main_ref,
                "name": "gfedge",
                "version": gfedge.__version__,
                "purl": main_ref,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "properties": [{"name": "gfedge:lock", "value": lock}],
            },
        },
        "components": parts,
        "dependencies": [{"ref": main_ref, "dependsOn": [one["bom-ref"] for one in parts]}],
    }


def _time() -> str:
    epoch = (
        os.environ.get("SOURCE_DATE_EPOCH")
        or subprocess.run(
            ["git", "log", "-1", "--format=%ct"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    found = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC)
    return found.isoformat().replace("+00:00", "Z")


def packages(lock: Path) -> Iterator[dict[str, Any]]:
    """Every package of the lock, with the digests of its files; a marker says on which systems it is installed."""
    for name, version, marker, hashes in LOCKED.findall(lock.read_text(encoding="utf-8")):
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
        found = {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "externalReferences": [_distribution(purl, "SHA-256", re.findall(r":(\w+)", hashes))],
        }
        if licences := _licences(name) or _licences(TWINS.get(name, name)):
            found["licenses"] = licences
        if marker:
            found["properties"] = [{"name": "gfedge:marker", "value": marker}]
        yield found


def _distribution(purl: str, algorithm: str, digests: list[str]) -> dict[str, Any]:
    """The files of a version at its registry, of which one is installed."""
    hashes = [{"alg": algorithm, "content": digest} for digest in digests]
    return {"type": "distribution", "url": purl, "hashes": hashes}


def vendored(tools: Path = ROOT / "tools" / "vendor" / "vendor.toml") -> Iterator[dict[str, Any]]:
    """The libraries in the dashboard, with the digests of their npm package and of the files made of it."""
    folder = ROOT / "gfedge" / "dashboard" / "web" / "vendor"
    lines = (folder / "DIGESTS").read_text(encoding="utf-8").splitlines()
    digests = {name: digest for digest, name in (line.split("  ") for line in lines)}
    for said in tomllib.loads(tools.read_text(encoding="utf-8"))["package"]:
        if "folder" in said:  # of the tests
            continue
        purl = f"pkg:npm/{said['name'].replace('@', '%40')}@{said['version']}"
        algorithm, _, integrity = said["integrity"].partition("-")
        published = base64.b64decode(integrity).hex()
        assert algorithm == "sha512", said["name"]
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": said["name"],
            "version": said["version"],
            "purl": purl,
            "licenses": spdx(said["licence"]),
            "externalReferences": [_distribution(purl, "SHA-512", [published])],
            "components": _files(purl, {name: digests[name] for name in said["files"].values()}),
        }


def _files(ref: str, digests: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "type": "file",
            "bom-ref": f"{ref}/{name}",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for name, digest in digests.items()
    ]


def spdx(said: str) -> list[dict[str, Any]]:
    """One identifier, or several with AND, OR and WITH between."""
    return [{"expression": said} if " " in said else {"license": {"id": said}}]


def _licences(package: str) -> list[dict[str, Any]]:
    """As the package declares: an expression, else classifiers, else its own short words."""
    try:
        said = installed.metadata(package)
    except installed.PackageNotFoundError:
        return []
    if expression := said.get("License-Expression"):
        return [{"expression": expression}]
    names = [
        line.rpartition(" :: ")[2]
        for line in said.get_all("Classifier") or ()
        if line.startswith("License :: ") and line.count(" :: ") > 1
    ]
    if names:
        ids = [CLASSIFIERS.get(name) for name in names]
        return [
            {"license": {"id": one} if one else {"name": name}}
            for name, one in zip(names, ids, strict=True)
        ]
    text = (said.get("License") or "").strip().partition("\n")[0]
    if text in {*CLASSIFIERS.values(), *CLASSIFIERS}:
        return [{"license": {"id": CLASSIFIERS.get(text, text)}}]
    return [{"license": {"name": text[:100]}}] if text else []


def models(folder: Path = ROOT / "models") -> Iterator[dict[str, Any]]:
    """Every bundled model, with the digest of each file."""
    for path in sorted(folder.glob("*/*/model.toml")):
        said = tomllib.loads(path.read_text(encoding="utf-8"))
        ref = f"model:{said['name']}@{said['version']}"
        yield {
            "type": "machine-learning-model",
            "bom-ref": ref,
            "name": said["name"],
            "version": said["version"],
            "description": said["description"],
            "licenses": spdx(said["licence"]),
            "hashes": [{"alg": "SHA-256", "content": said["files"]["model.onnx"]}],
            "pedigree": {"notes": said["source"]},
            "components": _files(ref, said["files"]),
        }


if __name__ == "__main__":
    main()
