"""The place of a parser among its tokens, and how it says what is wrong there."""

from __future__ import annotations

from typing import NoReturn

from gfedge.promql.lexer import Lexer, ParseError, Token
from gfedge.promql.syntax import Expr, Span


class Cursor:
    """`_peek` is the token that comes, `_next` takes it."""

    def __init__(self, text: str, depth: int) -> None:
        self.text = text
        self._tokens = Lexer(text).tokens()
        self._index = 0
        self._max_depth = depth
        self._open = 0

    def _peek(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._index + ahead, len(self._tokens) - 1)]

    def _next(self) -> Token:
        token = self._peek()
        self._index += 1
        return token

    def _is(self, *ops: str) -> bool:
        return self._peek().kind == "op" and self._peek().text in ops

    def _word(self, *words: str) -> bool:
        return self._peek().kind == "word" and self._peek().text in words

    def _take(self, op: str, context: str, expected: str = "") -> Token:
        if not self._is(op):
            self._unexpected(context, expected or f'"{op}"')
        return self._next()

    def _unexpected(self, context: str, expected: str) -> NoReturn:
        if self._peek().kind == "error":
            self._fail(self._peek().span, self._peek().text)
        text = f"unexpected {self._peek()}"
        text += f" in {context}" if context else ""
        text += f", expected {expected}" if expected else ""
        self._fail(self._peek().span, text)

    def _fail(self, span: Span, reason: str) -> NoReturn:
        raise ParseError(self.text, span, reason)

    def _deeper(self, span: Span, *below: Expr) -> int:
        depth = 1 + max((b.depth for b in below), default=0)
        if max(depth, self._open) > self._max_depth:
            self._fail(span, f"expression is nested deeper than {self._max_depth} levels")
        return depth

    def _written(self, token: Token) -> str:
        return self.text[token.span[0] : token.span[1]]
