"""Matching: which series a selector means, by the reference's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gfedge.promql.index import SeriesIndex
from gfedge.promql.matching import BadRegex, matcher
from gfedge.promql.types import Labels, Matcher, make_labels

SERIES = [
    {"__name__": "up", "job": "a", "instance": "1"},
    {"__name__": "up", "job": "b"},
    {"__name__": "down", "job": "ab\nc"},
    {"job": "a"},
]


def filled() -> SeriesIndex:
    index = SeriesIndex()
    for labels in SERIES:
        index.add(make_labels(labels))
    return index


@pytest.mark.parametrize(
    ("matchers", "rows"),
    [
        ([("__name__", "=", "up")], [0, 1]),
        ([("instance", "=", "")], [1, 2, 3]),
        ([("instance", "!=", "")], [0]),
        ([("job", "=~", "a.*")], [0, 2, 3]),
        ([("job", "=~", "a|b")], [0, 1, 3]),
        ([("job", "!~", "a|b"), ("__name__", "!=", "")], [2]),
        ([("job", "=~", "(?i)B")], [1]),
        ([("nothing", "=~", ".*"), ("__name__", "=", "down")], [2]),
        ([("nothing", "=~", ".+")], []),
        ([("job", "=~", "")], []),
        ([], [0, 1, 2, 3]),
    ],
)
def test_a_selector_finds_its_rows(matchers: list[tuple[str, str, str]], rows: list[int]) -> None:
    found = filled().find([matcher(name, op, value) for name, op, value in matchers])  # type: ignore[arg-type]
    assert found.rows.tolist() == rows


def test_the_same_question_has_the_same_answer_until_a_series_appears() -> None:
    index = filled()
    asked = [matcher("job", "=", "a")]
    assert index.find(asked).labels is index.find(asked).labels
    index.add(make_labels({"job": "a", "new": "1"}))
    assert index.find(asked).rows.tolist() == [0, 3, 4]
    assert index.find([matcher("new", "=", "1")]).span == slice(4, 5)


def test_labels_are_listed() -> None:
    index = filled()
    up = [[matcher("__name__", "=", "up")]]
    assert index.label_names([]) == ["__name__", "instance", "job"]
    assert index.label_values("job", up) == ["a", "b"]
    assert index.label_values("nothing", []) == []
    assert len(index.series([*up, *up])) == 2


@pytest.mark.parametrize("pattern", ["(", "a)(b", "[", "x+" * 5000, "(?P<n>", "\\8"])
def test_a_bad_expression_is_refused(pattern: str) -> None:
    with pytest.raises(BadRegex):
        matcher("job", "=~", pattern)


values = st.sampled_from(["", "a", "b", "ab"])
matchers = st.builds(
    matcher,
    st.sampled_from(["x", "y", "z"]),
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from(["", "a", "a|b", ".*", ".+", "a.*", "[ab]"]),
)


@given(
    st.lists(st.dictionaries(st.sampled_from("xyz"), values), max_size=8),
    st.lists(matchers, max_size=3),
)
def test_the_index_agrees_with_asking_every_series(
    series: list[dict[str, str]], asked: list[Matcher]
) -> None:
    index = SeriesIndex()
    for labels in series:
        index.add(make_labels(labels))

    def matches(labels: Labels) -> bool:
        return all(m.matches(dict(labels).get(m.name, "")) for m in asked)

    expected = [row for row, labels in enumerate(index.labels) if matches(labels)]
    assert index.find(asked).rows.tolist() == expected
