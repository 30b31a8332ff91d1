"""How fast a job goes: its rate now, the time that is left, and the line of its chart. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

RATE_SECONDS = 15.0
"""The rate is that of the last seconds: long enough to be calm, short enough to be true."""
SHORTEST_SECONDS = 1.0
STRETCHES = 60
HEADROOM = 1.08
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)

Point = tuple[datetime, int]


@dataclass(frozen=True)
class Chart:
    """What was done a second, from the beginning to the last point.

    `line` holds (x, y) in hundredths of the chart, from its upper left corner.
    """

    line: tuple[tuple[float, float], ...]
    highest: float
    average: float
    latest: float
    began_at: datetime
    ended_at: datetime


class Path:
    """How much was done by when, between the points too. An attempt that begins anew does not go back: it adds."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._began_at = points[0][0]
        self._seconds = [0.0]
        self._done = [0]
        for (_, before), (at, count) in pairwise(points):
            self._seconds.append((at - self._began_at).total_seconds())
            self._done.append(self._done[-1] + max(0, count - before))

    @property
    def length(self) -> float:
        """Seconds from the first point to the last."""
        return self._seconds[-1]

    def rate(self, start: float, end: float) -> float:
        """What was done a second between two moments, in seconds since the first point."""
        return (self._done_by(end) - self._done_by(start)) / (end - start)

    def _done_by(self, seconds: float) -> float:
        right = bisect_left(self._seconds, seconds)
        if right == 0:
            return 0.0
        if right == len(self._seconds):
            return self._done[-1]
        left = right - 1
        share = (seconds - self._seconds[left]) / (self._seconds[right] - self._seconds[left])
        return self._done[left] + share * (self._done[right] - self._done[left])


def with_ends(samples: Sequence[Point], started_at: datetime, last: Point | None) -> list[Point]:
    """The samples of a job that has some, from where it began to where it is now."""
    if not samples:
        return []
    began = [(started_at, 0)] if samples[0][0] > started_at else []
    ended = [last] if last is not None and last[0] > samples[-1][0] else []
    return [*began, *samples, *ended]


def rate_now(points: Sequence[Point], since: datetime) -> float | None:
    """What is done a second, over the last seconds but not before `since`; None while that is too short to say."""
    if len(points) < 2:
        return None
    path = Path(points)
    end = path.length
    start = max(0.0, end - RATE_SECONDS, (since - points[0][0]).total_seconds())
    return path.rate(start, end) if end - start >= SHORTEST_SECONDS else None


def time_left(per_second: float | None, progress_count: int, total_count: int | None) -> timedelta | None:
    """How long the rest takes at this rate; None when nobody can say."""
    if not per_second or not total_count:
        return None
    return timedelta(seconds=min(max(0, total_count - progress_count) / per_second, 365 * 86_400.0))


def make_chart(points: Sequence[Point]) -> Chart | None:
    """In stretches of a round length, so that what is drawn stays as it is; None while there are too few points."""
    if len(points) < 2 or (points[-1][0] - points[0][0]).total_seconds() < 2 * SHORTEST_SECONDS:
        return None
    path = Path(points)
    step = next((step for step in STEPS if path.length <= step * STRETCHES), path.length / STRETCHES)
    stretches = list(pairwise(_edges(path.length, step)))
    rates = [path.rate(start, end) for start, end in stretches]
    middles = [(start + end) / 2 for start, end in stretches]
    return Chart(
        line=_line([0.0, *middles, path.length], [rates[0], *rates, rates[-1]]),
        highest=max(rates),
        average=path.rate(0, path.length),
        latest=rates[-1],
        began_at=points[0][0],
        ended_at=points[-1][0],
    )


def _line(seconds: Sequence[float], rates: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """As (x, y), with some room above the highest."""
    length, top = seconds[-1], max(rates) * HEADROOM or 1.0
    return tuple(
        (round(100 * second / length, 2), round(100 - 100 * rate / top, 2))
        for second, rate in zip(seconds, rates, strict=True)
    )


def _edges(length: float, step: float) -> list[float]:
    """Where the stretches begin and end; what is left over is one of its own, if that is long enough."""
    edges = [number * step for number in range(int(length / step) + 1)]
    if length - edges[-1] >= step / 2:
        return [*edges, length]
    return [*edges[:-1], length]


def rate_words(per_second: float) -> str:
    """1234.5 as "1,234/s", 4.2 as "4.2/s", slow ones by the minute or the hour."""
    if per_second >= 100 or per_second == 0:
        return f"{per_second:,.0f}/s"
    if round(per_second, 1) >= 1:
        return f"{per_second:.1f}/s"
    return f"{per_second * 60:.1f}/min" if per_second * 60 >= 1 else f"{per_second * 3600:.1f}/h"
