"""Vector selectors, lists of labels and signed numbers: what has no operators in it."""

from __future__ import annotations

from gfedge.promql.cursor import Cursor
from gfedge.promql.lexer import Token
from gfedge.promql.matching import BadRegex, matcher
from gfedge.promql.syntax import Expr, Selector
from gfedge.promql.types import NAME, Matcher

_MATCH_OPS = ("=", "!=", "=~", "!~")


class Selectors(Cursor):
    """The part of the parser that reads them."""

    def _selector(self) -> Expr:
        token = self._peek()
        name, end = "", token.span[1]
        matchers: list[Matcher] = []
        if not self._is("{"):
            name = self._written(self._next())
        if self._is("{"):
            matchers, end = self._braces()
        span = (token.span[0], end)
        if name:
            twice = next((m.value for m in matchers if m.name == NAME and m.op == "="), None)
            if twice is not None:
                self._fail(span, f'metric name must not be set twice: "{name}" or "{twice}"')
            matchers.append(matcher(NAME, "=", name))
        return Selector(name, tuple(matchers), span=span)

    def _braces(self) -> tuple[list[Matcher], int]:
        """The matchers, and where they end; a string alone is the name of a metric."""
        self._next()
        matchers: list[Matcher] = []
        while not self._is("}"):
            token = self._peek()
            if token.kind not in ("identifier", "string"):
                self._unexpected("label matching", 'identifier or "}"')
            self._next()
            if token.kind == "string" and self._is(",", "}"):
                matchers.append(matcher(NAME, "=", str(token.value)))
            else:
                matchers.append(self._matcher(token))
            if not self._is(",", "}"):
                self._unexpected("label matching", '"," or "}"')
            if self._is(","):
                self._next()
        return matchers, self._next().span[1]

    def _matcher(self, label: Token) -> Matcher:
        if not self._is(*_MATCH_OPS):
            self._unexpected("label matching", "label matching operator")
        op = self._next().text
        if self._peek().kind != "string":
            self._unexpected("label matching", "string")
        value = self._next()
        name = str(label.value) if label.kind == "string" else label.text
        try:
            return matcher(name, op, str(value.value))  # type: ignore[arg-type]
        except BadRegex as error:
            self._fail(label.span, str(error))

    def _labels(self) -> tuple[str, ...]:
        self._take("(", "grouping opts")
        found = []
        while not self._is(")"):
            token = self._peek()
            if token.kind not in ("identifier", "word", "string"):
                self._unexpected("grouping opts", "label")
            found.append(str(token.value) if token.kind == "string" else self._written(token))
            self._next()
            if not self._is(",", ")"):
                self._unexpected("grouping opts", '"," or ")"')
            if self._is(","):
                self._next()
        self._next()
        return tuple(found)

    def _signed(self, context: str) -> float:
        sign = -1.0 if self._is("-") else 1.0
        if self._is("-", "+"):
            self._next()
        if self._peek().kind not in ("number", "duration"):
            self._unexpected(context, "number")
        return sign * float(self._next().value)
