"""Contacts by what they did on the websites: exactly those whom a plain look at every row finds."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from apiflask import APIFlask
from sqlalchemy import update

from tests.conftest import Person, owner_connection
from tests.records.behaviour import (
    MADE_AT,
    World,
    add_deeds,
    add_identities,
    find,
    make_world,
    random_behaviour,
    settled,
)
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row
from webapp.config import Settings
from webapp.contacts.models import CONTACTS
from webapp.extensions import db, tenant
from webapp.records import behaviour_sets, search
from webapp.records.behaviour_sets import Moment, settle
from webapp.records.filters import read_filter
from webapp.records.queries import count_matching, count_records, list_records
from webapp.records.service import create_record
from webapp.records.tasks import forget_behaviour_sets
from webapp.visits.backlog import Kind
from webapp.visits.behaviour import doers
from webapp.visits.behaviour.conditions import read_behaviour
from webapp.visits.behaviour.spans import Deed
from webapp.visits.models import Site
from webapp.visits.people.models import RefusedMerge

UTC_ZONE, BERLIN, KATHMANDU = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu")
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def world(app_context: APIFlask, organisation_id: UUID) -> World:
    return make_world(app_context, organisation_id)


@pytest.mark.parametrize("small_set", [search.SMALL_SET, 0], ids=["few", "walked"])
def test_contacts_are_those_of_a_plain_look_at_every_row(
    world: World, small_set: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SMALL_SET", small_set)
    monkeypatch.setattr(behaviour_sets, "IDS_PER_ROW", 3)
    random = Random(7)
    with tenant(world.organisation_id):
        for _ in range(40):
            asked = [random_behaviour(random, world.sites) for _ in range(random.choice((1, 1, 2, 3)))]
            zone, is_frozen = random.choice([UTC_ZONE, BERLIN, KATHMANDU]), random.random() < 0.5
            expected = set.intersection(
                *(world.doers(one, zone, MADE_AT, is_frozen=is_frozen) for one in asked), world.emails
            )
            texts = [one.as_text() for one in asked]
            found = find(world.organisation_id, *texts, zone=zone, moment=MADE_AT, is_frozen=is_frozen)
            assert (set(found), len(found)) == (expected, len(expected)), texts
            wanted = settled(world.organisation_id, *texts, zone=zone, moment=MADE_AT, is_frozen=is_frozen)
            assert count_matching(CONTACTS, world.organisation_id, wanted, LATER) == len(expected)
            assert count_records(CONTACTS, world.organisation_id, wanted).number == len(expected)


@pytest.mark.parametrize("sort", ["name", "email", "created", "updated"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_every_order_pages_through_the_same_contacts(
    world: World, sort: str, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SMALL_SET", 0)
    monkeypatch.setattr(behaviour_sets, "IDS_PER_ROW", 2)
    with tenant(world.organisation_id):
        wanted = settled(world.organisation_id, "ever:page:begins:/pricing", zone=UTC_ZONE, moment=MADE_AT)
        found: list[str] = []
        cursor: str | None = None
        while not found or cursor:
            page = list_records(
                CONTACTS, world.organisation_id, wanted, sort=sort, direction=direction, cursor=cursor, limit=3
            )
            found += [record.email_key for record in page.records]
            cursor = page.next_cursor
        expected = world.doers(read_behaviour("ever:page:begins:/pricing"), UTC_ZONE, MADE_AT)
        assert (set(found), len(found)) == (expected, len(expected))
        if sort == "email":
            assert found == sorted(found, reverse=direction == "desc")


def test_it_combines_with_every_other_filter(world: World) -> None:
    with tenant(world.organisation_id):
        did = world.doers(read_behaviour("ever:event:is:signup"), UTC_ZONE, MADE_AT)
        for n, email in enumerate(sorted(did)):
            contact = list_records(CONTACTS, world.organisation_id, read_filter({"q": [email]}, CONTACTS, UTC_ZONE))
            contact.records[0].tags, contact.records[0].city = (["vip"], "Rome") if n % 2 else ([], "Oslo")
        db.session.commit()
        ask = partial(find, world.organisation_id, "ever:event:is:signup", zone=UTC_ZONE, moment=MADE_AT)
        found = ask(tag=["vip"], where=["city:is:rome"], q=["p"])
        assert found
        assert set(found) == set(sorted(did)[1::2])


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [("UTC", "2026-03-29T00:00Z"), ("Europe/Berlin", "2026-03-28T23:00Z"), ("Asia/Kathmandu", "2026-03-28T18:15Z"),
     ("Australia/Lord_Howe", "2026-03-28T13:00Z")],
)  # fmt: skip
def test_days_begin_and_end_at_the_zones_own_midnights(
    app_context: APIFlask, organisation_id: UUID, zone: str, midnight: str
) -> None:
    begins = datetime.fromisoformat(midnight)
    ends = datetime(2026, 3, 30, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    tick = timedelta(milliseconds=1)
    site = add_site(app_context, organisation_id)
    moments = {"before": begins - tick, "first": begins, "last": ends - tick, "after": ends}
    named = {(site.id, visitor): f"{name}@example.com" for visitor, name in enumerate(moments)}
    add_identities(organisation_id, named)
    add_deeds(organisation_id, site.id, [(n, at, f"{ORIGIN}/a") for n, at in enumerate(moments.values())])
    with tenant(organisation_id):
        for email in named.values():
            create_record(CONTACTS, organisation_id, {"email": email})
        ask = partial(find, organisation_id, zone=ZoneInfo(zone))
        late, later = ends - timedelta(minutes=1), ends + timedelta(hours=1)
        inside = {"first@example.com", "last@example.com"}
        assert set(ask("2026-03-29..2026-03-29:page:is:/a", moment=late)) == inside
        assert set(ask("1d:page:is:/a", moment=late)) == inside
        assert set(ask("1d:page:is:/a", moment=late, is_frozen=True)) == {"first@example.com"}
        assert set(ask("2d:page:is:/a", moment=late)) == inside | {"before@example.com"}
        assert set(ask("1d:page:is:/a", moment=later)) == {"after@example.com"}
        assert set(ask("not:2d:page:is:/a", moment=later)) == {"before@example.com"}


def test_a_site_that_takes_visits_from_anywhere_has_its_paths_on_any_host(
    app_context: APIFlask, organisation_id: UUID
) -> None:
    site = add_site(app_context, organisation_id)
    with tenant(organisation_id):
        db.session.execute(update(Site).where(Site.organisation_id == organisation_id).values(origins=[]))
        db.session.commit()
    add_identities(organisation_id, {(site.id, n): f"p{n}@example.com" for n in range(3)})
    pages = ["https://a.example/pricing", "http://b.example:81/pricing/team", "https://c.example/x/pricing"]
    add_deeds(organisation_id, site.id, [(n, MADE_AT, page) for n, page in enumerate(pages)])
    with tenant(organisation_id):
        for n in range(3):
            create_record(CONTACTS, organisation_id, {"email": f"p{n}@example.com"})
        ask = partial(find, organisation_id, zone=UTC_ZONE, moment=MADE_AT)
        assert ask("ever:page:is:/pricing") == ["p0@example.com"]
        assert set(ask("ever:page:begins:/pricing")) == {"p0@example.com", "p1@example.com"}
        assert ask("ever:page:is:https://c.example/x/pricing") == ["p2@example.com"]


def test_pages_after_the_first_and_other_people_ask_the_raw_rows_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant(world.organisation_id):
        first = settled(world.organisation_id, "ever:anything", zone=UTC_ZONE, moment=MADE_AT)
        monkeypatch.setattr(behaviour_sets, "stage_doers", None)
        again = settled(world.organisation_id, "not:ever:anything", zone=UTC_ZONE, moment=MADE_AT)
        assert [known.id for known in first.sets] == [known.id for known in again.sets]
        wanted = read_filter({"did": ["ever:anything"]}, CONTACTS, UTC_ZONE)
        monkeypatch.setattr(behaviour_sets, "FRESH_FOR", timedelta())
        paged = Moment(MADE_AT, UTC_ZONE, max_age=behaviour_sets.PAGED_FOR)
        assert settle(CONTACTS, world.organisation_id, wanted, paged).sets[0].id == first.sets[0].id


def test_what_happens_meanwhile_is_known_when_it_is_asked_anew(world: World) -> None:
    with tenant(world.organisation_id):
        wanted = read_filter({"did": ["ever:page:is:/new"]}, CONTACTS, UTC_ZONE)
        moment = Moment(MADE_AT, UTC_ZONE)
        assert settle(CONTACTS, world.organisation_id, wanted, moment).sets[0].member_count == 0
        email = min(world.emails & set(world.identities.values()))
        visitor = next(key for key, identity in world.identities.items() if identity == email)
        add_deeds(world.organisation_id, visitor[0], [(visitor[1], MADE_AT, f"{ORIGIN}/new")])
        assert settle(CONTACTS, world.organisation_id, wanted, moment).sets[0].member_count == 0
        anew = Moment(MADE_AT, UTC_ZONE, max_age=timedelta())
        assert settle(CONTACTS, world.organisation_id, wanted, anew).sets[0].member_count == 1


def test_another_organisation_sees_none_of_it(app_context: APIFlask, world: World, charlie: Person) -> None:
    with tenant(world.organisation_id):
        settled(world.organisation_id, "ever:anything", zone=UTC_ZONE, moment=MADE_AT)
        db.session.commit()
    with tenant(charlie.organisation_id):
        create_record(CONTACTS, charlie.organisation_id, {"email": "p5@example.com"})
        db.session.commit()
        for text in ("ever:anything", f"ever:site={world.sites[0].id}:anything"):
            ask = partial(find, charlie.organisation_id, zone=UTC_ZONE, moment=MADE_AT)
            assert ask(text) == []
            assert ask(f"not:{text}") == ["p5@example.com"]


def test_old_sets_are_forgotten_and_those_beyond_the_limits(
    world: World, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def set_count() -> int:
        with owner_connection(services) as connection:
            [(sets, members)] = connection.execute(
                "SELECT (SELECT count(*) FROM behaviour_sets), (SELECT count(DISTINCT set_id) FROM behaviour_members)"
            ).fetchall()
            assert members <= sets
            return int(sets)

    with tenant(world.organisation_id):
        for days in range(1, 6):
            settled(world.organisation_id, f"{days}d:anything", zone=UTC_ZONE, moment=MADE_AT)
            db.session.commit()
    assert set_count() == 5
    monkeypatch.setattr(behaviour_sets, "MOST_SETS", 3)
    with tenant(world.organisation_id):
        settled(world.organisation_id, "6d:anything", zone=UTC_ZONE, moment=MADE_AT)
        db.session.commit()
        assert set_count() == 3
        monkeypatch.setattr(behaviour_sets, "MOST_MEMBERS", 1)
        settled(world.organisation_id, "7d:anything", zone=UTC_ZONE, moment=MADE_AT)
        db.session.commit()
        assert set_count() == 1
    forget_behaviour_sets()
    assert set_count() == 1
    with owner_connection(services) as connection:
        connection.execute("UPDATE behaviour_sets SET made_at = made_at - interval '2 hours'")
    forget_behaviour_sets()
    assert set_count() == 0


def test_a_set_that_somebody_uses_is_not_forgotten(world: World, services: Settings) -> None:
    with tenant(world.organisation_id):
        settled(world.organisation_id, "ever:anything", zone=UTC_ZONE, moment=MADE_AT)
        db.session.commit()
        wanted = settled(world.organisation_id, "not:ever:anything", zone=UTC_ZONE, moment=MADE_AT)
        with owner_connection(services) as connection:
            [gone] = connection.execute("SELECT footfall_forget_behaviour_sets('2100-01-01', 10)").fetchone() or (None,)
        assert gone == 0
        expected = len(world.doers(read_behaviour("not:ever:anything"), UTC_ZONE, MADE_AT))
        assert count_matching(CONTACTS, world.organisation_id, wanted, LATER) == expected


def test_a_filter_whose_behaviours_are_not_settled_finds_nobody_by_mistake(world: World) -> None:
    with tenant(world.organisation_id), pytest.raises(ValueError, match="not settled"):
        list_records(CONTACTS, world.organisation_id, read_filter({"did": ["not:ever:anything"]}, CONTACTS, UTC_ZONE))


@pytest.mark.parametrize("is_own", [False, True], ids=["somebody_else", "own_former_address"])
def test_what_is_done_after_somebody_else_was_named_is_nobodys(
    app_context: APIFlask, organisation_id: UUID, *, is_own: bool
) -> None:
    site = add_site(app_context, organisation_id)
    add_identities(organisation_id, {(site.id, 1): "alice@example.com"})
    named_at, hour = MADE_AT, timedelta(hours=1)
    deeds = {"before": named_at - hour, "at": named_at, "x": named_at + hour}
    add_deeds(organisation_id, site.id, [(1, at, f"{ORIGIN}/{page}") for page, at in deeds.items()])
    with tenant(organisation_id):
        email = "ada@example.com" if is_own else "alice@example.com"
        contact = create_record(CONTACTS, organisation_id, {"email": email})
        db.session.flush()
        contact.email, contact.email_key = "alice@example.com", "alice@example.com"
        db.session.add(
            RefusedMerge(
                organisation_id=organisation_id, site_id=site.id, visitor=1, identity="ada@example.com", at=named_at
            )
        )
        db.session.commit()
        ask = partial(find, organisation_id, zone=UTC_ZONE, moment=MADE_AT)
        after = ["alice@example.com"] if is_own else []
        assert ask("ever:page:is:/before") == ["alice@example.com"]
        assert ask("ever:page:is:/at") == after
        assert ask("ever:page:is:/x") == after
        assert ask("ever:3x:page:begins:/") == after
        assert ask("not:ever:page:is:/x") == ([] if is_own else ["alice@example.com"])


def test_whom_a_site_calls_by_their_address_did_what_that_visitor_did(
    app_context: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    """A server reports with an API key and names nobody, but for somebody else on one of the addresses."""
    shop, blog = add_site(app_context, organisation_id), add_site(app_context, organisation_id, "https://blog.example")
    at = MADE_AT - timedelta(hours=1)
    told = [(shop, "Ada@Example.com"), (blog, "ada@example.com"), (shop, "bob@example.com"), (shop, "carl@example.com")]
    rows = [make_row(site, at, visitor=visitor, page_url=f"{ORIGIN}/pricing") for site, visitor in told]
    named = make_row(shop, at, visitor="carl@example.com", kind=int(Kind.IDENTIFY), name="dora@example.com")
    add_rows(services, [*rows, named])
    count_all(app_context, services)
    with tenant(organisation_id):
        for name in ("ada", "bob", "carl", "dora"):
            create_record(CONTACTS, organisation_id, {"email": f"{name}@example.com"})
        db.session.commit()
        ask = partial(find, organisation_id, zone=UTC_ZONE, moment=MADE_AT)
        pages = "page:contains:/pricing"
        assert set(ask(f"ever:{pages}")) == {"ada@example.com", "bob@example.com", "dora@example.com"}
        assert ask(f"ever:2x:{pages}") == ["ada@example.com"]
        assert ask(f"ever:site={blog.id}:{pages}") == ["ada@example.com"]
        assert ask(f"not:ever:{pages}") == ["carl@example.com"]
        assert doers.has_identities(organisation_id)


def test_many_are_found_as_few_are(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with tenant(world.organisation_id):
        few = find(world.organisation_id, "ever:page:is:/pricing", zone=UTC_ZONE, moment=MADE_AT)
        db.session.rollback()
        monkeypatch.setattr(behaviour_sets, "FEW_DOERS", 0)
        assert find(world.organisation_id, "ever:page:is:/pricing", zone=UTC_ZONE, moment=MADE_AT) == few


def test_whoever_says_who_they_are_is_known(world: World, charlie: Person) -> None:
    with tenant(world.organisation_id):
        assert doers.has_identities(world.organisation_id)
    with tenant(charlie.organisation_id):
        assert not doers.has_identities(charlie.organisation_id)


def test_two_who_ask_the_same_at_once_share_one_look(
    app_context: APIFlask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    barrier = threading.Barrier(2)

    def look(organisation_id: UUID, deed: Deed, owner: str) -> int:
        looks.append(deed.behaviour.as_text())
        return doers.stage_doers(organisation_id, deed, owner)

    def ask(texts: list[str]) -> list[UUID]:
        with app_context.app_context(), tenant(world.organisation_id):
            wanted = read_filter({"did": texts}, CONTACTS, UTC_ZONE)
            barrier.wait()
            found = settle(CONTACTS, world.organisation_id, wanted, Moment(MADE_AT, UTC_ZONE), db.session.commit)
            db.session.commit()
            return sorted(known.id for known in found.sets)

    monkeypatch.setattr(behaviour_sets, "stage_doers", look)
    texts = ["ever:page:is:/pricing", "ever:anything", "8d:event:is:buy"]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(ask, [texts, texts[::-1]])
    assert first == second
    assert sorted(looks) == sorted(texts)
