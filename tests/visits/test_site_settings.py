"""A site's settings, on their page and over the API; and what its owner reads of beacons that were not counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person, owner_connection
from tests.visits.support import ORIGIN, add_site, rows_of
from webapp.accounts.service import create_api_key
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.visits.models import Site

FORM = {
    "name": "Online shop",
    "origins": "https://shop.example\nhttps://www.shop.example:443, http://localhost:3000",
    "time_zone": "Asia/Kathmandu",
    "retention_days": "400",
    "query_keys": "q page",
    "excluded_pages": "/admin/*\n*/preview",
    "excluded_addresses": "203.0.113.7\n198.51.100.9/24",
    "excluded_countries": "austria, us",
    "respects_dnt": "yes",
    "is_cookieless": "yes",
    "counts_fragments": "yes",
    "rate_limit": "250",
}
KEPT: dict[str, Any] = {
    "name": "Online shop",
    "origins": ["https://shop.example", "https://www.shop.example", "http://localhost:3000"],
    "time_zone": "Asia/Kathmandu",
    "retention_days": 400,
    "query_keys": ["q", "page"],
    "excluded_pages": ["/admin/*", "*/preview"],
    "excluded_addresses": ["203.0.113.7", "198.51.100.0/24"],
    "excluded_countries": ["AT", "US"],
    "drops_bots": False,
    "respects_dnt": True,
    "is_cookieless": True,
    "counts_fragments": True,
    "rate_limit": 250,
}
WRONG = [
    ("name", " ", "A site needs a name"),
    ("origins", "", "Give 1 to 50 addresses"),
    ("origins", "ftp://shop.example", "http:// or https://"),
    ("time_zone", "Mars/Olympus", "Choose a time zone"),
    ("retention_days", "6", "7 to 3,650 days"),
    ("retention_days", "a week", "7 to 3,650 days"),
    ("query_keys", "a=b", "is no query key"),
    ("excluded_pages", "admin", "is no path"),
    ("excluded_addresses", "203.0.113.7/40", "is no IP address"),
    ("excluded_addresses", "office", "is no IP address"),
    ("excluded_countries", "Austriaa", "no country&#39;s code"),
    ("rate_limit", "0", "whole number from 1"),
    ("rate_limit", "", "whole number from 1"),
]


@pytest.fixture
def key(app: APIFlask, alice: Person) -> dict[str, str]:
    with app.app_context(), tenant(alice.organisation_id):
        _, secret = create_api_key(alice.organisation_id, "Tests")
        db.session.commit()
        return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


def url_of(site: Site) -> str:
    return f"/visits/sites/{site.id}/settings"


def kept(settings: Settings, site: Site) -> dict[str, Any]:
    names = list(KEPT)
    (row,) = rows_of(settings, f"SELECT {', '.join(names)} FROM sites WHERE id = %s", site.id)
    return dict(zip(names, row, strict=True))


def add_drops(settings: Settings, site: Site, reason: str, days_ago: int, count: int) -> None:
    day = utc_now().date() - timedelta(days=days_ago)
    with owner_connection(settings) as connection:
        connection.execute(
            "INSERT INTO drop_counts VALUES (%s, %s, %s, %s, %s)",
            [site.organisation_id, site.id, day, reason, count],
        )


def test_a_new_site_drops_bots_and_keeps_everything_else(services: Settings, site: Site) -> None:
    usual = kept(services, site)
    assert usual["drops_bots"]
    assert not any(usual[name] for name in ("respects_dnt", "is_cookieless", "counts_fragments", "excluded_pages"))
    assert usual["retention_days"] is None
    assert site.identify_secret.startswith("fis_")


def test_the_form_changes_every_setting(bob: Person, services: Settings, site: Site) -> None:
    answer = bob.client.post(url_of(site), data=FORM)
    assert answer.status_code == 303
    assert kept(services, site) == KEPT
    page = bob.client.get(url_of(site)).text
    assert "198.51.100.0/24" in page
    assert 'value="400"' in page


def test_the_form_shows_again_what_it_saved(alice: Person, services: Settings, site: Site) -> None:
    """Saving the page as it came changes nothing."""
    alice.client.post(url_of(site), data=FORM)
    assert "some stay up to a month longer" in alice.client.get(url_of(site)).text
    again = {**FORM, "origins": "\n".join(KEPT["origins"]), "excluded_countries": "AT\nUS"}
    assert alice.client.post(url_of(site), data=again).status_code == 303
    assert kept(services, site) == KEPT


@pytest.mark.parametrize(("name", "text", "message"), WRONG)
def test_what_cannot_be_is_said_beside_its_field_and_nothing_is_changed(
    alice: Person, services: Settings, site: Site, name: str, text: str, message: str
) -> None:
    before = kept(services, site)
    answer = alice.client.post(url_of(site), data={**FORM, name: text})
    assert answer.status_code == 422
    said = answer.text.partition(f'id="{name}-error"')[2].partition("</p>")[0]
    assert message in said
    assert "Online shop" in answer.text or name == "name"  # what was entered is still there
    assert kept(services, site) == before


def test_the_secret_is_shown_on_demand_and_can_be_replaced(alice: Person, site: Site) -> None:
    assert site.identify_secret not in alice.client.get(url_of(site)).text
    shown = alice.client.get(f"{url_of(site)}?show=secret")
    assert site.identify_secret in shown.text
    assert shown.headers["Cache-Control"] == "no-store"
    answer = alice.client.post(f"/visits/sites/{site.id}/secret")
    assert answer.status_code == 303
    page = alice.client.get(f"{url_of(site)}?show=secret").text
    assert "fis_" in page
    assert site.identify_secret not in page


def test_the_sites_page_leads_to_its_settings(alice: Person, site: Site) -> None:
    assert f'href="{url_of(site)}"' in alice.client.get(f"/visits/sites/{site.id}").text


def test_another_organisations_site_is_not_there(charlie: Person, site: Site) -> None:
    assert charlie.client.get(url_of(site)).status_code == 404
    assert charlie.client.post(url_of(site), data=FORM).status_code == 404
    assert charlie.client.post(f"/visits/sites/{site.id}/secret").status_code == 404


def test_the_owner_reads_what_was_not_counted_and_why(
    alice: Person, client: FlaskClient, key: dict[str, str], services: Settings, site: Site
) -> None:
    assert "Nothing was left out or refused in the last 30 days." in alice.client.get(url_of(site)).text
    for reason, days_ago, count in (("bot", 0, 3), ("bot", 6, 10), ("bad-id", 29, 1200), ("bot", 30, 99)):
        add_drops(services, site, reason, days_ago, count)
    page = alice.client.get(url_of(site)).text
    assert "A program asked for the page, not a person." in page
    table = page.partition('id="drops"')[2]
    assert table.index("1,200") < table.index(">13<")
    answer = client.get(f"/api/v1/sites/{site.id}/drops", headers=key)
    assert answer.json == {
        "data": [
            {
                "reason": "bad-id",
                "explanation": "The beacon's id was no UUIDv7.",
                "today_count": 0,
                "week_count": 0,
                "month_count": 1200,
            },
            {
                "reason": "bot",
                "explanation": "A program asked for the page, not a person.",
                "today_count": 3,
                "week_count": 13,
                "month_count": 13,
            },
        ]
    }


def test_programs_make_read_and_change_sites(
    client: FlaskClient, key: dict[str, str], services: Settings, site: Site
) -> None:
    made = client.post("/api/v1/sites", json={"name": "Blog", "origins": ["https://blog.example"]}, headers=key)
    assert made.status_code == 201
    url = made.headers["Location"]
    assert client.get(url, headers=key).json == made.json
    assert "identify_secret" not in (made.json or {})
    changed = client.patch(url, json=KEPT, headers=key)
    assert changed.status_code == 200
    assert {name: (changed.json or {})[name] for name in KEPT} == KEPT
    assert client.patch(url, json={"retention_days": None}, headers=key).json == {
        **(changed.json or {}),
        "retention_days": None,
    }
    listed = client.get("/api/v1/sites", headers=key).json or {}
    assert [one["name"] for one in listed["data"]] == ["Shop", "Online shop"]


def test_programs_are_told_every_setting_that_cannot_be(client: FlaskClient, key: dict[str, str], site: Site) -> None:
    url = f"/api/v1/sites/{site.id}"
    answer = client.patch(url, json={"retention_days": 1, "query_keys": ["a b"], "name": "Other"}, headers=key)
    assert answer.status_code == 422
    assert {one["field"] for one in (answer.json or {})["errors"]} == {"retention_days", "query_keys"}
    assert (client.get(url, headers=key).json or {})["name"] == "Shop"
    wrongs: list[dict[str, Any]] = [
        {"rate_limit": 0}, {"drops_bots": "maybe"}, {"origins": []}, {"origins": [ORIGIN + "/x"]},
    ]  # fmt: skip
    for wrong in wrongs:
        assert client.patch(url, json=wrong, headers=key).status_code == 422, wrong
    for body in ({"name": "x"}, {"name": "x", "origins": []}, {"name": "x", "origins": ["ftp://x"]}):
        assert client.post("/api/v1/sites", json=body, headers=key).status_code == 422, body


def test_programs_read_and_replace_a_secret(client: FlaskClient, key: dict[str, str], site: Site) -> None:
    url = f"/api/v1/sites/{site.id}/secret"
    assert client.get(url, headers=key).json == {"secret": site.identify_secret}
    new = (client.post(url, headers=key).json or {})["secret"]
    assert new != site.identify_secret
    assert client.get(url, headers=key).json == {"secret": new}


def test_programs_of_others_find_no_site(app: APIFlask, client: FlaskClient, charlie: Person, site: Site) -> None:
    with app.app_context(), tenant(charlie.organisation_id):
        _, secret = create_api_key(charlie.organisation_id, "Tests")
        db.session.commit()
    key = {"Authorization": f"Bearer {secret}"}
    for path in (f"/{site.id}", f"/{site.id}/drops", f"/{site.id}/secret", f"/{uuid4()}"):
        assert client.get(f"/api/v1/sites{path}", headers=key).status_code == 404
    assert client.patch(f"/api/v1/sites/{site.id}", json={"name": "x"}, headers=key).status_code == 404
    assert client.get("/api/v1/sites", headers=key).json == {"data": []}
