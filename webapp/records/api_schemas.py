"""The API's description of a kind of record, made from its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from apiflask import Schema
from apiflask.fields import Boolean, Dict, Integer, List, Nested, Raw, String
from apiflask.validators import OneOf, Range
from marshmallow import ValidationError

from webapp.records.behaviour_sets import FRESH_FOR
from webapp.records.entities import ATTRIBUTES, Entity
from webapp.records.fields import Field
from webapp.records.search import COUNT_LIMIT, PAGE_SIZE
from webapp.schemas import Text, UtcTime
from webapp.visits.behaviour.conditions import EXAMPLE

MAX_LIMIT = 500
MINUTE = timedelta(minutes=1)
FORMATS = {"email"}
"""Types of fields that OpenAPI knows as formats, too."""


class Amount(Text):
    """A number, given as such or as a text, which keeps every digit."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValidationError("Not a number, nor a text with one.")
        return super()._deserialize(str(value), attr, data, **kwargs)


@dataclass(frozen=True)
class Schemas:
    """What goes in and comes out."""

    values: type[Schema]
    changes: type[Schema]
    shown: type[Schema]
    query: type[Schema]
    page: type[Schema]
    deleted: type[Schema]
    deleted_query: type[Schema]


def schemas_for(entity: Entity, more: Mapping[str, Any]) -> Schemas:
    """The schemas of an entity; `more` are fields that it shows besides."""
    name = entity.singular.capitalize()
    numbers = {key: Integer(metadata={"title": one.label}) for key, one in entity.beside.items()}
    shown = named_schema(name, {**_shown(entity), **numbers, **more})
    return Schemas(
        values=named_schema(f"{name}Values", _inputs(entity, is_new=True)),
        changes=named_schema(f"{name}Changes", _inputs(entity, is_new=False)),
        shown=shown,
        query=named_schema(f"{name}ListQuery", _query(entity)),
        page=named_schema(f"{name}List", _page(shown)),
        deleted=named_schema(f"Deleted{name}List", _deleted_page(named_schema(f"Deleted{name}", _deleted(entity)))),
        deleted_query=named_schema(f"Deleted{name}ListQuery", _deleted_query(entity)),
    )


def named_schema(name: str, fields: Mapping[str, Any]) -> type[Schema]:
    """A schema as `Schema.from_dict` makes it; what comes out is APIFlask's, whatever its annotation says."""
    return cast("type[Schema]", Schema.from_dict(dict(fields), name=name))


def _inputs(entity: Entity, *, is_new: bool) -> dict[str, Any]:
    inputs: dict[str, Any] = {field.name: _input(field, is_new=is_new) for field in entity.fields}
    own = Dict(keys=Text(), values=Text(allow_none=True), metadata={"description": "Fields of your own, by name."})
    return {**inputs, ATTRIBUTES: own}


def _input(field: Field, *, is_new: bool) -> Any:
    metadata = {"title": field.label, "maxLength": field.max_length, "description": field.help or field.label}
    if field.sql_type == "text[]":
        return List(Text(), allow_none=True, metadata={"title": field.label})
    if field.sql_type == "boolean":
        return Boolean(allow_none=True, metadata={"title": field.label})
    if field.sql_type == "numeric":
        kinds = {"type": ["string", "number"]}  # apispec would say one of them only
        return Amount(allow_none=True, metadata={"title": field.label, "example": "12.50", **kinds})
    if field.sql_type == "uuid":
        metadata |= {"description": "A member, by e-mail address or by id."}
    return Text(
        required=is_new and field.is_required,
        allow_none=not field.is_required,
        metadata={**metadata, "format": field.type} if field.type in FORMATS else metadata,
    )


def _shown(entity: Entity) -> dict[str, Any]:
    return {
        "id": String(metadata={"format": "uuid"}),
        **{field.name: _output(field) for field in entity.fields},
        ATTRIBUTES: Dict(keys=String(), values=String()),
        "import_id": String(allow_none=True, metadata={"description": "The import that it came with."}),
        "created_at": UtcTime(),
        "updated_at": UtcTime(),
    }


def _output(field: Field) -> Any:
    if field.sql_type == "text[]":
        return List(String(), metadata={"title": field.label})
    if field.sql_type == "boolean":
        return Boolean(metadata={"title": field.label})
    return String(allow_none=not field.is_required, metadata={"title": field.label})


def sorts_of(entity: Entity) -> list[str]:
    """What a list can be sorted by."""
    return [sign + name for name in entity.sorts for sign in ("", "-")]


def _query(entity: Entity) -> dict[str, Any]:
    day = "A day of the organisation's time zone, such as 2026-11-22."
    where = "A comparison such as `city:is:Berlin`; several must all hold."
    return {
        "q": _text("Beginning of a name or another text that is searched."),
        "tag": List(Text(), load_default=list, metadata={"description": "A tag; several must all be there."}),
        "where": List(Text(), load_default=list, metadata={"description": where}),
        "created_from": _text(day),
        "created_to": _text(day),
        "updated_from": _text(day),
        "updated_to": _text(day),
        "import": _text("The id of the bulk action that the records came with."),
        "seen": _text("yes or no: whether they were seen on a website."),
        **(_did() if entity.visits_websites else {}),
        "sort": Text(
            load_default="-created",
            validate=OneOf(sorts_of(entity)),
            metadata={"description": "What to sort by; a hyphen before it turns the order round."},
        ),
        "columns": List(
            Text(),
            load_default=list,
            metadata={
                "description": "Only these of each record, beside its id: names of fields, `attributes` or one own "
                "field as `attributes.<name>`, created_at, updated_at, import_id. Several, or none for all.",
            },
        ),
        **_paging(),
    }


def _did() -> dict[str, Any]:
    said = (
        f"What they did on your websites, such as `{EXAMPLE}`; several must all hold. First when: `14d` (the last 14 "
        "days, today among them), `2026-01-01..2026-03-31` or `ever`; then, if wanted, how often at least (`3x`) and "
        "on which site (`site=<id>`); then what: `page:is|begins|contains:<path or address>`, "
        "`event:is|begins|contains:<name>`, `property:is|begins|contains:<event>U+001F<name>U+001F<value>`, "
        "`product:is:<SKU>` or `anything`. "
        "`not:` before all of it finds those who did not, whether they were ever identified or not. What was done is "
        f"as of up to {FRESH_FOR // MINUTE} minutes ago; a cursor's page is answered as its first one was."
    )
    return {"did": List(Text(), load_default=list, metadata={"description": said})}


def _paging() -> dict[str, Any]:
    return {
        "limit": Integer(load_default=PAGE_SIZE, validate=Range(1, MAX_LIMIT)),
        "cursor": Text(load_default=None, metadata={"description": "`next_cursor` of the page before."}),
    }


def _text(description: str) -> Text:
    return Text(load_default="", metadata={"description": description})


def _page(shown: type[Schema]) -> dict[str, Any]:
    return {
        "data": List(Nested(shown)),
        "next_cursor": _next_cursor(),
        "is_partial": _is_partial(),
        "total": Integer(metadata={"description": f"How many match; counted up to {COUNT_LIMIT:,}."}),
        "total_is_exact": Boolean(metadata={"description": "False when there are more than `total` says."}),
    }


def _next_cursor() -> Raw:
    return Raw(allow_none=True, metadata={"type": "string", "description": "Ask with it for what follows."})


def _is_partial() -> Boolean:
    said = "True when the search is not over: `next_cursor` goes on with it."
    return Boolean(metadata={"description": said})


def _deleted(entity: Entity) -> dict[str, Any]:
    return {
        **_shown(entity),
        "deleted_at": UtcTime(),
        "deleted_by": String(allow_none=True, metadata={"description": "The id of the member who deleted it."}),
        "deletion_id": String(allow_none=True, metadata={"description": "The bulk action that deleted it."}),
        "gone_at": UtcTime(metadata={"description": "When it is removed for good."}),
    }


def _deleted_query(entity: Entity) -> dict[str, Any]:
    return {"q": _text(f"Beginning of the {entity.key.label} or of a name."), **_paging()}


def _deleted_page(shown: type[Schema]) -> dict[str, Any]:
    return {"data": List(Nested(shown)), "next_cursor": _next_cursor(), "is_partial": _is_partial()}
