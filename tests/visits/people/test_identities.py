"""Whose visitors are whose: by what was named, by what sites call them, and each organisation by itself."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.support import add_rows, add_site, count_all, make_row, utc
from webapp.config import Settings
from webapp.extensions import tenant
from webapp.visits.backlog import Kind, Row
from webapp.visits.counting.enrichment import visitor_number
from webapp.visits.models import Site
from webapp.visits.people.identities import Linked, identities_of, visitors_of

AT = utc("2026-11-20T10:00:00")
ALICE, BOB = "alice@example.com", "bob@example.com"


@pytest.fixture
def site(app: APIFlask, organisation_id: UUID) -> Site:
    return add_site(app, organisation_id)


def named(site: Site, visitor: str, identity: str, minutes: int = 0) -> Row:
    return make_row(site, AT + timedelta(minutes=minutes), visitor=visitor, kind=int(Kind.IDENTIFY), name=identity)


def visitors(app: APIFlask, organisation_id: UUID, *identities: str) -> list[Linked]:
    with app.app_context(), tenant(organisation_id):
        return visitors_of(organisation_id, identities)


def test_browsers_belong_to_who_was_named_first(app: APIFlask, services: Settings, site: Site) -> None:
    add_rows(services, [named(site, "b2", ALICE, 5), named(site, "b1", "Alice@Example.com"), named(site, "b3", BOB)])
    count_all(app, services)
    [first, second] = visitors(app, site.organisation_id, ALICE)
    assert first == Linked(site.id, visitor_number(site.id.bytes, "b1"), ALICE, AT, None)
    assert second.visitor == visitor_number(site.id.bytes, "b2")
    assert len(visitors(app, site.organisation_id, ALICE, BOB)) == 3
    assert visitors(app, site.organisation_id) == []


def test_after_another_was_named_it_is_nobodys(app: APIFlask, services: Settings, site: Site) -> None:
    add_rows(services, [named(site, "b1", ALICE), named(site, "b1", BOB, 9), named(site, "b1", BOB, 7)])
    count_all(app, services)
    [link] = visitors(app, site.organisation_id, ALICE)
    assert link.until == AT + timedelta(minutes=7)
    assert visitors(app, site.organisation_id, BOB) == []


def test_whom_a_site_calls_by_their_address_is_known_by_it(app: APIFlask, services: Settings, site: Site) -> None:
    other = add_site(app, site.organisation_id, "https://other.example")
    add_rows(services, [make_row(site, AT, visitor="Alice@example.com "), named(other, BOB, ALICE)])
    add_rows(services, [make_row(other, AT, visitor=BOB)])
    count_all(app, services)
    found = {(link.site_id, link.visitor) for link in visitors(app, site.organisation_id, ALICE)}
    own = (site.id, visitor_number(site.id.bytes, ALICE))
    assert own in found
    assert (other.id, visitor_number(other.id.bytes, BOB)) in found  # that was named, whatever it is called
    assert all(link.site_id == site.id for link in visitors(app, site.organisation_id, BOB))
    with app.app_context(), tenant(site.organisation_id):
        assert [link.identity for link in identities_of(site.organisation_id, found)] == [ALICE]


def test_charlies_organisation_has_its_own(app: APIFlask, services: Settings, site: Site, charlie: Person) -> None:
    add_rows(services, [named(site, "b1", ALICE), make_row(site, AT, visitor=ALICE)])
    count_all(app, services)
    assert len(visitors(app, site.organisation_id, ALICE)) == 2
    assert visitors(app, charlie.organisation_id, ALICE) == []
