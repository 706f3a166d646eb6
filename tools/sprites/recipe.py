"""The recipe of the sprite training set: which cleared tiles, under which nouns, how many of each.

`RULES` is read from the top and the first pattern found in a path wins; a path that matches none is
left out. Nouns say what the picture shows and nearly always stay in a training caption; words of the
file name are details.
"""

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """Paths that match `pattern` show `nouns` ("*": the text of its group); `turn` allows copies in other hues."""

    pattern: str
    nouns: str
    turn: bool = True
    cap: int = 10_000


def listed(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


LEFT_OUT = Rule("", "", cap=0)
RULES = (
    # Parts, animation frames and pictures whose name says nothing about what they show.
    Rule(r"overlay_|statue_base|_gone\.|armour/i-|item/wand/gem_plastic|_water\.|\.small\.", "", cap=0),
    Rule(r"shadow_[enw]|orifice|draco-job|thimble", "", cap=0),
    Rule(r"doors/v?gate|floor/(sigil|pedestal|cage|tutorial|dirt_|etched|rect|mesh|gauntlet)", "", cap=0),
    # Items.
    Rule(r"item/potion/", "potion"),
    Rule(r"item/scroll/", "scroll"),
    Rule(r"item/book/", "book"),
    Rule(r"item/wand/", "wand"),
    Rule(r"item/rod/", "rod staff"),
    Rule(r"item/staff/|item/weapon.*staff", "staff"),
    Rule(r"item/ring/", "ring"),
    Rule(r"item/amulet/", "amulet"),
    Rule(r"item/food/", "food", turn=False),
    Rule(r"item/gold/", "gold coin", turn=False),
    Rule(r"uncollected_runes/", "", cap=0),
    Rule(r"item/misc/rune", "rune"),
    Rule(r"item/misc/misc_(quad|stone|zigfig|vane|tremor|knight)", "", cap=0),
    Rule(r"item/misc/misc_([a-z]+)", "*"),
    Rule(r"armour/.*(headgear|/cap\d|helmet|cornuthaum)", "helmet"),
    Rule(r"shields/orb", "orb"),
    Rule(r"(item|UNUSED/armour)/.*(shield|buckler)", "shield"),
    Rule(r"armour.*boots", "boots"),
    Rule(r"armour.*(glove|gauntlet)", "glove"),
    Rule(r"armour.*cloak", "cloak"),
    Rule(r"armour.*robe", "robe"),
    Rule(r"armour.*(hood|mask)", "hood"),
    Rule(r"bardings/", "barding armour"),
    Rule(r"armour/(artefact|.*scarf|animal_skin)", "", cap=0),
    Rule(r"(item|UNUSED)/armour/", "armour"),
    Rule(r"item/.*(crossbow|arbalest)", "crossbow", turn=False),
    Rule(r"item/.*(long|short|storm_)bow", "bow"),
    Rule(r"weapon.*(sling_bullet|rock|/stone|net|needle)", "", cap=0),
    Rule(r"weapon.*(sling|fustibalus)", "sling"),
    Rule(r"weapon.*(dart|blowgun|boomerang)", "*"),
    Rule(r"weapons?/.*(sword|claymore|cutlass|falchion|katana|rapier|scimitar|arc_blade)", "sword"),
    Rule(r"weapons?/.*(axe|tomahawk)", "axe"),
    Rule(r"weapons?/.*(dagger|knife|throatcutter)", "dagger"),
    Rule(r"weapons?/.*(spear|bardiche|halberd|glaive|trident)", "spear"),
    Rule(r"weapons?/.*(mace|flail|morningstar|eveningstar|club|hammer|shillelagh|sceptre)", "mace"),
    Rule(r"weapons?/.*(scythe|whip)", "*"),
    Rule(r"effect/arrow", "arrow"),
    Rule(r"effect/(cloud_(fire|forest)|flame)", "fire flame"),
    # The dungeon.
    Rule(r"trees/", "tree", turn=False),
    Rule(r"doors/", "door"),
    Rule(r"dngn/\w*fountain", "fountain"),
    Rule(r"altars/.*([1-9][0-9]|[2-9])\.", "", cap=0),
    Rule(r"altars/", "altar", cap=24),
    Rule(r"dngn/statues/.*(column|pillar|obelisk)", "column"),
    Rule(r"dngn/(statues|vaults)/.*(statue|idol|golem)", "statue"),
    Rule(r"gateways/.*(stair|enter_(crypt|depths|lair|orc|snake|spider|tomb))", "stairs", turn=False),
    Rule(r"gateways/.*(portal|arch|zot|exit_|hell|abyss)", "portal", cap=24),
    Rule(r"dngn/traps/", "trap", turn=False),
    Rule(r"floor/grass", "grass floor", turn=False, cap=10),
    Rule(r"floor/(dirt|grey_dirt|mud|sand|pebble)", "floor", turn=False, cap=14),
    Rule(r"floor/(lava|ice|icy|frozen)", "floor", turn=False, cap=12),
    Rule(r"floor/(marble|white_marble|limestone|mosaic|crystal|moss|crypt|lair)", "floor", turn=False, cap=26),
    Rule(r"deep_water", "water", turn=False, cap=8),
    Rule(r"wall/abyss/", "", cap=0),
    Rule(r"wall/brick", "brick wall", cap=10),
    Rule(r"wall/(stone|lab-stone|catacombs|wall_stone_shoals)", "stone wall", cap=18),
    Rule(r"wall/(lab-rock|cobalt|rock_wall)", "rock wall", cap=8),
    Rule(r"wall/(crystal|emerald)", "crystal wall", cap=14),
    Rule(r"wall/(metal|lab-metal|silver)", "metal wall", cap=8),
    Rule(r"wall/(marble|church|sandstone|wall_vines|wall_flesh|volcanic|hell)", "wall", cap=21),
    Rule(r"^(dngn|gui|effect)/", "", cap=0),
    # Monsters.
    Rule(r"simulacr|hydra[1245]|bound_souls|_statue_base", "", cap=0),
    Rule(r"skeletons/.*humanoid|skeletal_warrior", "skeleton", turn=False),
    Rule(r"skeletons/", "skeleton", turn=False),
    Rule(r"zombies/", "zombie", turn=False),
    Rule(r"spectrals/", "ghost spectral", turn=False),
    Rule(r"ghost|phantom\.|wraith|spectre|lost_soul", "ghost"),
    Rule(r"bone_dragon", "dragon skeleton bone", turn=False),
    Rule(r"statue", "statue", cap=8),
    Rule(r"tiamat|snakebite", "", cap=0),
    Rule(r"dragon|wyvern|drake|hydra\d", "dragon"),
    Rule(r"mon/draco/", "draconian"),
    Rule(r"lich|vampire_?(knight|mage|)\.|mummy|ghoul|wight|necrophage|husk|bog_body|death_cob|skull", "undead"),
    Rule(r"snake|adder|anaconda|python|mamba|viper|moccasin|serpent|basilisk", "snake"),
    Rule(r"spider|tarantella|redback|jumping_spider|broodmother", "spider"),
    Rule(r"/(\w*bat)\.", "bat"),
    Rule(r"hound|wolf|jackal|war_dog|fox\.", "dog"),
    Rule(r"bear\.", "bear", turn=False),
    Rule(r"frog|toad", "frog"),
    Rule(r"butterfly|moth\.|moth_of", "butterfly"),
    Rule(r"bee\.|wasp|hornet|bumblebee|mosquito|firefly", "bee insect"),
    Rule(r"beetle|cockroach|radroach|scorpion|centipede", "insect"),
    Rule(r"(hog|swine|sheep|yak|elephant)(\.|_d)", "*"),
    Rule(r"turtle|lizard|iguana|gecko|newt|alligator", "lizard"),
    Rule(r"(electric_eel|goldfish|lava_fish|shark|fish)\.|jellyfish", "fish"),
    Rule(r"worm|slug|leech", "worm"),
    Rule(r"mon/.*(crab|raven|phoenix|octopode|kraken|manticore|harpy|sphinx)", "*"),
    Rule(r"jelly|ooze|slime\.|amoeba|amorphous/rockslime|endoplasm", "slime jelly"),
    Rule(r"mon/eyes/|eye_of|guardian-eyeopen-flame1", "eye"),
    Rule(r"angel|cherub|daeva|ophan", "angel"),
    Rule(r"mon/demons/(?!chaos|hell_beast)|devil|imp\.|fiend", "demon"),
    Rule(r"golem|ushabti|animated_armour", "golem"),
    Rule(r"elemental\.", "elemental"),
    Rule(r"(vortex|twister|orb)(\d|_of_fire)", "*"),
    Rule(r"tome", "book tome"),
    Rule(r"orcs/|blork|warg|urug", "orc"),
    Rule(r"mon/humanoids/elves|deep_elf", "elf"),
    Rule(r"dwarf", "dwarf"),
    Rule(r"mon/.*(goblin|kobold|gnoll|halfling)", "*"),
    Rule(r"mon/.*(troll|ogre)", "*"),
    Rule(r"giants/", "giant"),
    Rule(r"humans/(human|death_knight|hell_knight|necromancer|vault|imperial|ironbound|killer)", "human"),
    Rule(r"mon/.*(merfolk|naga|tengu|centaur|minotaur|salamander|faun|satyr|yaktaur)", "*"),
    Rule(r"treant|dryad|leshy", "tree"),
    Rule(r"fungi_plants/(?!plant|vine)", "plant"),
)  # fmt: skip

STOP = frozenset(
    listed(
        "art artefact dd ego unrand urand spwpn misc mon dngn tile alt big base other dk donald "
        "louise inert clear down up left right one way gone enter exit uncollected unknown generic "
        "draco job mix full trog rod staff2 spell eyeopen monk quadruped variability wrath woe "
        "number of the and in with old new lo hi no on vol dc end mid"
    )
)
SPELLINGS = {
    "armor": "armour",
    "grey": "gray",
    "wpn": "weapon",
    "helm": "helmet",
    "wizlab": "wizard",
}
MISLEADING = {  # words that would say another thing than the noun they stand beside
    "armour": ("dragon", "ring", "troll"), "wand": ("gem",), "wall": ("slime", "snake", "spider", "orc", "lair"),
    "floor": ("snake", "orc", "lair"), "rune": ("slime", "spider", "elven"), "stairs": ("snake", "spider", "orc"),
    "portal": ("hell", "dis"),
}  # fmt: skip
BROADER = {
    "adder": "snake", "anaconda": "snake", "mamba": "snake", "python": "snake",
    "bardiche": "polearm", "halberd": "polearm", "glaive": "polearm", "scythe": "polearm",
    "greatsword": "great", "claymore": "great", "longbow": "long", "shortbow": "short",
    "hound": "dog", "jackal": "dog", "hobgoblin": "goblin", "buckler": "shield", "hog": "pig", "swine": "pig",
    "darkgray": "gray", "lightblue": "blue", "lightgreen": "green", "lightred": "red", "lightgray": "gray",
}  # fmt: skip
COLOURS = listed("red orange yellow green cyan blue purple pink brown gold black gray white")
COLOUR_NAMES = frozenset(COLOURS) | frozenset(
    listed(
        "amber azure bronze brass copper crimson dark darkgray emerald flourescent golden indigo "
        "light lightblue lightcyan lightgray lightgreen lightmagenta lightred magenta murky pale "
        "puce quicksilver ruby sapphire silver sky tan turquoise violet brilliant amethyst garnet "
        "peridot citrine jasper beryl malachite tourmaline"
    )
)
ALIASES = {
    "armor": "armour", "grey": "gray", "elixir": "potion", "flask": "potion", "vial": "potion", "bottle": "potion",
    "brew": "potion", "tonic": "potion", "blade": "sword", "broadsword": "sword", "sabre": "sword", "saber": "sword",
    "longsword": "sword", "shortsword": "sword", "knife": "dagger", "dirk": "dagger", "lance": "spear",
    "pike": "spear", "javelin": "spear", "hatchet": "axe", "cudgel": "club", "maul": "hammer", "warhammer": "hammer",
    "necklace": "amulet", "pendant": "amulet", "locket": "amulet", "talisman": "amulet",
    "letter": "scroll", "spellbook": "book", "grimoire": "book", "novel": "book", "cape": "cloak", "mantle": "cloak",
    "gauntlet": "glove", "shoe": "boots", "boot": "boots", "helm": "helmet", "chainmail": "mail", "breastplate":
    "plate", "cuirass": "plate", "money": "coin", "treasure": "coin",
    "wyrm": "dragon", "dragonling": "dragon", "puppy": "dog", "canine": "dog", "serpent": "snake", "cobra": "snake",
    "viper": "snake", "arachnid": "spider", "tarantula": "spider", "bug": "insect", "wasp": "bee", "moth": "butterfly",
    "toad": "frog", "boar": "pig", "blob": "slime", "ooze": "slime", "gel": "slime", "goo": "slime",
    "spirit": "ghost", "phantom": "ghost", "spectre": "ghost", "specter": "ghost", "wraith": "ghost",
    "ghoul": "zombie", "bones": "skeleton", "skeletal": "skeleton", "devil": "demon",
    "fiend": "demon", "daemon": "demon", "eyeball": "eye", "fighter": "warrior", "soldier": "warrior",
    "paladin": "knight", "guard": "knight", "man": "human", "woman": "human", "person": "human", "people": "human",
    "mage": "wizard", "sorcerer": "wizard", "magician": "wizard", "witch": "wizard", "cleric": "priest",
    "robot": "golem", "titan": "giant", "sculpture": "statue", "oak": "tree", "lawn": "grass", "ground": "floor",
    "bricks": "brick", "pillar": "column", "gate": "portal", "gateway": "portal", "staircase": "stairs",
    "stair": "stairs", "shrine": "altar", "flame": "fire", "flames": "fire", "icy": "ice", "frozen": "ice",
    "turquoise": "cyan", "teal": "cyan", "aqua": "cyan", "azure": "blue", "navy": "blue", "scarlet": "red",
    "crimson": "red", "ruby": "red", "violet": "purple", "magenta": "pink", "lime": "green", "emerald": "green",
    "golden": "gold", "silver": "gray", "beige": "brown", "tan": "brown", "metallic": "metal", "meal": "food",
    "huge": "giant", "fiery": "fire", "burning": "fire", "gloves": "glove",
}  # fmt: skip


BOOST = {
    "potion": 3.0, "ring": 2.5, "scroll": 2.0, "dragon": 1.7, "skeleton": 1.5, "sword": 1.5, "shield": 1.5, "book": 1.2,
    "wand": 1.5, "bow": 1.5, "slime": 1.5, "spider": 1.5, "golem": 1.3, "eye": 1.3, "door": 1.3, "bat": 1.3, "dog": 1.3,
    "knight": 1.5, "wall": 0.7, "floor": 0.6, "statue": 0.7, "rune": 0.6, "altar": 0.6, "mace": 0.8, "trap": 0.5,
}  # fmt: skip


def rule_of(path: str) -> Rule:
    """The first rule whose pattern is found in the path, or the one that leaves it out."""
    return next((r for r in RULES if re.search(r.pattern, path)), LEFT_OUT)
