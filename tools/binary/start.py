"""Where the single binary starts. It stands in for Python where gfedge runs a module of its own in another process."""

import runpy
import sys

words = [word for word in sys.argv[1:4] if word != "-P"]
if words[:1] == ["-m"] and words[1].partition(".")[0] == "gfedge":
    sys.argv = sys.argv[sys.argv.index("-m") + 1 :]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    from gfedge.cli import main

    sys.exit(main())
