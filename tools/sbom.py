"""What gfedge is made of, as CycloneDX 1.6 (JSON): the locked packages and the models, with licences: `make sbom`.

Names and versions of packages are the lock's (and so are their digests, in the lock); licences are those that the
installed packages declare; models come with the digest of each file.
"""

from __future__ import annotations

import argparse
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
LOCKED = re.compile(r"(?m)^([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))? \\$")
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
    default = ROOT / "dist" / f"gfedge-{gfedge.__version__}.cdx.json"
    parser.add_argument("-o", "--output", type=Path, default=default, metavar="FILE")
    output = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    found = bill()
    output.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    unknown = [one["name"] for one in found["components"] if "licenses" not in one]
    print(f"{output}: {len(found['components'])} components")
    if unknown:
        print(f"no licence is known here of {', '.join(unknown)}: they are for other systems")


def bill() -> dict[str, Any]:
    """The whole document; the same for the same tree and commit."""
    parts = [*packages(), *models()]
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


def packages(lock: Path = ROOT / "requirements.lock") -> Iterator[dict[str, Any]]:
    """Every package of the lock; a marker says on which systems it is installed."""
    for name, version, marker in LOCKED.findall(lock.read_text(encoding="utf-8")):
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
        found = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        if licences := _licences(name):
            found["licenses"] = licences
        if marker:
            found["properties"] = [{"name": "gfedge:marker", "value": marker}]
        yield found


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
            "licenses": [{"license": {"id": said["licence"]}}],
            "hashes": [{"alg": "SHA-256", "content": said["files"]["model.onnx"]}],
            "pedigree": {"notes": said["source"]},
            "components": [
                {
                    "type": "file",
                    "bom-ref": f"{ref}/{name}",
                    "name": name,
                    "hashes": [{"alg": "SHA-256", "content": digest}],
                }
                for name, digest in said["files"].items()
            ],
        }


if __name__ == "__main__":
    main()
