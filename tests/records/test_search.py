"""Lists by key, search by prefix, walks that stop and go on, counts that stop counting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from sqlalchemy import text

from tests.conftest import Person, owner_connection
from webapp.config import Settings
from webapp.contacts.models import CONTACTS
from webapp.extensions import db, tenant
from webapp.lib.pagination import BadCursorError
from webapp.records import search
from webapp.records.filters import Condition, Operator, RecordFilter
from webapp.records.queries import count_records, get_record, has_records, list_records
from webapp.records.service import create_record

PEOPLE = (
    ("grace@navy.example", "Grace", "Hopper", "Navy"),
    ("ada@engine.example", "Ada", "Lovelace", "Analytical"),
    ("zoe@radio.example", "Zoë", "Ångström", "Radio Ö"),
    ("alan@park.example", "Alan", "Turing", "Bletchley"),
    ("nobody@example.com", None, None, None),
)


@pytest.fixture
def here(app_context: APIFlask, organisation_id: UUID) -> Iterator[UUID]:
    """Alice's organisation with five contacts, inside its tenant."""
    with tenant(organisation_id):
        for email, first_name, last_name, company in PEOPLE:
            values = {"email": email, "first_name": first_name, "last_name": last_name, "company": company}
            create_record(CONTACTS, organisation_id, values)
        db.session.commit()
        yield organisation_id


def name_of(contact: Any) -> str:
    return str(contact.email.partition("@")[0])


def names(organisation_id: UUID, q: str = "", sort: str = "created", direction: str = "") -> list[str]:
    page = list_records(CONTACTS, organisation_id, RecordFilter(q=q), sort=sort, direction=direction)
    return [name_of(contact) for contact in page.records]


def test_the_newest_come_first_unless_told_otherwise(here: UUID) -> None:
    assert names(here) == ["nobody", "alan", "zoe", "ada", "grace"]
    assert names(here, direction="asc") == ["grace", "ada", "zoe", "alan", "nobody"]


def test_lists_are_sorted_by_name_address_company_and_change_either_way(here: UUID) -> None:
    assert names(here, sort="name") == ["nobody", "ada", "alan", "grace", "zoe"]
    assert names(here, sort="email") == ["ada", "alan", "grace", "nobody", "zoe"]
    assert names(here, sort="company", direction="desc") == ["zoe", "grace", "alan", "ada", "nobody"]
    assert names(here, sort="updated", direction="asc") == ["grace", "ada", "zoe", "alan", "nobody"]


@dataclass(frozen=True)
class Whole:
    """A list read page by page."""

    ids: list[UUID]
    partial_pages: int


def read_all(organisation_id: UUID, wanted: RecordFilter, **order: Any) -> Whole:
    """Every page of a list, one after the other."""
    ids: list[UUID] = []
    cursor, partial = None, 0
    while True:
        page = list_records(CONTACTS, organisation_id, wanted, cursor=cursor, **order)
        ids += [contact.id for contact in page.records]
        partial += page.is_partial
        cursor = page.next_cursor
        if cursor is None:
            return Whole(ids, partial)


@pytest.mark.parametrize("sort", sorted(CONTACTS.sorts))
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_pages_show_everybody_once(here: UUID, sort: str, direction: str) -> None:
    paged = read_all(here, RecordFilter(), sort=sort, direction=direction, limit=2)
    whole = list_records(CONTACTS, here, sort=sort, direction=direction)
    assert len(paged.ids) == len(PEOPLE)
    assert paged.ids == [contact.id for contact in whole.records]


@pytest.mark.parametrize("sort", sorted(CONTACTS.sorts))
@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("walk_rows", [1, 2, 3])
def test_a_walk_that_stops_goes_on_where_it_was_and_finds_the_same(
    here: UUID, monkeypatch: pytest.MonkeyPatch, sort: str, direction: str, walk_rows: int
) -> None:
    wanted = RecordFilter(conditions=(Condition("first_name", Operator.CONTAINS, "A"),))
    whole = list_records(CONTACTS, here, wanted, sort=sort, direction=direction)
    assert sorted(map(name_of, whole.records)) == ["ada", "alan", "grace"]
    monkeypatch.setattr(search, "WALK_ROWS", walk_rows)
    paged = read_all(here, wanted, sort=sort, direction=direction, limit=2)
    assert paged.ids == [contact.id for contact in whole.records]
    assert paged.partial_pages > 0


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("ada", ["ada"]),
        ("LOVE", ["ada"]),
        ("ada  love", ["ada"]),
        ("ängström", []),
        ("ång", ["zoe"]),
        ("ZOË", ["zoe"]),
        ("radio ö", ["zoe"]),
        ("a", ["ada", "alan"]),
        ("%", []),
        ("_", []),
    ],
)
def test_search_finds_the_beginnings_of_addresses_names_and_companies(here: UUID, q: str, found: list[str]) -> None:
    q = " ".join(q.split())
    assert names(here, q=q, sort="email") == found
    assert count_records(CONTACTS, here, RecordFilter(q=q)).number == len(found)


@pytest.mark.parametrize("sort", sorted(CONTACTS.sorts))
def test_a_search_that_finds_more_than_a_small_set_finds_the_same(
    here: UUID, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    small = [contact.id for contact in list_records(CONTACTS, here, RecordFilter(q="a"), sort=sort).records]
    monkeypatch.setattr(search, "SMALL_SET", 1)
    assert read_all(here, RecordFilter(q="a"), sort=sort, limit=1).ids == small
    assert count_records(CONTACTS, here, RecordFilter(q="a")).number == len(small) == 2


def test_a_damaged_cursor_is_refused(here: UUID) -> None:
    with pytest.raises(BadCursorError):
        list_records(CONTACTS, here, cursor="nonsense")


def test_counts_are_exact_up_to_a_limit(here: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = count_records(CONTACTS, here)
    assert (everybody.number, everybody.is_exact) == (5, True)
    monkeypatch.setattr(search, "COUNT_LIMIT", 4)
    some = count_records(CONTACTS, here)
    assert (some.number, some.is_exact) == (4, False)


def test_a_count_that_walks_says_when_it_stopped(here: UUID) -> None:
    wanted = RecordFilter(conditions=(Condition("last_name", Operator.FILLED),))
    some = count_records(CONTACTS, here, wanted, walk_rows=3)
    assert (some.number, some.is_exact) == (2, False)
    all_of_them = count_records(CONTACTS, here, wanted)
    assert (all_of_them.number, all_of_them.is_exact) == (4, True)


def test_another_organisation_sees_nobody(here: UUID, charlie: Person) -> None:
    contact_id = list_records(CONTACTS, here).records[0].id
    db.session.expunge_all()
    with tenant(charlie.organisation_id):
        assert get_record(CONTACTS, here, contact_id) is None
        assert get_record(CONTACTS, charlie.organisation_id, contact_id) is None
        assert list_records(CONTACTS, here).records == []
        assert not has_records(CONTACTS, charlie.organisation_id)
    assert has_records(CONTACTS, here)


ADD_CONTACTS = """
    INSERT INTO contacts (organisation_id, id, email, email_key, first_name, created_at, updated_at)
    SELECT %s, uuidv7(), n || '@example.com', n || '@example.com', 'N' || n, now(), now()
    FROM generate_series(1, 20000) AS n
"""


def test_a_search_reads_an_index_and_not_the_table(here: UUID, services: Settings) -> None:
    with owner_connection(services) as connection:
        connection.execute(ADD_CONTACTS, [here])
        connection.execute("ANALYZE contacts")
    db.session.rollback()
    parts = next(search.Search(CONTACTS, here, RecordFilter(q="n1999")).drivers())
    plans = "\n".join(_plan_of(part.limit(20)) for part in parts)
    assert "Seq Scan" not in plans
    assert "ix_contacts_organisation_id_name_key_id" in plans


def _plan_of(statement: Any) -> str:
    compiled = statement.compile(db.engine, compile_kwargs={"literal_binds": True})
    explain = f"EXPLAIN {compiled}".replace("%", "%%")
    return "\n".join(row[0] for row in db.session.connection().exec_driver_sql(explain))


def test_what_follows_a_search_may_be_planned_in_every_way_again(here: UUID) -> None:
    list_records(CONTACTS, here, RecordFilter(q="a"))
    count_records(CONTACTS, here)
    assert [db.session.scalar(text(f"SHOW {way}")) for way in search.WAYS] == ["on"] * len(search.WAYS)


@pytest.mark.parametrize("q", ["+4930", "+49 30 12", "+49 (0)30", "0049 30", "+49-30-1234567"])
def test_a_phone_number_is_found_however_it_is_written(here: UUID, q: str) -> None:
    create_record(CONTACTS, here, {"email": "phone@example.com", "phone": "+49 30 1234567"})
    create_record(CONTACTS, here, {"email": "other@example.com", "phone": "+49 40 1234567"})
    assert names(here, q) == ["phone"]
