"""Which icons of an emoji set are drawn, and what they are called: the nouns of a caption stand after `|`.

Names are those of Unicode, made for reading aloud: `bottle-with-popping-cork` shows a bottle, `dog-face` a dog. What a
rule gets wrong stands in CALLED, which was written while looking at the pictures. Faces that only differ in mood, people
at work and sport, clocks, signs and skin tones are left out: nobody asks a sprite generator for them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from sprites.recipe import listed

TAKEN = ("Animals & Nature", "Food & Drink", "Objects", "Travel & Places", "Activities")
TURNED = ("Objects", "Activities")
"""Kinds of things that may be of any colour: copies of them in other hues are made."""
BESIDES = frozenset(
    listed(
        "alien alien-monster ghost goblin ogre robot skull bomb red-heart blue-heart green-heart purple-heart "
        "yellow-heart broken-heart heart-on-fire hole love-letter collision anatomical-heart bone brain eye ear foot "
        "mouth nose tooth tongue raised-fist raised-hand mechanical-arm mechanical-leg footprints lungs dashing-away "
        "man-mage woman-mage mage person-mage man-vampire woman-vampire vampire person-vampire man-elf woman-elf elf "
        "person-elf man-fairy woman-fairy fairy person-fairy man-genie woman-genie genie person-genie man-zombie "
        "woman-zombie zombie person-zombie merman mermaid merperson man-merpeople woman-merpeople person-merpeople "
        "troll ninja prince princess guard man-guard woman-guard detective man-superhero woman-superhero superhero "
        "person-superhero man-supervillain supervillain person-supervillain person-with-crown santa-claus baby-angel "
        "person man woman boy girl baby old-man old-woman astronaut farmer cook pilot trident-emblem sparkle warning "
        "radioactive biohazard check-mark cross-mark red-circle blue-circle green-circle yellow-circle"
    )
)
LEFT_OUT = re.compile(
    r"-(dark|light|medium)$|-skin-tone|oclock$|-thirty$|oncoming-|-button$|-tone-|globe-|map-of|of-liberty|tokyo|"
    r"japanese-post|chart-|bar-chart|index|envelope-with|incoming|inbox|outbox|notepad|tear-off|clip|pushpin|"
    r"ballot|control-knobs|level-slider|speaker-|muted|mobile-phone-|bell-with-slash|clinking|japanese-dolls|"
    r"-banknote|-yen|postbox|mailbox|cinema|bus-stop|file-folder|identification|bookmark-tabs|sport-utility|"
    r"part-alternation|construction$|station$|at-dusk|at-night|with-stars|moon-viewing|sunrise|sunset|goal-net|"
    r"flag-in-hole|bullet-train|suspension-|cableway|tramway|monorail|railway|mantelpiece|map$|milky-way|metro$|"
    r"manual-wheelchair|motorized|kaaba|hamsa|placard|receipt|card-file|dividers|sos|wheel-of-dharma|tanabata|"
    r"departure|arrival|film-frames|motorway|lab-coat|safety-vest|running-shirt|national-park|landslide|foggy$|fog$|"
    r"wind-face|new-moon$|-moon-with-face|-moon-face|-quarter-moon|-gibbous|waning|closed-umbrella|umbrella-on|"
    r"rolled-up|roll-of|hair-pick|x-ray|page-with|paw-prints|pig-nose|pine-decoration|takeout|stop-sign$|red-envelope|"
    r"mouse-trap|nail|wastebasket|dna|microbe|petri|playing-cards|mahjong|hotel|store|office|hospital|school$|bank$|"
    r"cricket-game|curling|clapper|confetti|computer-mouse|hot-springs|musical-score|pouring|waxing|elevator|barber|^e-mail|wedding"
)
HEADS = re.compile(r"^(.+?)-(with|without|in|on|behind|showing)-")
"""What follows is a detail, too small to be seen."""
# No word here may mean another thing among the tiles: no cricket bat, hot dog, fishing rod or curling stone.
CALLED: Mapping[str, str] = {
    "bottle-with-popping-cork": "wine|bottle", "bow-and-arrow": "bow", "crossed-swords": "crossed|sword", "gem-stone": "blue|gem",
    "magic-wand": "magic|wand", "crystal-ball": "crystal|orb", "nazar-amulet": "blue|amulet", "treasure-chest": "treasure|chest",
    "military-helmet": "helmet", "rescue-workers-helmet": "red|helmet", "top-hat": "hat", "billed-cap": "cap",
    "womans-hat": "hat", "graduation-cap": "graduation|hat", "womans-boot": "boots", "hiking-boot": "boots", "mans-shoe": "brown|shoe",
    "gloves": "glove", "boxing-glove": "boxing|glove", "kitchen-knife": "kitchen|knife", "carpentry-saw": "saw", "pick": "pickaxe",
    "hammer-and-pick": "pickaxe hammer", "hammer-and-wrench": "wrench hammer", "chains": "chain", "broken-chain": "broken|chain",
    "test-tube": "green|potion", "alembic": "alembic flask", "amphora": "amphora vase", "funeral-urn": "urn vase", "honey-pot": "honey|jar",
    "closed-book": "red|book", "open-book": "open|book", "blue-book": "blue|book", "green-book": "green|book", "orange-book": "orange|book",
    "books": "book stack", "notebook-with-decorative-cover": "notebook book", "notebook": "notebook book", "ledger": "ledger book",
    "locked": "closed|lock", "unlocked": "open|lock", "locked-with-key": "lock", "locked-with-pen": "lock", "old-key": "old|key", "key": "gold|key",
    "money-bag": "money|bag", "coin": "gold|coin", "money-with-wings": "flying|money", "drop-of-blood": "blood drop", "droplet": "water|drop", "sweat-droplets": "water|drop",
    "game-die": "die", "chess-pawn": "black|pawn", "moai": "stone|statue", "headstone": "grave tombstone", "coffin": "wood|coffin",
    "bellhop-bell": "bell", "postal-horn": "horn", "long-drum": "drum", "musical-note": "music|note", "musical-notes": "music|note",
    "musical-keyboard": "piano", "diya-lamp": "lamp", "red-paper-lantern": "red|lantern", "light-bulb": "light bulb", "electric-plug": "plug",
    "couch-and-lamp": "couch", "magnifying-glass-tilted-left": "magnifying|lens", "magnifying-glass-tilted-right": "magnifying|lens",
    "page-facing-up": "page paper", "memo": "paper", "prayer-beads": "necklace", "spiral-shell": "shell", "hourglass-done": "hourglass",
    "hourglass-not-done": "hourglass", "compass": "compass", "nut-and-bolt": "nut screw", "safety-pin": "pin", "label": "tag",
    "water-pistol": "pistol", "firecracker": "red|firecracker dynamite", "military-medal": "medal", "sports-medal": "gold|medal",
    "1st-place-medal": "gold|medal", "2nd-place-medal": "silver|medal", "3rd-place-medal": "bronze|medal", "reminder-ribbon": "ribbon",
    "jack-o-lantern": "pumpkin lantern", "nesting-dolls": "doll", "piata": "pinata", "wrapped-gift": "gift present", "puzzle-piece": "puzzle",
    "pool-8-ball": "black|ball", "soccer-ball": "soccer|ball", "american-football": "football ball", "rugby-football": "rugby|ball",
    "baseball": "baseball ball", "basketball": "basketball ball", "volleyball": "volleyball ball", "softball": "softball ball", "tennis": "tennis|racket",
    "badminton": "badminton|racket", "ping-pong": "paddle", "bowling": "bowling|ball", "field-hockey": "hockey|stick", "ice-hockey": "hockey|stick",
    "lacrosse": "lacrosse|stick", "performing-arts": "theatre|mask", "framed-picture": "painting",
    "artist-palette": "palette", "club-suit": "clubs|suit", "spade-suit": "spades|suit", "heart-suit": "red|heart", "diamond-suit": "diamonds|suit",
    "carp-streamer": "banner", "mirror-ball": "disco|ball", "flying-disc": "disc", "joker": "joker card",
    "high-voltage": "yellow|lightning", "glowing-star": "glowing|star", "shooting-star": "shooting|star", "star": "yellow|star",
    "sparkles": "sparkle star", "comet": "comet", "wood": "wood|log", "brick": "brick wall", "rock": "gray|rock stone", "water-wave": "water wave",
    "fire": "fire flame", "snowman-without-snow": "snowman", "crescent-moon": "crescent|moon", "full-moon": "full|moon", "sun-with-face": "sun",
    "first-quarter-moon": "half|moon", "ringed-planet": "planet", "cyclone": "vortex cyclone", "tornado": "tornado", "cloud-with-lightning": "storm|cloud",
    "cloud-with-lightning-and-rain": "storm|cloud", "cloud-with-rain": "rain|cloud", "cloud-with-snow": "snow|cloud", "sun-behind-cloud": "cloud sun",
    "sun-behind-large-cloud": "cloud sun", "sun-behind-small-cloud": "sun", "sun-behind-rain-cloud": "rain|cloud", "hot-springs": "spring",
    "mount-fuji": "mountain", "snow-capped-mountain": "snow|mountain", "desert-island": "island", "beach-with-umbrella": "beach", "japanese-castle": "castle",
    "shinto-shrine": "shrine gate", "hindu-temple": "temple", "classical-building": "temple", "derelict-house": "old|house", "house-with-garden": "house",
    "houses": "house", "circus-tent": "tent", "camping": "tent", "flying-saucer": "ufo", "small-airplane": "airplane",
    "ring-buoy": "lifebuoy", "oil-drum": "barrel", "fuel-pump": "pump", "timer-clock": "timer clock", "alarm-clock": "alarm|clock", "barber-pole": "pole",
    "carousel-horse": "carousel", "wheel": "wheel", "articulated-lorry": "truck", "delivery-truck": "truck", "pickup-truck": "truck", "automobile": "car",
    "racing-car": "racing|car", "police-car": "police|car", "taxi": "yellow|taxi car", "fire-engine": "red|fire truck", "motor-boat": "boat", "speedboat": "boat",
    "passenger-ship": "ship", "ferry": "ferry ship", "canoe": "canoe boat", "sailboat": "sail|boat", "locomotive": "train", "high-speed-train": "train", "train": "train", "tram": "tram train",
    "tram-car": "tram train", "light-rail": "train", "kick-scooter": "scooter", "motor-scooter": "scooter", "auto-rickshaw": "rickshaw", "trolleybus": "bus", "minibus": "bus",
    "satellite-antenna": "antenna", "new-moon-face": "moon", "building-construction": "tower crane", "playground-slide": "slide",
    "lady-beetle": "ladybug beetle", "honeybee": "bee", "spouting-whale": "whale", "tropical-fish": "tropical|fish", "blowfish": "blowfish fish", "front-facing-baby-chick": "chick",
    "hatching-chick": "chick egg", "baby-chick": "chick", "service-dog": "dog", "guide-dog": "dog", "poodle": "poodle dog", "black-cat": "black|cat", "polar-bear": "white|bear",
    "ewe": "sheep", "ram": "sheep", "boar": "pig", "two-hump-camel": "camel", "water-buffalo": "buffalo", "t-rex": "dinosaur", "sauropod": "dinosaur", "phoenix-bird": "phoenix bird",
    "evergreen-tree": "pine|tree", "deciduous-tree": "green|tree", "palm-tree": "palm|tree", "christmas-tree": "christmas|tree", "leafless-tree": "bare|tree", "potted-plant": "potted|plant",
    "four-leaf-clover": "clover", "shamrock": "clover", "fallen-leaf": "leaf", "maple-leaf": "red|leaf", "leaf-fluttering-in-wind": "green|leaf", "herb": "herb plant", "seedling": "seedling plant",
    "sheaf-of-rice": "rice", "cherry-blossom": "pink|flower", "blossom": "flower", "white-flower": "flower", "hibiscus": "red|flower", "wilted-flower": "wilted|flower",
    "rose": "red|rose flower", "tulip": "tulip flower", "sunflower": "sunflower flower", "hyacinth": "purple|flower", "lotus": "pink|flower", "rosette": "flower", "bouquet": "bouquet flower",
    "spider-web": "web", "nest-with-eggs": "nest egg", "empty-nest": "nest", "spider": "spider", "ear-of-corn": "corn", "red-apple": "red|apple", "green-apple": "green|apple",
    "brown-mushroom": "brown|mushroom", "mushroom": "red|mushroom", "kiwi-fruit": "kiwi", "cut-of-meat": "meat steak", "meat-on-bone": "meat", "poultry-leg": "chicken meat", "cheese-wedge": "cheese",
    "baguette-bread": "baguette bread", "glass-of-milk": "milk", "teacup-without-handle": "tea|cup", "hot-beverage": "tea|cup", "wine-glass": "wine|glass", "cocktail-glass": "cocktail|glass",
    "tropical-drink": "cocktail drink", "beer-mug": "beer", "tumbler-glass": "glass", "cup-with-straw": "drink cup", "beverage-box": "juice", "baby-bottle": "baby|bottle", "cooked-rice": "rice", "curry-rice": "curry",
    "pot-of-food": "pot", "steaming-bowl": "soup bowl", "bowl-with-spoon": "bowl", "green-salad": "salad", "shallow-pan-of-food": "pan", "cooking": "pan egg", "fish-cake-with-swirl": "fish cake",
    "fork-and-knife": "fork", "fork-and-knife-with-plate": "dish", "soft-ice-cream": "icecream", "ice-cream": "icecream", "shaved-ice": "shaved|icecream", "hot-pepper": "red|pepper", "bell-pepper": "pepper",
    "leafy-green": "lettuce", "sake": "sake bottle", "lotion-bottle": "lotion|bottle", "jar": "glass|jar", "mate": "mate cup", "canned-food": "can food", "ginger-root": "ginger", "pea-pod": "pea", "french-fries": "fries",
    "bento-box": "bento food", "rice-ball": "rice", "rice-cracker": "rice", "fortune-cookie": "cookie", "stuffed-flatbread": "sandwich", "roasted-sweet-potato": "potato", "fried-shrimp": "shrimp", "moon-cake": "cake", "birthday-cake": "cake", "shortcake": "cake",
    "alien-monster": "alien monster", "baby-angel": "angel", "man-genie": "genie", "santa-claus": "santa human", "person-with-crown": "king human", "anatomical-heart": "anatomical|heart", "red-heart": "red|heart",
    "raised-fist": "fist hand", "raised-hand": "hand", "mechanical-arm": "mechanical|arm", "mechanical-leg": "mechanical|leg", "trident-emblem": "trident spear", "collision": "explosion",
    "dashing-away": "smoke cloud", "person": "human", "man": "human man", "woman": "human woman", "boy": "human child", "girl": "human child", "baby": "human baby", "old-man": "old|human man", "old-woman": "old|human woman",
    "prince": "prince human", "princess": "princess human", "guard": "guard human", "astronaut": "astronaut human", "farmer": "farmer human", "cook": "cook human", "pilot": "pilot human", "detective": "detective human", "ninja": "ninja human",
    "telephone-receiver": "telephone", "video-game": "gamepad", "computer-mouse": "computer mouse", "mouse": "mouse rat", "rat": "rat", "floppy-disk": "floppy|disk", "optical-disk": "disk", "dvd": "disk", "computer-disk": "disk",
    "t-shirt": "shirt", "womans-clothes": "shirt clothes", "jeans": "trousers", "martial-arts-uniform": "robe", "kimono": "kimono robe", "coat": "coat", "sari": "robe", "one-piece-swimsuit": "swimsuit", "folding-hand-fan": "fan", "thong-sandal": "sandal", "womans-sandal": "sandal",
    "high-heeled-shoe": "red|shoe", "running-shoe": "shoe", "flat-shoe": "shoe", "ballet-shoes": "shoe", "clutch-bag": "bag", "handbag": "bag", "purse": "bag", "shopping-bags": "bag", "backpack": "backpack bag", "luggage": "suitcase", "briefcase": "brown|suitcase",
    "warning": "warning|sign",
    "hot-dog": "hotdog",
    "chocolate-bar": "chocolate",
    "cityscape": "city",
    "bug": "caterpillar",
    "radioactive": "radioactive|sign",
    "biohazard": "biohazard|sign",
    "balance-scale": "balance", "fishing-pole": "fishing|pole", "adhesive-bandage": "bandage", "crayon": "crayon", "paintbrush": "brush", "black-nib": "pen", "fountain-pen": "pen", "straight-ruler": "ruler", "triangular-ruler": "ruler", "teddy-bear": "teddy|bear", "yo-yo": "yoyo",
    "flashlight": "flashlight", "candle": "candle", "bucket": "bucket", "package": "box package", "basket": "basket", "crown": "gold|crown", "ring": "diamond|ring", "boomerang": "boomerang", "dagger": "dagger", "axe": "axe", "shield": "shield", "scroll": "scroll", "door": "brown|door", "mirror": "mirror", "hook": "hook", "ladder": "ladder", "window": "window",
}  # fmt: skip
FOLDED: Mapping[str, str] = {
    "cherries": "cherry", "grapes": "grape", "blueberries": "blueberry", "pancakes": "pancake", "peanuts": "peanut", "beans": "bean", "chopsticks": "chopstick", "socks": "sock", "shorts": "trousers", "skis": "ski", "maracas": "maraca", "briefs": "underwear",
    "footprints": "footprint", "fireworks": "firework", "bubbles": "bubble", "mage": "wizard", "merpeople": "mermaid merfolk", "merperson": "mermaid merfolk", "merman": "mermaid merfolk", "mermaid": "mermaid merfolk", "grey": "gray", "automobile": "car", "superhero": "hero human", "supervillain": "villain human", "eyes": "eye",
}  # fmt: skip
PEOPLE = re.compile(r"^(man|woman|person)-(?=\w)")


def chosen(categories: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, bool]]:
    """Name, caption and whether hues may be turned, of each icon that is drawn, ordered by name."""
    kind = {name: one for one, names in categories.items() for name in names}
    for name in sorted(kind):
        if name in BESIDES or (kind[name] in TAKEN and not LEFT_OUT.search(name)):
            yield name, caption_of(name), kind[name] in TURNED


def caption_of(name: str) -> str:
    """`dog-face` is a dog, `house-with-garden` a house, `pine-tree` a pine|tree."""
    if called := CALLED.get(name):
        return called if "|" in called else f"|{called}"
    bare = PEOPLE.sub("", name) if name in BESIDES else name
    head = HEADS.match(bare)
    words = (head[1] if head else bare).removesuffix("-face").replace("-of-", "-").split("-")
    nouns = FOLDED.get(words[-1], words[-1])
    return " ".join(words[:-1]) + f"|{nouns}" if len(words) > 1 else nouns
