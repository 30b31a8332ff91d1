"""Funnels and weeks of return as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from webapp.visits.buckets import local_midnight
from webapp.visits.questions import PAGE, Filter
from webapp.visits.raw import journeys
from webapp.visits.raw.journeys import STEPS, Cohorts
from webapp.visits.site_page.choice import Choice
from webapp.visits.site_page.filters import WORDS, BadFilterError, read_filters, with_origins, write_filters

STEP_FIELDS = (PAGE, "event", "product")
WEEKS = 12


@dataclass(frozen=True)
class Step:
    """A step of a funnel; `visitor_count` is none while the funnel has only one."""

    words: str
    text: str
    visitor_count: int | None
    of_first: float
    of_previous: float


@dataclass(frozen=True)
class Week:
    """Those who came for the first time in a week, and the shares of them who came again in the weeks after it."""

    starts_at: datetime
    visitor_count: int
    shares: list[float]


def read_steps(texts: Sequence[str]) -> list[Filter]:
    """The steps of an address, in their order; raises BadFilterError."""
    steps = [one for text in texts for one in read_filters([text])]
    if any(step.field not in STEP_FIELDS for step in steps):
        raise BadFilterError("A step is a page, an event or a product.")
    if len(steps) > STEPS[-1]:
        raise BadFilterError(f"A funnel has {STEPS[0]} to {STEPS[-1]} steps.")
    return steps


def list_steps(choice: Choice, steps: Sequence[Filter]) -> list[Step]:
    """Each step with the visitors who reached it after all steps before it."""
    counts: list[int | None] = [None] * len(steps)
    if len(steps) in STEPS:
        counts = list(journeys.funnel(choice.question(), with_origins(steps, choice.site.origins)).visitor_counts)
    first = counts[0] if counts else None
    before = [first, *counts][: len(counts)]
    return [
        Step(words_of(step), write_filters([step])[0], count, _share(count, first), _share(count, previous))
        for step, count, previous in zip(steps, counts, before, strict=True)
    ]


def words_of(step: Filter) -> str:
    """What a visitor has to do: page begins with /orders/."""
    return f"{step.field} {WORDS[step.operator]} {' or '.join(step.values)}"


def week_edges(zone: ZoneInfo, last: date, count: int = WEEKS) -> list[datetime]:
    """The Mondays of the weeks up to the one of a day, that one included, and the next."""
    monday = last - timedelta(days=last.weekday())
    return [local_midnight(monday + timedelta(weeks=week), zone) for week in range(1 - count, 2)]


def looked_back_to(zone: ZoneInfo, last: date, count: int = WEEKS) -> datetime:
    """From when on nobody may have come who is new: as long before the weeks as there are weeks."""
    return week_edges(zone, last - timedelta(weeks=count), count)[0]


def list_weeks(choice: Choice) -> tuple[list[Week], bool]:
    """Every week in which somebody came for the first time, and whether these are estimates."""
    zone, last = choice.period.zone, choice.period.last
    edges = week_edges(zone, last)
    question = choice.question(looked_back_to(zone, last), edges[-1])
    cohorts: Cohorts = journeys.retention_by_week(question, edges)
    weeks = [
        Week(starts_at, counts[0], [_share(count, counts[0]) for count in counts[1:]])
        for starts_at, counts in zip(edges, cohorts.visitor_counts, strict=False)
    ]
    seen = next((index for index, week in enumerate(weeks) if week.visitor_count), len(weeks))
    return weeks[seen:], cohorts.is_estimate


def _share(count: int | None, whole: int | None) -> float:
    return count / whole if count and whole else 0.0
