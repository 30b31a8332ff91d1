"""Erasing a contact at once, without the thirty days in the trash. Nothing here commits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text

from webapp.contacts.former import keys_of
from webapp.contacts.models import CONTACTS, Contact
from webapp.extensions import db
from webapp.jobs.models import Job
from webapp.lib.clock import utc_now
from webapp.lib.keys import fold_key
from webapp.records.former import find_former_owner, held_keys
from webapp.records.queries import find_by_key, get_record, list_deleted_by_ids
from webapp.visits.people.erasing import request_erasure
from webapp.visits.people.erasing_tasks import start_erasing


class OtherEmailError(ValueError):
    """What was typed is not the contact's e-mail address."""


def find_contact(organisation_id: UUID, record_id: UUID) -> Contact | None:
    """A contact, also one that lies in the trash: that one belongs to no session."""
    found: Any = get_record(CONTACTS, organisation_id, record_id)
    found = found or list_deleted_by_ids(CONTACTS, organisation_id, [record_id]).get(record_id)
    contact: Contact | None = found
    return contact


def erase_contact(contact: Contact, typed_email: str, by: UUID | None) -> Job:
    """Remove a contact for good, with what undoing kept and all that lies in the trash under an address of theirs.

    The job takes out of the visits what is theirs, under former addresses, too, as far as no other contact has these
    by now. Commit, then announce it. Raises OtherEmailError.
    """
    organisation_id, record_id = contact.organisation_id, contact.id
    key = fold_key(contact.email)
    if fold_key(typed_email.strip()) != key:
        raise OtherEmailError(f"Type {contact.email} to erase this contact.")
    keys = _own_keys(contact)
    ids = [record_id, *_list_alike(organisation_id, {key, *keys})]
    former = [row.key for row in db.session.execute(held_keys(CONTACTS, organisation_id, ids))]
    for statement in _removals(organisation_id, ids):
        db.session.execute(statement)
    db.session.execute(text(FORGET_IMAGES), {"organisation_id": organisation_id, "record_ids": ids})
    request_erasure(organisation_id, [*keys, *former], utc_now())
    return start_erasing(organisation_id, by)


def _own_keys(contact: Contact) -> list[str]:
    """The addresses that are the contact's: not those that somebody else had after them."""
    organisation_id, key = contact.organisation_id, contact.email_key
    present = find_by_key(CONTACTS, organisation_id, key)
    owner_id = present.id if present else find_former_owner(CONTACTS, organisation_id, key)
    return keys_of(contact)[0 if owner_id in {None, contact.id} else 1 :]


def _list_alike(organisation_id: UUID, keys: Collection[str]) -> Sequence[UUID]:
    """Contacts in the trash that have one of these addresses."""
    deleted = CONTACTS.deleted.c
    query = select(deleted.id).where(deleted.organisation_id == organisation_id, deleted.email_key.in_(keys))
    return db.session.scalars(query).all()


def _removals(organisation_id: UUID, ids: Sequence[UUID]) -> list[Any]:
    """The first of them may still be there; the others lie in the trash, and would not be found among contacts."""
    deleted, former = CONTACTS.deleted, CONTACTS.former_keys
    return [
        delete(Contact).where(Contact.organisation_id == organisation_id, Contact.id.in_(ids)),
        deleted.delete().where(deleted.c.organisation_id == organisation_id, deleted.c.id.in_(ids)),
        former.delete().where(former.c.organisation_id == organisation_id, former.c.record_id.in_(ids)),
    ]


# By the primary key, one look-up for each bulk action and record.
FORGET_IMAGES = """
    DELETE FROM before_images b USING bulk_actions a
    WHERE a.organisation_id = :organisation_id AND b.organisation_id = :organisation_id
        AND b.bulk_action_id = a.id AND b.record_id = ANY (:record_ids)
"""
