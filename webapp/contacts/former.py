"""Addresses that contacts had before: whose they are, and which of them nobody is to hear of for now."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, exists, literal, or_, select

from webapp.contacts.models import CONTACTS, Contact
from webapp.extensions import db
from webapp.records.former import find_former_owner, held_keys
from webapp.records.queries import find_by_key, get_record
from webapp.visits.people.hiding import register_hiding

ONE = select(literal(1))


def list_former(contact: Contact) -> list[tuple[str, datetime]]:
    """The folded addresses that a contact had, also one in the trash, and until when; without those of others now."""
    found = db.session.execute(held_keys(CONTACTS, contact.organisation_id, [contact.id]))
    return [(row.key, row.left_at) for row in found]


def keys_of(contact: Contact) -> list[str]:
    """Everything by which visits know a contact: their address, and those that they had."""
    return [contact.email_key, *(key for key, _ in list_former(contact))]


def find_owner(organisation_id: UUID, key: str) -> Contact | None:
    """Whose address this is or, if it is nobody's any more, was last; None for one in the trash, too."""
    found: Contact | None = find_by_key(CONTACTS, organisation_id, key)
    if found is None and (owner_id := find_former_owner(CONTACTS, organisation_id, key)):
        found = get_record(CONTACTS, organisation_id, owner_id)
    return found


def is_in_trash(organisation_id: UUID, key: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Whether the contact whose address this is, or was last, lies in the trash."""
    deleted, former, contact = CONTACTS.deleted.alias(), CONTACTS.former_keys.alias(), Contact.__table__.alias()
    has_it = ONE.where(contact.c.organisation_id == organisation_id, contact.c.email_key == key)
    had_it = ONE.where(former.c.organisation_id == organisation_id, former.c.key == key)
    owner = and_(deleted.c.organisation_id == organisation_id, deleted.c.id == former.c.record_id)
    lies_there = ONE.where(deleted.c.organisation_id == organisation_id, deleted.c.email_key == key)
    return and_(
        ~exists(has_it.correlate_except(contact).offset(0)),
        or_(
            exists(had_it.where(owner).correlate_except(former, deleted).offset(0)),
            and_(
                ~exists(had_it.correlate_except(former).offset(0)),
                exists(lies_there.correlate_except(deleted).offset(0)),
            ),
        ),
    )


register_hiding(is_in_trash)
