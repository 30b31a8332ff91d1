"""An organisation's saved filters over the API: the same that its lists' pages offer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint, Schema
from apiflask.fields import Dict, List, Nested, Raw, String
from apiflask.validators import OneOf
from flask.typing import ResponseReturnValue
from marshmallow import RAISE

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.problems import Problem
from webapp.records import list_settings
from webapp.records.api_schemas import named_schema, sorts_of
from webapp.records.entities import Entity
from webapp.records.filters import ARGUMENTS
from webapp.records.models import SavedFilter
from webapp.records.orders import order_of
from webapp.records.queries import list_saved_filters
from webapp.records.refusals import checked_filter, refused
from webapp.schemas import Text, UtcTime

FILTER = {
    "description": "The arguments of the list by which it is filtered, each with a list of texts.",
    "example": {"tag": ["newsletter"], "where": ["country:is:Germany"]},
}


class SavedFilterOut(Schema):
    """A filter, and perhaps an order, under a name."""

    id = String(metadata={"format": "uuid"})
    name = Text()
    filter = Dict(keys=Text(), values=Raw(), metadata=FILTER)
    sort = Text(allow_none=True, metadata={"description": "As the list's `sort`; null for the usual order."})
    created_by = String(
        allow_none=True, metadata={"format": "uuid", "description": "The person's id; null for a program."}
    )
    created_at = UtcTime()


class SavedFilterList(Schema):
    """The organisation's saved filters of a list, by name."""

    data = List(Nested(SavedFilterOut))


def add_saved_filters(bp: APIBlueprint, entity: Entity) -> None:
    """The calls below `/api/v1/<entity>/filters`."""
    schema = _input_schema(entity)

    @bp.get("/filters")
    @bp.auth_required(api_auth)
    @bp.output(SavedFilterList)
    @bp.doc(summary=f"List saved filters of {entity.name}", description="Of the whole organisation, by name.")
    def index_of_filters() -> dict[str, Any]:
        found = list_saved_filters(current_organisation().id, entity)
        return {"data": [_as_json(entity, saved) for saved in found]}

    @bp.post("/filters")
    @bp.auth_required(api_auth)
    @bp.input(schema, unknown=RAISE)
    @bp.output(SavedFilterOut, status_code=201)
    @bp.doc(
        summary=f"Save a filter of {entity.name}",
        description="For everybody in the organisation, in place of one of that name.",
    )
    def create_filter(json_data: dict[str, Any]) -> ResponseReturnValue:
        arguments = _arguments(entity, json_data)
        try:
            saved = list_settings.save_filter(current_organisation().id, None, entity, json_data["name"], arguments)
        except list_settings.BadNameError as error:
            raise refused({"name": str(error)}) from error
        db.session.commit()
        return _as_json(entity, saved), 201

    @bp.delete("/filters/<uuid:filter_id>")
    @bp.auth_required(api_auth)
    @bp.output({}, status_code=204)
    @bp.doc(summary=f"Delete a saved filter of {entity.name}", responses={404: "There is no such filter."})
    def destroy_filter(filter_id: UUID) -> ResponseReturnValue:
        if list_settings.delete_filter(current_organisation().id, entity, filter_id) is None:
            raise Problem(404, "Filter not found", f"There is no saved filter of {entity.name} with that id.")
        db.session.commit()
        return ""


def _input_schema(entity: Entity) -> type[Schema]:
    fields = {
        "name": Text(required=True, metadata={"maxLength": list_settings.MAX_NAME_LENGTH}),
        "filter": Dict(keys=Text(), values=List(Text()), required=True, metadata=FILTER),
        "sort": Text(load_default=None, allow_none=True, validate=OneOf(sorts_of(entity))),
    }
    return named_schema(f"{entity.singular.capitalize()}FilterValues", fields)


def _arguments(entity: Entity, given: dict[str, Any]) -> dict[str, list[str]]:
    """A filter as the list's address holds it, once it is sure that it can be read."""
    arguments: dict[str, list[str]] = given["filter"]
    if unknown := next((name for name in arguments if name not in ARGUMENTS), None):
        raise refused({"filter": f"“{unknown[:60]}” is none of {', '.join(ARGUMENTS)}."})
    checked_filter(entity, arguments, place="body")
    sort: str | None = given["sort"]
    if sort is None:
        return arguments
    direction = "desc" if sort.startswith("-") else "asc"
    return {**arguments, "sort": [sort.removeprefix("-")], "direction": [direction]}


def _as_json(entity: Entity, saved: SavedFilter) -> dict[str, Any]:
    arguments = dict(saved.arguments)
    sort, direction = ((arguments.pop(name, None) or [""])[0] for name in ("sort", "direction"))
    plain = {name: getattr(saved, name) for name in ("id", "name", "created_by", "created_at")}
    return {**plain, "filter": arguments, "sort": _sort_of(entity, sort, direction)}


def _sort_of(entity: Entity, sort: str, direction: str) -> str | None:
    """The order as the API's list takes it; an address may leave out the direction."""
    if sort not in entity.sorts:
        return None
    descends = direction == "desc" or (direction != "asc" and order_of(entity, sort).descends)
    return f"-{sort}" if descends else sort
