"""Deleting a site over the API, and bringing it back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from tests.conftest import Person
from tests.visits.support import add_site, make_beacon
from webapp.accounts.service import create_api_key
from webapp.extensions import db, tenant
from webapp.visits.models import Site


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


def key_of(app: APIFlask, person: Person) -> dict[str, str]:
    with app.app_context(), tenant(person.organisation_id):
        _, secret = create_api_key(person.organisation_id, "Tests")
        db.session.commit()
        return {"Authorization": f"Bearer {secret}"}


def json_of(answer: TestResponse) -> dict[str, Any]:
    content = answer.json
    assert isinstance(content, dict)
    return content


def test_it_wants_the_name_and_tells_until_when_it_can_come_back(app: APIFlask, alice: Person, site: Site) -> None:
    key, url = key_of(app, alice), f"/api/v1/sites/{site.id}"
    for query in ("", "?confirm=Other"):
        refused = app.test_client().delete(url + query, headers=key)
        assert (refused.status_code, refused.content_type) == (409, "application/problem+json")
    deleted = app.test_client().delete(f"{url}?confirm=Shop", headers=key)
    assert deleted.status_code == 200
    moments = [datetime.fromisoformat(json_of(deleted)[name]) for name in ("deleted_at", "gone_at")]
    assert moments[1] - moments[0] == timedelta(days=30)
    assert app.test_client().delete(f"{url}?confirm=Shop", headers=key).status_code == 404


def test_deleted_ones_are_in_a_list_of_their_own_until_restored(app: APIFlask, alice: Person, site: Site) -> None:
    key, client = key_of(app, alice), app.test_client()
    client.delete(f"/api/v1/sites/{site.id}?confirm=Shop", headers=key)
    assert json_of(client.get("/api/v1/sites", headers=key))["data"] == []
    assert client.get(f"/api/v1/sites/{site.id}", headers=key).status_code == 404
    listed = json_of(client.get("/api/v1/sites/deleted", headers=key))["data"]
    assert [one["id"] for one in listed] == [str(site.id)]
    for _ in range(2):
        restored = client.post(f"/api/v1/sites/{site.id}/restore", headers=key)
        assert (restored.status_code, json_of(restored)["name"]) == (200, "Shop")
    assert json_of(client.get("/api/v1/sites/deleted", headers=key))["data"] == []


def test_another_organisations_is_not_there(app: APIFlask, alice: Person, charlie: Person, site: Site) -> None:
    key, client = key_of(app, charlie), app.test_client()
    assert client.delete(f"/api/v1/sites/{site.id}?confirm=Shop", headers=key).status_code == 404
    client.delete(f"/api/v1/sites/{site.id}?confirm=Shop", headers=key_of(app, alice))
    assert client.post(f"/api/v1/sites/{site.id}/restore", headers=key).status_code == 404
    assert json_of(client.get("/api/v1/sites/deleted", headers=key))["data"] == []


def test_its_visits_are_refused_with_a_reason(app: APIFlask, alice: Person, site: Site) -> None:
    key, client = key_of(app, alice), app.test_client()
    other = add_site(app, alice.organisation_id)
    client.delete(f"/api/v1/sites/{site.id}?confirm=Shop", headers=key)
    answer = client.post("/api/v1/visits", json=[make_beacon(site.site_key)], headers=key)
    assert (answer.status_code, json_of(answer)["refused"][0]["reason"]) == (422, "site-deleted")
    without_key = make_beacon("")
    del without_key["siteKey"]
    assert client.post("/api/v1/visits", json=without_key, headers=key).status_code == 202, "there is one site left"
    assert client.get(f"/api/v1/visits?siteId={site.id}", headers=key).status_code == 422
    assert client.get(f"/api/v1/visits?siteId={other.id}", headers=key).status_code == 200
