"""What a template does when it is filled in: a run with its variables and output, and the actions as functions of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gfedge.alerts.functions import FUNCTIONS, Context, TemplateFailed, truthy, written

MOST_OUTPUT = 1 << 16
"""Characters that a template may write."""
MOST_STEPS = 100_000

Eval = Callable[["Run"], Any]
"""An expression or a node that was parsed."""


class Run(msgspec.Struct):
    """One expansion: its variables, `.`, and what it wrote."""

    context: Context
    dot: Any
    variables: list[tuple[str, Any]]
    out: list[str]
    size: int = 0
    steps: int = 0

    def write(self, text: str) -> None:
        self.size += len(text)
        if self.size > MOST_OUTPUT:
            raise TemplateFailed("the output is too long")
        self.out.append(text)

    def step(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise TemplateFailed("it takes too long")

    def get(self, name: str) -> Any:
        return next(value for known, value in reversed(self.variables) if known == name)

    def set(self, name: str, value: Any) -> None:
        for at in range(len(self.variables) - 1, -1, -1):
            if self.variables[at][0] == name:
                self.variables[at] = (name, value)
                return


def literal(text: str) -> Eval:
    return lambda run: run.write(text)


def constant(value: Any) -> Eval:
    return lambda run: value


def all_of(nodes: Sequence[Eval]) -> Eval:
    def action(run: Run) -> None:
        for node in nodes:
            run.step()
            node(run)

    return action


def _scoped(run: Run, body: Eval, **dot: Any) -> None:
    """Runs a block with a `.` of its own; its variables end with it."""
    known, before = len(run.variables), run.dot
    run.dot = dot.get("dot", before)
    body(run)
    run.dot = before
    del run.variables[known:]


def assign(name: str, value: Eval, declares: bool) -> Eval:
    def action(run: Run) -> None:
        found = value(run)
        if declares:
            run.variables.append((name, found))
        else:
            run.set(name, found)

    return action


def either(names: list[str], value: Eval, body: Eval, otherwise: Eval) -> Eval:
    def action(run: Run) -> None:
        known = len(run.variables)
        found = value(run)
        run.variables += [(name, found) for name in names]
        _scoped(run, body if truthy(found) else otherwise)
        del run.variables[known:]

    return action


def with_value(names: list[str], value: Eval, body: Eval, otherwise: Eval) -> Eval:
    def action(run: Run) -> None:
        known = len(run.variables)
        found = value(run)
        run.variables += [(name, found) for name in names]
        if truthy(found):
            _scoped(run, body, dot=found)
        else:
            _scoped(run, otherwise)
        del run.variables[known:]

    return action


def each(names: list[str], value: Eval, body: Eval, otherwise: Eval) -> Eval:
    def action(run: Run) -> None:
        pairs = _items(value(run))
        known = len(run.variables)
        for key, item in pairs:
            run.step()
            values = (key, item) if len(names) == 2 else (item,)
            run.variables += list(zip(names, values, strict=False))
            _scoped(run, body, dot=item)
            del run.variables[known:]
        if not pairs:
            _scoped(run, otherwise)

    return action


def _items(found: Any) -> list[tuple[Any, Any]]:
    if found is None:
        return []
    if isinstance(found, Mapping):
        return sorted(found.items())
    if isinstance(found, Sequence) and not isinstance(found, str):
        return list(enumerate(found))
    raise TemplateFailed(f"range can't iterate over {written(found)}")


def field_of(value: Eval, names: Sequence[str]) -> Eval:
    def action(run: Run) -> Any:
        found = value(run)
        for name in names:
            if not isinstance(found, Mapping):
                raise TemplateFailed(f"can't evaluate field {name}")
            found = found.get(name, "")
        return found

    return action


def call(name: str, args: Sequence[Eval]) -> Eval:
    function = FUNCTIONS[name]

    def action(run: Run) -> Any:
        run.step()
        try:
            return function(run.context, *[arg(run) for arg in args])
        except TemplateFailed as error:
            raise TemplateFailed(f"error calling {name}: {error}") from None
        except TypeError:
            raise TemplateFailed(f"wrong arguments for {name}") from None

    return action
