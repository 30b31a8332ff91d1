"""Right now: who is there, what they look at, do and came from, and whom of them somebody knows."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person
from tests.visits.site_page.support import store, visit
from tests.visits.site_page.test_shared_links import share
from tests.visits.support import add_rows, add_site, count_all, make_row
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.visits.models import Identity, RefusedMerge, Site
from webapp.visits.site_page import now_views

MINUTE = timedelta(minutes=1)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Half an hour that begins within a quarter, so that single visits are asked for all of it."""
    moment = (utc_now() - timedelta(hours=1)).replace(minute=37, second=20)
    monkeypatch.setattr(now_views, "utc_now", lambda: moment)
    return moment


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings, now: datetime) -> Site:
    """Visitors four, twenty and thirty-one minutes ago."""
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, utc_now() - timedelta(days=2))])
    count_all(app, services)
    store(
        app,
        site,
        visit(1, ["/pricing"], now - 4 * MINUTE, "sign-up", country="DE", referrer="news.example"),
        visit(2, ["/blog"], now - 3 * MINUTE, country="SE"),
        visit(3, ["/old"], now - 20 * MINUTE, country="FR"),
        visit(4, ["/older"], now - 31 * MINUTE, country="GB"),
    )
    return site


def now_page(person: Person, site: Site, *where: str) -> str:
    return person.client.get("/visits/now", query_string={"site": str(site.id), "where": list(where)}).text


def lines_of(page: str) -> dict[str, list[tuple[str, str]]]:
    """Each card's lines with their visitors."""
    cards = re.findall(r"<h2>([^<]+)</h2>(.*?)</section>", page, re.DOTALL)
    return {title: re.findall(r"</svg>([^<]*)</a></th><td>([^<]*)</td>", card) for title, card in cards}


def test_five_minutes_and_half_an_hour_hold_who_came_in_them(alice: Person, site: Site) -> None:
    page = now_page(alice, site)
    assert '<span class="now__number">2</span> visitors in the last 5 minutes' in page
    assert "3 pageviews and 1 event by 3 visitors in the last 30 minutes" in page
    assert "/older" not in page
    told = lines_of(page)
    assert told["Pages"] == [("/blog", "1"), ("/pricing", "1")]
    assert told["Came from"] == [("Direct", "1"), ("news.example", "1")]
    assert told["Countries"] == [("Germany", "1"), ("Sweden", "1")]
    assert told["Events"] == [("sign-up", "1")]


def test_every_line_filters_and_another_click_takes_the_filter_away(alice: Person, site: Site) -> None:
    page = now_page(alice, site)
    link = re.search(r'href="(/visits/now[^"]*country:is:SE)"', page)
    assert link is not None
    swedish = alice.client.get(link[1].replace("&amp;", "&")).text
    assert '<span class="now__number">1</span> visitor in' in swedish
    assert "Country is Sweden" in swedish
    assert lines_of(swedish)["Pages"] == [("/blog", "1")]
    assert "1 pageview and 0 events by 1 visitor in the last 30 minutes" in swedish
    assert lines_of(now_page(alice, site, "event:is:sign-up"))["Pages"] == [("/pricing", "1")]
    assert "Nobody there passes these filters" in now_page(alice, site, "country:is:FR")


def test_the_form_filters_without_javascript(alice: Person, site: Site) -> None:
    query = {"site": str(site.id), "field": "country", "operator": "is", "value": "Sweden"}
    answer = alice.client.get("/visits/now", query_string=query)
    assert answer.status_code == 303
    assert answer.location.startswith("/visits/now")
    assert "where=country:is:SE" in answer.location


def name(app: APIFlask, site: Site, visitor: int, identity: str) -> None:
    with app.app_context(), tenant(site.organisation_id):
        link = {"organisation_id": site.organisation_id, "site_id": site.id, "visitor": visitor, "identity": identity}
        db.session.add(Identity(**link, first_at=utc_now() - MINUTE))
        db.session.commit()


def test_known_people_are_named_to_members_alone(
    app: APIFlask, alice: Person, client: FlaskClient, charlie: Person, site: Site
) -> None:
    name(app, site, 2, "bob@example.com")
    name(app, site, 3, "gone@example.com")
    page = now_page(alice, site)
    assert 'href="/contacts?q=bob@example.com"' in page.replace("%40", "@")
    assert "gone@example.com" not in page
    assert charlie.client.get(f"/visits/now?site={site.id}").status_code == 404
    path = share(alice, site)
    for address in (path, f"{path}/now", f"{path}?range=today"):
        assert "bob@example.com" not in client.get(address).text


def test_nobody_is_named_where_another_was_named_on_the_same_browser(
    app: APIFlask, alice: Person, site: Site, now: datetime
) -> None:
    name(app, site, 2, "bob@example.com")
    with app.app_context(), tenant(site.organisation_id):
        refused = {"organisation_id": site.organisation_id, "site_id": site.id, "visitor": 2}
        db.session.add(RefusedMerge(**refused, identity="other@example.com", at=now - timedelta(hours=1)))
        db.session.commit()
    assert "bob@example.com" not in now_page(alice, site)


def test_refused_links_are_found_from_the_pages_of_a_site(alice: Person, site: Site) -> None:
    link = f'href="/visits/refused-merges?site={site.id}"'
    for address in (f"/visits?site={site.id}", f"/visits/now?site={site.id}", f"/visits/sites/{site.id}/goals"):
        assert link in alice.client.get(address).text
    there = alice.client.get(f"/visits/refused-merges?site={site.id}").text
    assert f'href="/visits/now?site={site.id}"' in there
