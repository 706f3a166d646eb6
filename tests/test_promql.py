"""PromQL: what is no expression and where, what is printed of one, and what a hostile query may cost."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gfedge.promql import printer
from gfedge.promql.engine import Engine
from gfedge.promql.hashing import xxh64
from gfedge.promql.memory import MemoryStorage
from gfedge.promql.numbers import format_value
from gfedge.promql.parser import parse, parse_selector
from gfedge.promql.types import (
    Labels,
    Limits,
    QueryError,
    Result,
    make_labels,
)

# -- the parser ---------------------------------------------------------------------------------

BAD = [
    ('', 'unknown position: parse error: no expression found in input'),
    ('# nothing but words', 'unknown position: parse error: no expression found in input'),
    ('1 +', '1:4: parse error: unexpected end of input'),
    ('sum(', '1:5: parse error: unclosed left parenthesis'),
    ('(1', '1:3: parse error: unclosed left parenthesis'),
    ('1)', "1:3: parse error: unexpected right parenthesis ')'"),
    ('foo bar', '1:5: parse error: unexpected identifier "bar"'),
    ('a +\n  b c', '2:5: parse error: unexpected identifier "c"'),
    ('é', "1:1: parse error: unexpected character: 'é'"),
    ('"é" §', "1:6: parse error: unexpected character: '§'"),
    ('foo{', '1:5: parse error: unexpected end of input inside braces'),
    ('foo{a}', '1:6: parse error: unexpected "}" in label matching, expected label matching operator'),
    ('foo{a="b" c="d"}', '1:11: parse error: unexpected identifier "c" in label matching, expected "," or "}"'),
    ('foo{a=b}', '1:7: parse error: unexpected identifier "b" in label matching, expected string'),
    ('foo{a=~"("}', '1:5: parse error: error parsing regexp: missing closing ): `(`'),
    ('x{__name__="y"}', '1:1: parse error: metric name must not be set twice: "x" or "y"'),
    ('{}', '1:1: parse error: vector selector must contain at least one non-empty matcher'),
    ('{a=~".*"}', '1:1: parse error: vector selector must contain at least one non-empty matcher'),
    ('nosuch(x)', '1:1: parse error: unknown function with name "nosuch"'),
    ('rate(x)', '1:6: parse error: expected type range vector in call to function "rate", got instant vector'),
    ('abs()', '1:1: parse error: expected 1 argument(s) in call to "abs", got 0'),
    ('round(x, 1, 2)', '1:1: parse error: expected at most 2 argument(s) in call to "round", got 3'),
    ('label_join(x, "a")', '1:1: parse error: expected at least 3 argument(s) in call to "label_join", got 2'),
    ('abs(x,)', '1:6: parse error: trailing commas not allowed in function call args'),
    ('sum()', '1:1: parse error: no arguments for aggregate expression provided'),
    ('topk(x)', '1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1'),
    ('sum by 5 (x)', '1:8: parse error: unexpected number "5" in grouping opts, expected "("'),
    ('1 == 2', '1:3: parse error: comparisons between scalars must use BOOL modifier'),
    ('x + bool y', '1:3: parse error: bool modifier can only be used on comparison operators'),
    ('1 and 2', '1:1: parse error: set operator "and" not allowed in binary scalar expression'),
    ('x and on(a) group_left y', '1:1: parse error: no grouping allowed for "and" operation'),
    ('x * on(a) group_left(a) y', '1:3: parse error: label "a" must not occur in ON and GROUP clause at once'),
    ('1 + on(a) y', '1:1: parse error: vector matching only allowed between instant vectors'),
    ('x or fill(0) y', '1:1: parse error: filling in missing series not allowed for set operators'),
    ('"a" + 1', '1:1: parse error: binary expression must contain only scalar and instant vector types'),
    ('x[5m] + 1', '1:1: parse error: binary expression must contain only scalar and instant vector types'),
    ('-"a"', '1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "string"'),
    ('x[5m', '1:5: parse error: unexpected end of input in duration expression'),
    ('x[]', '1:3: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()'),
    ('x[0]', '1:3: parse error: duration must be greater than 0'),
    ('x[5x]', '1:3: parse error: bad number or duration syntax: "5x"'),
    ('0xffffffffffffffff', '1:1: parse error: error parsing number: strconv.ParseFloat: parsing "0xffffffffffffffff": invalid syntax'),
    ('0x' + 'f' * 300, '1:1: parse error: error parsing number: strconv.ParseFloat: parsing "0x' + 'f' * 300 + '": invalid syntax'),
    ('0' + '7' * 400, '1:1: parse error: error parsing number: strconv.ParseFloat: parsing "0' + '7' * 400 + '": value out of range'),
    ('x[1m1h]', '1:3: parse error: not a valid duration string: "1m1h"'),
    ('(x)[5m]', '1:4: parse error: ranges only allowed for vector selectors'),
    ('x offset 1m[5m]', '1:12: parse error: no offset modifiers allowed before range'),
    ('x @ 1 [5m]', '1:7: parse error: no @ modifiers allowed before range'),
    ('x offset', '1:9: parse error: unexpected end of input in offset, expected number, duration, step(), or range()'),
    ('1 offset 5m', '1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery'),
    ('x offset 5m offset 5m', '1:1: parse error: offset may not be set multiple times'),
    ('x @ y', '1:5: parse error: unexpected identifier "y" in @, expected timestamp'),
    ('x @ NaN', '1:1: parse error: timestamp out of bounds for @ modifier: NaN'),
    ('x @ 1 @ 2', '1:1: parse error: @ <timestamp> may not be set multiple times'),
    ('1[5m:]', '1:1: parse error: subquery is only allowed on instant vector, got scalar instead'),
    ('"a', '1:1: parse error: unterminated quoted string'),
    ('"\\q"', "1:1: parse error: unknown escape sequence U+0071 'q'"),
    ('`a', '1:1: parse error: unterminated raw string'),
    ('x </ 5', '1:3: parse error: native histograms are not supported: operator </'),
    ('1 !~ 1', "1:3: parse error: unexpected character after '!': '~'"),
    ('1 =~ 1', "1:3: parse error: unexpected character after '=': '~'"),
    ('}', "1:1: parse error: unexpected character: '}'"),
    ('foo{a:b="b"}', "1:6: parse error: unexpected character inside braces: ':'"),
    ('foo{a*"b"}', "1:6: parse error: unexpected character inside braces: '*'"),
    ('foo{1}', "1:5: parse error: unexpected character inside braces: '1'"),
    ('foo{,}', '1:5: parse error: unexpected "," in label matching, expected identifier or "}"'),
    ('foo["5m"]', '1:5: parse error: unexpected character in duration expression: \'"\''),
    ('foo[5m1]', '1:5: parse error: bad number or duration syntax: "5m1"'),
    ('foo[step]', '1:9: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()'),
    ('foo[5s/0d]', '1:7: parse error: division by zero'),
    ('foo[5s x 5s]', "1:8: parse error: unexpected character: 'x', expected ':'"),
    ('foo offset 9.5e10', '1:12: parse error: duration out of range'),
    ('999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999', '1:1: parse error: error parsing number: strconv.ParseFloat: parsing "999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999": value out of range'),
    ('x{a="\udcff"}', '1:5: parse error: invalid UTF-8 rune'),
    ('info(a, b{c="d"})', '1:9: parse error: expected label selectors only, got vector selector instead'),
    ('"\\x."', "1:1: parse error: illegal character U+002E '.' in escape sequence"),
    ('"\\', '1:1: parse error: escape sequence not terminated'),
    ('foo + bool 10', '1:5: parse error: bool modifier can only be used on comparison operators'),
    ('1 or on(bar) foo', '1:1: parse error: vector matching only allowed between instant vectors'),
    ('test[5d] OFFSET 10s [10m:5s]', '1:1: parse error: subquery is only allowed on instant vector, got matrix instead'),
    ('x{__name__="a"}', '1:1: parse error: metric name must not be set twice: "x" or "a"'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), BAD)
def test_a_bad_expression_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert (caught.value.kind, str(caught.value)) == ("bad_data", said)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SUM(x) BY (a, b)", "sum by (a, b) (x)"),
        ("1+2*3^2^-1", "1 + 2 * 3 ^ 2 ^ -1"),
        ("a AND ON() b", "a and on () b"),
        ("x[90s] @ end() offset -1w", "x[1m30s] @ end() offset -1w"),
        ('{"my.metric","l.b"=~"x"}', '{"my.metric","l.b"=~"x"}'),
        ('by{on="1"}', 'by{on="1"}'),
        ("-x^2", "-x ^ 2"),
        ("sum by (\"a.b\", sum) (x)", 'sum by ("a.b", sum) (x)'),
        ("x[step()*2:]", "x[(step() * 2s):]"),
        ("0x1F + 010 + 1_000 + 1h", "31 + 8 + 1000 + 1h"),
        ("'a\\'b'", '"a\'b"'),
        ("x % on(a) group_left(b) fill_right(0) y", "x % on (a) group_left (b) fill_right (0) y"),
        ("rate(x[5m] smoothed)", "rate(x[5m] smoothed)"),
    ],
)  # fmt: skip
def test_an_expression_has_a_usual_form(text: str, shown: str) -> None:
    assert printer.text(parse(text)) == shown
    assert printer.text(parse(shown)) == shown


names = st.sampled_from(["a", "b_total", "x:y", "sum", "offset", "my.metric", "é"])
words = st.sampled_from(["", "v", 'quo"te', "back\\slash", "new\nline", "ü", "`"])
seconds = st.integers(1, 10**6).map(lambda n: n / 1000)


def _selector(name: str, label: str, op: str, value: str) -> str:
    quoted = printer.quoted(name)
    return f"{{{quoted},{printer.label(label)}{op}{printer.quoted(value)}}}"


selectors = st.builds(
    _selector,
    names,
    names,
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from(["", "v", "ü", "a|b"]),
)
modifiers = st.sampled_from(
    ["", " offset 5m", " @ 12.5", " @ start()", " offset -1h30m @ end()", " offset step()"]
)
numbers = st.floats(allow_nan=True).map(format_value)
texts = words.map(printer.quoted)
operators = st.sampled_from(["+", "-", "*", "/", "%", "^", "atan2", "== bool", "< bool"])
vector_operators = st.sampled_from(
    ["+", "^", "==", "!= bool", "and", "or", "unless", "and on(a)", "* on(a, b) group_left(c)",
     "/ ignoring(a) group_right()", "+ fill(0)", "- fill_left(-1) fill_right(NaN)"]
)  # fmt: skip


def _vectors(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({})".format, inner),
        st.builds("-{}".format, inner),
        st.builds("({}) {} ({})".format, inner, vector_operators, inner),
        st.builds("abs({})".format, inner),
        st.builds("sum by (a, \"b.c\") ({})".format, inner),
        st.builds("topk without (a) ({}, {})".format, numbers, inner),
        st.builds("count_values({}, {})".format, texts, inner),
        st.builds("({}) * {}".format, inner, numbers),
        st.builds("max_over_time(({})[{}:{}])".format, inner, seconds, seconds),
        st.builds("label_replace({}, \"a\", {}, \"b\", \"c\")".format, inner, texts),
    )  # fmt: skip


vectors = st.recursive(
    st.one_of(
        st.builds("{}{}".format, selectors, modifiers),
        st.builds("rate({}[{}]{})".format, selectors, seconds, modifiers),
        st.builds("vector({} {} {})".format, numbers, operators, numbers),
    ),
    _vectors,
    max_leaves=6,
)


def _meaning(tree: object) -> str:
    """All of a tree but where its parts stand; as text, because NaN is not equal to itself."""
    return re.sub(r"span=\(\d+, \d+\)", "", repr(tree))


@given(vectors)
@settings(deadline=None)
def test_an_expression_means_the_same_after_it_was_printed(text: str) -> None:
    tree = parse(text)
    shown = printer.text(tree)
    again = parse(shown)
    assert _meaning(again) == _meaning(tree), shown
    assert printer.text(again) == shown


@given(st.text(alphabet="ab0159.[](){}\"'`\\,:=~!<>+-*/^% @#\n\tésumbyonrate", max_size=40))
@settings(deadline=None, max_examples=300)
def test_any_text_is_an_expression_or_bad_data(text: str) -> None:
    kind = "bad_data"
    try:
        parse(text)
    except QueryError as error:
        kind = error.kind
    assert kind == "bad_data"


@given(vectors, st.integers(0, 60), st.sampled_from([0, 1, 15, 40]))
@settings(deadline=None, max_examples=200)
def test_a_range_is_its_instants(text: str, start: int, step: int) -> None:
    """Every step of a range query is what an instant query answers at that time; neither fails unforeseen."""
    made = MemoryStorage()
    for row, name in enumerate(("a", "b_total", "x:y", "sum")):
        for value in ("v", "a"):
            labels = {"__name__": name, "a": value, "b": "c", "é": "ü"}
            made.add(
                make_labels(labels), range(0, 90_000, 15_000), [1.5 * row * k for k in range(6)]
            )
    engine = Engine(made, limits=Limits(samples=100_000))
    times = [(start + step * k) * 1000 for k in range(3)] if step else [start * 1000]
    try:
        found = engine.range(text, times[0], times[-1], max(step, 1) * 1000)
    except QueryError:
        return
    if re.search(r"(start|end|step|range)\(|topk|count_values", text):
        return
    wanted = [by_labels(engine.instant(text, at), at) for at in times]
    assert [by_labels(found, at) for at in times] == wanted


def by_labels(found: Result, at: int) -> dict[Labels, str]:
    """The values at a time, as text: NaN is NaN."""
    assert found.vector is not None
    (step,) = np.flatnonzero(found.times == at)
    rows = enumerate(found.vector.labels.rows)
    return {
        labels: f"{found.vector.values[row, step]:.9g}"
        for row, labels in rows
        if found.vector.mask[row, step]
    }


def test_match_takes_a_selector_and_nothing_else() -> None:
    assert [m.value for m in parse_selector('up{job="a"}')] == ["a", "up"]
    for text in ("up[5m]", "up offset 5m", "sum(up)", "1"):
        with pytest.raises(QueryError, match="expected a vector selector"):
            parse_selector(text)


# -- what a query may cost ----------------------------------------------------------------------


def storage(series: int = 3, points: int = 240) -> MemoryStorage:
    made = MemoryStorage()
    for row in range(series):
        times = [15_000 * k for k in range(points)]
        labels = {"__name__": "m", "row": str(row)}
        made.add(make_labels(labels), times, [float(row + k) for k in range(points)])
    return made


@pytest.mark.parametrize(
    "text",
    [
        "(" * 6_000 + "1" + ")" * 6_000,
        "1" + "+1" * 8_000,
        "-" * 10_000 + "1",
        "abs(" * 500 + "m" + ")" * 500,
        "m" + "[1m:]" * 3_000,
        "m[" + "(" * 6_000 + "1" + ")" * 6_000 + "]",
        "m[" + "-" * 5_000 + "1]",
        "m" + " or m" * 3_000,
        "x" * 20_000,
    ],
)
def test_a_query_that_is_too_long_or_too_deep_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(QueryError) as caught:
        Engine(storage()).instant(text, 0)
    assert caught.value.kind == "bad_data"
    assert time.process_time() - began < 5  # quadratic ones take minutes


def test_a_deep_expression_within_the_limit_is_evaluated() -> None:
    text = "(" * 45 + "m" + ")" * 45 + " + m" * 45
    assert Engine(storage()).instant(text, 0).vector is not None


def test_too_many_samples_are_refused_before_they_are_read() -> None:
    engine = Engine(storage(), limits=Limits(samples=700))
    with pytest.raises(QueryError, match="too many samples") as caught:
        engine.range("sum_over_time(m[1h])", 0, 3_600_000, 60_000)
    assert caught.value.kind == "execution"
    with pytest.raises(QueryError, match="too many samples"):
        engine.instant("count_over_time(vector(1)[1h:1ms])", 0)


def test_too_many_points_are_refused() -> None:
    with pytest.raises(QueryError) as caught:
        Engine(storage()).range("m", 0, 11_000_000, 1000)
    assert caught.value.kind == "bad_data"


def test_a_query_ends_at_its_deadline() -> None:
    with pytest.raises(QueryError, match="timed out") as caught:
        Engine(storage(), limits=Limits(seconds=0.0)).instant("m + m", 0)
    assert caught.value.kind == "timeout"


def test_a_query_can_be_cancelled_from_another_thread() -> None:
    """It asks at every node, so it stops within one."""
    wanted = threading.Event()
    wanted.set()
    with pytest.raises(QueryError, match="canceled") as caught:
        Engine(storage()).instant("m + m", 0, cancelled=wanted.is_set)
    assert caught.value.kind == "canceled"


def test_a_regular_expression_cannot_run_away() -> None:
    made = MemoryStorage()
    made.add(make_labels({"__name__": "m", "a": "a" * 5_000}), [0], [1.0])
    found = Engine(made).instant('m{a=~"(a*)*(a*)*(a*)*b"}', 0)
    assert found.vector is not None
    assert not found.vector.labels.rows


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_hashes_are_those_of_xxh64(data: bytes, digest: int) -> None:
    assert xxh64(data) == digest
