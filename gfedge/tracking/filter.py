"""The filter language over runs: text to tokens, tokens to a tree. `query.py` turns the tree into SQL.

    metrics.loss < 0.1 and (params.lr = '0.001' or tags.team ilike 'art%') order by metrics.loss desc

A key that a run does not have matches nothing, not even `!=`; only `is null` finds it. NaN matches only `!=`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal, NoReturn

import msgspec

from gfedge import errors

Entity = Literal["metrics", "params", "tags", "attributes", "datasets"]
Value = str | float | list[str] | list[float] | None

ENTITIES: dict[str, Entity] = {
    **dict.fromkeys(("metric", "metrics"), "metrics"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "params"),
    **dict.fromkeys(("tag", "tags"), "tags"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attributes"),
    **dict.fromkeys(("dataset", "datasets"), "datasets"),
}
TEXTS: dict[str, str] = {
    **dict.fromkeys(("id", "run_id"), "id"),
    **dict.fromkeys(("name", "run_name"), "name"),
    "status": "status",
    "kind": "kind",
    "experiment_id": "experiment_id",
    "parent_id": "parent_id",
    "commit": "commit",
    "user_id": "user_id",
}
NUMBERS: dict[str, str] = {
    "created_at": "created_at",
    **dict.fromkeys(("started_at", "start_time"), "started_at"),
    **dict.fromkeys(("ended_at", "end_time"), "ended_at"),
}
DATASET_KEYS = ("name", "digest", "context")
MAX_LENGTH = 10_000
MAX_COMPARISONS = 100
MAX_DEPTH = 50
MAX_ORDERS = 10


class Key(msgspec.Struct, frozen=True):
    """What is compared or ordered by: `metrics.loss`, `attributes.status`."""

    entity: Entity
    name: str

    @property
    def numeric(self) -> bool:
        return self.entity == "metrics" or (self.entity == "attributes" and self.name in NUMBERS)


class Comparison(msgspec.Struct, frozen=True):
    """One clause. `operator` is one of = != < <= > >= like ilike in null; `negated` is its NOT."""

    key: Key
    operator: str
    value: Value = None
    negated: bool = False


class Junction(msgspec.Struct, frozen=True):
    """Clauses held together by `and` or `or`."""

    word: Literal["and", "or"]
    parts: tuple[Node, ...]


Node = Comparison | Junction


class Order(msgspec.Struct, frozen=True):
    """One key of an order; runs without it come last either way, NaN before them."""

    key: Key
    descending: bool = False


class Query(msgspec.Struct, frozen=True):
    """A parsed filter."""

    where: Node | None = None
    order: tuple[Order, ...] = ()


class Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    at: int
    """Position of its first character, from 0."""


TOKENS = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<key>[A-Za-z_]\w*\.(?:`[^`]*`|"[^"]*"|\w[\w./:\-]*))
  | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<word>[A-Za-z_]\w*)
  | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
  | (?P<sign><=|>=|!=|<>|=|<|>)
  | (?P<mark>[(),])
    """,
    re.VERBOSE,
)


def parse(text: str) -> Query:
    """The tree of a filter, or of nothing; Invalid names the place and what was expected there."""
    return _Parser(text).query()


def tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        if (found := TOKENS.match(text, at)) is None:
            quote = text[at] in "'\"`"
            refuse(at, f"{text[at]!r} " + ("is not closed" if quote else "does not belong here"))
        if (kind := str(found.lastgroup)) != "space":
            yield Token(kind, found.group(), at)
        at = found.end()
    yield Token("end", "", len(text))


def refuse(at: int, text: str) -> NoReturn:
    """Positions are told from 1."""
    raise errors.Invalid(f"filter, character {at + 1}: {text}", code="bad_filter", field="filter")


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            refuse(MAX_LENGTH, f"a filter has at most {MAX_LENGTH} characters")
        self._tokens = list(tokens(text))
        self._next = 0
        self._comparisons = 0

    def query(self) -> Query:
        where = None
        if not self._is_word("order") and self._peek.kind != "end":
            where = self._either(0)
        order = self._order() if self._is_word("order") else ()
        if self._peek.kind != "end":
            self._expected("`and`, `or`, `order by` or the end")
        return Query(where, order)

    # Clauses

    def _either(self, depth: int) -> Node:
        return self._joined("or", lambda: self._joined("and", lambda: self._clause(depth)))

    def _joined(self, word: Literal["and", "or"], part: Callable[[], Node]) -> Node:
        parts = [part()]
        while self._takes(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Junction(word, tuple(parts))

    def _clause(self, depth: int) -> Node:
        if self._peek.text != "(":
            return self._comparison()
        if depth >= MAX_DEPTH:
            refuse(self._peek.at, f"parentheses are nested deeper than {MAX_DEPTH}")
        self._take()
        inner = self._either(depth + 1)
        self._mark(")")
        return inner

    def _comparison(self) -> Comparison:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            refuse(self._peek.at, f"a filter has at most {MAX_COMPARISONS} comparisons")
        key = self._key()
        if self._takes("is"):
            negated = self._takes("not")
            self._word("null")
            return Comparison(key, "null", None, negated)
        at = self._peek.at
        negated = self._takes("not")
        if self._takes("in"):
            return Comparison(key, "in", self._values(key), negated)
        for word in ("like", "ilike"):
            if self._takes(word):
                if key.numeric:
                    refuse(at, f"{key.entity}.{key.name} is a number: {word} is for texts")
                return Comparison(key, word, self._text(), negated)
        if negated or self._peek.kind != "sign":
            self._expected(
                "in, like or ilike" if negated else "=, !=, <, <=, >, >=, like, ilike, in or is"
            )
        return self._signed(key)

    def _signed(self, key: Key) -> Comparison:
        token = self._take()
        sign = "!=" if token.text == "<>" else token.text
        value = self._value(key)
        if isinstance(value, str) and sign not in ("=", "!="):
            refuse(
                token.at,
                f"texts are compared with = and != only; for numbers leave the quotes of {value!r} out",
            )
        return Comparison(key, sign, value)

    def _values(self, key: Key) -> list[str] | list[float]:
        self._mark("(")
        found = [self._value(key)]
        while self._peek.text == ",":
            self._take()
            found.append(self._value(key))
        self._mark(")")
        if texts := [value for value in found if isinstance(value, str)]:
            if len(texts) < len(found):
                refuse(self._peek.at - 1, "a list holds numbers or texts, not both")
            return texts
        return [value for value in found if isinstance(value, float)]

    def _value(self, key: Key) -> str | float:
        if key.numeric:
            return self._number()
        if key.entity == "params" and self._peek.kind == "number":
            return self._number()
        return self._text()

    def _number(self) -> float:
        if self._peek.kind != "number":
            self._expected("a number without quotes")
        return float(self._take().text)

    def _text(self) -> str:
        if self._peek.kind != "text":
            self._expected("a text in quotes")
        text = self._take().text
        return text[1:-1].replace(text[0] * 2, text[0])

    # Order

    def _order(self) -> tuple[Order, ...]:
        self._take()
        self._word("by")
        found = [self._ordered()]
        while self._peek.text == ",":
            if len(found) == MAX_ORDERS:
                refuse(self._peek.at, f"an order has at most {MAX_ORDERS} keys")
            self._take()
            found.append(self._ordered())
        return tuple(found)

    def _ordered(self) -> Order:
        at, key = self._peek.at, self._key()
        if key.entity == "datasets":
            refuse(at, "runs cannot be ordered by their datasets")
        descending = self._takes("desc")
        if not descending:
            self._takes("asc")
        return Order(key, descending)

    # Keys

    def _key(self) -> Key:
        token = self._peek
        if token.kind not in ("key", "word"):
            self._expected(
                "a key such as metrics.loss, params.`learning rate`, tags.team or status"
            )
        self._take()
        first, _, rest = token.text.partition(".")
        if token.kind == "word":
            return self._attribute(token, token.text)
        if (entity := ENTITIES.get(first)) is None:
            refuse(
                token.at, f"{first!r} is not one of metrics, params, tags, attributes and datasets"
            )
        name = rest[1:-1] if rest[0] in '`"' else rest
        if not name:
            refuse(token.at, "the key is empty")
        if entity == "attributes":
            return self._attribute(token, name)
        if entity == "datasets" and name not in DATASET_KEYS:
            refuse(token.at, f"a dataset has {', '.join(DATASET_KEYS)}, not {name!r}")
        return Key(entity, name)

    def _attribute(self, token: Token, name: str) -> Key:
        if (found := TEXTS.get(name) or NUMBERS.get(name)) is None:
            known = ", ".join(sorted({*TEXTS.values(), *NUMBERS.values()}))
            refuse(token.at, f"{name!r} is not an attribute of a run; there are {known}")
        return Key("attributes", found)

    # Tokens

    @property
    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _is_word(self, word: str) -> bool:
        return self._peek.kind == "word" and self._peek.text.lower() == word

    def _takes(self, word: str) -> bool:
        if found := self._is_word(word):
            self._take()
        return found

    def _word(self, word: str) -> None:
        if not self._takes(word):
            self._expected(f"`{word}`")

    def _mark(self, mark: str) -> None:
        if self._peek.text != mark:
            self._expected(f"`{mark}`")
        self._take()

    def _expected(self, what: str) -> NoReturn:
        token = self._peek
        found = "the end" if token.kind == "end" else repr(token.text)
        refuse(token.at, f"expected {what}, found {found}")
