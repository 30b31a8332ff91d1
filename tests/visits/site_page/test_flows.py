"""The page of journeys: steps from and to a page, each a link, with the choice's filters and days; and its files."""

from __future__ import annotations

import re
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person, owner_connection
from tests.visits.site_page.support import json_of, store, visit, yesterday
from tests.visits.site_page.test_shared_links import share
from tests.visits.support import add_rows, add_site, count_all, make_row
from webapp.accounts import service
from webapp.config import Settings
from webapp.extensions import db
from webapp.visits.models import Site

DAY = {"range": "yesterday"}
Row = dict[str, Any]


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    """Four visits yesterday; three of them saw the prices, one of these twice in a row."""
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, yesterday(-24))])
    count_all(app, services)
    store(
        app,
        site,
        visit(1, ["/", "/pricing", "/pricing", "/checkout"], yesterday(9), country="DE", referrer="news.example"),
        visit(2, ["/blog", "/", "/pricing"], yesterday(10), country="FR"),
        visit(3, ["/pricing", "/checkout", "/pricing"], yesterday(11), country="FR"),
        visit(4, ["/imprint"], yesterday(12), country="FR"),
    )
    return site


def steps_of(rows: list[Row]) -> set[tuple[str, int, str, str, int]]:
    return {
        (row["when"], row["step"], row["kind"], row["value"].rpartition("example")[2], row["visits"]) for row in rows
    }


def test_steps_before_and_after_a_page_are_counted_by_visit(alice: Person, site: Site) -> None:
    rows = json_of(alice.client, "/visits/journeys/json", site=str(site.id), page="/pricing", **DAY)
    assert steps_of(rows) == {
        ("page", 0, "page", "", 3),
        ("before", 1, "page", "/", 2), ("before", 1, "entered", "", 1),
        ("before", 2, "page", "/blog", 1), ("before", 2, "entered", "", 1),
        ("after", 1, "page", "/checkout", 2), ("after", 1, "left", "", 1),
        ("after", 2, "page", "/pricing", 1), ("after", 2, "left", "", 1),
    }  # fmt: skip
    assert next(row["share"] for row in rows if row["value"].endswith("/checkout")) == pytest.approx(2 / 3)


def test_without_a_page_visits_are_followed_from_their_entry(alice: Person, site: Site) -> None:
    rows = json_of(alice.client, "/visits/journeys/json", site=str(site.id), steps="1", **DAY)
    found = {row["value"]: row["visits"] for row in rows if row["when"] == "after"}
    assert found == {f"https://shop.example{path}": 1 for path in ("/", "/blog", "/pricing", "/imprint")}
    assert {row["value"]: row["visits"] for row in rows if row["kind"] == "entered"} == {"": 3, "news.example": 1}


def test_filters_choose_visits_and_stand_in_every_address(alice: Person, site: Site) -> None:
    query = {"site": str(site.id), "page": "/pricing", "where": "country:is:FR", **DAY}
    rows = json_of(alice.client, "/visits/journeys/json", **query)
    assert {row["visits"] for row in rows if row["when"] == "page"} == {2}
    page = alice.client.get("/visits/journeys", query_string=query).text
    step = re.search(r'href="([^"]+)" hx-get[^>]*>/checkout<', page)
    assert step is not None
    for part in ("page=/checkout", "where=country:is:FR", "range=yesterday", f"site={site.id}"):
        assert part in step[1].replace("%2F", "/").replace("%3A", ":")
    narrowed = re.search(r'href="([^"]+)" hx-get[^>]*aria-label="Filter by /checkout"', page)
    assert narrowed is not None
    followed = alice.client.get(narrowed[1].replace("&amp;", "&")).text
    assert "Page is /checkout" in followed
    assert "Around /pricing" in followed
    assert "<strong>1</strong> visit<" in followed
    assert "50% of all visits" not in followed


def test_a_form_adds_a_filter_and_keeps_the_page(alice: Person, site: Site) -> None:
    query = {"site": str(site.id), "page": "/pricing", "field": "country", "operator": "is", "value": "Germany"}
    added = alice.client.get("/visits/journeys", query_string=query)
    assert added.status_code == 303
    assert "page=/pricing" in added.location
    assert "where=country:is:DE" in added.location
    part = alice.client.get(added.location, headers={"HX-Request": "true"}).text
    assert part.lstrip().startswith('<div class="stack visits" id="figures"')


def test_a_page_typed_without_its_slash_is_found(alice: Person, site: Site) -> None:
    query = {"site": str(site.id), "page": "pricing", **DAY}
    assert "Around /pricing" in alice.client.get("/visits/journeys", query_string=query).text
    assert {
        row["visits"] for row in json_of(alice.client, "/visits/journeys/json", **query) if row["when"] == "page"
    } == {3}


def test_all_pages_below_one_can_be_looked_at_together(alice: Person, site: Site) -> None:
    rows = json_of(alice.client, "/visits/journeys/json", site=str(site.id), page="/p*", **DAY)
    assert rows[0]["visits"] == 3
    nowhere = alice.client.get("/visits/journeys", query_string={"site": str(site.id), "page": "/nowhere", **DAY})
    assert "No visit saw this page" in nowhere.text
    bad = alice.client.get("/visits/journeys", query_string={"site": str(site.id), "page": "*"})
    assert (bad.status_code, "Give a page" in bad.text) == (422, True)


def test_a_site_without_visits_says_what_to_do(app: APIFlask, alice: Person) -> None:
    empty = add_site(app, alice.organisation_id)
    assert "Nothing has been counted yet" in alice.client.get(f"/visits/journeys?site={empty.id}").text


def test_the_file_for_spreadsheets_has_the_same_rows(alice: Person, site: Site) -> None:
    query = {"site": str(site.id), "page": "/pricing", **DAY}
    answer = alice.client.get("/visits/journeys/csv", query_string=query)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="journeys.csv"'
    assert "after,1,page,https://shop.example/checkout,2,0.6667" in answer.text.splitlines()


def test_a_link_shows_journeys_as_far_as_it_is_limited(client: FlaskClient, alice: Person, site: Site) -> None:
    path = share(alice, site, "country:is:FR")
    page = client.get(f"{path}/journeys?page=/pricing&range=yesterday")
    assert page.status_code == 200
    assert 'title="/checkout"' in page.text
    assert "/visits/" not in page.text.replace("/static/css/visits.css", "")
    assert "Journeys" in client.get(f"{path}?range=yesterday").text
    rows = json_of(client, f"{path}/journeys/json", page="/pricing", where="country:is:DE", **DAY)
    assert rows == [{"when": "page", "step": 0, "kind": "page", "value": "", "visits": 0, "share": 0.0}]


def test_a_link_to_some_pages_tells_nothing_of_others(client: FlaskClient, alice: Person, site: Site) -> None:
    path = share(alice, site, "page:is:/pricing")
    page = client.get(f"{path}/journeys?page=/pricing&range=yesterday").text
    assert "not part of this link" in page
    assert "checkout" not in page
    assert client.get(f"{path}/journeys/json?range=yesterday").status_code == 404
    assert client.get(f"{path}/journeys/csv?range=yesterday").status_code == 404


def test_programs_ask_for_the_same(app: APIFlask, client: FlaskClient, alice: Person, site: Site) -> None:
    key = key_of(app, alice)
    first = f"{yesterday():%Y-%m-%d}"
    query = {"siteId": str(site.id), "page": "/pricing", "dateFrom": first, "dateTo": first, "limit": 1, "steps": 1}
    answer = client.get("/api/v1/analytics/journeys", query_string=query, headers=key)
    assert answer.status_code == 200
    data = data_of(answer)
    assert data["visit_count"] == 3
    [before], [after] = data["before"], data["after"]
    assert (before["pages"], before["entered"]) == (
        [{"value": "https://shop.example/", "visit_count": 2}], [{"value": "", "visit_count": 1}]
    )  # fmt: skip
    assert (after["left_visit_count"], after["visit_count"], after["other_page_visit_count"]) == (1, 3, 0)
    again = client.get(
        "/api/v1/analytics/journeys", query_string=query, headers={**key, "If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304
    for wrong in ({"steps": 4}, {"page": "*"}, {"limit": 0}, {"siteId": "x"}):
        bad = client.get("/api/v1/analytics/journeys", query_string={**query, **wrong}, headers=key)
        assert (bad.status_code, bad.content_type) == (422, "application/problem+json")


def test_charlie_sees_no_journeys_of_alices_site(
    app: APIFlask, client: FlaskClient, charlie: Person, site: Site
) -> None:
    for ending in ("", "/csv", "/json"):
        assert charlie.client.get(f"/visits/journeys{ending}?site={site.id}").status_code == 404
    key = key_of(app, charlie)
    answer = client.get("/api/v1/analytics/journeys", query_string={"siteId": str(site.id)}, headers=key)
    assert answer.status_code == 422
    assert data_of(client.get("/api/v1/analytics/journeys", headers=key))["visit_count"] == 0


def data_of(answer: Any) -> dict[str, Any]:
    data: dict[str, Any] = answer.json["data"]
    return data


def key_of(app: APIFlask, person: Person) -> dict[str, str]:
    with app.app_context():
        _, secret = service.create_api_key(person.organisation_id, "reports")
        db.session.commit()
    return {"Authorization": f"Bearer {secret}"}


def test_where_single_visits_are_gone_pages_and_programs_say_from_when_they_answer(
    app: APIFlask, client: FlaskClient, alice: Person, services: Settings, site: Site
) -> None:
    first = yesterday(6)
    with owner_connection(services) as connection:
        connection.execute("UPDATE sites SET raw_complete_from = %s", [first])
    words = f"This begins on {first.day} {first:%b %Y}"
    filtered = {"site": str(site.id), "where": "country:is:FR"}
    for path in ("/visits", "/visits/journeys", "/visits/funnel", "/visits/retention"):
        assert words in alice.client.get(path, query_string=filtered).text, path
    assert words not in alice.client.get(f"/visits?site={site.id}").text, "roll-ups stay"
    assert words not in alice.client.get("/visits", query_string={**filtered, "range": "today"}).text
    compared = alice.client.get("/visits", query_string={**filtered, "range": "today"}).text
    assert "There is less to compare with" in compared
    key, since = key_of(app, alice), f"{first:%Y-%m-%dT%H:%M:%SZ}"
    for path in ("visits", "analytics/time-series", "analytics/breakdown?field=page", "analytics/journeys"):
        answer = client.get(f"/api/v1/{path}", headers=key)
        assert (answer.json or {})["complete_from"] == since, path
    later = {"dateFrom": f"{first:%Y-%m-%dT%H:00:00Z}", "aggregation": "hour"}
    assert "complete_from" not in (client.get("/api/v1/visits", query_string=later, headers=key).json or {})
