"""info(): the data labels of info metrics (target_info and its like), joined by instance and job."""

from __future__ import annotations

from gfedge.arrays import np
from gfedge.promql import labels, selection
from gfedge.promql.matching import matcher
from gfedge.promql.query import Query, Steps
from gfedge.promql.syntax import Expr, Selector, children
from gfedge.promql.types import NAME, Labels, LabelSets, Mask, Matcher, Values, Vector

IDENTIFYING = ("instance", "job")
DEFAULT = "target_info"


def enriched(
    query: Query, base: Vector, expr: Expr, wanted: Selector | None, steps: Steps
) -> Vector:
    """The series with the labels of the info series of the same instance and job at each step."""
    matchers = () if wanted is None else wanted.matchers
    named = [m for m in matchers if m.name == NAME]
    data = [m for m in matchers if m.name != NAME]
    is_info = named or [matcher(NAME, "=", DEFAULT)]
    found = _info_series(query, base, is_info, data, expr, steps)
    names = {m.name for m in data}
    required = [m for m in data if not m.matches("")]
    return _joined(query, base, found, is_info, names, required)


def _info_series(
    query: Query,
    base: Vector,
    is_info: list[Matcher],
    data: list[Matcher],
    expr: Expr,
    steps: Steps,
) -> tuple[Vector, Values]:
    """The info series as they are at each step, and when they were sampled."""
    first = _first_selector(expr)
    conditions = (*is_info, *data)
    for name in IDENTIFYING:
        values = {labels.get(row, name) for row in base.labels.rows}
        if len(values) == 1 and (value := values.pop()):
            conditions = (*conditions, matcher(name, "=", value))
    offset, at = (first.offset, first.at) if first is not None else (None, None)
    node = Selector("", conditions, offset, at)
    return (
        selection.instant(query, node, steps),
        selection.instant(query, node, steps, when=True).values,
    )


def _first_selector(expr: Expr) -> Selector | None:
    if isinstance(expr, Selector):
        return expr
    return next((s for c in children(expr) if (s := _first_selector(c)) is not None), None)


def _identity(row: Labels) -> Labels:
    return labels.keep(IDENTIFYING)(row)


def _joined(
    query: Query,
    base: Vector,
    info: tuple[Vector, Values],
    is_info: list[Matcher],
    names: set[str],
    required: list[Matcher],
) -> Vector:
    """Row by row and step by step: the labels change where the info series do."""
    series, when = info
    by_identity: dict[Labels, list[int]] = {}
    for row, found in enumerate(series.labels.rows):
        by_identity.setdefault(_identity(found), []).append(row)
    out: dict[Labels, tuple[Values, Mask, bool]] = {}
    base_mask, info_mask = base.mask, series.mask
    for row, found in enumerate(base.labels.rows):
        query.check()
        lost = base.nameless is not None and bool(base.nameless[row])
        itself = all(m.matches(labels.get(found, NAME)) for m in is_info)
        partners = [] if itself else by_identity.get(_identity(found), [])
        for key, where in _variants(found, partners, series.labels, info_mask, when, names).items():
            if not itself and not all(m.matches(labels.get(key, m.name)) for m in required):
                continue
            _add(query, out, key, base.values[row], base_mask[row] & where, lost)
    return _vector(out, base.values.shape[1])


def _variants(
    row: Labels,
    partners: list[int],
    sets: LabelSets,
    mask: Mask,
    when: Values,
    names: set[str],
) -> dict[Labels, Mask]:
    """The label sets that a series has in time, and at which steps."""
    steps = mask.shape[1] if len(mask) else when.shape[1]
    if not partners:
        return {row: np.ones(steps, np.bool_)}
    rows = np.array(partners)
    found: dict[Labels, Mask] = {}
    patterns, which = np.unique(
        np.where(mask[rows], when[rows], -np.inf), axis=1, return_inverse=True
    )
    for number, pattern in enumerate(patterns.T):
        there = [partners[i] for i in np.argsort(-pattern, kind="stable") if pattern[i] > -np.inf]
        key = _with_data(row, [sets.rows[p] for p in there], names)
        found[key] = found.get(key, np.zeros(steps, np.bool_)) | (which.ravel() == number)
    return found


def _with_data(row: Labels, infos: list[Labels], names: set[str]) -> Labels:
    """The labels and those of the info series, the latest first, each metric's own only once."""
    known, seen = dict(row), set[str]()
    added: dict[str, str] = {}
    for found in infos:
        if (name := labels.get(found, NAME)) in seen:
            continue
        seen.add(name)
        for label, value in found:
            wanted = not names or label in names
            if wanted and label not in (NAME, *IDENTIFYING) and label not in known:
                added.setdefault(label, value)
    return tuple(sorted({**known, **added}.items()))


def _add(
    query: Query,
    out: dict[Labels, tuple[Values, Mask, bool]],
    key: Labels,
    values: Values,
    where: Mask,
    lost: bool,
) -> None:
    if not where.any():
        return
    if key not in out:
        out[key] = (np.full(len(values), np.nan), np.zeros(len(values), np.bool_), lost)
    known, there, _ = out[key]
    if (there & where).any():
        raise query.fail(labels.SAME)
    known[where] = values[where]
    there |= where


def _vector(out: dict[Labels, tuple[Values, Mask, bool]], steps: int) -> Vector:
    values = np.array([found[0] for found in out.values()]).reshape(len(out), steps)
    present = np.array([found[1] for found in out.values()], np.bool_).reshape(len(out), steps)
    lost = np.array([found[2] for found in out.values()], np.bool_)
    return Vector(LabelSets(list(out)), values, present, lost)
