"""Counting done slowly and plainly, to compare with: every number from all rows at once, one row after the other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from webapp.visits.backlog import Kind, Row
from webapp.visits.buckets import QUARTER_MS, day_of, month_of

IDLE_MS = 30 * 60 * 1000
STARTERS = {Kind.PAGEVIEW, Kind.EVENT, Kind.PRODUCT}


@dataclass(frozen=True)
class PlainVisit:
    """A visit as it should be."""

    visitor: str
    started_ms: int
    duration_ms: int
    pageview_count: int
    event_count: int
    is_bounce: bool
    entry_page: str
    exit_page: str
    country: str


def find_visits(rows: Sequence[Row]) -> list[PlainVisit]:
    """All visits of one site."""
    by_visitor: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_visitor[row.visitor].append(row)
    return [visit for mine in by_visitor.values() for part in _split(mine) for visit in _visits_of(part)]


def _split(rows: list[Row]) -> list[list[Row]]:
    parts: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: row.visited_ms):
        if not parts or row.visited_ms - parts[-1][-1].visited_ms > IDLE_MS:
            parts.append([])
        parts[-1].append(row)
    return parts


def _visits_of(rows: list[Row]) -> list[PlainVisit]:
    starters = [row for row in rows if row.kind in STARTERS]
    if not starters:
        return []
    entry = min(starters, key=lambda row: (row.visited_ms, row.page_url, row.country))
    leaving = max(starters, key=lambda row: (row.visited_ms, row.page_url))
    counts = Counter(row.kind for row in starters)
    return [
        PlainVisit(
            visitor=entry.visitor,
            started_ms=entry.visited_ms,
            duration_ms=max(row.visited_ms for row in rows) - entry.visited_ms,
            pageview_count=counts[Kind.PAGEVIEW],
            event_count=counts[Kind.EVENT],
            is_bounce=counts[Kind.PAGEVIEW] == 1 and not counts[Kind.EVENT],
            entry_page=entry.page_url,
            exit_page=leaving.page_url,
            country=entry.country,
        )
    ]


def count_sites(rows: Sequence[Row], zone: str) -> dict[tuple[str, int], tuple[int, ...]]:
    """By grain and bucket: pageviews, visits, bounces, their time, events, engaged time."""
    sums: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0] * 6)
    for row in rows:
        for bucket in _buckets(row.visited_ms, zone):
            sums[bucket][0] += row.kind == Kind.PAGEVIEW
            sums[bucket][4] += row.kind == Kind.EVENT
            sums[bucket][5] += row.engaged_ms if row.kind == Kind.ENGAGEMENT else 0
    for visit in find_visits(rows):
        for bucket in _buckets(visit.started_ms, zone):
            sums[bucket][1] += 1
            sums[bucket][2] += visit.is_bounce
            sums[bucket][3] += visit.duration_ms
    return {bucket: tuple(numbers) for bucket, numbers in sums.items() if any(numbers)}


def count_pages(rows: Sequence[Row], zone: str) -> dict[tuple[str, int, str], tuple[int, ...]]:
    """By grain, bucket and page: pageviews, entries, exits, bounces, engaged time, scroll."""
    sums: dict[tuple[str, int, str], list[int]] = defaultdict(lambda: [0] * 7)
    for row in rows:
        for bucket in _buckets(row.visited_ms, zone)[1:]:
            numbers = sums[(*bucket, row.page_url)]
            numbers[0] += row.kind == Kind.PAGEVIEW
            if row.kind == Kind.ENGAGEMENT:
                numbers[4:] = [numbers[4] + row.engaged_ms, numbers[5] + row.scroll, numbers[6] + 1]
    for visit in find_visits(rows):
        for bucket in _buckets(visit.started_ms, zone)[1:]:
            sums[(*bucket, visit.entry_page)][1] += 1
            sums[(*bucket, visit.exit_page)][2] += 1
            sums[(*bucket, visit.entry_page)][3] += visit.is_bounce
    return {key: tuple(numbers) for key, numbers in sums.items() if any(numbers)}


def count_countries(rows: Sequence[Row], zone: str) -> dict[tuple[str, int, str], tuple[int, ...]]:
    """By grain, bucket and country: pageviews, visits, bounces, their time, events."""
    sums: dict[tuple[str, int, str], list[int]] = defaultdict(lambda: [0] * 5)
    for row in rows:
        for bucket in _buckets(row.visited_ms, zone)[1:]:
            sums[(*bucket, row.country)][0] += row.kind == Kind.PAGEVIEW
            sums[(*bucket, row.country)][4] += row.kind == Kind.EVENT
    for visit in find_visits(rows):
        for bucket in _buckets(visit.started_ms, zone)[1:]:
            numbers = sums[(*bucket, visit.country)]
            numbers[1:4] = [numbers[1] + 1, numbers[2] + visit.is_bounce, numbers[3] + visit.duration_ms]
    return {key: tuple(numbers) for key, numbers in sums.items() if any(numbers)}


def _buckets(at: int, zone: str) -> list[tuple[str, int]]:
    quarter = at - at % QUARTER_MS
    return [("quarter", quarter), ("day", day_of(zone, quarter)), ("month", month_of(zone, quarter))]
