"""How much a death counts against what was running then, here and in the queue of jobs.

A process that ended says something about its work; a machine or a cluster that was lost mostly does not, and weighs a
fifth. Past the first bound something runs by itself and before all others; past the second it is not tried again.
"""

from __future__ import annotations

KILL, CRASH = 1, 5
ALONE, POISONOUS = 5, 10
