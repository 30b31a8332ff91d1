"""Erasing a contact at once, without the thirty days in the trash. Nothing here commits."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import delete, or_, select, text

from webapp.contacts.models import CONTACTS, Contact
from webapp.extensions import db
from webapp.jobs.models import Job
from webapp.lib.clock import utc_now
from webapp.lib.keys import fold_key
from webapp.records.queries import get_record, list_deleted_by_ids
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
    """Remove a contact for good, with what undoing kept and all that lies in the trash under the address.

    The job takes out of the visits what is theirs, as far as no other contact has the address by now. Commit, then
    announce it. Raises OtherEmailError.
    """
    organisation_id, record_id = contact.organisation_id, contact.id
    key = fold_key(contact.email)
    if fold_key(typed_email.strip()) != key:
        raise OtherEmailError(f"Type {contact.email} to erase this contact.")
    for statement in _removals(organisation_id, record_id, key):
        db.session.execute(statement)
    db.session.execute(text(FORGET_IMAGES), {"organisation_id": organisation_id, "record_id": record_id})
    if not _is_somebodys(organisation_id, key):
        request_erasure(organisation_id, [key], utc_now())
    return start_erasing(organisation_id, by)


def _removals(organisation_id: UUID, record_id: UUID, key: str) -> list[Any]:
    deleted = CONTACTS.deleted
    return [
        delete(Contact).where(Contact.organisation_id == organisation_id, Contact.id == record_id),
        deleted.delete().where(
            deleted.c.organisation_id == organisation_id,
            or_(deleted.c.id == record_id, deleted.c.email_key == key),
        ),
    ]


def _is_somebodys(organisation_id: UUID, key: str) -> bool:
    """Whether another contact has the address: then the visits are theirs."""
    wanted = select(Contact.id).where(Contact.organisation_id == organisation_id, Contact.email_key == key)
    return db.session.scalar(wanted) is not None


# By the primary key, one look-up for each bulk action.
FORGET_IMAGES = """
    DELETE FROM before_images b USING bulk_actions a
    WHERE a.organisation_id = :organisation_id AND b.organisation_id = :organisation_id
        AND b.bulk_action_id = a.id AND b.record_id = :record_id
"""
