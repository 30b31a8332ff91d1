"""The API of numbers: over time, by value, of one event; filters, zones and ETags."""

from __future__ import annotations

from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person
from tests.visits.site_page.support import site_with, store, visit
from tests.visits.support import ORIGIN, utc
from tests.visits.test_api import make_key
from webapp.visits.models import Site

DAY = {"dateFrom": "2026-11-20", "dateTo": "2026-11-20"}
BASE = "/api/v1/analytics"


@pytest.fixture
def key(app: APIFlask, alice: Person) -> dict[str, str]:
    return make_key(app, alice.organisation_id)


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return site_with(
        app,
        alice,
        visit(1, ["/", "/pricing"], utc("2026-11-20T09:00:00"), "sign-up", country="DE", device="desktop"),
        visit(2, ["/pricing"], utc("2026-11-20T10:00:00"), "sign-up", country="FR", device="mobile"),
        visit(3, ["/"], utc("2026-11-20T18:30:00"), country="DE", device="mobile"),
    )


def ask(client: FlaskClient, key: dict[str, str], path: str, **query: Any) -> Any:
    answer = client.get(path, query_string=query, headers=key)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return answer.json["data"]


def test_an_event_is_summed_up_with_its_visitors_and_devices(
    client: FlaskClient, key: dict[str, str], site: Site
) -> None:
    summary = ask(client, key, f"{BASE}/event-summary", event="sign-up", siteId=str(site.id), **DAY)
    assert summary == {
        "event": "sign-up",
        "count": 2,
        "unique_visitors": 2,
        "is_estimate": False,
        "by_device": [
            {"device": "desktop", "count": 1, "unique_visitors": 1, "is_estimate": False},
            {"device": "mobile", "count": 1, "unique_visitors": 1, "is_estimate": False},
        ],
    }


def test_a_breakdown_has_every_number_of_each_value(client: FlaskClient, key: dict[str, str], site: Site) -> None:
    rows = ask(client, key, f"{BASE}/breakdown", field="page", where="country:is:DE", **DAY)
    assert [(row["value"], row["pageview_count"]) for row in rows] == [(f"{ORIGIN}/", 2), (f"{ORIGIN}/pricing", 1)]
    [row] = ask(client, key, f"{BASE}/breakdown", field="country", where=["country:is:DE", "device:is:desktop"], **DAY)
    assert row["value"] == "DE"
    assert (row["visit_count"], row["visit_seconds"], row["event_count"]) == (1, 60.0, 1)


def test_visitors_of_any_field_are_told_where_they_are_asked_for(
    client: FlaskClient, key: dict[str, str], site: Site
) -> None:
    for field, expected in {
        "country": [("DE", 2), ("FR", 1)],
        "page": [(f"{ORIGIN}/", 2), (f"{ORIGIN}/pricing", 2)],
        "entry_page": [(f"{ORIGIN}/", 2), (f"{ORIGIN}/pricing", 1)],
        "event": [("sign-up", 2)],
        "utm_campaign": [],
    }.items():
        rows = ask(client, key, f"{BASE}/breakdown", field=field, metric="visitors", **DAY)
        assert rows == [{"value": value, "visitor_count": count, "is_estimate": False} for value, count in expected]
    [row] = ask(
        client, key, f"{BASE}/breakdown", field="device", metric="visitors", limit=1, where="country:is:FR", **DAY
    )
    assert row["value"] == "mobile"


def test_a_time_series_is_cut_in_the_zone_that_is_asked_for(
    client: FlaskClient, key: dict[str, str], site: Site
) -> None:
    span = {"dateFrom": "2026-11-20", "dateTo": "2026-11-21", "where": "country:is:DE"}
    rows = ask(client, key, f"{BASE}/time-series", timezone="Asia/Kathmandu", **span)
    assert [(row["timeframe"], row["visit_count"]) for row in rows] == [
        ("2026-11-19T18:15:00Z", 1),
        ("2026-11-20T18:15:00Z", 1),
    ]


def test_visits_take_a_page_and_filters(client: FlaskClient, key: dict[str, str], site: Site) -> None:
    found = ask(client, key, "/api/v1/visits", page="/pricing", **DAY)
    assert found == {f"{ORIGIN}/pricing": [{"timeframe": "2026-11-20T00:00:00Z", "visit_count": 2}]}
    found = ask(client, key, "/api/v1/visits", where=["country:is:FR"], **DAY)
    assert list(found) == [f"{ORIGIN}/pricing"]


def test_an_answer_is_sent_again_only_when_its_buckets_changed(
    app: APIFlask, client: FlaskClient, key: dict[str, str], site: Site
) -> None:
    for path in ("/api/v1/visits", f"{BASE}/time-series", f"{BASE}/breakdown"):
        query = {"where": "country:is:DE", "field": "page", **DAY}
        first = client.get(path, query_string=query, headers=key)
        again = client.get(path, query_string=query, headers={**key, "If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.text) == (304, "")
        store(app, site, visit(9, ["/"], utc("2026-11-20T12:00:00"), country="DE"))
        changed = client.get(path, query_string=query, headers={**key, "If-None-Match": first.headers["ETag"]})
        assert changed.status_code == 200


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("breakdown", {}),
        ("breakdown", {"field": "weather"}),
        ("breakdown", {"field": "page", "limit": "0"}),
        ("breakdown", {"field": "page", "metric": "weather"}),
        ("time-series", {"timezone": "Mars/Olympus"}),
        ("time-series", {"where": "weather:is:sunny"}),
        ("time-series", {"siteId": "x"}),
        ("event-summary", {}),
    ],
)
def test_what_cannot_be_answered_says_what_is_allowed(
    client: FlaskClient, key: dict[str, str], site: Site, path: str, query: dict[str, str]
) -> None:
    answer = client.get(f"{BASE}/{path}", query_string=query, headers=key)
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"


def test_charlies_key_counts_nothing_of_alices_site(
    app: APIFlask, client: FlaskClient, charlie: Person, site: Site
) -> None:
    theirs = make_key(app, charlie.organisation_id)
    assert ask(client, theirs, f"{BASE}/breakdown", field="page", where="country:is:DE", **DAY) == []
    assert ask(client, theirs, f"{BASE}/breakdown", field="country", metric="visitors", **DAY) == []
    refused = client.get(f"{BASE}/time-series", query_string={"siteId": str(site.id)}, headers=theirs)
    assert refused.status_code == 422
