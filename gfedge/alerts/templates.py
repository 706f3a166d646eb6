"""Templates of labels and annotations: the part of Go's text/template that alerts use.

`{{ $labels.instance }}`, pipes, variables, if, range, with and Prometheus' functions (`functions`); `define` is not
supported. A text is parsed once, and unknown functions and variables are found then.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from gfedge.alerts import actions
from gfedge.alerts.actions import Eval, Run
from gfedge.alerts.functions import FUNCTIONS, Context, TemplateFailed, written

PRELUDE = ("labels", "value", "externalLabels", "externalURL")
"""Variables that every template has."""
DEPTH = 100
_token = re.compile(
    r"""(?P<space>\s+)|(?P<comment>/\*.*?\*/)|(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<char>'(?:[^'\\]|\\.)')
    |(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?))
    |(?P<field>(?:\.[A-Za-z_]\w*)+)|(?P<dot>\.)|(?P<variable>\$\w*)|(?P<op>:=|[|()=,])|(?P<word>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class TemplateError(ValueError):
    """A text that is no template."""


class Token(NamedTuple):
    kind: str
    text: str
    glued: bool
    """No space before it: `$x.a` is one operand."""


class Template:
    """A text that was parsed."""

    def __init__(self, text: str) -> None:
        parser = _Parser(text)
        self._body, end = parser.block(())
        assert end is None

    @staticmethod
    @functools.lru_cache(maxsize=2000)
    def of(text: str) -> Template:
        """The template of a text; TemplateError says what is wrong with it."""
        return Template(text)

    def expand(self, context: Context) -> str:
        """The text with everything filled in; where that fails it says so itself, as in Prometheus."""
        values = (context.labels, context.value, context.external_labels, context.external_url)
        dot = {
            "Labels": context.labels,
            "Value": context.value,
            "ExternalLabels": context.external_labels,
            "ExternalURL": context.external_url,
        }
        variables = [("$", dot), *((f"${n}", v) for n, v in zip(PRELUDE, values, strict=True))]
        run = Run(context, dot, variables, [])
        try:
            self._body(run)
        except TemplateFailed as error:
            return f"<error expanding template: {error}>"
        except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
            return f"<error expanding template: {type(error).__name__}: {error}>"
        return "".join(run.out)


class _Parser:
    """Text and actions to functions of a run."""

    def __init__(self, text: str) -> None:
        self.pieces = _pieces(text)
        self.index = 0
        self.variables = ["$", *(f"${name}" for name in PRELUDE)]
        self.depth = 0
        self.tokens: list[Token] = []
        self.at = 0

    # Blocks

    def block(self, ends: Sequence[str]) -> tuple[Eval, str | None]:
        """What stands up to one of the words that end it, and which one it was (its tokens are next)."""
        self.depth += 1
        if self.depth > DEPTH:
            raise TemplateError("nested too deeply")
        nodes: list[Eval] = []
        known = len(self.variables)
        while self.index < len(self.pieces):
            is_action, text = self.pieces[self.index]
            self.index += 1
            if not is_action:
                nodes.append(actions.literal(text))
                continue
            self.tokens, self.at = _tokens(text), 0
            if not self.tokens:
                continue
            word = self.peek.text if self.peek.kind == "word" else ""
            if word in ends:
                self.at += 1
                del self.variables[known:]
                self.depth -= 1
                return actions.all_of(nodes), word
            nodes.append(self.action(word))
        if ends:
            raise TemplateError("unexpected EOF")
        self.depth -= 1
        return actions.all_of(nodes), None

    def action(self, word: str) -> Eval:
        if word in ("end", "else"):
            raise TemplateError(f"unexpected {{{{{word}}}}}")
        if word in ("define", "template", "block", "break", "continue"):
            raise TemplateError(f"{{{{{word}}}}} is not supported")
        if word in ("if", "with", "range"):
            self.at += 1
            return self.control(word)
        names, pipeline, declares = self.pipeline()
        self.close()
        if names:
            return actions.assign(names[0], pipeline, declares)
        return lambda run: run.write(written(pipeline(run)))

    def control(self, word: str) -> Eval:
        known = len(self.variables)
        names, pipeline, _ = self.pipeline(most=2 if word == "range" else 1)
        self.close()
        body, end = self.block(("else", "end"))
        otherwise = self.otherwise(word) if end == "else" else actions.all_of([])
        del self.variables[known:]
        make = {"if": actions.either, "with": actions.with_value, "range": actions.each}[word]
        return make(names, pipeline, body, otherwise)

    def otherwise(self, word: str) -> Eval:
        """What follows `else`: another condition, or all up to the end."""
        if self.at < len(self.tokens):
            again = self.peek.text
            if again not in ("if", "with") or (again == "with") != (word == "with"):
                raise TemplateError(f"unexpected {again} after else")
            self.at += 1
            return self.control(again)
        body, _ = self.block(("end",))
        return body

    def close(self) -> None:
        if self.at < len(self.tokens):
            raise TemplateError(f"unexpected {self.peek.text!r} in action")

    # Pipelines

    @property
    def peek(self) -> Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else Token("end", "}}", False)

    def pipeline(self, most: int = 1) -> tuple[list[str], Eval, bool]:
        """The variables that it is given to, the pipeline, and whether they are new."""
        names, declares = self.targets(most)
        value = self.command(None)
        while self.peek.text == "|" and self.peek.kind == "op":
            self.at += 1
            value = self.command(value)
        if declares:
            self.variables += names
        return names, value, declares

    def targets(self, most: int) -> tuple[list[str], bool]:
        start = self.at
        names: list[str] = []
        while self.peek.kind == "variable" and len(names) < most:
            names.append(self.peek.text)
            self.at += 1
            if self.peek.text in (":=", "="):
                declares = self.peek.text == ":="
                self.at += 1
                for name in names if not declares else ():
                    self.known(name)
                return names, declares
            if self.peek.text != ",":
                break
            self.at += 1
        self.at = start
        return [], False

    def command(self, piped: Eval | None) -> Eval:
        """A function with its arguments, or one operand; a pipe passes its value as the last argument."""
        token = self.peek
        if token.kind == "word" and token.text not in ("true", "false", "nil"):
            self.at += 1
            if token.text not in FUNCTIONS:
                raise TemplateError(f'function "{token.text}" not defined')
            args = self.operands()
            return actions.call(token.text, [*args, piped] if piped is not None else args)
        args = self.operands()
        if not args:
            raise TemplateError("missing value for command")
        if len(args) > 1 or piped is not None:
            raise TemplateError(f"{token.text!r} is no function and takes no argument")
        return args[0]

    def operands(self) -> list[Eval]:
        found: list[Eval] = []
        while (token := self.peek).kind != "end" and not (
            token.kind == "op" and token.text in ("|", ")")
        ):
            self.at += 1
            found.append(self.followed(self.operand(token)))
        return found

    def followed(self, value: Eval) -> Eval:
        """`.a.b` that stands at an operand without a space."""
        if self.peek.kind == "field" and self.peek.glued:
            names = self.peek.text[1:].split(".")
            self.at += 1
            return actions.field_of(value, names)
        return value

    def operand(self, token: Token) -> Eval:
        match token.kind:
            case "string":
                return actions.constant(_unquoted(token.text))
            case "char":
                return actions.constant(ord(_unquoted(f'"{token.text[1:-1]}"')))
            case "number":
                return actions.constant(_number(token.text))
            case "dot":
                return lambda run: run.dot
            case "field":
                return actions.field_of(lambda run: run.dot, token.text[1:].split("."))
            case "variable":
                self.known(token.text)
                return lambda run: run.get(token.text)
            case "word" if token.text in ("true", "false", "nil"):
                return actions.constant({"true": True, "false": False, "nil": None}[token.text])
            case "word" if token.text in FUNCTIONS:
                return actions.call(token.text, [])
            case "word":
                raise TemplateError(f'function "{token.text}" not defined')
            case "op" if token.text == "(":
                return self.parenthesis()
            case _:
                raise TemplateError(f"unexpected {token.text!r} in action")

    def parenthesis(self) -> Eval:
        self.depth += 1
        if self.depth > DEPTH:
            raise TemplateError("nested too deeply")
        _, value, _ = self.pipeline(most=0)
        if self.peek.text != ")":
            raise TemplateError("unclosed left paren")
        self.at += 1
        self.depth -= 1
        return value

    def known(self, name: str) -> None:
        if name not in self.variables:
            raise TemplateError(f'undefined variable "{name}"')


# Text to pieces and tokens


def _pieces(text: str) -> list[tuple[bool, str]]:
    """(is an action, its text) in order; `{{-` and `-}}` take the space beside them away."""
    found: list[tuple[bool, str]] = []
    at, trim = 0, False
    while (start := text.find("{{", at)) >= 0:
        trims = text[start + 2 : start + 3] == "-" and text[start + 3 : start + 4].isspace()
        before = text[at:start]
        before = before.lstrip() if trim else before
        found.append((False, before.rstrip() if trims else before))
        inside = start + (3 if trims else 2)
        end = _end(text, inside)
        trim = text[end - 1] == "-" and text[end - 2].isspace() and end - 1 > inside
        found.append((True, text[inside : end - 1 if trim else end]))
        at = end + 2
    rest = text[at:]
    found.append((False, rest.lstrip() if trim else rest))
    return found


def _end(text: str, start: int) -> int:
    """Where the `}}` of an action is; one in a string or a comment does not count."""
    at = start
    while at < len(text):
        if text.startswith("}}", at):
            return at
        found = _token.match(text, at)
        literal = found is not None and found.lastgroup in ("string", "comment", "char")
        at = found.end() if found is not None and literal else at + 1
    raise TemplateError("unclosed action")


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    at, glued = 0, False
    while at < len(text):
        match = _token.match(text, at)
        if match is None:
            raise TemplateError(f"unexpected {text[at : at + 10]!r} in action")
        kind = match.lastgroup or ""
        if kind not in ("space", "comment"):
            found.append(Token(kind, match.group(), glued))
        glued = kind != "space"
        at = match.end()
    return found


def _unquoted(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]

    def one(found: re.Match[str]) -> str:
        code = found.group(1)
        return chr(int(code[1:], 16)) if code[0] in "xuU" else _ESCAPES.get(code, code)

    return re.sub(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}|.)", one, text[1:-1])


def _number(text: str) -> int | float:
    try:
        return int(text, 0) if "x" in text.lower() else int(text)
    except ValueError:
        return float(text)
