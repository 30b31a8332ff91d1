"""Contacts for tests of lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from uuid import UUID

from apiflask import APIFlask

from tests.conftest import Person
from webapp.contacts.models import CONTACTS
from webapp.extensions import db, tenant
from webapp.records.service import create_record


def add_contact(
    app: APIFlask,
    person: Person,
    email: str = "ada@example.com",
    attributes: Mapping[str, str] | None = None,
    **values: str,
) -> UUID:
    """A contact of the person's organisation."""
    with app.app_context(), tenant(person.organisation_id):
        contact = create_record(CONTACTS, person.organisation_id, {"email": email, **values}, attributes)
        db.session.commit()
        found: UUID = contact.id
        return found


def add_many(app: APIFlask, person: Person, count: int) -> None:
    """Contacts p000@example.com and on."""
    with app.app_context(), tenant(person.organisation_id):
        for number in range(count):
            values = {"email": f"p{number:03}@example.com", "last_name": f"L{number:03}"}
            create_record(CONTACTS, person.organisation_id, values)
        db.session.commit()


def emails(html: str) -> list[str]:
    """The addresses in a list's rows, in order, each once."""
    found = re.findall(r"<td[^>]*>\s*(?:<[^>]*>\s*)*([\w.]+@example\.com)(?=<)", html)
    return list(dict.fromkeys(found))
