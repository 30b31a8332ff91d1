"""Records of either kind, for tests that hold for both."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIFlask

from tests.conftest import Person
from webapp.contacts.models import CONTACTS
from webapp.extensions import db, tenant
from webapp.products.models import PRODUCTS
from webapp.records.entities import Entity
from webapp.records.service import create_record

ENTITIES: tuple[Entity, ...] = (CONTACTS, PRODUCTS)
NAME_FIELDS = {"contacts": "first_name", "products": "name"}


def key_of(entity: Entity, name: str) -> str:
    """A key for the entity: "ada@example.com", "ADA"."""
    return f"{name}@example.com" if entity is CONTACTS else name.upper()


def values_of(entity: Entity, name: str = "ada", **more: Any) -> dict[str, Any]:
    """What makes a record that people call by this name."""
    return {entity.key.name: key_of(entity, name), NAME_FIELDS[entity.name]: name.capitalize(), **more}


def add_record(app: APIFlask, person: Person, entity: Entity, name: str = "ada", **more: Any) -> UUID:
    """A committed record of the person's organisation."""
    attributes = more.pop("attributes", None)
    with app.app_context(), tenant(person.organisation_id):
        record = create_record(entity, person.organisation_id, values_of(entity, name, **more), attributes)
        db.session.commit()
        record_id: UUID = record.id
        return record_id
