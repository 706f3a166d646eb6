"""`python -m gfedge` is `gfedge`."""

import sys

from gfedge.cli import main

if __name__ == "__main__":
    sys.exit(main())
