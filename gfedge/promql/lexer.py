"""Text to tokens. Keywords are known in any case, strings are Go's."""

from __future__ import annotations

import math
import re
from typing import Literal, NoReturn

import msgspec

from gfedge.promql.syntax import AGGREGATIONS, Span
from gfedge.promql.types import QueryError

Kind = Literal[
    "number", "duration", "string", "identifier", "metric identifier", "word", "op", "end", "error"
]

OPERATOR_WORDS = {"and", "or", "unless", "atan2"}
KEYWORDS = {
    "offset", "by", "without", "on", "ignoring", "group_left", "group_right", "bool",
    "anchored", "smoothed", "fill", "fill_left", "fill_right",
}  # fmt: skip
WORDS = OPERATOR_WORDS | KEYWORDS | AGGREGATIONS

_blank = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_number = re.compile(
    r"0[xX][0-9a-fA-F](?:_?[0-9a-fA-F])*"
    r"|(?:\d(?:_?\d)*(?:\.(?:\d(?:_?\d)*)?)?|\.\d(?:_?\d)*)(?:[eE][+-]?\d+)?"
)
_duration = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_parts = re.compile(r"(\d+)(ms|[smhdwy])")
_name = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_metric = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_op = re.compile(r"==|!=|=~|!~|>=|<=|</|>/|[-+*/%^@=<>(){}\[\],:!]")
_in_braces = re.compile(r"!=|=~|!~|[=},]")
_of_durations = {"step", "range", "min_of", "max_of"}
_word_end = re.compile(r"[a-zA-Z0-9_.]*")

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_UNITS |= {"w": 7 * 86_400_000, "y": 365 * 86_400_000}
_ORDER = ("y", "w", "d", "h", "m", "s", "ms")
_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34}
_MAX_MS = (1 << 63) // 1_000_000
_LARGEST = (1 << 63) - 1


class ParseError(QueryError):
    """A text that is no expression; the position counts from line 1, column 1."""

    def __init__(self, text: str, span: Span | None, reason: str) -> None:
        where = "unknown position" if span is None else position(text, span[0])
        super().__init__("bad_data", f"{where}: parse error: {reason}")
        self.span = span
        self.reason = reason


def position(text: str, offset: int) -> str:
    """`line:column` of an offset; columns count bytes, as Prometheus counts them."""
    before = text[:offset]
    line = before.count("\n") + 1
    column = len(before.rpartition("\n")[2].encode("utf-8", "replace")) + 1
    return f"{line}:{column}"


class Token(msgspec.Struct, frozen=True):
    kind: Kind
    text: str
    """As written; of a word or operator in lower case."""
    span: Span
    value: str | float = ""
    """Of a string, a number or a duration (in seconds)."""

    def __str__(self) -> str:
        """As an error names it."""
        if self.kind == "end":
            return "end of input"
        if self.kind == "word":
            if self.text in OPERATOR_WORDS:
                return f"<op:{self.text}>"
            return f"<{'aggr:' if self.text in AGGREGATIONS else ''}{self.text}>"
        if self.kind == "op":
            plain = self.text in "(){}[],:="
            return quoted(self.text) if plain else f"<op:{self.text}>"
        shown = self.text if len(self.text) <= 10 or "identifier" in self.kind else self.text[:10]
        return f"{self.kind} {quoted(shown)}{'...' if shown != self.text else ''}"


class Lexer:
    """Reads one token after the other; brackets decide what a colon means."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._brackets = 0
        self._braces = 0
        self._parens = 0

    def tokens(self) -> list[Token]:
        """All of them; where the text makes no sense the last one is an error, for the parser to come upon."""
        found: list[Token] = []
        while not found or found[-1].kind not in ("end", "error"):
            try:
                found.append(self._next())
            except ParseError as error:
                found.append(Token("error", error.reason, error.span or (0, 0)))
        return found

    def _fail(self, reason: str, start: int, end: int | None = None) -> NoReturn:
        raise ParseError(self.text, (start, end or start + 1), reason)

    def _next(self) -> Token:
        text = self.text
        start = self.at = _blank.match(text, self.at).end()  # type: ignore[union-attr]
        if start >= len(text):
            return self._end(start)
        char = text[start]
        if char in "\"'`" and not self._brackets:
            value = self._string()
            return Token("string", text[start : self.at], (start, self.at), value)
        number = char.isdecimal() or (char == "." and text[start + 1 : start + 2].isdecimal())
        if number and not self._braces:
            return self._number()
        names = _name if self._brackets or self._braces else _metric
        if found := names.match(text, start):
            self.at = found.end()
            return self._word(found.group(), start)
        return self._operator(start)

    def _end(self, start: int) -> Token:
        if self._braces:
            self._fail("unexpected end of input inside braces", start)
        if self._brackets:
            self._fail("unexpected end of input in duration expression", start)
        if self._parens:
            self._fail("unclosed left parenthesis", start)
        return Token("end", "", (start, start))

    def _operator(self, start: int) -> Token:
        found = (_in_braces if self._braces else _op).match(self.text, start)
        op = found.group() if found else ""
        if op in ("=~", "!~", "!") and not self._braces:
            after = self.text[start + 1 : start + 2]
            self._fail(f"unexpected character after '{op[0]}': {_rune(after)}", start)
        if found is None or (op == "}" and not self._braces):
            where = " inside braces" if self._braces else ""
            where = " in duration expression" if self._brackets else where
            self._fail(f"unexpected character{where}: {_rune(self.text[start])}", start)
        self.at = found.end()
        self._braces += (op == "{") - (op == "}")
        self._brackets += (op == "[") - (op == "]")
        self._parens += (op == "(") - (op == ")")
        if self._brackets < 0:
            self._fail("unexpected right bracket ']'", start)
        if self._parens < 0:
            self._fail("unexpected right parenthesis ')'", self.at)
        return Token("op", op, (start, self.at))

    def _word(self, word: str, start: int) -> Token:
        span, low = (start, self.at), word.lower()
        if self._braces:
            return Token("identifier", word, span)
        if self._brackets and low not in _of_durations:
            self._fail(f"unexpected character: {_rune(word[0])}, expected ':'", start)
        if low in ("inf", "nan"):
            return Token("number", word, span, float(low))
        if low in WORDS:
            return Token("word", low, span, word)
        return Token("metric identifier" if ":" in word else "identifier", word, span)

    def _number(self) -> Token:
        text, start = self.text, self.at
        if (found := _duration.match(text, start)) and not _word_end.match(text, found.end())[0]:  # type: ignore[index]
            self.at = found.end()
            span = (start, self.at)
            return Token("duration", found.group(), span, self._seconds(found.group(), span))
        number = _number.match(text, start)
        end = number.end() if number else start
        tail = _word_end.match(text, end).end()  # type: ignore[union-attr]
        if number is None or tail > end:
            shown = quoted(text[start:tail])
            self._fail(f"bad number or duration syntax: {shown}", start, tail)
        self.at = end
        value = _value(text[start:end])
        if value is None or math.isinf(value):
            written = quoted(text[start:end])
            wrong = "invalid syntax" if value is None else "value out of range"
            reason = f"error parsing number: strconv.ParseFloat: parsing {written}: {wrong}"
            self._fail(reason, start, end)
        return Token("number", text[start:end], (start, end), value)

    def _seconds(self, written: str, span: Span) -> float:
        try:
            return milliseconds(written) / 1000
        except ValueError as error:
            raise ParseError(self.text, span, str(error)) from None

    def _string(self) -> str:
        quote, start = self.text[self.at], self.at
        if quote == "`":
            end = self.text.find("`", start + 1)
            if end < 0:
                self._fail("unterminated raw string", start)
            self.at = end + 1
            return self._checked(self.text[start + 1 : end], start)
        out = bytearray()
        self.at += 1
        while (char := self.text[self.at : self.at + 1]) != quote:
            if char in ("", "\n"):
                self._fail("unterminated quoted string", start)
            self.at += 1
            if char == "\\":
                out += self._escape(quote, start)
            else:
                out += self._checked(char, start).encode()
        self.at += 1
        return out.decode("utf-8", "surrogateescape")

    def _checked(self, text: str, start: int) -> str:
        if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
            self._fail("invalid UTF-8 rune", start)
        return text

    def _escape(self, quote: str, start: int) -> bytes:
        char = self.text[self.at : self.at + 1]
        self.at += 1
        if char in _ESCAPES and char not in {"'", '"'} - {quote}:
            return bytes([_ESCAPES[char]])
        if not char:
            self._fail("escape sequence not terminated", start)
        if char not in "xuU01234567":
            self._fail(f"unknown escape sequence U+{ord(char):04X} {_rune(char)}", start)
        count, base = {"x": (2, 16), "u": (4, 16), "U": (8, 16)}.get(char, (3, 8))
        digits = "" if base == 16 else char
        while len(digits) < count:
            digits += self._digit(base, start)
        code = int(digits, base)
        if char not in "uU" and code < 256:
            return bytes([code])
        if char not in "uU" or code > 0x10FFFF or 0xD800 <= code < 0xE000:
            self._fail("escape sequence is an invalid Unicode code point", start)
        return chr(code).encode()

    def _digit(self, base: int, start: int) -> str:
        found = self.text[self.at : self.at + 1]
        self.at += 1
        if not found:
            self._fail("escape sequence not terminated", start)
        if found not in "0123456789abcdefABCDEF"[: 8 if base == 8 else None]:
            shown = f"U+{ord(found):04X} {_rune(found)}"
            self._fail(f"illegal character {shown} in escape sequence", start)
        return found


def _rune(char: str) -> str:
    return f"'{char}'"


def _value(written: str) -> float | None:
    """A number as Go reads it: whole ones with a leading 0 are octal, and those beyond 64 bits are none (hexadecimal)
    or decimal."""
    plain = written.replace("_", "")
    if plain[:2].lower() == "0x":
        return float(found) if (found := int(plain, 16)) <= _LARGEST else None
    if re.fullmatch(r"0[0-7]+", plain) and (found := int(plain, 8)) <= _LARGEST:
        return float(found)
    try:
        return float(plain)
    except OverflowError:
        return float("inf")


def milliseconds(written: str) -> int:
    """A duration such as `1h30m`; ValueError where it is none."""
    parts = _parts.findall(written)
    if not parts or "".join(n + u for n, u in parts) != written:
        raise ValueError(f"not a valid duration string: {quoted(written)}")
    order = [_ORDER.index(unit) for _, unit in parts]
    if order != sorted(set(order)):
        raise ValueError(f"not a valid duration string: {quoted(written)}")
    if len(written) > 40 or (total := sum(int(n) * _UNITS[unit] for n, unit in parts)) > _MAX_MS:
        raise ValueError("duration out of range")
    return total


def quoted(text: str) -> str:
    """The text in double quotes with Go's escapes."""
    out = ['"']
    for char in text:
        code = ord(char)
        if char in '"\\':
            out.append("\\" + char)
        elif char in "\a\b\f\n\r\t\v":
            out.append("\\" + "abfnrtv"["\a\b\f\n\r\t\v".index(char)])
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
            out.append(f"\\x{code - 0xDC00:02x}")
        elif code < 32 or code == 127:
            out.append(f"\\x{code:02x}")
        else:
            out.append(char)
    return "".join([*out, '"'])
