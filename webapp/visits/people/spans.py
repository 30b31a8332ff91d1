"""In which steps raw rows are read from the newest back, so that what happened lately is found at once. Pure functions.

Files of raw rows hold a month, and no index says in which of them a visitor is. So the newest months are read first,
each step about twice as many rows as the one before, until enough is found or the request has read its share.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

FIRST_ROWS = 500_000
MOST_ROWS = 16_000_000
"""So many rows one request reads; whoever asks goes on from there."""


@dataclass(frozen=True)
class Span:
    """Whole months but for its end, and how many rows lie in them."""

    start: datetime
    end: datetime
    row_count: int


def plan_spans(pieces: Iterable[tuple[datetime, int]], end: datetime, most_rows: int = MOST_ROWS) -> list[Span]:
    """From `end` back over pieces (when their rows begin, how many); the last span ends the plan or the share."""
    months: dict[datetime, int] = defaultdict(int)
    for from_at, row_count in pieces:
        if from_at < end:
            months[month_start(from_at)] += row_count
    return list(_spans(sorted(months.items(), reverse=True), end, most_rows))


def _spans(months: list[tuple[datetime, int]], end: datetime, most_rows: int) -> Iterator[Span]:
    wanted, in_span, in_all = FIRST_ROWS, 0, 0
    for number, (start, row_count) in enumerate(months, start=1):
        in_span, in_all = in_span + row_count, in_all + row_count
        is_over = in_all >= most_rows
        if in_span >= wanted or is_over or number == len(months):
            yield Span(start, end, in_span)
            end, wanted, in_span = start, wanted * 2, 0
        if is_over:
            return


def month_start(moment: datetime) -> datetime:
    """The first moment of its month (UTC)."""
    moment = moment.astimezone(UTC)
    return datetime(moment.year, moment.month, 1, tzinfo=UTC)
