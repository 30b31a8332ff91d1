"""Every look at contacts. Lists are paged by key: the thousandth page costs what the first does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from webapp.contacts.fields import email_key
from webapp.contacts.models import Contact
from webapp.extensions import db
from webapp.lib.pagination import decode_cursor, encode_cursor

PAGE_SIZE = 50
COUNT_LIMIT = 100_000
HIGHEST = "\U0010ffff"
SORTS: dict[str, InstrumentedAttribute[str] | None] = {
    "name": Contact.name_key,
    "email": Contact.email_key,
    "company": Contact.company_key,
    "created": None,
}
"""What a list may be sorted by; `created` is the id itself, which carries its time."""


@dataclass(frozen=True)
class ContactPage:
    """Some contacts, and the cursor of those that follow."""

    contacts: Sequence[Contact]
    next_cursor: str | None


@dataclass(frozen=True)
class ContactCount:
    """How many there are; exact up to COUNT_LIMIT, else "more than that"."""

    number: int
    is_exact: bool


def get_contact(organisation_id: UUID, contact_id: UUID) -> Contact | None:
    return db.session.get(Contact, (organisation_id, contact_id))


def get_contact_for_update(organisation_id: UUID, contact_id: UUID) -> Contact | None:
    """The contact, re-read and locked until the transaction ends."""
    return db.session.get(Contact, (organisation_id, contact_id), with_for_update=True, populate_existing=True)


def find_contact_by_email(organisation_id: UUID, email: str) -> Contact | None:
    """The contact with this address, in whatever case."""
    query = select(Contact).where(Contact.organisation_id == organisation_id, Contact.email_key == email_key(email))
    return db.session.scalar(query)


def list_contacts(
    organisation_id: UUID,
    *,
    q: str = "",
    sort: str = "created",
    direction: str = "",
    cursor: str | None = None,
    limit: int = PAGE_SIZE,
) -> ContactPage:
    """A page of contacts. Raises BadCursorError, or KeyError for an unknown sort.

    Sorted by name, email or company it ascends, by time of creation it descends, unless `direction`
    ("asc" or "desc") says otherwise.
    """
    key = SORTS[sort]
    descends = (direction or ("desc" if key is None else "asc")) == "desc"
    query = _matching(organisation_id, q)
    if cursor:
        query = query.where(_after(key, descends, cursor))
    order = [Contact.id] if key is None else [key, Contact.id]
    query = query.order_by(*(column.desc() if descends else column.asc() for column in order))
    found = db.session.scalars(query.limit(limit + 1)).all()
    return ContactPage(found[:limit], _cursor_of(found[limit - 1], key) if len(found) > limit else None)


def count_contacts(organisation_id: UUID, *, q: str = "") -> ContactCount:
    """How many match, counted up to COUNT_LIMIT, so that no list waits for a count."""
    some = _matching(organisation_id, q).with_only_columns(Contact.id).limit(COUNT_LIMIT + 1).subquery()
    number = db.session.scalar(select(func.count()).select_from(some)) or 0
    return ContactCount(min(number, COUNT_LIMIT), number <= COUNT_LIMIT)


def has_contacts(organisation_id: UUID) -> bool:
    """Whether there is any at all."""
    return db.session.scalar(select(Contact.id).where(Contact.organisation_id == organisation_id).limit(1)) is not None


def _matching(organisation_id: UUID, q: str) -> Select[Contact]:
    query = select(Contact).where(Contact.organisation_id == organisation_id)
    text = " ".join(q.replace("\x00", "").split())
    return query.where(or_(*_prefix_matches(text))) if text else query


def _prefix_matches(text: str) -> list[ColumnElement[bool]]:
    """Address, full name, last name or company begins with the text.

    As a range of bytes: the operators that PostgreSQL trusts below a row-level policy, so that it uses the indexes.
    """
    lowered = func.lower(text)
    keys = (Contact.name_key, Contact.last_name_key, Contact.company_key)
    by_name = [(key >= lowered) & (key < func.concat(lowered, HIGHEST)) for key in keys]
    address = email_key(text)
    return [(Contact.email_key >= address) & (Contact.email_key < address + HIGHEST), *by_name]


def _after(key: InstrumentedAttribute[str] | None, descends: bool, cursor: str) -> ColumnElement[bool]:
    sort_key, contact_id = decode_cursor(cursor)
    if key is None:
        return Contact.id < contact_id if descends else Contact.id > contact_id
    place, last = tuple_(key, Contact.id), tuple_(sort_key, contact_id)
    return place < last if descends else place > last


def _cursor_of(contact: Contact, key: InstrumentedAttribute[str] | None) -> str:
    return encode_cursor("" if key is None else str(getattr(contact, key.key)), contact.id)
