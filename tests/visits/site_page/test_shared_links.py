"""Links by which strangers look at a site's visits: as far as they are limited, as long as they are not taken back."""

from __future__ import annotations

import re

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person
from tests.visits.site_page.support import json_of, store, visit, yesterday
from tests.visits.support import add_rows, add_site, count_all, make_row
from webapp.config import Settings
from webapp.visits.models import Site

DAY = {"range": "yesterday"}


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, yesterday())])
    count_all(app, services)
    store(
        app,
        site,
        visit(1, ["/", "/pricing"], yesterday(9), country="DE"),
        visit(2, ["/secret"], yesterday(9), country="FR"),
    )
    return site


def share(person: Person, site: Site, *where: str, goals: str = "") -> str:
    """The path of a new link, limited by a segment when filters are given."""
    segment = ""
    if where:
        person.client.post(f"/visits/sites/{site.id}/segments", data={"name": "Limit", "where": list(where)})
        page = person.client.get(f"/visits/sites/{site.id}/links").text
        segment = re.findall(r'<option value="([^"]+)">Limit', page)[0]
    links = f"/visits/sites/{site.id}/links"
    assert person.client.post(links, data={"name": "Agency", "segment": segment, "goals": goals}).status_code == 303
    assert 'data-copy="link-' in person.client.get(links).text
    found: str = re.findall(r'value="http://[^/]+(/shared/[^"]+)"', person.client.get(links).text)[0]
    return found


def test_a_stranger_with_a_link_sees_the_page_and_nothing_to_change(
    client: FlaskClient, alice: Person, site: Site
) -> None:
    path = share(alice, site)
    page = client.get(f"{path}?range=yesterday")
    assert page.status_code == 200
    assert 'title="https://shop.example/"' in page.text
    assert "noindex" in page.headers["X-Robots-Tag"]
    for inside in ("csrf_token", 'method="post"', "/visits/", 'href="/visits', "live/", alice.email):
        assert inside not in page.text.replace("/static/css/visits.css", ""), inside
    assert "Limited to" not in page.text
    assert client.get("/visits").status_code == 302


def test_a_link_shows_only_what_passes_its_filters_whatever_is_asked(
    client: FlaskClient, alice: Person, site: Site
) -> None:
    path = share(alice, site, "country:is:DE")
    for query in (
        "range=yesterday",
        "range=yesterday&where=page:contains:secret",
        "where=country:is:FR&range=yesterday",
    ):
        page = client.get(f"{path}?{query}").text
        assert 'title="https://shop.example/secret"' not in page
    rows = json_of(client, f"{path}/lists/page/json", **DAY)
    assert [row["page"] for row in rows] == ["https://shop.example/", "https://shop.example/pricing"]
    assert json_of(client, f"{path}/lists/page/json", where="country:is:FR", **DAY) == []
    numbers = json_of(client, f"{path}/numbers/json", **DAY)
    assert sum(row["visits"] for row in numbers) == 1
    assert "/secret" not in client.get(f"{path}/lists/page/csv?range=yesterday").text
    assert "/secret" not in client.get(f"{path}/lists/page?range=yesterday").text


@pytest.mark.parametrize("segment", ["0190f5a2-1c5f-7f0e-9d5b-6d2f8b6f3a11", "deleted", "x", " "])
def test_a_segment_that_is_gone_limits_no_link_instead_of_showing_everything(
    alice: Person, site: Site, segment: str
) -> None:
    if segment == "deleted":
        share(alice, site, "country:is:DE")
        links = alice.client.get(f"/visits/sites/{site.id}/links").text
        segment = re.findall(r'<option value="([^"]+)">Limit', links)[0]
        assert alice.client.post(f"/visits/segments/{segment}/delete").status_code == 303
    before = alice.client.get(f"/visits/sites/{site.id}/links").text.count("/shared/")
    page = alice.client.post(f"/visits/sites/{site.id}/links", data={"name": "Board", "segment": segment})
    assert page.status_code == 422
    assert "This segment is gone" in page.text
    assert 'value="Board"' in page.text
    assert alice.client.get(f"/visits/sites/{site.id}/links").text.count("/shared/") == before


def test_a_link_without_a_word_about_what_it_shows_is_not_made(alice: Person, site: Site) -> None:
    assert alice.client.post(f"/visits/sites/{site.id}/links", data={"name": "Board"}).status_code == 422


def test_a_link_that_is_taken_back_shows_nothing_any_more(client: FlaskClient, alice: Person, site: Site) -> None:
    path = share(alice, site)
    page = alice.client.get(f"/visits/sites/{site.id}/links").text
    assert alice.client.post(re.findall(r'action="(/visits/links/[^"]+)"', page)[0]).status_code == 303
    for address in (path, f"{path}/lists/page", f"{path}/lists/page/csv", f"{path}/numbers/json"):
        gone = client.get(address)
        assert gone.status_code == 404
        assert "This link was taken back" in gone.text


def test_a_link_says_what_it_is_limited_to(client: FlaskClient, alice: Person, site: Site) -> None:
    path = share(alice, site, "country:is:DE")
    for address in (path, f"{path}/lists/page", f"{path}/journeys"):
        assert "Limited to visits with: Country is Germany" in client.get(address).text


@pytest.mark.parametrize("secret", ["x", "0" * 32 + "-" + "a" * 32, "%00", "a" * 5000])
def test_a_secret_that_is_none_leads_nowhere(client: FlaskClient, alice: Person, site: Site, secret: str) -> None:
    share(alice, site)
    assert client.get(f"/shared/{secret}").status_code == 404


def test_another_organisations_secret_does_not_open_this_one(
    client: FlaskClient, alice: Person, charlie: Person, site: Site
) -> None:
    path = share(alice, site)
    forged = f"/shared/{charlie.organisation_id.hex}-{path.rpartition('/')[2].partition('-')[2]}"
    assert client.get(forged).status_code == 404


def test_charlie_cannot_make_or_see_links_to_alices_site(alice: Person, charlie: Person, site: Site) -> None:
    share(alice, site)
    assert charlie.client.get(f"/visits/sites/{site.id}/links").status_code == 404
    assert charlie.client.post(f"/visits/sites/{site.id}/links", data={"name": "mine"}).status_code == 404


def test_goals_are_shown_where_that_was_wanted_and_notes_never(client: FlaskClient, alice: Person, site: Site) -> None:
    alice.client.post(f"/visits/sites/{site.id}/goals", data={"kind": "page", "value": "/pricing", "name": "Our goal"})
    day = f"{yesterday():%Y-%m-%d}"
    alice.client.post(f"/visits/sites/{site.id}/notes", data={"day": day, "text": "Lost the big customer"})
    inside = alice.client.get(f"/visits?site={site.id}&range=yesterday").text
    assert ("Our goal" in inside, "Lost the big customer" in inside) == (True, True)
    plain = client.get(f"{share(alice, site)}?range=yesterday").text
    assert ("Our goal" in plain, "Lost the big customer" in plain) == (False, False)
    links = alice.client.get(f"/visits/sites/{site.id}/links").text
    alice.client.post(re.findall(r'action="(/visits/links/[^"]+)"', links)[0])
    wanted = client.get(f"{share(alice, site, goals='yes')}?range=yesterday").text
    assert ("Our goal" in wanted, "Lost the big customer" in wanted) == (True, False)
