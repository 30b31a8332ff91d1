"""The list of contacts by what people did: the form, the chips, what the page says besides, and the API's twin."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import pytest
from apiflask import APIFlask
from sqlalchemy import update

from tests.bulk_actions.test_api import Call, calling_as, problem
from tests.conftest import Person, owner_connection
from tests.records.behaviour import add_deeds, add_identities
from tests.records.people import add_contact, emails
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.records import behaviour_sets
from webapp.visits.backlog import Kind
from webapp.visits.models import Site

PRICING = "14d:page:begins:/pricing"


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    """Ada and Bob Jones are known on it; Ada saw the prices, and nobody knows Zoe."""
    made = add_site(app, alice.organisation_id)
    for name in ("ada", "jones", "zoe"):
        add_contact(app, alice, f"{name}@example.com")
    with app.app_context():
        add_identities(alice.organisation_id, {(made.id, 1): "ada@example.com", (made.id, 2): "jones@example.com"})
        seen = [
            (1, utc_now(), f"{ORIGIN}/pricing"),
            (2, utc_now(), f"{ORIGIN}/about"),
            (3, utc_now(), f"{ORIGIN}/pricing"),
        ]
        add_deeds(alice.organisation_id, made.id, seen)
    return made


def show(person: Person, *did: str, status: int = 200, **arguments: str) -> str:
    answer = person.client.get("/contacts", query_string={"did": list(did), **arguments})
    assert answer.status_code == status
    return unescape(answer.text)


def test_the_list_shows_who_did_it_and_says_so(alice: Person, site: Site) -> None:
    html = show(alice, PRICING)
    assert emails(html) == ["ada@example.com"]
    assert "Visited a page that begins with “/pricing” in the last 14 days" in html
    assert "What they did is as of" in html
    assert f"/visits?site={site.id}&range=custom" in html
    html = show(alice, f"not:{PRICING}")
    assert set(emails(html)) == {"jones@example.com", "zoe@example.com"}
    assert "Has not visited a page that begins with “/pricing” in the last 14 days (identified or not)" in html
    assert alice.client.get("/contacts/count", query_string={"did": PRICING}).text == "1 contact found"
    assert "No contact is known to have done this" in show(alice, "14d:page:is:/none")


def test_the_form_adds_what_it_says_to_the_address(alice: Person, site: Site) -> None:
    form = {
        "did_what": "page",
        "did_operator": "begins",
        "did_value": " pricing ",
        "did_days": "14d",
        "did_least": "1",
    }
    answer = alice.client.get("/contacts", query_string={**form, "tag": "vip", "cursor": "x"})
    assert (answer.status_code, unescape(answer.location)) == (303, f"/contacts?tag=vip&did={PRICING}")
    dates = {"did_days": "dates", "did_from": "2026-01-01", "did_to": "2026-01-31", "did_side": "not", "did_least": "3"}
    more = {"did_what": "property", "did_value": "Buy", "did_name": "plan", "did_text": "pro", "did_site": str(site.id)}
    answer = alice.client.get("/contacts", query_string={**dates, **more, "did": PRICING})
    assert unquote(answer.location).endswith(
        f"did={PRICING}&did=not:2026-01-01..2026-01-31:3x:site={site.id}:property:is:Buy\x1fplan\x1fpro"
    )
    assert alice.client.get("/contacts", query_string={"did_what": "anything", "did_days": "ever"}).location == (
        "/contacts?did=ever:anything"
    )


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"did_what": "page", "did_value": ""}, "Say which page"),
        ({"did_what": "page", "did_value": "/a", "did_days": "dates"}, "Give both days"),
        ({"did_what": "page", "did_value": "/a", "did_least": "0"}, "Choose 1 to 10,000 times"),
        ({"did_what": "page", "did_value": "/a", "did_least": "many"}, "does not say what somebody did"),
        ({"did_what": "property", "did_value": "Buy"}, "Say the event, its property"),
        ({"did_what": "dance", "did_value": "Buy"}, "does not say what somebody did"),
    ],
)
def test_a_form_that_says_nothing_is_explained(alice: Person, site: Site, form: dict[str, str], said: str) -> None:
    html = unescape(alice.client.get("/contacts", query_string=form, follow_redirects=True).text)
    assert said in html


def test_an_address_that_says_nothing_shows_nobody(alice: Person, site: Site) -> None:
    html = show(alice, "14d:paeg:is:/a", status=422)
    assert "does not say what somebody did, as 14d:page:begins:/pricing does" in html
    assert emails(html) == []


def test_it_is_looked_up_again_when_somebody_asks(app: APIFlask, alice: Person, site: Site) -> None:
    assert emails(show(alice, PRICING)) == ["ada@example.com"]
    with app.app_context():
        add_deeds(alice.organisation_id, site.id, [(2, utc_now(), f"{ORIGIN}/pricing")])
    html = show(alice, PRICING)
    assert emails(html) == ["ada@example.com"]
    found = re.search(r'href="([^"]*refresh=1[^"]*)"', html)
    assert found
    answer = alice.client.get(found[1])
    assert (answer.status_code, answer.location) == (303, f"/contacts?did={PRICING}")
    assert set(emails(show(alice, PRICING))) == {"ada@example.com", "jones@example.com"}


def test_a_saved_filter_keeps_its_days_relative(alice: Person, site: Site) -> None:
    data = {"query": f"did={PRICING}&did=not:ever:event:is:buy", "name": "Warm"}
    alice.client.post("/contacts/filters", data=data)
    html = unescape(alice.client.get("/contacts").text)
    assert f'href="/contacts?did={PRICING}&did=not:ever:event:is:buy"' in html


def test_it_says_from_when_on_single_visits_are_kept(app: APIFlask, alice: Person, site: Site) -> None:
    with app.app_context(), tenant(alice.organisation_id):
        db.session.execute(update(Site).where(Site.id == site.id).values(raw_complete_from=utc_now()))
        db.session.commit()
    assert "Shop keeps its single visits since" in show(alice, PRICING)
    assert "keeps its single visits since" not in show(alice)


def test_where_nobody_said_who_they_are_it_says_how(app: APIFlask, charlie: Person) -> None:
    add_contact(app, charlie, "zoe@example.com")
    html = show(charlie, f"not:{PRICING}")
    assert emails(html) == ["zoe@example.com"]
    assert "Nobody has said who they are yet" in html
    assert "footfall.identify" in html


def test_another_organisations_site_is_nobodys(app: APIFlask, charlie: Person, site: Site) -> None:
    add_contact(app, charlie, "ada@example.com")
    html = show(charlie, f"ever:site={site.id}:page:is:/pricing")
    assert emails(html) == []
    assert "on a site that is gone" in html


def test_suggestions_are_what_was_done_of_late(
    app: APIFlask, alice: Person, charlie: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    with owner_connection(services) as connection:
        connection.execute(
            "INSERT INTO dimension_roll_ups SELECT %s, %s, 'event', 'month', now(), value, 0, 0, 0, 0, n, NULL"
            " FROM (VALUES ('Buy', 1), ('Sign-up', 5)) AS v (value, n)",
            [alice.organisation_id, site.id],
        )
        connection.execute(
            "WITH page AS (INSERT INTO pages (organisation_id, id, url) VALUES (%s, uuidv7(), %s) RETURNING *)"
            " INSERT INTO page_roll_ups (organisation_id, site_id, grain, bucket_at, page_id, pageview_count,"
            " entry_count, exit_count, bounce_count, engaged_ms, scroll_sum, scroll_count)"
            " SELECT organisation_id, %s, 'month', now(), id, 7, 0, 0, 0, 0, 0, 0 FROM page",
            [alice.organisation_id, f"{ORIGIN}/pricing", site.id],
        )
    asked = "/visits/behaviour-values?what="
    assert alice.client.get(f"{asked}event").json == ["Sign-up", "Buy"]
    assert alice.client.get(f"{asked}property").json == ["Sign-up", "Buy"]
    assert alice.client.get(f"{asked}page").json == ["/pricing"]
    assert alice.client.get(f"{asked}product").json == alice.client.get(f"{asked}anything").json == []
    assert alice.client.get(f"{asked}dance").status_code == 404
    assert charlie.client.get(f"{asked}page").json == []


def test_products_know_nothing_of_it(alice: Person, site: Site) -> None:
    answer = alice.client.get("/products", query_string={"did": PRICING})
    assert answer.status_code == 422
    assert "What was done on websites tells contacts apart, not products." in unescape(answer.text)
    assert "What they did on your websites" not in answer.text


@pytest.fixture
def call(app: APIFlask, organisation_id: UUID) -> Call:
    return calling_as(app, organisation_id)


def test_the_api_filters_the_same_and_pages_ask_nothing_again(
    call: Call, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/api/v1/contacts"
    answer = call(path, query_string={"did": PRICING}).json or {}
    assert [one["email"] for one in answer["data"]] == ["ada@example.com"]
    assert (answer["total"], answer["total_is_exact"]) == (1, True)
    first = call(path, query_string={"did": f"not:{PRICING}", "limit": 1}).json or {}
    monkeypatch.setattr(behaviour_sets, "stage_doers", None)
    second = call(path, query_string={"did": f"not:{PRICING}", "limit": 1, "cursor": first["next_cursor"]}).json or {}
    assert {one["email"] for page in (first, second) for one in page["data"]} == {
        "jones@example.com",
        "zoe@example.com",
    }
    assert second["next_cursor"] is None


def test_the_api_keeps_such_filters_and_refuses_nonsense(call: Call, site: Site) -> None:
    body = {"name": "Warm", "filter": {"did": [PRICING, "not:ever:anything"]}}
    assert (call("/api/v1/contacts/filters", "POST", json=body).json or {})["filter"] == body["filter"]
    nonsense = {"name": "Odd", "filter": {"did": ["14d:paeg:is:/a"]}}
    assert problem(call("/api/v1/contacts/filters", "POST", json=nonsense))[0] == 422
    assert problem(call("/api/v1/contacts", query_string={"did": "soon:page:is:/a"}))[0] == 422
    assert problem(call("/api/v1/products/filters", "POST", json=body))[0] == 422
    assert problem(call("/api/v1/products", query_string={"did": PRICING}))[0] == 422


def test_a_sites_page_leads_to_the_people_behind_it(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    for name in ("ada", "zoe"):
        add_contact(app, alice, f"{name}@example.com")
    said: dict[str, Any] = {"kind": int(Kind.IDENTIFY), "visitor": "phone", "name": "Ada@example.com"}
    bought: dict[str, Any] = {"kind": int(Kind.EVENT), "visitor": "laptop", "name": "Buy"}
    pages = [make_row(site, visitor=visitor, page_url=f"{ORIGIN}/pricing") for visitor in ("phone", "stranger")]
    add_rows(
        services,
        [*pages, make_row(site, **bought), make_row(site, **said), make_row(site, **{**said, "visitor": "laptop"})],
    )
    count_all(app, services)
    page = f"/visits?site={site.id}&range=7d"
    html = unescape(alice.client.get(f"{page}&where=page:begins:/pricing").text)
    link = re.search(r'href="([^"]*)">See these people', html)
    assert link
    assert unquote(link[1]) == f"/contacts?did=7d:site={site.id}:page:begins:/pricing"
    assert emails(alice.client.get(link[1]).text) == ["ada@example.com"]
    assert "See these people" not in alice.client.get(f"{page}&where=country:is:DE").text
    lines = {"page": "page:is:/pricing", "event": "event:is:Buy"}
    for field, did in lines.items():
        html = unescape(alice.client.get(f"/visits/lists/{field}?site={site.id}&range=7d").text)
        link = re.search(r'href="([^"]*)"[^>]*>See who', html)
        assert link
        assert unquote(link[1]) == f"/contacts?did=7d:site={site.id}:{did}"
        assert emails(alice.client.get(link[1]).text) == ["ada@example.com"]
    assert "See who" not in alice.client.get(f"/visits/lists/country?site={site.id}").text
