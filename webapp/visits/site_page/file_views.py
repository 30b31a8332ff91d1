"""The tables of funnels, weeks of return, goals, right now and all sites as files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from flask import Response, abort, request

from webapp.accounts.current import current_organisation
from webapp.lib.clock import utc_now
from webapp.visits import answers, queries, rolled_up
from webapp.visits.now_api import ACTIVE, LISTS, minute_edges
from webapp.visits.periods import DEFAULT_PRESET, BadPeriodError, Period, make_period, utc_iso
from webapp.visits.questions import Question
from webapp.visits.raw.journeys import STEPS
from webapp.visits.site_page.cards import METRICS
from webapp.visits.site_page.choice import Choice, read_choice
from webapp.visits.site_page.filters import BadFilterError
from webapp.visits.site_page.goals import can_convert, list_goal_lines, words_of
from webapp.visits.site_page.journeys import list_steps, list_weeks, read_steps
from webapp.visits.site_page.queries import list_goals
from webapp.visits.site_page.tables import Cell
from webapp.visits.site_page.views import find_site
from webapp.visits.table_files import ENDINGS, WRITERS, FileKind, table_file
from webapp.visits.views import visits

Rows = list[list[Cell]]
FILE_LINES = 1_000


@visits.get(f"/funnel/{ENDINGS}")
def funnel_file(kind: str) -> Response:
    """The steps of the address with the visitors who reached each."""
    choice = _read_choice()
    try:
        steps = read_steps(request.args.getlist("step"))
    except BadFilterError as problem:
        abort(422, str(problem))
    if len(steps) not in STEPS:
        abort(422, f"A funnel has {STEPS[0]} to {STEPS[-1]} steps.")
    rows: Rows = [
        [step.words, step.visitor_count, step.of_first, step.of_previous] for step in list_steps(choice, steps)
    ]
    return table_file(WRITERS[kind], "funnel", ["step", "visitors", "of_first", "of_previous"], rows)


@visits.get(f"/retention/{ENDINGS}")
def retention_file(kind: str) -> Response:
    """Each week's new visitors, and the shares of them who came again in the weeks after it."""
    weeks, is_estimate = list_weeks(_read_choice())
    later = range(1, len(weeks))
    rows: Rows = [
        [utc_iso(week.starts_at), week.visitor_count, str(is_estimate).lower(), *_filled(week.shares, len(later))]
        for week in weeks
    ]
    header = ["week", "new_visitors", "is_estimate", *(f"week_{number}" for number in later)]
    return table_file(WRITERS[kind], "retention", header, rows)


@visits.get(f"/goals/{ENDINGS}")
def goals_file(kind: str) -> Response:
    """Each goal with the visitors who reached it."""
    return goals_file_of(_read_choice(), WRITERS[kind])


@visits.get(f"/now/{ENDINGS}")
def now_file(kind: str) -> Response:
    """The minutes of the last half hour, and where those are who were active in the last five minutes."""
    choice, now = _read_choice(), utc_now()
    rows = [*_minutes(choice, now), *_there(choice, now)]
    return table_file(WRITERS[kind], "right-now", ["list", "value", "visitors", "pageviews"], rows)


@visits.get(f"/sites/{ENDINGS}")
def sites_file(kind: str) -> Response:
    """All sites with their numbers, and those of the period before."""
    organisation, now = current_organisation(), utc_now()
    sites = queries.list_sites(organisation.id)
    period, site_ids = _read_period(ZoneInfo(organisation.time_zone), now), tuple(site.id for site in sites)
    totals = rolled_up.totals_by_site(Question(organisation.id, site_ids, period.start, period.end))
    before = rolled_up.totals_by_site(Question(organisation.id, site_ids, *period.before(now)))
    rows: Rows = [
        [site.name, ", ".join(site.origins)]
        + [metric.work_out(found[site.id]) for found in (totals, before) for metric in METRICS]
        for site in sites
    ]
    names = [metric.name for metric in METRICS]
    header = ["site", "addresses", *names, *(f"{name}_before" for name in names)]
    return table_file(WRITERS[kind], "sites", header, rows)


def goals_file_of(choice: Choice, write: FileKind) -> Response:
    """The goals of a site, where they can be worked out and may be seen."""
    if not choice.shows_goals or not can_convert(choice):
        abort(404)
    goals = list_goals(choice.organisation_id, choice.site.id)
    rows: Rows = [
        [line.goal.name, words_of(line.goal), line.visitor_count, line.conversion]
        for line in list_goal_lines(choice, goals, answers.totals(choice.question()))
    ]
    return table_file(write, "goals", ["goal", "reached_when", "visitors", "conversion_rate"], rows)


def _filled(shares: Sequence[float], count: int) -> list[Cell]:
    """Nothing for weeks that are still to come."""
    return [*shares, *[None] * (count - len(shares))]


def _read_choice() -> Choice:
    return read_choice(find_site(request.args.get("site", "")), request.args, utc_now())


def _read_period(zone: ZoneInfo, now: datetime) -> Period:
    arguments = request.args
    try:
        return make_period(
            arguments.get("range", DEFAULT_PRESET), zone, now, arguments.get("from", ""), arguments.get("to", "")
        )
    except BadPeriodError as problem:
        abort(422, str(problem))


def _minutes(choice: Choice, now: datetime) -> Rows:
    edges = minute_edges(now)
    points = answers.points(_question(choice, edges[0], edges[-1]), edges)
    return [
        ["minute", utc_iso(edge), point.visitor_count, point.pageview_count]
        for edge, point in zip(edges, points, strict=False)
    ]


def _there(choice: Choice, now: datetime) -> Rows:
    active = _question(choice, now - ACTIVE, now)
    return [
        [field, value.value, value.figures.visitor_count, None]
        for field in LISTS.values()
        for value in answers.most_visited(active, field, FILE_LINES)
    ]


def _question(choice: Choice, start: datetime, end: datetime) -> Question:
    return Question(choice.organisation_id, (choice.site.id,), start, end)
