"""Which bucket a moment falls into, as arithmetic that DuckDB does for every row. Pure functions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from itertools import pairwise
from math import gcd

from webapp.visits.raw.row_conditions import Parameters
from webapp.visits.raw.selection import milliseconds

COMPARED = 64
"""So many edges a time is compared with; among more, it is found by its place in a list."""


def bucket_of(column: str, edges: Sequence[datetime], parameters: Parameters) -> str:
    """The number of the bucket between the edges that holds a time of this column, and nothing beyond them.

    Where all are of one width a division finds it. Others, as months, are few most often, and found by comparing: their
    numbers are known then, so that rows are added up in places of their own, not looked for by a hash. Widths of days
    with a change of clocks are multiples of one step (a quarter of an hour at worst), whose buckets are in a list.
    """
    times = [milliseconds(edge) for edge in edges]
    step = reduce(gcd, (after - before for before, after in pairwise(times)))
    steps = range(times[0], times[-1], step)
    is_even = len(steps) == len(times) - 1
    if not is_even and len(times) <= COMPARED:
        return _compared(column, times, range(len(times) + 1), parameters)
    place = f"({column} - {parameters.add(times[0])}) // {parameters.add(step)}"
    if is_even:
        return place
    return f"list_extract({parameters.add([bisect_right(times, at) - 1 for at in steps])}, {place} + 1)"


def _compared(column: str, times: Sequence[int], places: range, parameters: Parameters) -> str:
    """Halves the places (before each of the times, and behind the last) until one is left."""
    if len(places) == 1:
        return "NULL" if places[0] in {0, len(times)} else str(places[0] - 1)
    half = len(places) // 2
    before, behind = (_compared(column, times, some, parameters) for some in (places[:half], places[half:]))
    return f"CASE WHEN {column} < {parameters.add(times[places[half] - 1])} THEN {before} ELSE {behind} END"
