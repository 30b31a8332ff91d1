"""What is known of one person from all their visits: totals, from when to when, on what, from where, which pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from webapp.lib.clock import utc_now
from webapp.visits.backlog import Kind
from webapp.visits.people.reading import AHEAD, BEGINNING, Person, own_activity, own_visits
from webapp.visits.raw.reading import Reading
from webapp.visits.raw.row_conditions import Parameters

TRAITS = ("device", "browser", "system", "country")
TOP_PAGES = 10
OF_VISITS = """
    visitor, count(*), min(started_ms), max(started_ms + duration_ms), sum(pageview_count), sum(event_count),
    sum(duration_ms)
"""


@dataclass
class BrowserSummary:
    """What one of their visitors did, and on what: the device, browser and system of most visits."""

    last_at: datetime
    visit_count: int = 0
    technologies: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, last_at: datetime, visit_count: int, technology: tuple[str, str, str]) -> None:
        self.last_at = max(self.last_at, last_at)
        self.visit_count += visit_count
        self.technologies[technology] += visit_count

    @property
    def technology(self) -> tuple[str, str, str]:
        """The usual one."""
        return self.technologies.most_common(1)[0][0]


@dataclass
class Summary:
    """All visits of somebody together. Times are sums in milliseconds; traits count visits."""

    first_at: datetime | None = None
    last_at: datetime | None = None
    visit_count: int = 0
    pageview_count: int = 0
    event_count: int = 0
    visit_ms: int = 0
    engaged_ms: int = 0
    traits: Mapping[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in TRAITS})
    top_pages: list[tuple[str, int]] = field(default_factory=list)
    browsers: dict[int, BrowserSummary] = field(default_factory=dict)
    """By visitor."""


def summarise(person: Person, *, with_pages: bool = False) -> Summary:
    """What all of a person's visits add up to; with pages, what they looked at, too, which takes longer."""
    summary = Summary()
    if not person.links:
        return summary
    ends = BEGINNING, utc_now() + AHEAD
    _add_visits(summary, person.ask(*ends, partial(_visits, person)))
    if with_pages:
        pages = person.ask(*ends, partial(_pages, person))
        summary.engaged_ms = sum(int(engaged_ms) for _, _, engaged_ms in pages)
        seen = [(page, count) for page, count, _ in pages if count]
        summary.top_pages = seen[:TOP_PAGES]
    return summary


def _visits(person: Person, reading: Reading) -> list[tuple[Any, ...]]:
    parameters = Parameters()
    names = ", ".join(TRAITS)
    own = own_visits(person, reading, parameters)
    return reading.rows(f"SELECT {OF_VISITS}, {names} FROM {own} GROUP BY visitor, {names}", parameters)


def _add_visits(summary: Summary, rows: list[tuple[Any, ...]]) -> None:
    for visitor, count, first_ms, last_ms, pageview_count, event_count, visit_ms, *traits in rows:
        first_at, last_at = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (first_ms, last_ms))
        summary.first_at = min(first_at, summary.first_at or first_at)
        summary.last_at = max(last_at, summary.last_at or last_at)
        summary.visit_count += count
        summary.pageview_count += int(pageview_count)
        summary.event_count += int(event_count)
        summary.visit_ms += int(visit_ms)
        for name, value in zip(TRAITS, traits, strict=True):
            summary.traits[name][value] += count
        own = summary.browsers.setdefault(visitor, BrowserSummary(last_at))
        own.add(last_at, count, (traits[0], traits[1], traits[2]))


def _pages(person: Person, reading: Reading) -> list[tuple[str, int, int]]:
    """Each page that was seen, how often, and for how long altogether."""
    parameters = Parameters()
    own = own_activity(person, reading, parameters)
    statement = f"""
        SELECT page, count(*) FILTER (WHERE kind = {Kind.PAGEVIEW.value}), sum(engaged_ms)
        FROM {own} GROUP BY page ORDER BY 2 DESC, 1
    """
    return [(page, count, engaged_ms) for page, count, engaged_ms in reading.rows(statement, parameters)]
