"""A time falls into the bucket between whose edges it lies, however these are found."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import duckdb
import pytest

from webapp.visits.buckets import Aggregation, make_edges
from webapp.visits.raw.buckets import COMPARED, bucket_of
from webapp.visits.raw.row_conditions import Parameters
from webapp.visits.raw.selection import milliseconds

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("aggregation", "zone", "is_even", "is_compared"),
    [
        (Aggregation.DAY, "UTC", True, False),
        (Aggregation.MONTH, "Australia/Lord_Howe", False, True),
        (Aggregation.DAY, "Europe/Berlin", False, False),
    ],
)
def test_every_time_is_found_in_its_bucket(
    aggregation: Aggregation, zone: str, is_even: bool, is_compared: bool
) -> None:
    random, parameters = Random(5), Parameters()
    edges = make_edges(aggregation, START, END, ZoneInfo(zone))
    bounds = [milliseconds(edge) for edge in edges]
    assert (len({after - before for before, after in pairwise(bounds)}) == 1) is is_even
    assert (not is_even and len(edges) <= COMPARED) is is_compared
    times = [
        *bounds[:-1],
        *(edge - 1 for edge in bounds[1:]),
        *(random.randrange(bounds[0], bounds[-1]) for _ in range(500)),
    ]
    statement = f"SELECT {bucket_of('moment', edges, parameters)} FROM (SELECT unnest($times) AS moment)"
    found = duckdb.connect(":memory:").execute(statement, {**parameters.values, "times": times}).fetchall()
    assert [place for (place,) in found] == [bisect_right(bounds, at) - 1 for at in times]


def test_what_lies_beyond_uneven_edges_is_in_no_bucket() -> None:
    parameters = Parameters()
    edges = make_edges(Aggregation.MONTH, START, END, ZoneInfo("UTC"))
    times = [milliseconds(START) - 1, milliseconds(END), milliseconds(END) + 1]
    statement = f"SELECT {bucket_of('moment', edges, parameters)} FROM (SELECT unnest($times) AS moment)"
    found = duckdb.connect(":memory:").execute(statement, {**parameters.values, "times": times}).fetchall()
    assert found == [(None,)] * 3
