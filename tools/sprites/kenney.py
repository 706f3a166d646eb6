"""Which of Kenney's pictures in the wheel of arcade 3.3.3 are used, and what they are called: nouns after `|`.

Taken from arcade/resources/assets/images, whose License.txt puts all in it under CC0-1.0, but for two folders of others
(cybercity_background, miami_synth_parallax). Rules are read from the top; what matches none is left out: poses of the
same figure, edges and corners of platforms, barrels and roads, whole backgrounds, cards but for a few.
"""

import re

ROOT = "arcade/resources/assets/images/"
RULES = (
    (r"^alien/alien(Blue)_(front|jump|walk1)", "blue|alien"),
    (
        r"^animated_characters/.*/female(Adventurer|Person)_(idle|jump|walk0|fall)",
        "{0}|woman human",
    ),
    (r"^animated_characters/.*/male(Adventurer|Person)_(idle|jump|walk0|fall)", "{0}|man human"),
    (r"^animated_characters/.*/(robot|zombie)_(idle|jump|walk0|fall)", "|{0}"),
    (r"^cards/cardBack_(blue|green|red)[12]", "{0}|card"),
    (r"^cards/card(Clubs|Diamonds|Hearts|Spades)[AK]\.", "{0}|card"),
    (r"^enemies/(saw|slimeBlock)", ""),
    (r"^enemies/(fish|slime|worm)(Blue|Green|Pink|Purple)(_move)?\.", "{1}|{0}"),
    (r"^enemies/(bee|fly|frog|mouse|ladybug)", "|{0}"),
    (r"^items/coin(Bronze|Gold|Silver)\.", "{0}|coin"),
    (r"^items/flag(Green|Red|Yellow)[12]", "{0}|flag"),
    (r"^items/(gem|key)(Blue|Green|Red|Yellow)", "{1}|{0}"),
    (r"^items/gold_[1-3]", "|gold coin"),
    (r"^items/ladderMid", "|ladder"),
    (r"^items/star", "yellow|star"),
    (r"^space_shooter/laser(Blue|Red)", "{0}|laser"),
    (r"^space_shooter/meteorGrey_(big|med)", "gray|meteor rock"),
    (r"^space_shooter/playerShip\d_(blue|green|orange)", "{0}|spaceship"),
    (r"^tiles/boxCrate", "wood|crate box"),
    (r"^tiles/brick(Brown|Grey)", "{0}|brick wall"),
    (r"^tiles/(bomb|bush|cactus|rock|lava|water|bridge)[AB]?\.", "|{0}"),
    (r"^tiles/(lava|water)Top_high", "|{0}"),
    (r"^tiles/grassCenter", "dirt|block"),
    (r"^tiles/(grass|sand|snow|stone|planet)(Mid|)\.", "{0}|block"),
    (r"^tiles/lever(Left|Right)", "|lever"),
    (r"^tiles/lock(Red|Yellow)", "{0}|lock"),
    (r"^tiles/mushroomRed", "red|mushroom"),
    (r"^tiles/plantPurple", "purple|plant"),
    (r"^tiles/sign(Exit|Left|Right)", "wood|sign"),
    (r"^tiles/snow_pile", "|snow"),
    (r"^tiles/spikes", "spikes|trap"),
    (r"^tiles/switch(Green|Red)\.", "{0}|switch"),
    (r"^tiles/torch[12]", "|torch"),
    (r"^topdown_tanks/tank_(blue|dark|green|red|sand)", "{0}|tank"),
    (r"^topdown_tanks/tile(Grass|Sand)[12]\.", "{0}|floor"),
    (r"^topdown_tanks/tree(Brown|Green)_large", "{0}|tree"),
)
WORDS = {"grey": "gray", "gem": "gem crystal", "dark": "black", "sand": "sand"}
OF_ANY_COLOUR = re.compile(
    r"^(alien|cards/cardBack|enemies/(fish|slime|worm)|items/(flag|gem|key)|space_shooter/(laser|player)|tiles/switch|topdown_tanks/tank)"
)


def caption_of(name: str) -> str:
    """The caption of a picture, empty if it is left out."""
    for pattern, caption in RULES:
        if found := re.search(pattern, name):
            groups = [(group or "").lower() for group in found.groups()]
            return caption.format(*(WORDS.get(group, group) for group in groups))
    return ""


def may_turn(name: str) -> bool:
    """Whether copies in other hues may be made of it."""
    return bool(OF_ANY_COLOUR.search(name))
