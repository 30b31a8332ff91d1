"""A contact's visits, links and totals, and refused merges, as programs read them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.contacts.test_api import Program, body_of, program_of
from tests.records.people import add_contact
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, utc
from webapp.config import Settings
from webapp.visits.backlog import Kind
from webapp.visits.counting.enrichment import visitor_number
from webapp.visits.models import Site

AT = utc("2026-11-20T10:00:00")
ADA, BOB = "ada@example.com", "bob@example.com"
STATS = "/api/v1/analytics/visitor-stats"
REFUSED = "/api/v1/refused-merges"


@pytest.fixture
def program(app: APIFlask, alice: Person) -> Program:
    return program_of(app, alice.organisation_id)


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    """Ada's one browser, on which bob is named later, and a stranger's."""
    site = add_site(app, alice.organisation_id)
    rows: list[dict[str, Any]] = [
        {"page_url": f"{ORIGIN}/pricing", "country": "GB", "device": "mobile", "browser": "Firefox"},
        {"kind": Kind.ENGAGEMENT, "page_url": f"{ORIGIN}/pricing", "engaged_ms": 30_000},
        {"kind": Kind.EVENT, "name": "sign-up", "props": '{"plan":"pro"}', "page_url": f"{ORIGIN}/pricing"},
        {"kind": Kind.IDENTIFY, "name": ADA},
        {"kind": Kind.IDENTIFY, "name": BOB},
        {"page_url": f"{ORIGIN}/bobs"},
    ]
    made = [make_row(site, AT + timedelta(minutes=minute), visitor="b1", **row) for minute, row in enumerate(rows)]
    earlier = [make_row(site, AT - timedelta(days=day), visitor="b1", page_url=f"{ORIGIN}/{day}") for day in (1, 2)]
    add_rows(services, [*made, *earlier, make_row(site, AT, visitor="b2")])
    count_all(app, services)
    return site


@pytest.fixture
def contact_id(app: APIFlask, alice: Person) -> UUID:
    return add_contact(app, alice, ADA)


def test_visits_come_in_pages_with_what_was_done(program: Program, site: Site, contact_id: UUID) -> None:
    url = f"/api/v1/contacts/{contact_id}/visits"
    first = body_of(program.call("GET", url, query_string={"limit": 2}))
    assert [visit["started_at"] for visit in first["data"]] == ["2026-11-20T10:00:00Z", "2026-11-19T10:00:00Z"]
    visit = first["data"][0]
    assert visit["visitor"] == str(visitor_number(site.id.bytes, "b1"))
    assert (visit["site_id"], visit["country"], visit["device"]) == (str(site.id), "GB", "mobile")
    page, event = visit["activity"]
    assert page == {
        "at": "2026-11-20T10:00:00Z",
        "kind": "pageview",
        "page": f"{ORIGIN}/pricing",
        "name": "",
        "properties": {},
        "engaged_seconds": 30.0,
    }
    assert (event["kind"], event["name"], event["properties"]) == ("event", "sign-up", {"plan": "pro"})
    last = body_of(program.call("GET", url, query_string={"limit": 2, "cursor": first["next_cursor"]}))
    assert [visit["entry_page"] for visit in last["data"]] == [f"{ORIGIN}/2"]
    assert (last["next_cursor"], last["is_partial"]) == (None, False)
    assert program.call("GET", url, query_string={"cursor": "x"}).status_code == 422


def test_links_and_refused_ones(program: Program, site: Site, contact_id: UUID) -> None:
    [link] = body_of(program.call("GET", f"/api/v1/contacts/{contact_id}/identities"))["data"]
    number = str(visitor_number(site.id.bytes, "b1"))
    refused_at = "2026-11-20T10:04:00Z"
    own = {"site_id": str(site.id), "visitor": number}
    assert link == {**own, "identity": ADA, "first_at": "2026-11-20T10:03:00Z", "until": refused_at}
    expected = [{**own, "identity": BOB, "owner": ADA, "at": refused_at}]
    for query in ({}, {"siteId": str(site.id)}, {"identity": ADA}, {"identity": "Bob@example.com"}):
        answer = program.call("GET", REFUSED, query_string=query)
        assert body_of(answer) == {"data": expected, "next_cursor": None}
    assert body_of(program.call("GET", REFUSED, query_string={"identity": "x"}))["data"] == []
    for query in ({"siteId": "x"}, {"cursor": "x"}, {"siteId": str(site.id), "identity": ADA}):
        assert program.call("GET", REFUSED, query_string=query).status_code == 422


def test_totals_of_a_person(program: Program, site: Site, contact_id: UUID) -> None:
    stats = body_of(program.call("GET", STATS, query_string={"contactId": str(contact_id)}))["data"]
    assert stats["first_seen_at"] == "2026-11-18T10:00:00Z"
    assert (stats["visit_count"], stats["event_count"], stats["visitor_count"]) == (3, 1, 1)
    assert (stats["engaged_seconds"], stats["devices"][0]) == (30.0, {"value": "", "visit_count": 2})
    assert {"value": "Firefox", "visit_count": 1} in stats["browsers"]
    assert f"{ORIGIN}/bobs" not in [page["page"] for page in stats["top_pages"]]
    assert body_of(program.call("GET", STATS, query_string={"identity": "ADA@example.com"}))["data"] == stats


def test_totals_of_a_visitor(program: Program, site: Site) -> None:
    ways: list[dict[str, Any]] = [{"identifier": "b2"}, {"visitor": visitor_number(site.id.bytes, "b2")}]
    for way in ways:
        stats = body_of(program.call("GET", STATS, query_string={"siteId": str(site.id), **way}))["data"]
        assert (stats["pageview_count"], stats["top_pages"]) == (1, [{"page": f"{ORIGIN}/", "pageview_count": 1}])
    nobody = body_of(program.call("GET", STATS, query_string={"identity": "nobody@example.com"}))["data"]
    assert (nobody["first_seen_at"], nobody["visit_count"], nobody["devices"]) == (None, 0, [])


@pytest.mark.parametrize(
    "query", [{}, {"identifier": "b1"}, {"identity": ADA, "visitor": "1"}, {"siteId": "x", "visitor": "1"}]
)
def test_who_is_meant_must_be_said(program: Program, site: Site, query: dict[str, str]) -> None:
    answer = program.call("GET", STATS, query_string=query)
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"


def test_charlies_program_finds_nobody(app: APIFlask, charlie: Person, site: Site, contact_id: UUID) -> None:
    other = program_of(app, charlie.organisation_id)
    for path in ("visits", "identities"):
        assert other.call("GET", f"/api/v1/contacts/{contact_id}/{path}").status_code == 404
    assert other.call("GET", STATS, query_string={"contactId": str(contact_id)}).status_code == 404
    assert other.call("GET", STATS, query_string={"siteId": str(site.id), "identifier": "b1"}).status_code == 422
    stats = body_of(other.call("GET", STATS, query_string={"identity": ADA}))["data"]
    assert stats["visit_count"] == 0
    assert body_of(other.call("GET", REFUSED))["data"] == []
