"""MLflow's filter and order language: text to clauses, each checked against what a search knows. Pure.

    metrics.loss < 0.1 AND params.`learning rate` = '0.001' AND tags.team ILIKE 'art%'

Clauses are joined by AND alone; there is no OR, no NOT and no parenthesis but that of a list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NoReturn

import msgspec

from gfedge.mlflow.refusals import invalid

Entity = Literal["metric", "parameter", "tag", "attribute", "dataset"]
ENTITIES: dict[str, Entity] = {
    **dict.fromkeys(("metric", "metrics"), "metric"),
    **dict.fromkeys(("parameter", "parameters", "param", "params"), "parameter"),
    **dict.fromkeys(("tag", "tags"), "tag"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attribute"),
    **dict.fromkeys(("dataset", "datasets"), "dataset"),
}
NUMERIC = ("=", "!=", ">", ">=", "<", "<=")
TEXTUAL = ("=", "!=", "LIKE", "ILIKE")
LISTED = ("IN", "NOT IN")
NULL = ("IS NULL", "IS NOT NULL")
DATASET_KEYS = ("name", "digest", "context")
MAX_LENGTH = 100_000
MAX_CLAUSES, MAX_ORDERS = 500, 100
TOKENS = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<key>[A-Za-z_`][\w`]*\.(?:`[^`]*`|"[^"]*"|'[^']*'|[\w.\-]+)|`[^`]*`)
  | (?P<text>'[^']*'|"[^"]*")
  | (?P<word>[A-Za-z_]\w*)
  | (?P<sign><=|>=|!=|<>|==|=|<|>)
  | (?P<list>\([^()]*\))
    """,
    re.VERBOSE,
)
ITEM = re.compile(r"\s*(?:'([^']*)'|\"([^\"]*)\")\s*")
ORDER = re.compile(r"\s*(?P<key>.*?\S)(?:\s+(?P<way>asc|desc))?\s*", re.IGNORECASE | re.DOTALL)


class Grammar(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of search can compare and order by. Attributes: the name in a filter, and its meaning."""

    texts: dict[str, str]
    numbers: dict[str, str] = {}
    lists: tuple[str, ...] = ()
    """Attributes that take IN and NOT IN."""
    entities: tuple[Entity, ...]
    listed: tuple[Entity, ...] = ("dataset",)
    """What takes IN and NOT IN whatever its key."""
    nulls: tuple[Entity, ...] = ()
    """What may be asked for IS NULL."""
    orders: tuple[Entity, ...] = ("attribute",)
    ordered: dict[str, str] | None = None
    """Attributes to order by, where they are others."""


class Key(msgspec.Struct, frozen=True):
    entity: Entity
    name: str


class Clause(msgspec.Struct, frozen=True):
    """One comparison; `operator` in capitals."""

    key: Key
    operator: str
    value: str | float | list[str] | None = None


class Order(msgspec.Struct, frozen=True):
    key: Key
    descending: bool = False


def parse(text: str | None, grammar: Grammar) -> list[Clause]:
    """The clauses of a filter; Refused with what is wrong."""
    if not text or not text.strip():
        return []
    return _Parser(text, grammar).clauses()


def parse_orders(texts: list[str], grammar: Grammar) -> list[Order]:
    check_orders(texts)
    found: dict[Key, Order] = {}
    for order in (_order(text, grammar) for text in texts):
        found.setdefault(order.key, order)  # else it is ordered by that already
    return list(found.values())


def check_orders(orders: Sequence[object]) -> None:
    if len(orders) > MAX_ORDERS:
        raise invalid(f"order_by has at most {MAX_ORDERS} clauses")


def _order(text: str, grammar: Grammar) -> Order:
    parts = ORDER.fullmatch(text)
    if parts is None:
        raise invalid(f"Invalid order_by clause '{text}'. Could not be parsed.")
    name = parts["key"]
    if re.search(r"""[\s,;]""", re.sub(r"""`[^`]*`|"[^"]*"|'[^']*'""", "", name)):
        raise invalid(f"Invalid ordering key in order_by clause '{text}'.")
    known = grammar.texts | grammar.numbers if grammar.ordered is None else grammar.ordered
    key = _key(name, grammar, known)
    if key.entity not in grammar.orders:
        raise invalid(f"Invalid order_by entity type '{key.entity}' in '{text}'")
    return Order(key, (parts["way"] or "").lower() == "desc")


def _key(text: str, grammar: Grammar, attributes: dict[str, str]) -> Key:
    first, dot, rest = ("", "", text) if text.startswith("`") else text.partition(".")
    name = _bare(rest if dot else text)
    entity = ENTITIES.get(_bare(first)) if dot else "attribute"
    if entity is None or entity not in grammar.entities:
        known = [one for one in dict.fromkeys(ENTITIES.values()) if one in grammar.entities]
        raise invalid(f"Invalid entity type '{first}'. Valid values are {known}")
    if entity == "attribute":
        if name not in attributes:
            raise invalid(
                f"Invalid attribute key '{name}' specified. Valid keys are {sorted(attributes)}"
            )
        return Key(entity, attributes[name])
    if entity == "dataset" and name not in DATASET_KEYS:
        raise invalid(
            f"Invalid dataset key '{name}' specified. Valid keys are {list(DATASET_KEYS)}"
        )
    return Key(entity, name)


def _bare(text: str) -> str:
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "`'\""
    return text[1:-1] if quoted else text


class _Parser:
    """One pass over the tokens of one text."""

    def __init__(self, text: str, grammar: Grammar) -> None:
        if len(text) > MAX_LENGTH:
            raise invalid(f"A filter has at most {MAX_LENGTH} characters")
        self._text = text
        self._grammar = grammar
        self._tokens = list(self._scan())
        self._next = 0

    def _scan(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        at = 0
        while at < len(self._text):
            if (token := TOKENS.match(self._text, at)) is None:
                raise invalid(f"Invalid clause(s) in filter string: '{self._text[at:]}'")
            if token.lastgroup != "space":
                found.append((str(token.lastgroup), token.group()))
            at = token.end()
        return found

    def clauses(self) -> list[Clause]:
        found = [self._clause()]
        while self._next < len(self._tokens):
            if not self._takes("AND"):
                self._refuse()
            if self._next < len(self._tokens):  # a trailing AND is let pass
                found.append(self._clause())
            if len(found) > MAX_CLAUSES:
                raise invalid(f"A filter has at most {MAX_CLAUSES} clauses")
        return found

    def _clause(self) -> Clause:
        kind, text = self._take()
        if kind not in ("key", "word"):
            raise invalid(f"Invalid clause(s) in filter string: '{text}'")
        grammar = self._grammar
        key = _key(text, grammar, grammar.texts | grammar.numbers)
        operator = self._operator()
        if operator in NULL:
            if key.entity not in grammar.nulls:
                raise invalid(
                    "IS NULL / IS NOT NULL is only supported for tags and params, "
                    f"not for '{key.entity}' '{key.name}'"
                )
            return Clause(key, operator)
        numeric = key.entity == "metric" or (
            key.entity == "attribute" and key.name in grammar.numbers.values()
        )
        self._check_operator(key, operator, numeric)
        if operator in LISTED:
            return Clause(key, operator, self._list())
        return Clause(key, operator, self._number(key) if numeric else self._string(key))

    def _check_operator(self, key: Key, operator: str, numeric: bool) -> None:
        known = NUMERIC if numeric else TEXTUAL
        if key.entity in self._grammar.listed or (
            key.entity == "attribute" and key.name in self._lists()
        ):
            known = (*known, *LISTED)
        if operator not in known:
            raise invalid(f"Invalid comparator '{operator}' not one of {list(known)}")

    def _lists(self) -> set[str]:
        return {self._grammar.texts[name] for name in self._grammar.lists}

    def _operator(self) -> str:
        kind, text = self._take()
        word = text.upper()
        if kind == "sign":
            return text
        if word in ("LIKE", "ILIKE", "IN"):
            return word
        if word == "NOT" and self._takes("IN"):
            return "NOT IN"
        if word == "IS":
            negated = self._takes("NOT")
            if self._takes("NULL"):
                return "IS NOT NULL" if negated else "IS NULL"
        return self._refuse()

    def _number(self, key: Key) -> float:
        kind, text = self._take()
        if kind != "number":
            raise invalid(f"Expected numeric value type for {key.entity}: {key.name}. Found {text}")
        return float(text)

    def _string(self, key: Key) -> str:
        kind, text = self._take()
        if kind != "text":
            raise invalid(
                f"Expected a quoted string value for {key.entity} (e.g. 'my-value'). Got value {text}"
            )
        return text[1:-1]

    def _list(self) -> list[str]:
        kind, text = self._take()
        items = [ITEM.fullmatch(item) for item in text[1:-1].split(",")] if kind == "list" else []
        if not items or None in items:
            raise invalid(
                "While parsing a list in the query, expected a non-empty list of string values, "
                f"but got {text}"
            )
        return [item[1] if item[1] is not None else item[2] for item in items if item is not None]

    # Tokens

    def _take(self) -> tuple[str, str]:
        if self._next == len(self._tokens):
            raise invalid(f"Invalid clause(s) in filter string: '{self._text}' ends too early")
        self._next += 1
        return self._tokens[self._next - 1]

    def _takes(self, word: str) -> bool:
        found = self._next < len(self._tokens) and self._tokens[self._next][1].upper() == word
        self._next += found
        return found

    def _refuse(self) -> NoReturn:
        rest = " ".join(text for _, text in self._tokens[max(0, self._next - 1) :])
        raise invalid(f"Invalid clause(s) in filter string: '{rest}'")
