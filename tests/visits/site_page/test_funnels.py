"""Funnels under a name: saving, opening, renaming, deleting and taking that back, on the page and for programs."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person
from tests.visits.site_page.support import site_with, visit, yesterday
from tests.visits.site_page.test_flows import key_of
from tests.visits.support import rows_of
from webapp.config import Settings
from webapp.visits.models import Site

STEPS = ["page:is:/pricing", "page:is:/checkout"]
SAVED = "SELECT name, steps FROM visit_funnels ORDER BY name"


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return site_with(
        app,
        alice,
        visit(1, ["/pricing", "/checkout"], yesterday(9), country="DE"),
        visit(2, ["/pricing"], yesterday(10), country="FR"),
    )


def save(person: Person, site: Site, name: str, steps: list[str] = STEPS) -> Any:
    return person.client.post(f"/visits/sites/{site.id}/funnels", data={"name": name, "step": steps})


def page_of(person: Person, site: Site) -> str:
    return html.unescape(person.client.get(f"/visits/funnel?site={site.id}").text)


def address(page: str, ending: str) -> str:
    found = re.search(rf'action="(/visits/funnels/[^"]+/{ending})"', page)
    assert found is not None
    return found[1]


def test_a_funnel_is_kept_under_a_name_and_opened_by_everybody(
    alice: Person, bob: Person, site: Site, services: Settings
) -> None:
    saved = save(alice, site, " Order ")
    assert saved.status_code == 303
    assert rows_of(services, SAVED) == [("Order", STEPS)]
    page = page_of(bob, site)
    link = re.search(r'href="([^"]+)">Order</a>', page)
    assert link is not None
    opened = bob.client.get(f"{link[1]}&range=yesterday").text
    assert "50.0%" in opened
    assert "Keep these steps under a name" not in opened, "it is kept"


@pytest.mark.parametrize(
    ("name", "steps", "words"),
    [
        ("", STEPS, "Give it a name"),
        ("x" * 101, STEPS, "Give it a name"),
        ("Order", STEPS[:1], "2 to 8 steps"),
        ("Order", ["country:is:DE", *STEPS], "A step is a page"),
        ("Taken", STEPS, "There is one called"),
    ],
)
def test_what_cannot_be_saved_is_explained(
    alice: Person, site: Site, services: Settings, name: str, steps: list[str], words: str
) -> None:
    save(alice, site, "Taken")
    refused = save(alice, site, name, steps)
    assert (refused.status_code, words in refused.text) == (422, True)
    assert [row[0] for row in rows_of(services, SAVED)] == ["Taken"]


def test_a_funnel_is_renamed(alice: Person, site: Site, services: Settings) -> None:
    save(alice, site, "Order")
    save(alice, site, "Other")
    rename = address(page_of(alice, site), "rename")
    assert alice.client.post(rename, data={"name": "Sale"}).status_code == 303
    assert [row[0] for row in rows_of(services, SAVED)] == ["Other", "Sale"]
    assert alice.client.post(rename, data={"name": "Sale"}).status_code == 303, "its own name is not taken"
    assert alice.client.post(rename, data={"name": "Other"}).status_code == 422
    assert [row[0] for row in rows_of(services, SAVED)] == ["Other", "Sale"]


def test_a_deletion_is_taken_back_once_and_for_all(alice: Person, site: Site, services: Settings) -> None:
    save(alice, site, "Order")
    before = rows_of(services, "SELECT id, name, steps FROM visit_funnels")
    alice.client.post(address(page_of(alice, site), "delete"))
    assert rows_of(services, SAVED) == []
    page = page_of(alice, site)
    assert "“Order” is deleted." in page
    undo = re.search(r'name="undo" value="([^"]+)"', page)
    assert undo is not None
    for _ in range(2):
        assert alice.client.post("/visits/kept/restore", data={"undo": undo[1]}).status_code == 303
    assert rows_of(services, "SELECT id, name, steps FROM visit_funnels") == before
    assert alice.client.post("/visits/kept/restore", data={"undo": f"{undo[1]}x"}).status_code == 422


def test_charlie_can_neither_see_nor_change_nor_bring_back_alices_funnels(
    alice: Person, charlie: Person, site: Site, services: Settings
) -> None:
    save(alice, site, "Order")
    page = page_of(alice, site)
    assert save(charlie, site, "Mine").status_code == 404
    assert charlie.client.post(address(page, "rename"), data={"name": "Mine"}).status_code == 404
    assert charlie.client.post(address(page, "delete")).status_code == 404
    alice.client.post(address(page, "delete"))
    undo = re.search(r'name="undo" value="([^"]+)"', page_of(alice, site))
    assert undo is not None
    assert charlie.client.post("/visits/kept/restore", data={"undo": undo[1]}).status_code == 422
    assert rows_of(services, SAVED) == []


def test_programs_save_read_change_count_and_delete_them(
    app: APIFlask, client: FlaskClient, alice: Person, charlie: Person, site: Site
) -> None:
    key, funnels = key_of(app, alice), f"/api/v1/sites/{site.id}/funnels"
    made = client.post(funnels, json={"name": "Order", "steps": STEPS}, headers=key)
    assert made.status_code == 201
    path = made.headers["Location"]
    assert client.get(path, headers=key).json == made.json
    assert [one["name"] for one in (client.get(funnels, headers=key).json or {})["data"]] == ["Order"]
    changed = client.patch(path, json={"name": "Sale", "steps": STEPS[::-1]}, headers=key)
    assert (changed.json or {})["steps"] == STEPS[::-1]
    client.patch(path, json={"steps": STEPS}, headers=key)
    day = f"{yesterday():%Y-%m-%d}"
    counts = client.get(f"{path}/counts", query_string={"dateFrom": day, "dateTo": day}, headers=key)
    assert (counts.json or {})["data"] == [
        {"step": STEPS[0], "visitor_count": 2}, {"step": STEPS[1], "visitor_count": 1}
    ]  # fmt: skip
    bad: list[dict[str, Any]] = [{"name": ""}, {"steps": STEPS[:1]}, {"steps": ["country:is:DE", *STEPS]}]
    for wrong in bad:
        assert client.patch(path, json=wrong, headers=key).status_code == 422
    for missing in ({}, {"name": "Half"}, {"steps": STEPS}):
        assert client.post(funnels, json=missing, headers=key).status_code == 422
    other = key_of(app, charlie)
    for method in ("GET", "DELETE"):
        assert client.open(path, method=method, headers=other).status_code == 404
    assert client.get(f"{path}/counts", headers=other).status_code == 404
    assert client.delete(path, headers=key).status_code == 204
    assert client.get(path, headers=key).status_code == 404
