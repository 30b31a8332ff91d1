"""What people say beside the selection: which fields get which values, which tags, which file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from webapp.bulk_actions.models import Verb
from webapp.bulk_actions.verbs.changes import Change
from webapp.records.context import context_of
from webapp.records.entities import ATTRIBUTE_PREFIX, ATTRIBUTES, Entity
from webapp.records.field_types import check_tags
from webapp.records.fields import FaultError, clean

FORMATS = ("csv", "xlsx")
FORMULAS = ("keep", "neutralise")
CONFIRMED = "confirmed_count"
"""Among the parameters that are kept: how many records were confirmed, if anybody was asked."""


class ParameterError(ValueError):
    """The parameters cannot be used; the message says why, in plain words."""


def check_parameters(verb: Verb, entity: Entity, organisation_id: UUID, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as they are kept, in texts; raises ParameterError."""
    if verb is Verb.UPDATE:
        return {"values": _checked_values(entity, organisation_id, given.get("values") or {})}
    if verb in {Verb.ADD_TAGS, Verb.REMOVE_TAGS}:
        return {"tags": _checked_tags(given.get("tags"))}
    if verb is Verb.EXPORT:
        return _checked_export(entity, given)
    if verb is Verb.FIND_PICTURES and entity.name != "products":
        raise ParameterError("Only products have pictures.")
    return {}


def _checked_values(entity: Entity, organisation_id: UUID, values: Mapping[str, Any]) -> dict[str, str]:
    if not values:
        raise ParameterError("Choose at least one field to change.")
    context = context_of(organisation_id)
    checked = {}
    for name, value in values.items():
        field = entity.fields_by_name.get(name)
        if (field is None and not name.startswith(ATTRIBUTE_PREFIX)) or (field and field.is_key):
            raise ParameterError(f"“{entity.label_of_column(name)}” cannot be changed for many {entity.name} at once.")
        try:
            parsed = field.parse(clean(_text(value)), context) if field else clean(_text(value))
        except FaultError as error:
            raise ParameterError(str(error)) from error
        checked[name] = "" if parsed in (None, "") else (field.literal(parsed) if field else str(parsed))
    return checked


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "\n".join(map(str, value))
    return "" if value is None else str(value)


def _checked_tags(given: Any) -> list[str]:
    parts = given if isinstance(given, list | tuple) else str(given or "").replace(";", ",").split(",")
    tags = {" ".join(str(part).split()) for part in parts} - {""}
    if not tags:
        raise ParameterError("Say at least one tag.")
    try:
        return check_tags(tags)
    except FaultError as error:
        raise ParameterError(str(error)) from error


def _checked_export(entity: Entity, given: Mapping[str, Any]) -> dict[str, Any]:
    file_format, formulas = given.get("format", "csv"), given.get("formulas", "keep")
    if file_format not in FORMATS or formulas not in FORMULAS:
        raise ParameterError("Choose one of the formats, and one of the ways with formulas, that are offered.")
    columns = list(given.get("columns") or exported_columns(entity))
    for name in columns:
        if name not in exported_columns(entity) and not name.startswith(ATTRIBUTE_PREFIX):
            raise ParameterError(f"There is no column called “{name}”.")
    return {"format": file_format, "formulas": formulas, "columns": columns}


def exported_columns(entity: Entity) -> list[str]:
    """What a file may hold of each record."""
    return [*entity.field_names, "created_at", "updated_at"]


def change_of(verb: Verb, entity: Entity, parameters: Mapping[str, Any]) -> Change:
    """The change that a verb makes to a record."""
    if verb is Verb.ADD_TAGS:
        union = 'ARRAY(SELECT DISTINCT tag COLLATE "C" FROM unnest(c.tags || CAST(:tags AS text[])) AS tag ORDER BY 1)'
        return Change({"tags": f"CASE WHEN c.tags @> CAST(:tags AS text[]) THEN c.tags ELSE {union} END"}, parameters)
    if verb is Verb.REMOVE_TAGS:
        rest = "ARRAY(SELECT tag FROM unnest(c.tags) AS tag WHERE tag <> ALL (CAST(:tags AS text[])))"
        return Change({"tags": f"CASE WHEN c.tags && CAST(:tags AS text[]) THEN {rest} ELSE c.tags END"}, parameters)
    return _update_of(entity, parameters["values"])


def _update_of(entity: Entity, wanted: Mapping[str, str]) -> Change:
    assignments: dict[str, str] = {}
    values: dict[str, Any] = {}
    own: dict[str, str | None] = {}
    for name, value in wanted.items():
        field = entity.fields_by_name.get(name)
        if field is None:
            own[name.removeprefix(ATTRIBUTE_PREFIX)] = value or None
        elif value:
            assignments[name] = f"CAST(:value_{name} AS {field.sql_type})"
            values[f"value_{name}"] = value
        else:
            assignments[name] = f"CAST({field.sql_default} AS {field.sql_type})"
    if own:
        assignments[ATTRIBUTES] = "jsonb_strip_nulls(c.attributes || CAST(:own AS jsonb))"
        values["own"] = json.dumps(own)
    return Change(assignments, values)
