"""What the calls of a kind of record share: how a record is shown, and the problems that end a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from flask import url_for

from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.problems import Problem
from webapp.records import queries, service
from webapp.records.api_schemas import Schemas, schemas_for
from webapp.records.beside import numbers_of
from webapp.records.entities import ATTRIBUTES, Entity
from webapp.records.filters import RecordFilter
from webapp.records.refusals import checked_filter, refused


def _nothing_more(record: Any) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Calls:
    """What an entity's API adds to what all have: examples for its description, and more that it shows of a record."""

    entity: Entity
    example: dict[str, Any]
    example_change: dict[str, Any]
    more_fields: Mapping[str, Any] = field(default_factory=dict)
    more_of: Callable[[Any], dict[str, Any]] = _nothing_more

    @cached_property
    def schemas(self) -> Schemas:
        """What goes in and comes out."""
        return schemas_for(self.entity, self.more_fields)

    def as_json(self, record: Any) -> dict[str, Any]:
        """A record as the API shows it."""
        return self.as_list([record])[0]

    def as_list(self, records: Sequence[Any]) -> list[dict[str, Any]]:
        """Records as the API shows them, with the numbers beside them."""
        numbers = numbers_of(self.entity, records[0].organisation_id, records) if records else {}
        return [
            as_json(self.entity, record)
            | {name: found.get(record.id, 0) for name, found in numbers.items()}
            | self.more_of(record)
            for record in records
        ]


def filter_of(entity: Entity, arguments: Mapping[str, Any]) -> RecordFilter:
    """The filter in a call's arguments; what cannot be read ends as a problem."""
    listed = {name: value if isinstance(value, list) else [str(value)] for name, value in arguments.items() if value}
    return checked_filter(entity, listed, place="query")


def as_json(entity: Entity, record: Any) -> dict[str, Any]:
    """A record as the API shows it."""
    fields = {one.name: one.as_json(getattr(record, one.name)) for one in entity.fields}
    system = {name: getattr(record, name) for name in (ATTRIBUTES, "created_at", "updated_at")}
    return {"id": record.id, **fields, **system, "import_id": record.bulk_action_id}


def saved(entity: Entity, write: Callable[[], Any]) -> Any:
    """The written and committed record; what cannot be kept ends as a problem."""
    try:
        record = write()
    except service.KeyTakenError as error:
        raise _exists(entity, error.other) from error
    except service.InvalidRecordError as error:
        raise refused(error.errors) from error
    db.session.commit()
    return record


def locked(entity: Entity, record_id: UUID) -> Any:
    """The record, locked until the transaction ends; raises a problem when there is none."""
    record = queries.get_record_for_update(entity, current_organisation().id, record_id)
    if record is None:
        raise not_found(entity)
    return record


def url_of(entity: Entity, record: Any) -> str:
    """Where the record is read."""
    return url_for(f"api_{entity.name}.show", record_id=record.id)


def not_found(entity: Entity) -> Problem:
    """Nothing of this kind has the id."""
    detail = f"This organisation has no {entity.singular} with that id."
    return Problem(404, f"{entity.singular.capitalize()} not found", detail)


def _exists(entity: Entity, other: Any) -> Problem:
    key = entity.key
    taken = f"Another {entity.singular} already has the {key.label} {getattr(other, key.name)}."
    detail = f"{taken} Change that one, or use another."
    title, name = f"{entity.singular.capitalize()} exists", entity.singular
    return Problem(409, title, detail, **{f"{name}_id": other.id, f"{name}_url": url_of(entity, other)})
