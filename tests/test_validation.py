"""What a client reads about a value that does not fit: what is accepted, in words, and where."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from gfedge import errors, wire

Colour = Annotated[str, Meta(pattern="^#[0-9a-f]{6}$", description="A colour as #rrggbb.")]


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: Annotated[int, Meta(ge=1)]


class Asked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    prompt: Annotated[str, Meta(min_length=1)]
    name: Annotated[str, Meta(min_length=1, max_length=9)] = "x"
    scale: Literal[1, 2, 4] | None = None
    steps: Annotated[int, Meta(ge=1, le=100)] = 1
    guidance: Annotated[float, Meta(ge=0, le=30.5)] | None = None
    tileable: bool = False
    palette: (
        Annotated[int, Meta(ge=2, le=256)]
        | Annotated[list[Colour], Meta(min_length=1, max_length=9)]
        | None
    ) = None
    inner: list[Inner] = []
    extra: dict[str, float] = {}


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "prompt", "prompt: is missing"),
        ({"prompt": ""}, "prompt", "prompt: expected text that is not empty"),
        ({"prompt": 7}, "prompt", "expected text that is not empty, not a whole number"),
        ({"name": "x" * 10}, "name", "name: expected text of 1 to 9 characters"),
        ({"scale": 5}, "scale", "scale: expected one of 1, 2, 4"),
        ({"scale": "4"}, "scale", "scale: expected one of 1, 2, 4, not text"),
        ({"steps": 101}, "steps", "steps: expected a whole number from 1 to 100"),
        ({"steps": 1.5}, "steps", "a whole number from 1 to 100, not a number"),
        ({"steps": True}, "steps", "a whole number from 1 to 100, not true or false"),
        ({"guidance": None, "steps": None}, "steps", "from 1 to 100, not null"),
        ({"guidance": 31}, "guidance", "guidance: expected a number from 0 to 30.5"),
        ({"tileable": "yes"}, "tileable", "tileable: expected true or false, not text"),
        ({"palette": 1}, "palette", "a whole number from 2 to 256 or a list of 1 to 9 entries"),
        ({"palette": ["red"]}, "palette[0]", "palette[0]: expected a colour as #rrggbb"),
        ({"guidence": 3}, "guidence", "guidence: is not known; did you mean guidance?"),
        ({"cfg": 3}, "cfg", "cfg: is not known; there are: prompt, name, scale, "),
        ({"inner": [{"size": 0}]}, "inner[0].size", "expected a whole number of at least 1"),
        ({"inner": [{}]}, "inner[0].size", "inner[0].size: is missing"),
        ({"inner": [{"size": 1, "sise": 1}]}, "inner[0].sise", "did you mean size?"),
        ({"extra": {"a": "b"}}, "extra[...]", "expected a number, not text"),
        ([], "", "the body: expected an object, not a list"),
    ],
)
def test_a_misfit_says_what_is_accepted(body: Any, field: str, said: str) -> None:
    if isinstance(body, dict) and body:
        body = {"prompt": "x", **body}
    with pytest.raises(errors.Invalid) as refused:
        wire.decode(msgspec.json.encode(body), Asked)
    assert refused.value.field == field
    assert said in refused.value.detail


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        ({"scale": "x"}, "query parameter scale: expected one of 1, 2, 4"),
        ({"guidance": "nan"}, "query parameter guidance: expected a number"),
        ({"guidance": "1e999"}, "query parameter guidance: expected a number"),
        ({"foo": "1"}, "query parameter foo: is not known; there are: prompt, "),
    ],
)
def test_so_does_one_in_a_query(values: dict[str, str], detail: str) -> None:
    with pytest.raises(errors.Invalid) as refused:
        wire.convert({"prompt": "x", **values}, Asked)
    assert refused.value.detail.startswith(detail)
    assert refused.value.field == next(iter(values))
