"""The API of what is kept beside a site's visits: goals with conversion, segments, notes, shared links."""

from __future__ import annotations

from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person
from tests.visits.site_page.support import site_with, visit
from tests.visits.support import add_site, utc
from tests.visits.test_api import make_key
from webapp.visits.models import Site

DAY = {"dateFrom": "2026-11-20", "dateTo": "2026-11-20"}
NEW: dict[str, dict[str, Any]] = {
    "goals": {"name": "Asked", "kind": "page", "value": "/pricing"},
    "segments": {"name": "Germans", "filters": ["country:is:DE"]},
    "notes": {"day": "2026-11-20", "text": "The letter went out"},
    "shared-links": {"name": "The agency", "filters": ["country:is:DE"], "shows_goals": True},
}
BAD: list[tuple[str, dict[str, Any]]] = [
    ("goals", {"value": ""}),
    ("goals", {"value": "/a", "kind": "weather"}),
    ("goals", {}),
    ("segments", {"name": "", "filters": ["country:is:DE"]}),
    ("segments", {"name": "None", "filters": []}),
    ("segments", {"name": "Bad", "filters": ["weather:is:sunny"]}),
    ("notes", {"day": "yesterday", "text": "x"}),
    ("notes", {"day": "2026-11-20", "text": ""}),
    ("shared-links", {"name": ""}),
    ("shared-links", {"name": "x", "filters": ["weather:is:sunny"]}),
]


@pytest.fixture
def key(app: APIFlask, alice: Person) -> dict[str, str]:
    return make_key(app, alice.organisation_id)


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return site_with(
        app,
        alice,
        visit(1, ["/", "/pricing"], utc("2026-11-20T09:00:00"), "sign-up", country="DE"),
        visit(2, ["/pricing"], utc("2026-11-20T10:00:00"), country="FR"),
        visit(3, ["/"], utc("2026-11-20T18:30:00"), country="DE"),
    )


def make(client: FlaskClient, key: dict[str, str], site: Site, what: str, **changes: Any) -> dict[str, Any]:
    made = client.post(f"/api/v1/sites/{site.id}/{what}", json={**NEW[what], **changes}, headers=key)
    assert made.status_code == 201, made.text
    assert made.json is not None
    return dict(made.json)


def data_of(client: FlaskClient, key: dict[str, str], site: Site, path: str, **query: Any) -> Any:
    answer = client.get(f"/api/v1/sites/{site.id}/{path}", query_string=query, headers=key)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return answer.json["data"]


@pytest.mark.parametrize("kind", NEW)
def test_programs_make_list_and_delete_them(client: FlaskClient, key: dict[str, str], site: Site, kind: str) -> None:
    made = make(client, key, site, kind)
    assert data_of(client, key, site, kind) == [made]
    path = f"/api/v1/sites/{site.id}/{kind}/{made['id']}"
    assert client.delete(path, headers=key).status_code == 204
    assert data_of(client, key, site, kind) == []
    assert client.delete(path, headers=key).status_code == 404


@pytest.mark.parametrize(("kind", "wrong"), BAD)
def test_what_cannot_be_kept_is_explained(
    client: FlaskClient, key: dict[str, str], site: Site, kind: str, wrong: dict[str, Any]
) -> None:
    answer = client.post(f"/api/v1/sites/{site.id}/{kind}", json=wrong, headers=key)
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert data_of(client, key, site, kind) == []


@pytest.mark.parametrize("kind", NEW)
def test_charlies_key_finds_nothing_of_alices(
    app: APIFlask, client: FlaskClient, charlie: Person, key: dict[str, str], site: Site, kind: str
) -> None:
    made, theirs = make(client, key, site, kind), make_key(app, charlie.organisation_id)
    path = f"/api/v1/sites/{site.id}/{kind}"
    assert client.get(path, headers=theirs).status_code == 404
    assert client.post(path, json=NEW[kind], headers=theirs).status_code == 404
    assert client.delete(f"{path}/{made['id']}", headers=theirs).status_code == 404
    own = add_site(app, charlie.organisation_id)
    assert client.delete(f"/api/v1/sites/{own.id}/{kind}/{made['id']}", headers=theirs).status_code == 404
    assert data_of(client, theirs, own, kind) == []
    assert data_of(client, key, site, kind) == [made]


@pytest.mark.parametrize("kind", NEW)
def test_what_belongs_to_another_site_is_not_deleted_beside_this_one(
    app: APIFlask, client: FlaskClient, alice: Person, key: dict[str, str], site: Site, kind: str
) -> None:
    made, other = make(client, key, site, kind), add_site(app, alice.organisation_id, "https://blog.example")
    assert client.delete(f"/api/v1/sites/{other.id}/{kind}/{made['id']}", headers=key).status_code == 404
    assert data_of(client, key, site, kind) == [made]


def test_a_goals_conversion_is_told_among_those_who_pass(client: FlaskClient, key: dict[str, str], site: Site) -> None:
    make(client, key, site, "goals")
    make(client, key, site, "goals", name="", kind="event", value="sign-up")
    found = data_of(client, key, site, "goals/conversions", where=["country:is:DE"], **DAY)
    assert (found["visitor_count"], found["is_estimate"]) == (2, False)
    told = [(one["name"], one["filter"], one["visitor_count"], one["conversion_rate"]) for one in found["goals"]]
    assert told == [("Asked", "page:is:/pricing", 1, 0.5), ("sign-up", "event:is:sign-up", 1, 0.5)]


def test_conversion_has_an_etag_that_a_new_goal_changes(client: FlaskClient, key: dict[str, str], site: Site) -> None:
    make(client, key, site, "goals")
    path = f"/api/v1/sites/{site.id}/goals/conversions"
    first = client.get(path, query_string=DAY, headers=key)
    known = {**key, "If-None-Match": first.headers["ETag"]}
    assert client.get(path, query_string=DAY, headers=known).status_code == 304
    make(client, key, site, "goals", name="", kind="event", value="sign-up")
    assert client.get(path, query_string=DAY, headers=known).status_code == 200


def test_another_address_of_the_site_changes_what_a_goals_path_means(
    client: FlaskClient, key: dict[str, str], site: Site
) -> None:
    make(client, key, site, "goals")
    path, address = f"/api/v1/sites/{site.id}/goals/conversions", f"/api/v1/sites/{site.id}"
    first = client.get(path, query_string=DAY, headers=key)
    changed = client.patch(address, json={"origins": ["https://blog.example"]}, headers=key)
    assert changed.status_code == 200
    again = client.get(path, query_string=DAY, headers={**key, "If-None-Match": first.headers["ETag"]})
    told = [(answer.json or {})["data"]["goals"][0]["visitor_count"] for answer in (first, again)]
    assert told[0] > told[1] == 0


def test_conversion_among_rows_is_refused(client: FlaskClient, key: dict[str, str], site: Site) -> None:
    path = f"/api/v1/sites/{site.id}/goals/conversions"
    refused = client.get(path, query_string={"where": "page:is:/pricing", **DAY}, headers=key)
    assert refused.status_code == 422
    assert "filter by place" in (refused.json or {})["detail"]


def test_conversion_is_not_told_to_charlie(app: APIFlask, client: FlaskClient, charlie: Person, site: Site) -> None:
    theirs = make_key(app, charlie.organisation_id)
    assert client.get(f"/api/v1/sites/{site.id}/goals/conversions", headers=theirs).status_code == 404


def test_a_segment_of_the_same_name_is_replaced(client: FlaskClient, key: dict[str, str], site: Site) -> None:
    first = make(client, key, site, "segments")
    again = make(client, key, site, "segments", filters=["country:is:FR"])
    assert data_of(client, key, site, "segments") == [again]
    assert (again["id"], again["filters"]) == (first["id"], ["country:is:FR"])


def test_a_link_shows_the_site_until_it_is_taken_back(client: FlaskClient, key: dict[str, str], site: Site) -> None:
    made = make(client, key, site, "shared-links")
    address = made["url"].partition("/shared/")[2]
    assert client.get(f"/shared/{address}").status_code == 200
    client.delete(f"/api/v1/sites/{site.id}/shared-links/{made['id']}", headers=key)
    assert client.get(f"/shared/{address}").status_code == 404
