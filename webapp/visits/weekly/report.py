"""What a weekly report says: numbers with their change, top lists, and goals. Asks roll-ups alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from werkzeug.datastructures import MultiDict

from webapp.visits import answers
from webapp.visits.models import Site
from webapp.visits.periods import CUSTOM, Period
from webapp.visits.questions import Figures
from webapp.visits.site_page.choice import Choice, read_choice
from webapp.visits.site_page.goals import GoalLine, list_goal_lines
from webapp.visits.site_page.lists import Line, list_lines
from webapp.visits.site_page.numbers import BOUNCE_RATE, PAGEVIEWS, VISITORS, VISITS, Metric, change
from webapp.visits.site_page.queries import list_goals
from webapp.visits.site_page.tables import Cell
from webapp.visits.weekly.queries import first_counted_at
from webapp.visits.weekly.weeks import list_mondays, week_of

METRICS = (VISITORS, VISITS, PAGEVIEWS, BOUNCE_RATE)
LISTS = {"page": "Top pages", "referrer": "Sources", "country": "Countries"}
TOP_COUNT = 5
WEEKS = 26


@dataclass(frozen=True)
class ReportNumber:
    """A number and by what fraction it grew since the week before; none where there was nothing to compare with."""

    metric: Metric
    value: float | None
    text: str
    change: float | None
    is_estimate: bool

    @property
    def change_text(self) -> str:
        """As a mail says it, which has no colours to rely on."""
        if self.change is None:
            return "no week before to compare with"
        if abs(self.change) < 0.005:
            return "as the week before"
        return f"{self.change:+,.0%} on the week before".replace("-", "−")

    @property
    def is_better(self) -> bool | None:
        """Whether the change is for the good; none where there is none."""
        if self.change is None or abs(self.change) < 0.005:
            return None
        return (self.change > 0) is not self.metric.is_better_down


@dataclass(frozen=True)
class ReportList:
    """One of the top lists."""

    title: str
    heading: str
    lines: list[Line]


@dataclass(frozen=True)
class Report:
    """A site's week."""

    site: Site
    monday: date
    period: Period
    numbers: list[ReportNumber]
    lists: list[ReportList]
    goals: list[GoalLine]
    is_empty: bool
    url: str
    """The path of the site's page with this week."""


def list_report_mondays(site: Site, now: datetime) -> list[date]:
    """The weeks that are over since something was counted, the last first."""
    zone, first = site.zone, first_counted_at(site.organisation_id, site.id)
    return list_mondays(zone, now, first.astimezone(zone).date(), WEEKS) if first else []


def make_report(site: Site, monday: date, now: datetime) -> Report:
    """The report of one week; it writes addresses, so it needs a request (or a pretended one)."""
    choice = _choice_of(site, monday, now)
    total, before = answers.totals(choice.question()), _before(choice)
    goals = list_goals(site.organisation_id, site.id)
    return Report(
        site,
        monday,
        choice.period,
        [_number(metric, total, before) for metric in METRICS],
        [_list(choice, field, title, total) for field, title in LISTS.items()],
        list_goal_lines(choice, goals, total),
        is_empty=total.visitor_count == 0,
        url=choice.url(),
    )


def list_report_rows(report: Report) -> list[list[Cell]]:
    """The report as one table: numbers with their change, lists and goals with their shares."""
    numbers: list[list[Cell]] = [["number", one.metric.name, one.value, one.change] for one in report.numbers]
    lists: list[list[Cell]] = [
        [field, line.value, line.count, line.fraction]
        for field, one in zip(LISTS, report.lists, strict=True)
        for line in one.lines
    ]
    goals: list[list[Cell]] = [["goal", line.goal.name, line.visitor_count, line.conversion] for line in report.goals]
    return [*numbers, *lists, *goals]


def _choice_of(site: Site, monday: date, now: datetime) -> Choice:
    zone_week = week_of(monday, read_choice(site, MultiDict(), now).period.zone)
    dates = {"range": CUSTOM, "from": zone_week.first.isoformat(), "to": zone_week.last.isoformat()}
    return read_choice(site, MultiDict(dates), now)


def _before(choice: Choice) -> Figures:
    week = choice.period.previous()
    return answers.totals(choice.question(week.start, week.end))


def _number(metric: Metric, total: Figures, before: Figures) -> ReportNumber:
    value = metric.work_out(total)
    grown = change(value, metric.work_out(before))
    return ReportNumber(metric, value, metric.text(total), grown, metric is VISITORS and total.is_estimate)


def _list(choice: Choice, field: str, title: str, total: Figures) -> ReportList:
    lines = list_lines(choice, field, total, TOP_COUNT)
    return ReportList(title, "Pageviews" if field == "page" else "Visits", lines)
