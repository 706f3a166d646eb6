"""The archive on the disk: files get their names when they are whole and durable, its contents are written last.

What was finished since the contents were written stands in a journal beside them, so that an export that was killed
goes on where it was. Names that begin with a dot or an underscore are hidden from the engines that read the folder.
Everything here blocks.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from gfedge import errors
from gfedge.backup.files import digest, sync
from gfedge.export.types import Contents, File, TableEntry

log = logging.getLogger(__name__)

CONTENTS = "archive.json"
JOURNAL = "_journal.jsonl"
OURS = re.compile(r"([a-z_]+)/(date=\d{4}-\d\d-\d\d/)?\1\.parquet")
"""Files that an export wrote; whatever else somebody put here is left."""


class Line(msgspec.Struct, kw_only=True, frozen=True):
    """One line of the journal: a file that got its name."""

    path: str
    file: File


_lines = msgspec.json.Decoder(Line).decode


def date_of(day: int) -> str:
    """`2026-11-23`, of a number of days since 1970."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(day)).isoformat()


def day_of(date: str) -> int:
    """The other way round; raises ValueError for what is no date."""
    return (datetime.date.fromisoformat(date) - datetime.date(1970, 1, 1)).days


def name_of(table: str, date: str | None) -> str:
    """The path of a file within the archive: `runs/date=2026-11-23/runs.parquet`."""
    return f"{table}/date={date}/{table}.parquet" if date else f"{table}/{table}.parquet"


def before(path: Path, oldest: str) -> bool:
    """Whether a file is of a day before that one."""
    name, _, date = path.parent.name.partition("=")
    return name == "date" and date < oldest


class Folder:
    """The files of one archive; `open` it first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made_at: float | None = None
        self.tables: dict[str, TableEntry] = {}
        self.files: dict[str, File] = {}

    def open(self) -> None:
        """Reads what is there; raises Invalid where that is not ours to go on with."""
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / CONTENTS
        if path.exists():
            try:
                found = msgspec.json.decode(path.read_bytes(), type=Contents)
            except msgspec.MsgspecError as error:
                raise errors.Invalid(
                    f"{path} cannot be read ({error}): it is damaged, or of a newer gfedge. Take another folder",
                    code="archive_unreadable",
                ) from None
            self.made_at, self.tables, self.files = found.made_at, found.tables, dict(found.files)
        elif not (self.root / JOURNAL).exists() and any(self._ours()):
            raise errors.Invalid(
                f"{self.root} holds an archive without its {CONTENTS}: put that back, or take another folder",
                code="archive_unreadable",
            )
        self.files |= self._journal()

    def begin(self) -> None:
        """Makes the journal, and removes what was half written when an export was killed."""
        (self.root / JOURNAL).touch()
        for path in self.root.glob("**/.*.part"):
            path.unlink(missing_ok=True)

    def has(self, name: str, version: int, state: str) -> bool:
        """Whether a file is there, of these columns and that state of the database."""
        found = self.files.get(name)
        return (
            found is not None
            and (found.version, found.state) == (version, state)
            and self.whole(name)
        )

    def whole(self, name: str) -> bool:
        """Whether a file is there with as many bytes as were written."""
        found, path = self.files.get(name), self.root / name
        return found is not None and path.is_file() and path.stat().st_size == found.bytes

    def part(self, name: str) -> Path:
        """Where a file is written before it gets its name."""
        path = self.root / PurePosixPath(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(f".{path.name}.part")

    def place(self, name: str, made: File) -> File:
        """Gives a written part its name, durably, and notes it; returns it with its digest and size."""
        part = self.part(name)
        sync(part)
        made = msgspec.structs.replace(made, sha256=digest(part), bytes=part.stat().st_size)
        part.replace(self.root / name)
        sync(part.parent)
        self._note(Line(path=name, file=made))
        self.files[name] = made
        return made

    def finish(self, made: Contents, oldest: str = "") -> None:
        """Writes the contents, then removes the days before the oldest that is kept."""
        part = self.root / f".{CONTENTS}.part"
        part.write_bytes(msgspec.json.format(msgspec.json.encode(made)))
        sync(part)
        part.replace(self.root / CONTENTS)
        (self.root / JOURNAL).unlink(missing_ok=True)
        sync(self.root)
        self.made_at, self.tables, self.files = made.made_at, made.tables, dict(made.files)
        for path in [path for path in self._ours() if oldest and before(path, oldest)]:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody put something else there
                path.parent.rmdir()

    def entries(
        self, known: Mapping[str, TableEntry], files: Mapping[str, File]
    ) -> dict[str, TableEntry]:
        """What each table comes to with these files."""
        return {
            name: _counted(entry, [one for one in files.values() if one.table == name])
            for name, entry in {**self.tables, **known}.items()
        }

    def _ours(self) -> Iterator[Path]:
        """The files that exports wrote."""
        for path in self.root.glob("*/**/*.parquet"):
            if OURS.fullmatch(path.relative_to(self.root).as_posix()):
                yield path

    def _journal(self) -> dict[str, File]:
        """What was finished after the contents; a line that was cut short is the last one."""
        found: dict[str, File] = {}
        try:
            text = (self.root / JOURNAL).read_bytes()
        except FileNotFoundError:
            return found
        for line in text.splitlines():
            try:
                one = _lines(line)
            except msgspec.MsgspecError:
                break
            found[one.path] = one.file
        return found

    def _note(self, line: Line) -> None:
        with (self.root / JOURNAL).open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _counted(entry: TableEntry, files: Iterable[File]) -> TableEntry:
    found = list(files)
    dates = sorted(one.date for one in found if one.date)
    return msgspec.structs.replace(
        entry,
        files=len(found),
        rows=sum(one.rows for one in found),
        bytes=sum(one.bytes for one in found),
        first_date=dates[0] if dates else None,
        last_date=dates[-1] if dates else None,
    )
