"""What `gfedge export` understands."""

from __future__ import annotations

import argparse

EXPORT_TEXT = "bring the archive up to date: runs, jobs, lineage and more as Parquet files"
EXPORT_EXAMPLES = """\
examples:
  gfedge export                                     what changed since the last export, into the server's archive
  gfedge export --to /mnt/archive                   and copy what is new there
  gfedge export --to here --tables runs,metrics --since 30d

Without a running server the data folder is read directly. docs/archive.md has the layout, the columns and queries.
"""


def add_export(export: argparse.ArgumentParser) -> argparse.ArgumentParser:
    text = "copy the archive there; what is there already is not copied again"
    export.add_argument("--to", metavar="DIR", help=text)
    text = "only these, with commas between (default: all)"
    export.add_argument("--tables", metavar="NAMES", help=text)
    text = "only days from this one on: 2026-11-23, or 30d"
    export.add_argument("--since", metavar="DATE", help=text)
    export.add_argument("--json", action="store_true", help="print what was done as JSON")
    return export
