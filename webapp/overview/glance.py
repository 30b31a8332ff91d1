"""What the overview shows, gathered from the features below it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from webapp.bulk_actions.models import BulkActionState
from webapp.bulk_actions.queries import list_bulk_actions
from webapp.jobs.filters import JobFilter
from webapp.jobs.models import TROUBLED_STATES, Job
from webapp.jobs.queries import list_jobs
from webapp.records.search import RecordCount
from webapp.visits import answers
from webapp.visits.buckets import Aggregation
from webapp.visits.periods import make_period
from webapp.visits.questions import PAGE, Figures, Question, Value

TOP_PAGES = 5
TROUBLE_AGE = timedelta(days=7)
TROUBLE_COUNT = 5
MANY_IMPORTS = 100


@dataclass(frozen=True)
class Bar:
    """An hour of today's chart; `height` is its share of the highest one, in per cent."""

    label: str
    count: int
    height: float


@dataclass(frozen=True)
class VisitsToday:
    """Today up to now, beside yesterday up to the same time."""

    pageview_count: int
    visitor_count: int
    is_estimate: bool
    pageview_change: float | None
    visitor_change: float | None
    pages: list[Value]
    bars: list[Bar]


@dataclass(frozen=True)
class Step:
    """Something a new organisation does first."""

    title: str
    text: str
    action: str
    endpoint: str
    is_done: bool


def get_visits_today(organisation_id: UUID, site_ids: list[UUID], zone: ZoneInfo, now: datetime) -> VisitsToday:
    """Numbers, pages and hours of the day in the organisation's zone."""
    today = make_period("today", zone, now)
    sites = tuple(site_ids)
    question = Question(organisation_id, sites, today.start, today.end)
    totals, before = answers.totals(question), answers.totals(Question(organisation_id, sites, *today.before(now)))
    edges = today.edges(Aggregation.HOUR)
    return VisitsToday(
        totals.pageview_count,
        totals.visitor_count,
        totals.is_estimate,
        change(totals.pageview_count, before.pageview_count),
        change(totals.visitor_count, before.visitor_count),
        answers.breakdown(question, PAGE, TOP_PAGES),
        _bars(edges, answers.points(question, edges), zone),
    )


def change(number: int, before: int) -> float | None:
    """By what fraction a number grew; nothing can be said where there was none before."""
    return (number - before) / before if before else None


def _bars(edges: list[datetime], points: list[Figures], zone: ZoneInfo) -> list[Bar]:
    highest = max((point.pageview_count for point in points), default=0) or 1
    return [
        Bar(f"{starts_at.astimezone(zone):%H:%M}", point.pageview_count, 100 * point.pageview_count / highest)
        for starts_at, point in zip(edges[:-1], points, strict=True)
    ]


def count_running_imports(organisation_id: UUID) -> int:
    """How many wait or run."""
    unfinished = (BulkActionState.PENDING, BulkActionState.RUNNING)
    return sum(len(list_bulk_actions(organisation_id, state=state, limit=MANY_IMPORTS)) for state in unfinished)


def list_troubled_jobs(organisation_id: UUID, now: datetime) -> list[Job]:
    """What failed lately and wants a person's look, the latest first."""
    troubled = list_jobs(organisation_id, JobFilter(states=TROUBLED_STATES), limit=TROUBLE_COUNT)
    return [job for job in troubled.jobs if (job.ended_at or job.created_at) > now - TROUBLE_AGE]


def short_count(count: RecordCount) -> str:
    """A number that fits into a tile: 1,234 or 100,000+."""
    return f"{count.number:,}{'' if count.is_exact else '+'}"


def first_steps(*, has_contacts: bool, has_site: bool, has_pageviews: bool) -> list[Step]:
    """What is left to do for a new organisation; empty once all of it is done."""
    steps = [
        Step(
            "Import your contacts",
            "Drop a CSV file, match its columns, and watch it go in.",
            "Import contacts",
            "contacts.index",
            has_contacts,
        ),
        Step(
            "Add your website",
            "Name it, and get the one line of HTML that it embeds.",
            "Add a website",
            "visits.index",
            has_site,
        ),
        Step(
            "See the first visit",
            "Open your website in another tab: the visit shows up within seconds.",
            "To the visits",
            "visits.index",
            has_pageviews,
        ),
    ]
    return [] if all(step.is_done for step in steps) else steps
