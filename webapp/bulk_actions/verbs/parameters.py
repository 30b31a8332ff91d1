"""What people say beside the selection: which fields get which values, which tags, which file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from webapp.bulk_actions.models import Verb
from webapp.bulk_actions.verbs.changes import Change
from webapp.lib.texts import UNKEEPABLE, is_keepable, shown
from webapp.records.context import context_of
from webapp.records.entities import ATTRIBUTE_PREFIX, ATTRIBUTES, Entity
from webapp.records.field_types import MAX_TAGS, TAG_BREAK, check_tags
from webapp.records.fields import Context, FaultError, clean
from webapp.records.queries import list_attribute_names
from webapp.records.service import MAX_ATTRIBUTES, attribute_errors, note_attribute_names

FORMATS = ("csv", "xlsx")
FORMULAS = ("keep", "neutralise")
TIMES = ("created_at", "updated_at")
PARAMETERS = {
    Verb.UPDATE: ("values",),
    Verb.ADD_TAGS: ("tags",),
    Verb.REMOVE_TAGS: ("tags",),
    Verb.EXPORT: ("format", "formulas", "columns"),
}
CONFIRMED = "confirmed_count"
"""Among the parameters that are kept: how many records were confirmed, if anybody was asked."""


class ParameterError(ValueError):
    """The parameters cannot be used; the message says why, in plain words."""


def check_parameters(verb: Verb, entity: Entity, organisation_id: UUID, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as they are kept, in texts; raises ParameterError."""
    if unknown := set(given) - set(PARAMETERS.get(verb, ())):
        raise ParameterError(f"{_said(verb)} knows no parameter called “{shown(min(unknown))}”.")
    if verb is Verb.UPDATE:
        return {"values": _checked_values(entity, organisation_id, given.get("values") or {})}
    if verb in {Verb.ADD_TAGS, Verb.REMOVE_TAGS}:
        return {"tags": _checked_tags(given.get("tags"), may_be_anything=verb is Verb.REMOVE_TAGS)}
    if verb is Verb.EXPORT:
        return _checked_export(entity, organisation_id, given)
    if verb is Verb.FIND_PICTURES and entity.name != "products":
        raise ParameterError("Only products have pictures.")
    return {}


def _said(verb: Verb) -> str:
    return verb.value.replace("_", " ").capitalize()


def _checked_values(entity: Entity, organisation_id: UUID, values: Any) -> dict[str, str]:
    if not isinstance(values, Mapping):
        raise ParameterError("`values` is an object: fields by name, each with its new value.")
    if not values:
        raise ParameterError("Choose at least one field to change.")
    context = context_of(organisation_id)
    return {name: _checked_value(entity, name, value, context) for name, value in values.items()}


def _checked_value(entity: Entity, name: str, value: Any, context: Context) -> str:
    """As a single record's rules have it, in the text form of PostgreSQL; "" for a blank."""
    field = entity.fields_by_name.get(name)
    if (field is None and not name.startswith(ATTRIBUTE_PREFIX)) or (field and field.is_key):
        label = shown(entity.label_of_column(name))
        raise ParameterError(f"“{label}” cannot be changed for many {entity.name} at once.")
    cell = clean(_text(entity, name, value))
    if field is None:
        return _checked_own(name, cell)
    if not is_keepable(cell):
        raise ParameterError(f"{field.label} {UNKEEPABLE}.")
    try:
        parsed = field.parse(cell, context)
    except FaultError as error:
        raise ParameterError(str(error)) from error
    return "" if parsed in (None, "") else field.literal(parsed)


def _checked_own(name: str, cell: str = "") -> str:
    for fault in attribute_errors({name.removeprefix(ATTRIBUTE_PREFIX): cell}).values():
        raise ParameterError(fault)
    return cell


def _text(entity: Entity, name: str, value: Any) -> str:
    """A list is that of tags alone; numbers and truth are written as people would."""
    field = entity.fields_by_name.get(name)
    if field is not None and field.sql_type == "text[]" and isinstance(value, list | tuple):
        return "\n".join(_listed_texts(value, field.label))
    is_yes_or_no = isinstance(value, bool) and field is not None and field.sql_type == "boolean"
    is_cell = isinstance(value, str | int | float | Decimal) and not isinstance(value, bool)
    if value is not None and not is_cell and not is_yes_or_no:
        raise ParameterError(f"The new value of {shown(entity.label_of_column(name))} is no text.")
    return "" if value is None else str(value)


def _listed_texts(given: Any, name: str) -> list[str]:
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise ParameterError(f"{name} is a list of texts.")
    return list(given)


def _checked_tags(given: Any, *, may_be_anything: bool) -> list[str]:
    """Those that records may hold. What else they came to hold can be removed, but one by one, in a list."""
    parts = TAG_BREAK.split(given) if isinstance(given, str) else _listed_texts(given or [], "`tags`")
    tags = {" ".join(part.split()) for part in parts} - {""}
    if not tags:
        raise ParameterError("Say at least one tag.")
    for tag in tags:
        if not is_keepable(tag):
            raise ParameterError(f"The tag “{shown(tag)}” {UNKEEPABLE}.")
        if not may_be_anything and (found := TAG_BREAK.search(tag)):
            raise ParameterError(f"The tag “{shown(tag)}” contains “{found[0]}”, which separates tags in files.")
    try:
        return check_tags(tags)
    except FaultError as error:
        raise ParameterError(str(error)) from error


def _checked_export(entity: Entity, organisation_id: UUID, given: Mapping[str, Any]) -> dict[str, Any]:
    file_format, formulas = given.get("format", "csv"), given.get("formulas", "keep")
    if file_format not in FORMATS or formulas not in FORMULAS:
        raise ParameterError("Choose one of the formats, and one of the ways with formulas, that are offered.")
    columns = _listed_texts(given.get("columns") or [], "`columns`") or exportable_columns(entity, organisation_id)
    for name in columns:
        if name.startswith(ATTRIBUTE_PREFIX):
            _checked_own(name)
        elif name not in [*entity.field_names, *TIMES]:
            raise ParameterError(f"There is no column called “{shown(name)}”.")
    return {"format": file_format, "formulas": formulas, "columns": list(dict.fromkeys(columns))}


def exportable_columns(entity: Entity, organisation_id: UUID) -> list[str]:
    """What a file may hold of each record, and holds unless somebody chooses."""
    own = [ATTRIBUTE_PREFIX + name for name in list_attribute_names(organisation_id, entity)]
    return [*entity.field_names, *TIMES, *own]


def change_of(verb: Verb, entity: Entity, parameters: Mapping[str, Any]) -> Change:
    """The change that a verb makes to a record."""
    if verb is Verb.ADD_TAGS:
        return _addition_of(parameters["tags"])
    if verb is Verb.REMOVE_TAGS:
        rest = "ARRAY(SELECT tag FROM unnest(c.tags) AS tag WHERE tag <> ALL (CAST(:tags AS text[])))"
        value = f"CASE WHEN c.tags && CAST(:tags AS text[]) THEN {rest} ELSE c.tags END"
        return Change({"tags": value}, {"tags": parameters["tags"]})
    return _update_of(entity, parameters["values"])


def _addition_of(tags: list[str]) -> Change:
    union = 'ARRAY(SELECT DISTINCT tag COLLATE "C" FROM unnest(c.tags || CAST(:tags AS text[])) AS tag ORDER BY 1)'
    value = f"CASE WHEN c.tags @> CAST(:tags AS text[]) THEN c.tags ELSE {union} END"
    few = MAX_TAGS - len(tags)
    fits = f"(cardinality(c.tags) <= {few} OR cardinality({union}) <= {MAX_TAGS})"
    return Change({"tags": value}, {"tags": tags}, fits, f"It would have more than {MAX_TAGS} tags.")


def _update_of(entity: Entity, wanted: Mapping[str, str]) -> Change:
    assignments: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name, value in wanted.items():
        field = entity.fields_by_name.get(name)
        if field is None:
            continue
        if value:
            assignments[name] = f"CAST(:value_{name} AS {field.sql_type})"
            values[f"value_{name}"] = value
        else:
            assignments[name] = f"CAST({field.sql_default} AS {field.sql_type})"
    own = {name.removeprefix(ATTRIBUTE_PREFIX): value or None for name, value in own_values(entity, wanted).items()}
    if not own:
        return Change(assignments, values)
    merged = "jsonb_strip_nulls(c.attributes || CAST(:own AS jsonb))"
    return Change(
        {**assignments, ATTRIBUTES: merged},
        {**values, "own": json.dumps(own)},
        f"(SELECT count(*) FROM jsonb_object_keys({merged})) <= {MAX_ATTRIBUTES}" if any(own.values()) else "true",
        f"It would have more than {MAX_ATTRIBUTES} fields of your own.",
    )


def own_values(entity: Entity, values: Mapping[str, str]) -> dict[str, str]:
    """Those of the values that are of own attributes."""
    return {name: value for name, value in values.items() if name not in entity.fields_by_name}


def note_new_names(entity: Entity, organisation_id: UUID, values: Mapping[str, str]) -> None:
    """Let lists offer the own attributes that these values gave to records."""
    names = [name.removeprefix(ATTRIBUTE_PREFIX) for name, value in own_values(entity, values).items() if value]
    note_attribute_names(organisation_id, entity.name, names)
