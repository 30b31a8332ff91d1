"""Lists by key, search by prefix, counts that stop counting."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from apiflask import APIFlask
from webapp.contacts.service import create_contact

from tests.conftest import Person, owner_connection
from webapp.config import Settings
from webapp.contacts import queries
from webapp.contacts.queries import count_contacts, get_contact, has_contacts, list_contacts
from webapp.extensions import db, tenant
from webapp.lib.pagination import BadCursorError

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
            create_contact(organisation_id, values)
        db.session.commit()
        yield organisation_id


def emails(organisation_id: UUID, q: str = "", sort: str = "created", direction: str = "") -> list[str]:
    page = list_contacts(organisation_id, q=q, sort=sort, direction=direction)
    return [contact.email.partition("@")[0] for contact in page.contacts]


def test_the_newest_come_first_unless_told_otherwise(here: UUID) -> None:
    assert emails(here) == ["nobody", "alan", "zoe", "ada", "grace"]
    assert emails(here, direction="asc") == ["grace", "ada", "zoe", "alan", "nobody"]


def test_lists_are_sorted_by_name_address_and_company_either_way(here: UUID) -> None:
    assert emails(here, sort="name") == ["nobody", "ada", "alan", "grace", "zoe"]
    assert emails(here, sort="email") == ["ada", "alan", "grace", "nobody", "zoe"]
    assert emails(here, sort="company", direction="desc") == ["zoe", "grace", "alan", "ada", "nobody"]


@pytest.mark.parametrize("sort", ["name", "email", "company", "created"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_pages_show_everybody_once(here: UUID, sort: str, direction: str) -> None:
    seen, cursor = [], None
    while True:
        page = list_contacts(here, sort=sort, direction=direction, cursor=cursor, limit=2)
        seen += [contact.id for contact in page.contacts]
        cursor = page.next_cursor
        if cursor is None:
            break
    whole = list_contacts(here, sort=sort, direction=direction)
    assert seen == [contact.id for contact in whole.contacts]


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
        ("\x00", ["ada", "alan", "grace", "nobody", "zoe"]),
    ],
)
def test_search_finds_the_beginnings_of_addresses_names_and_companies(here: UUID, q: str, found: list[str]) -> None:
    assert emails(here, q=q, sort="email") == found
    assert count_contacts(here, q=q).number == len(found)


def test_a_damaged_cursor_is_refused(here: UUID) -> None:
    with pytest.raises(BadCursorError):
        list_contacts(here, cursor="nonsense")


def test_counts_are_exact_up_to_a_limit(here: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (count_contacts(here).number, count_contacts(here).is_exact) == (5, True)
    monkeypatch.setattr(queries, "COUNT_LIMIT", 4)
    assert (count_contacts(here).number, count_contacts(here).is_exact) == (4, False)


def test_another_organisation_sees_nobody(here: UUID, charlie: Person) -> None:
    contact = list_contacts(here).contacts[0]
    contact_id = contact.id
    db.session.expunge_all()
    with tenant(charlie.organisation_id):
        assert get_contact(here, contact_id) is None
        assert get_contact(charlie.organisation_id, contact_id) is None
        assert list_contacts(here).contacts == []
        assert not has_contacts(charlie.organisation_id)
    assert has_contacts(here)


def test_a_search_reads_an_index_and_not_the_table(here: UUID, services: Settings) -> None:
    with owner_connection(services) as connection:
        connection.execute(
            "INSERT INTO contacts (organisation_id, id, email, email_key, first_name, created_at, updated_at)"
            " SELECT %s, gen_random_uuid(), n || '@example.com', n || '@example.com', 'N' || n, now(), now()"
            " FROM generate_series(1, 20000) AS n",
            [here],
        )
        connection.execute("ANALYZE contacts")
    db.session.rollback()
    statement = queries._matching(here, "n1999").limit(20)
    compiled = statement.compile(db.engine, compile_kwargs={"literal_binds": True})
    plan = "\n".join(
        row[0] for row in db.session.connection().exec_driver_sql(f"EXPLAIN {compiled}".replace("%", "%%"))
    )
    assert "Seq Scan" not in plan
    assert "ix_contacts_organisation_id_name_key_id" in plan
