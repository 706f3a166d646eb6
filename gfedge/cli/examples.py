"""What the commands' help texts end with."""

from __future__ import annotations

EXAMPLES = """\
examples:
  gfedge serve                                          start the server on http://127.0.0.1:8000
  gfedge generate "a red dragon" -o dragon.png --scale 4
  gfedge vary dragon.png -o other.png                   pictures like it
  gfedge sheet other-*.png -o sheet.png                 and sheet.json, its atlas
  gfedge superres dragon.png -o large.png --scale 2
  gfedge trace dragon.png                               where a picture came from
  gfedge models list                                    which versions are here, and which one serves
  gfedge replay JOB                                     run a job again: does the same come of it?
  gfedge export --to archive                            years of runs and jobs as Parquet files
  gfedge doctor                                         what works here, and how to mend the rest

`gfedge COMMAND --help` says more about each.
"""

SUPERRES_EXAMPLES = """\
examples:
  gfedge superres in.png -o out.png
  gfedge superres grass.png -o grass4.png --tileable                the result still tiles
  gfedge superres icon.png -o icon8.png --scale 8 --mode pixel      stays pixel art
"""

TRACE_EXAMPLES = """\
examples:
  gfedge trace dragon.png              by what is in the file, whatever it is called now
  gfedge trace JOB                     by the job's id, as `gfedge generate` prints it
  gfedge trace dragon.png --json       nodes, edges and chain as JSON
"""

REPLAY_EXAMPLES = """\
examples:
  gfedge replay JOB                    exits with 0 where the same pixels came of it, else with 1
"""

GC_EXAMPLES = """\
examples:
  gfedge gc --dry-run                                  what would go by the server's settings, and why
  gfedge gc --dry-run --keep-job-days 90
  gfedge gc --keep-job-bytes 20G                       jobs go, the oldest first, until their pictures fit

What a registered model, a promotion, a pinned picture or any younger job came from stays. Without a running
server the data folder is worked on directly.
"""

MODELS_EXAMPLES = """\
examples:
  gfedge models register build/sprite --note "trained on more potions"
  gfedge models promote sprite@3 --dry-run         what the gates say
  gfedge models promote sprite@3 --reason "sharper edges"
  gfedge models rollback sprite --reason "wrong colours"
"""
