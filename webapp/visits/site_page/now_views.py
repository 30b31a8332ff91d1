"""Right now: the last half hour minute by minute, and where those are who were active in the last five minutes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import request
from flask.typing import ResponseReturnValue

from webapp.lib.clock import utc_now
from webapp.pages import render_page
from webapp.visits import answers, queries
from webapp.visits.models import Site
from webapp.visits.questions import PAGE, Question
from webapp.visits.site_page.choice import read_choice
from webapp.visits.site_page.lists import Line, lines_of
from webapp.visits.site_page.views import find_site, live_url
from webapp.visits.views import visits

MINUTES = 30
ACTIVE = timedelta(minutes=5)
TOP_COUNT = 10
FIELDS = {PAGE: "Pages", "referrer": "Came from", "country": "Countries"}


@visits.get("/now")
def show_now() -> ResponseReturnValue:
    """The page, or what it fetches again when something was counted and as the minutes go by."""
    site = find_site(request.args.get("site", ""))
    is_heard = queries.has_pageviews(site.organisation_id, [site.id])
    context: dict[str, Any] = {"site": site, "stream_url": live_url(), "is_heard": is_heard}
    return render_page("visits/now.html", block="now", **context, **_context(site, utc_now()))


def _context(site: Site, now: datetime) -> dict[str, Any]:
    edges = _minutes(now)
    points = answers.points(_question(site, edges[0], edges[-1]), edges)
    active = _question(site, now - ACTIVE, now)
    highest = max((point.pageview_count for point in points), default=0) or 1
    zone = ZoneInfo(site.time_zone)
    return {
        "there": answers.totals(active).visitor_count,
        "half_hour": answers.totals(_question(site, edges[0], edges[-1])),
        "bars": [
            (f"{edge.astimezone(zone):%H:%M}", point, 100 * point.pageview_count / highest)
            for edge, point in zip(edges, points, strict=False)
        ],
        "lists": [(label, _lines(site, active, field)) for field, label in FIELDS.items()],
    }


def _minutes(now: datetime) -> list[datetime]:
    """The starts of the last thirty minutes, this one included, and the end of this one."""
    this = now.replace(second=0, microsecond=0)
    return [this + timedelta(minutes=minute) for minute in range(1 - MINUTES, 2)]


def _question(site: Site, start: datetime, end: datetime) -> Question:
    return Question(site.organisation_id, (site.id,), start, end)


def _lines(site: Site, question: Question, field: str) -> list[Line]:
    choice = read_choice(site, request.args, utc_now())
    return lines_of(choice, field, answers.breakdown(question, field, TOP_COUNT))
