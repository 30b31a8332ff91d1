"""What can be done to one contact. Nothing here commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from webapp.contacts.fields import FIELD_NAMES, FIELDS_BY_NAME, KEY_FIELD, clean, email_key
from webapp.contacts.models import Contact
from webapp.contacts.queries import find_contact_by_email, get_contact
from webapp.contacts.undo import DeletedContact
from webapp.extensions import db
from webapp.lib.clock import utc_now


class InvalidContactError(ValueError):
    """Some values cannot be kept: `errors` says which and why, by field."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


class EmailTakenError(InvalidContactError):
    """Another contact has this address."""

    def __init__(self, contact: Contact) -> None:
        super().__init__({KEY_FIELD.name: f"{contact.full_name} already has the address {contact.email}."})
        self.contact = contact


def create_contact(organisation_id: UUID, values: Mapping[str, str | None]) -> Contact:
    """A new contact of these values; raises InvalidContactError, which EmailTakenError is one of."""
    cleaned = check_values({**dict.fromkeys(FIELD_NAMES), **values})
    _refuse_taken(organisation_id, cleaned)
    contact = Contact(organisation_id=organisation_id)
    with _unless_taken(organisation_id, cleaned):
        db.session.add(_fill(contact, cleaned))
    return contact


def update_contact(contact: Contact, values: Mapping[str, str | None]) -> Contact:
    """Change the given fields and leave the others; a blank value empties its field."""
    cleaned = check_values(values)
    _refuse_taken(contact.organisation_id, cleaned, contact.id)
    with _unless_taken(contact.organisation_id, cleaned):
        _fill(contact, cleaned)
        if db.session.is_modified(contact):
            contact.updated_at = utc_now()
    return contact


def restore_contact(deleted: DeletedContact) -> Contact:
    """The contact as it was; raises EmailTakenError when somebody else has its address by now."""
    contact = get_contact(deleted.organisation_id, deleted.id)
    if contact is not None:
        return contact
    cleaned = check_values(deleted.values)
    _refuse_taken(deleted.organisation_id, cleaned)
    with _unless_taken(deleted.organisation_id, cleaned):
        contact = Contact(organisation_id=deleted.organisation_id, id=deleted.id)
        contact.created_at, contact.updated_at = deleted.created_at, deleted.updated_at
        db.session.add(_fill(contact, cleaned))
    return contact


def delete_contact(contact: Contact) -> None:
    db.session.delete(contact)
    db.session.flush()


def check_values(values: Mapping[str, str | None]) -> dict[str, str]:
    """The values without white space around them; raises InvalidContactError with every fault at once."""
    errors = {name: f"A contact has no field called “{name}”." for name in values if name not in FIELDS_BY_NAME}
    cleaned = {name: clean(value) for name, value in values.items() if name in FIELDS_BY_NAME}
    for name, value in cleaned.items():
        fault = FIELDS_BY_NAME[name].fault_of(value)
        if fault:
            errors[name] = fault
    if errors:
        raise InvalidContactError(errors)
    return cleaned


def _fill(contact: Contact, cleaned: Mapping[str, str]) -> Contact:
    for name, value in cleaned.items():
        setattr(contact, name, value or None)
    if KEY_FIELD.name in cleaned:
        contact.email_key = email_key(contact.email)
    return contact


@contextmanager
def _unless_taken(organisation_id: UUID, cleaned: Mapping[str, str]) -> Iterator[None]:
    """Another request may have taken the address since we looked; the database has the last word.

    The change belongs inside: a savepoint flushes what was changed before it begins.
    """
    try:
        with db.session.begin_nested():
            yield
    except IntegrityError as error:
        other = find_contact_by_email(organisation_id, cleaned.get(KEY_FIELD.name, ""))
        if other is None:
            raise
        raise EmailTakenError(other) from error


def _refuse_taken(organisation_id: UUID, cleaned: Mapping[str, str], own_id: UUID | None = None) -> None:
    if KEY_FIELD.name not in cleaned:
        return
    other = find_contact_by_email(organisation_id, cleaned[KEY_FIELD.name])
    if other and other.id != own_id:
        raise EmailTakenError(other)
