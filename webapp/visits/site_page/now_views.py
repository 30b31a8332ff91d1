"""Right now: the last half hour minute by minute, and who was active in the last five minutes, with what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from webapp.lib.clock import utc_now
from webapp.pages import render_page
from webapp.visits import answers, queries
from webapp.visits.people.hiding import list_hidden
from webapp.visits.people.identities import identities_of
from webapp.visits.questions import PAGE
from webapp.visits.raw.presence import COUNTRY, REFERRER, PresentVisitor, presence
from webapp.visits.raw.row_conditions import EVENT
from webapp.visits.site_page.choice import Choice, read_choice
from webapp.visits.site_page.lists import lines_of, spelled_page
from webapp.visits.site_page.views import find_site, live_url, toolbar_context, with_comparison
from webapp.visits.views import visits

ENDPOINT = "visits.show_now"
MINUTES = 30
ACTIVE = timedelta(minutes=5)
TOP_COUNT = 10
FIELDS = {PAGE: "Pages", REFERRER: "Came from", COUNTRY: "Countries", EVENT: "Events"}


@dataclass(frozen=True)
class KnownPerson:
    """Somebody who said who they are, and where they are."""

    identity: str
    url: str
    page: str


@visits.get("/now")
def show_now() -> ResponseReturnValue:
    """The page, or what it fetches again when something was counted and as the minutes go by."""
    choice = read_choice(find_site(request.args.get("site", "")), request.args, utc_now())
    if request.args.get("value"):
        return redirect(with_comparison(choice).url(ENDPOINT), code=303)
    status = 422 if choice.error else 200
    context = {**_frame(choice), **_shown(choice, utc_now())}
    return render_page("visits/now.html", block="figures", status=status, **context)


def _frame(choice: Choice) -> dict[str, Any]:
    """What the page shows around those who are there."""
    return {
        **toolbar_context(choice, ENDPOINT),
        "presets": {},
        "stream_url": live_url(),
        "is_heard": queries.has_pageviews(choice.organisation_id, [choice.site.id]),
    }


def _shown(choice: Choice, now: datetime) -> dict[str, Any]:
    edges = _minutes(now)
    half_hour = choice.question(edges[0], edges[-1])
    active = choice.question(now - ACTIVE, now)
    points = answers.points(half_hour, edges)
    highest = max((point.pageview_count for point in points), default=0) or 1
    zone = choice.site.zone
    present = presence(active, TOP_COUNT)
    return {
        "there": answers.totals(active).visitor_count,
        "half_hour": answers.totals(half_hour),
        "bars": [
            (f"{edge.astimezone(zone):%H:%M}", point, 100 * point.pageview_count / highest)
            for edge, point in zip(edges, points, strict=False)
        ],
        "lists": [(label, lines_of(choice, field, present.lists[field], ENDPOINT)) for field, label in FIELDS.items()],
        "people": _list_people(choice, present.visitors),
    }


def _minutes(now: datetime) -> list[datetime]:
    """The starts of the last thirty minutes, this one included, and the end of this one."""
    this = now.replace(second=0, microsecond=0)
    return [this + timedelta(minutes=minute) for minute in range(1 - MINUTES, 2)]


def _list_people(choice: Choice, visitors: list[PresentVisitor]) -> list[KnownPerson]:
    """Those of the visitors whom somebody named, the latest first, each once; nobody who is hidden."""
    links = identities_of(choice.organisation_id, [(choice.site.id, one.visitor) for one in visitors])
    hidden = list_hidden(choice.organisation_id, {link.identity for link in links})
    known = {link.visitor: link for link in links if link.identity not in hidden}
    found: dict[str, KnownPerson] = {}
    for one in visitors:
        link = known.get(one.visitor)
        if link is None or (link.until is not None and one.last_at >= link.until):
            continue
        found.setdefault(link.identity, _person(choice, link.identity, one.page))
    return list(found.values())[:TOP_COUNT]


def _person(choice: Choice, identity: str, page: str) -> KnownPerson:
    return KnownPerson(identity, url_for("contacts.index", q=identity), spelled_page(choice, page)[0])
