"""Builds dist/*.whl and dist/*.tar.gz of the tracked files, the same bytes wherever and whenever: `make dist`.

Times are SOURCE_DATE_EPOCH (default: the last commit's), modes 644 and 755, owners nobody; tar's order is that of names.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = "from setuptools import build_meta as b; import sys; print(getattr(b, sys.argv[1])(sys.argv[2]))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "dist", metavar="DIR")
    for path in build(parser.parse_args().into):
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}")


def build(into: Path) -> list[Path]:
    """The wheel and the sdist of the tree as it is."""
    into.mkdir(parents=True, exist_ok=True)
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct").strip()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        _copy(source)
        sdist, wheel = (_built(source, what, into, epoch) for what in ("sdist", "wheel"))
    _normalise(sdist, int(epoch))
    return [wheel, sdist]


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def _copy(source: Path) -> None:
    """The tracked files, as they are in the working tree."""
    for name in _git("ls-files", "-z").split("\0"):
        if name and (ROOT / name).is_file():
            to = source / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to)
            to.chmod(0o755 if os.access(ROOT / name, os.X_OK) else 0o644)


def _built(source: Path, what: str, into: Path, epoch: str) -> Path:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BUILD, f"build_{what}", str(into.resolve())],
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
        capture_output=True,
        text=True,
        check=False,
        umask=0o022,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return into / done.stdout.split()[-1]


def _normalise(sdist: Path, epoch: int) -> None:
    """The same archive without who made it, and when."""
    out = io.BytesIO()
    with tarfile.open(sdist) as found, tarfile.open(fileobj=out, mode="w") as made:
        for member in sorted(found.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            made.addfile(member, found.extractfile(member) if member.isfile() else None)
    sdist.write_bytes(gzip.compress(out.getvalue(), 9, mtime=epoch))


if __name__ == "__main__":
    main()
