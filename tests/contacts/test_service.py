"""One contact: created, changed, deleted, with every fault named."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from apiflask import APIFlask
from webapp.contacts.service import EmailTakenError, InvalidContactError, create_contact, delete_contact, update_contact

from tests.conftest import owner_connection
from webapp.config import Settings
from webapp.contacts import service
from webapp.contacts.queries import find_contact_by_email, has_contacts
from webapp.extensions import db, tenant


@pytest.fixture
def here(app_context: APIFlask, organisation_id: UUID) -> Iterator[UUID]:
    with tenant(organisation_id):
        yield organisation_id


def test_white_space_is_trimmed_and_blanks_are_nothing(here: UUID) -> None:
    contact = create_contact(here, {"email": " Ada@Example.com ", "first_name": "Ada", "city": "  "})
    assert (contact.email, contact.email_key, contact.city) == ("Ada@Example.com", "ada@example.com", None)


def test_every_fault_is_named_at_once(here: UUID) -> None:
    with pytest.raises(InvalidContactError) as caught:
        create_contact(here, {"email": "nobody", "city": "x" * 201})
    assert caught.value.errors == {
        "email": "“nobody” is not an e-mail address.",
        "city": "City has 201 characters; at most 200 fit.",
    }


def test_a_contact_needs_an_address(here: UUID) -> None:
    with pytest.raises(InvalidContactError, match="E-mail is missing"):
        create_contact(here, {"first_name": "Ada"})


def test_an_unknown_field_is_refused(here: UUID) -> None:
    with pytest.raises(InvalidContactError, match="no field called “shoe_size”"):
        create_contact(here, {"email": "a@example.com", "shoe_size": "38"})


def test_an_address_is_taken_in_any_case(here: UUID) -> None:
    create_contact(here, {"email": "ada@example.com", "first_name": "Ada"})
    with pytest.raises(EmailTakenError, match=r"Ada already has the address ada@example.com"):
        create_contact(here, {"email": "ADA@example.com"})


def test_an_address_that_is_taken_meanwhile_is_refused_too(
    here: UUID, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with owner_connection(services) as connection:
        connection.execute(
            "INSERT INTO contacts (organisation_id, id, email, email_key, created_at, updated_at)"
            " VALUES (%s, gen_random_uuid(), 'ada@example.com', 'ada@example.com', now(), now())",
            [here],
        )
    looks = iter([None])
    monkeypatch.setattr(service, "find_contact_by_email", lambda *key: next(looks, find_contact_by_email(*key)))
    with pytest.raises(EmailTakenError):
        create_contact(here, {"email": "ada@example.com"})
    assert has_contacts(here)


def test_only_the_given_fields_change(here: UUID) -> None:
    contact = create_contact(here, {"email": "ada@example.com", "first_name": "Ada", "city": "London"})
    update_contact(contact, {"city": "", "last_name": "Lovelace"})
    assert (contact.first_name, contact.last_name, contact.city) == ("Ada", "Lovelace", None)
    assert contact.updated_at > contact.created_at


def test_saving_without_a_change_changes_no_time(here: UUID) -> None:
    contact = create_contact(here, {"email": "ada@example.com", "first_name": "Ada"})
    before = contact.updated_at
    update_contact(contact, {"email": "ada@example.com", "first_name": "Ada"})
    assert contact.updated_at == before


def test_a_new_address_is_found_and_the_old_one_is_free(here: UUID) -> None:
    contact = create_contact(here, {"email": "ada@example.com"})
    update_contact(contact, {"email": "Countess@example.com"})
    assert find_contact_by_email(here, "countess@EXAMPLE.com") == contact
    assert find_contact_by_email(here, "ada@example.com") is None


def test_a_deleted_contact_is_gone(here: UUID) -> None:
    delete_contact(create_contact(here, {"email": "ada@example.com"}))
    db.session.commit()
    assert not has_contacts(here)
