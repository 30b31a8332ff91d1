"""What can be done to one record. Nothing here commits."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.lib.texts import UNKEEPABLE, is_keepable, shown
from webapp.records.context import context_of
from webapp.records.entities import ATTRIBUTES, Entity
from webapp.records.fields import Context, FaultError, Field, clean
from webapp.records.models import AttributeName
from webapp.records.queries import find_by_key
from webapp.records.trash import Deletion, delete_records, restore_records

MAX_ATTRIBUTES = 200
MAX_ATTRIBUTE_NAME = 100
MAX_ATTRIBUTE_LENGTH = 20_000


class InvalidRecordError(ValueError):
    """Some values cannot be kept: `errors` says which and why, by field."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


class KeyTakenError(InvalidRecordError):
    """Another record has this key."""

    def __init__(self, entity: Entity, other: Any) -> None:
        key = entity.key
        said = f"{entity.label_of(other)} already has the {key.label} {getattr(other, key.name)}."
        super().__init__({key.name: said})
        self.other = other


Values = Mapping[str, str | None]
"""Texts by field, as forms, files and the API give them; None and "" are blank."""


def create_record(
    entity: Entity, organisation_id: UUID, values: Values, attributes: Mapping[str, str | None] | None = None
) -> Any:
    """A new record of these values; raises InvalidRecordError, which KeyTakenError is one of."""
    checked = check_values(entity, organisation_id, {**dict.fromkeys(entity.field_names), **values}, attributes)
    refuse_taken(entity, organisation_id, checked)
    record = entity.model(organisation_id=organisation_id)
    with _unless_taken(entity, organisation_id, checked):
        db.session.add(_fill(entity, record, checked))
        _note_names(entity, record, checked)
    return record


def update_record(
    entity: Entity, record: Any, values: Values, attributes: Mapping[str, str | None] | None = None
) -> Any:
    """Change the given fields and own attributes and leave the others; a blank value empties its field."""
    checked = check_values(entity, record.organisation_id, values, attributes)
    refuse_taken(entity, record.organisation_id, checked, record.id)
    with _unless_taken(entity, record.organisation_id, checked):
        _fill(entity, record, checked)
        if db.session.is_modified(record):
            record.updated_at = utc_now()
        _note_names(entity, record, checked)
    return record


def delete_record(entity: Entity, record: Any, by: UUID | None) -> None:
    """Move the record into the trash."""
    db.session.flush()
    delete_records(entity, record.organisation_id, [record.id], Deletion(utc_now(), by))
    db.session.expunge(record)


def restore_record(entity: Entity, organisation_id: UUID, record_id: UUID) -> Any:
    """The record out of the trash; raises KeyTakenError, or LookupError when the trash does not hold it any more."""
    if restore_records(entity, organisation_id, [record_id]):
        return db.session.get(entity.model, (organisation_id, record_id))
    present = db.session.get(entity.model, (organisation_id, record_id))
    if present is not None:
        return present
    deleted = entity.deleted.c
    query = entity.deleted.select().where(deleted.organisation_id == organisation_id, deleted.id == record_id)
    row = db.session.execute(query).one_or_none()
    other = find_by_key(entity, organisation_id, getattr(row, entity.key.name)) if row else None
    if other is None:
        raise LookupError(f"There is no deleted {entity.singular} {record_id}.")
    raise KeyTakenError(entity, other)


def check_values(
    entity: Entity, organisation_id: UUID, values: Values, attributes: Mapping[str, str | None] | None = None
) -> dict[str, Any]:
    """The values that the fields hold, own attributes under their own name; raises InvalidRecordError with every fault.

    A JSON list of tags is taken as well as their text.
    """
    known = entity.fields_by_name
    errors = {name: f"A {entity.singular} has no field called “{name}”." for name in values if name not in known}
    context = context_of(organisation_id)
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name in known:
            _check(known[name], value, context, checked, errors)
    if attributes is not None:
        checked[ATTRIBUTES] = {name: clean(value) for name, value in attributes.items()}
        errors |= attribute_errors(checked[ATTRIBUTES])
    if errors:
        raise InvalidRecordError(errors)
    return checked


def _check(field: Field, value: Any, context: Context, checked: dict[str, Any], errors: dict[str, str]) -> None:
    text = "\n".join(map(str, value)) if isinstance(value, list | tuple) else str("" if value is None else value)
    try:
        checked[field.name] = field.parse(clean(text), context)
    except FaultError as error:
        errors[field.name] = str(error)


def attribute_errors(attributes: Mapping[str, str]) -> dict[str, str]:
    """Why these are no own attributes of a record; nothing when they are."""
    if len(attributes) > MAX_ATTRIBUTES:
        return {ATTRIBUTES: f"There are {len(attributes)} fields of your own; at most {MAX_ATTRIBUTES} fit."}
    for name, value in attributes.items():
        if not name.strip() or len(name) > MAX_ATTRIBUTE_NAME:
            return {ATTRIBUTES: f"A field of your own needs a name of 1 to {MAX_ATTRIBUTE_NAME} characters."}
        if not is_keepable(name + value):
            return {ATTRIBUTES: f"{shown(name)} {UNKEEPABLE}."}
        if len(value) > MAX_ATTRIBUTE_LENGTH:
            return {ATTRIBUTES: f"{name} has {len(value):,} characters; at most {MAX_ATTRIBUTE_LENGTH:,} fit."}
    return {}


def _fill(entity: Entity, record: Any, checked: Mapping[str, Any]) -> Any:
    for name, value in checked.items():
        if name != ATTRIBUTES:
            setattr(record, name, _kept(entity.fields_by_name[name], value))
    if ATTRIBUTES in checked:
        merged = {**(record.attributes or {}), **checked[ATTRIBUTES]}
        kept = {name: value for name, value in merged.items() if value}
        if errors := attribute_errors(kept):
            raise InvalidRecordError(errors)
        record.attributes = kept
    if entity.key.name in checked:
        setattr(record, entity.key_column, entity.key.fold(checked[entity.key.name]))
    return record


def _note_names(entity: Entity, record: Any, checked: Mapping[str, Any]) -> None:
    """Last of all: it writes out what was changed, after which nothing tells that something was."""
    if ATTRIBUTES in checked:
        note_attribute_names(record.organisation_id, entity.name, record.attributes)


def _kept(field: Field, value: Any) -> Any:
    """A blank as its column holds it."""
    if value is not None or field.sql_default == "NULL":
        return value
    return [] if field.sql_type.endswith("[]") else True


def note_attribute_names(organisation_id: UUID, entity: str, names: Collection[str]) -> None:
    """Remember which own attributes the organisation has, for lists, filters and mappings."""
    if not names:
        return
    now = utc_now()
    rows = [
        {"organisation_id": organisation_id, "entity": entity, "name": name, "created_at": now}
        for name in sorted(names)
    ]
    db.session.execute(insert(AttributeName).values(rows).on_conflict_do_nothing())


@contextmanager
def _unless_taken(entity: Entity, organisation_id: UUID, checked: Mapping[str, Any]) -> Iterator[None]:
    """Another request may have taken the key since we looked; the database has the last word.

    The change belongs inside: a savepoint flushes what was changed before it begins.
    """
    try:
        with db.session.begin_nested():
            yield
    except IntegrityError as error:
        other = find_by_key(entity, organisation_id, checked.get(entity.key.name, ""))
        if other is None:
            raise
        raise KeyTakenError(entity, other) from error


def refuse_taken(entity: Entity, organisation_id: UUID, checked: Mapping[str, Any], own_id: UUID | None = None) -> None:
    """Raises KeyTakenError when another record has the key."""
    if entity.key.name not in checked:
        return
    other = find_by_key(entity, organisation_id, checked[entity.key.name])
    if other and other.id != own_id:
        raise KeyTakenError(entity, other)
