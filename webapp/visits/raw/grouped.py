"""Counting rows by several things at once, with one look at them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from webapp.visits.models import RawKind
from webapp.visits.raw.reading import Reading
from webapp.visits.raw.row_conditions import Parameters

Counts = dict[Any, tuple[Any, ...]]
GROUPED = """
    SELECT {number} AS number, {names}, {counts} FROM (SELECT *, {keys} FROM {table})
    GROUP BY GROUPING SETS ({sets})
    QUALIFY {is_long} OR row_number() OVER (PARTITION BY number ORDER BY {rank} DESC, {names}) <= {limit}
"""


def count_by(
    reading: Reading,
    kind: RawKind,
    keys: Mapping[str, str],
    counts: tuple[str, ...],
    parameters: Parameters,
    top: Collection[str] = (),
    limit: int = 0,
) -> dict[str, Counts]:
    """For each key (a name for an expression) its values with their counts; of those of `top` so many values, of
    which the first count is highest.
    """
    if not keys:
        return {}
    names = [f"key_{number}" for number in range(len(keys))]
    numbers = [f"WHEN grouping({name}) = 0 THEN {number}" for number, name in enumerate(names)]
    long = [str(number) for number, key in enumerate(keys) if key not in top]
    statement = GROUPED.format(
        number=f"CASE {' '.join(numbers)} END",
        names=", ".join(names),
        counts=", ".join(counts),
        keys=", ".join(f"{expression} AS {name}" for name, expression in zip(names, keys.values(), strict=True)),
        table=reading.table(kind, parameters),
        sets=", ".join(f"({name})" for name in names),
        is_long=f"number IN ({', '.join(long)})" if long else "false",
        rank=counts[0],
        limit=parameters.add(limit),
    )
    found: dict[str, Counts] = {key: {} for key in keys}
    order = list(keys)
    for number, *row in reading.rows(statement, parameters):
        found[order[number]][row[number]] = tuple(row[len(names) :])
    return found
