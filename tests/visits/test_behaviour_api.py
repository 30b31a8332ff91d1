"""The API of what visitors do one after another: funnels of any steps, weeks of return, right now, weekly reports."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person
from tests.visits.site_page.support import site_with, store, visit
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, utc
from tests.visits.test_api import make_key
from webapp.config import Settings
from webapp.lib.clock import utc_now
from webapp.visits import now_api
from webapp.visits.models import Site

BASE = "/api/v1/analytics"
WEEKS = {"weeks": "3", "dateTo": "2026-11-20"}
STEPS = ["page:is:/pricing", "page:is:/checkout"]
DAYS = {"dateFrom": "2026-11-01", "dateTo": "2026-11-20"}


@pytest.fixture
def key(app: APIFlask, alice: Person) -> dict[str, str]:
    return make_key(app, alice.organisation_id)


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return site_with(
        app,
        alice,
        visit(1, ["/pricing", "/checkout"], utc("2026-11-03T09:00:00"), country="DE"),
        visit(1, ["/"], utc("2026-11-17T09:00:00"), country="DE"),
        visit(2, ["/pricing"], utc("2026-11-03T10:00:00"), country="FR"),
        visit(3, ["/"], utc("2026-11-10T10:00:00"), country="DE"),
    )


def ask(client: FlaskClient, key: dict[str, str], path: str, **query: Any) -> Any:
    answer = client.get(path, query_string=query, headers=key)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return answer.json["data"]


def test_a_funnel_need_not_be_saved(client: FlaskClient, key: dict[str, str], site: Site) -> None:
    for query, counts in (({}, (2, 1)), ({"where": "country:is:FR"}, (1, 0)), ({"siteId": str(site.id)}, (2, 1))):
        found = ask(client, key, f"{BASE}/funnel", step=STEPS, **DAYS, **query)
        assert [(one["step"], one["visitor_count"]) for one in found] == list(zip(STEPS, counts, strict=True))


def test_weeks_of_return_are_told(client: FlaskClient, key: dict[str, str], site: Site) -> None:
    found = ask(client, key, f"{BASE}/retention", **WEEKS)
    assert found == {
        "is_estimate": False,
        "weeks": [
            {"timeframe": "2026-11-02T00:00:00Z", "visitor_count": 2, "returned_counts": [0, 1]},
            {"timeframe": "2026-11-09T00:00:00Z", "visitor_count": 1, "returned_counts": [0]},
            {"timeframe": "2026-11-16T00:00:00Z", "visitor_count": 0, "returned_counts": []},
        ],
    }
    french = ask(client, key, f"{BASE}/retention", where="country:is:FR", timezone="Asia/Kathmandu", **WEEKS)
    assert french["weeks"][0] == {"timeframe": "2026-11-01T18:15:00Z", "visitor_count": 1, "returned_counts": [0, 0]}


def test_right_now_is_told(
    app: APIFlask, client: FlaskClient, key: dict[str, str], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of half an hour that begins within a quarter, so that single visits are asked for all of it."""
    now = (utc_now() - timedelta(hours=1)).replace(minute=37, second=20)
    monkeypatch.setattr(now_api, "utc_now", lambda: now)
    store(
        app,
        site,
        visit(7, ["/now"], now - timedelta(minutes=2), country="DE", referrer="news.example"),
        visit(8, ["/"], now - timedelta(minutes=20), country="FR"),
        visit(9, ["/"], now - timedelta(minutes=40), country="FR"),
    )
    found = ask(client, key, f"{BASE}/real-time", siteId=str(site.id))
    assert (found["active_visitor_count"], found["visitor_count"], found["pageview_count"]) == (1, 2, 2)
    assert (len(found["minutes"]), sum(one["pageview_count"] for one in found["minutes"])) == (30, 2)
    assert [(one["value"], one["visitor_count"]) for one in found["pages"]] == [(f"{ORIGIN}/now", 1)]
    assert [(one["value"], one["visitor_count"]) for one in found["referrers"]] == [("news.example", 1)]
    assert [(one["value"], one["visitor_count"]) for one in found["countries"]] == [("DE", 1)]
    assert ask(client, key, f"{BASE}/real-time", where="country:is:FR")["active_visitor_count"] == 0


@pytest.mark.parametrize(
    ("path", "query"),
    [("funnel", {"step": STEPS, **DAYS}), ("retention", WEEKS), ("journeys", DAYS)],
)
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", W/{}'])
def test_an_answer_is_sent_again_only_when_its_buckets_changed(
    app: APIFlask, client: FlaskClient, key: dict[str, str], site: Site, path: str, query: dict[str, Any], form: str
) -> None:
    """A proxy that compresses makes the tag a weak one; it is the same answer."""
    first = client.get(f"{BASE}/{path}", query_string=query, headers=key)
    known = {**key, "If-None-Match": form.format(first.headers["ETag"])}
    again = client.get(f"{BASE}/{path}", query_string=query, headers=known)
    assert (again.status_code, again.text) == (304, "")
    store(app, site, visit(4, ["/pricing"], utc("2026-11-18T09:00:00")))
    assert client.get(f"{BASE}/{path}", query_string=query, headers=known).status_code == 200


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("funnel", {}),
        ("funnel", {"step": STEPS[:1]}),
        ("funnel", {"step": STEPS * 5}),
        ("funnel", {"step": ["country:is:DE", *STEPS]}),
        ("funnel", {"step": STEPS, "siteId": "x"}),
        ("retention", {"weeks": "1"}),
        ("retention", {"weeks": "54"}),
        ("retention", {"dateTo": "yesterday"}),
        ("retention", {"dateTo": "0001-01-01"}),
        ("retention", {"timezone": "Mars/Olympus"}),
        ("retention", {"where": "weather:is:sunny"}),
        ("real-time", {"limit": "0"}),
        ("real-time", {"siteId": "x"}),
    ],
)
def test_what_cannot_be_answered_says_what_is_allowed(
    client: FlaskClient, key: dict[str, str], site: Site, path: str, query: dict[str, Any]
) -> None:
    answer = client.get(f"{BASE}/{path}", query_string=query, headers=key)
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"


def test_charlies_key_counts_nothing_of_alices_site(
    app: APIFlask, client: FlaskClient, charlie: Person, site: Site
) -> None:
    theirs, named = make_key(app, charlie.organisation_id), {"siteId": str(site.id)}
    store(app, site, visit(7, ["/now"], utc_now() - timedelta(minutes=2)))
    assert [one["visitor_count"] for one in ask(client, theirs, f"{BASE}/funnel", step=STEPS, **DAYS)] == [0, 0]
    assert {one["visitor_count"] for one in ask(client, theirs, f"{BASE}/retention", **WEEKS)["weeks"]} == {0}
    assert ask(client, theirs, f"{BASE}/real-time")["visitor_count"] == 0
    for path, query in (("funnel", {"step": STEPS}), ("retention", {}), ("real-time", {})):
        refused = client.get(f"{BASE}/{path}", query_string={**query, **named}, headers=theirs)
        assert refused.status_code == 422
    assert client.get(f"/api/v1/sites/{site.id}/weekly-reports", headers=theirs).status_code == 404
    assert client.get(f"/api/v1/sites/{site.id}/weekly-reports/2026-11-09", headers=theirs).status_code == 404


def test_weekly_reports_are_listed_and_read(
    app: APIFlask, client: FlaskClient, alice: Person, key: dict[str, str], services: Settings
) -> None:
    site, now = add_site(app, alice.organisation_id), utc_now()
    monday = (now - timedelta(days=now.weekday() + 7)).replace(hour=12)
    rows = [
        make_row(site, monday - timedelta(weeks=1), visitor="bob"),
        *(make_row(site, monday, visitor=name, country="DE") for name in ("bob", "charlie")),
    ]
    add_rows(services, rows)
    count_all(app, services)
    path, day = f"/api/v1/sites/{site.id}/weekly-reports", monday.date()
    client.post(f"/api/v1/sites/{site.id}/goals", json={"value": "/"}, headers=key)
    assert ask(client, key, path) == [day.isoformat(), (day - timedelta(weeks=1)).isoformat()]
    report = client.get(f"{path}/{day}", headers=key).json or {}
    assert report["numbers"][0] == {"name": "visitors", "value": 2.0, "change": 1.0, "is_estimate": False}
    assert report["lists"]["page"] == [{"value": f"{ORIGIN}/", "count": 2}]
    assert report["goals"] == [{"name": "/", "visitor_count": 2, "is_estimate": False, "conversion_rate": 1.0}]
    assert client.get(f"{path}/{day - timedelta(weeks=9)}", headers=key).status_code == 404
    assert client.get(f"{path}/x", headers=key).status_code == 404
