"""Names for runs and models that were given none."""

from __future__ import annotations

import random

ADJECTIVES = (
    "able bold brave bright calm clean clever cosmic crisp dapper dazzling deft eager early fair fast "
    "fine fond gentle glad golden grand happy hardy honest jolly keen kind light lively loud lucky "
    "mellow merry mild neat nimble noble placid polite proud quick quiet rapid ready rich rosy royal "
    "sharp shy silent sleek smart smooth solid spry stately sweet swift tidy upbeat valiant vivid warm wise"
)
NOUNS = (
    "ant ape auk bass bat bear bee bird boar bug calf carp cat cod colt cow crab crane crow cub deer "
    "dog dove duck eel elk fawn finch fish fly foal fowl fox frog gnat goat goose grouse grub gull hare "
    "hawk hen hog horse hound jay kit koi lamb lark lynx mare midge mink mole moose moth mouse mule newt "
    "owl ox panda perch pig pug quail ram rat ray robin roo seal shad shark sheep shrew skunk slug smelt "
    "snail snake sow stag stork swan swift toad trout wasp whale wolf wren yak zebra"
)


def any_name() -> str:
    """As in `bold-heron-417`."""
    return f"{random.choice(ADJECTIVES.split())}-{random.choice(NOUNS.split())}-{random.randint(0, 999)}"
