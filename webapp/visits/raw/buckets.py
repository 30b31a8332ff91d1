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


def bucket_of(column: str, edges: Sequence[datetime], parameters: Parameters) -> str:
    """The number of the bucket between the edges that holds a time of this column.

    All widths are multiples of one step (a quarter of an hour at worst), so that a division finds the bucket, or
    the place in a list of the buckets that the steps belong to.
    """
    times = [milliseconds(edge) for edge in edges]
    step = reduce(gcd, (after - before for before, after in pairwise(times)))
    place = f"({column} - {parameters.add(times[0])}) // {parameters.add(step)}"
    steps = range(times[0], times[-1], step)
    if len(steps) == len(times) - 1:
        return place
    return f"list_extract({parameters.add([bisect_right(times, at) - 1 for at in steps])}, {place} + 1)"
