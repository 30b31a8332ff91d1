"""A kind of record over the API: list, read, create, change, delete, with an API key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from apiflask import APIBlueprint
from flask import url_for
from flask.typing import ResponseReturnValue
from marshmallow import RAISE

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.lib.pagination import BadCursorError
from webapp.problems import Problem
from webapp.records import queries, service
from webapp.records.api_schemas import Schemas, schemas_for
from webapp.records.entities import ATTRIBUTES, Entity
from webapp.records.filters import FilterError, RecordFilter, read_filter
from webapp.records.search import GLANCE_ROWS


@dataclass(frozen=True)
class Examples:
    """Bodies that the API's description shows."""

    create: dict[str, Any]
    update: dict[str, Any]


def make_api(entity: Entity, examples: Examples) -> APIBlueprint:
    """The blueprint `/api/v1/<entity>`."""
    bp = APIBlueprint(f"api_{entity.name}", __name__, url_prefix=f"/api/v1/{entity.name}", tag=entity.title)
    schemas = schemas_for(entity)
    _add_list(bp, entity, schemas)
    _add_create(bp, entity, schemas, examples)
    _add_one(bp, entity, schemas, examples)
    return bp


def _add_list(bp: APIBlueprint, entity: Entity, schemas: Schemas) -> None:
    @bp.get("")
    @bp.auth_required(api_auth)
    @bp.input(schemas.query, location="query", unknown=RAISE)
    @bp.output(schemas.page)
    @bp.doc(
        summary=f"List {entity.name}",
        description="The newest first, unless `sort` says otherwise. Pages follow each other by `next_cursor`.",
    )
    def index(query_data: dict[str, Any]) -> ResponseReturnValue:
        organisation_id, sort = current_organisation().id, query_data.pop("sort")
        cursor, limit = query_data.pop("cursor"), query_data.pop("limit")
        wanted = filter_of(entity, query_data)
        direction = "desc" if sort.startswith("-") else "asc"
        try:
            page = queries.list_records(
                entity,
                organisation_id,
                wanted,
                sort=sort.removeprefix("-"),
                direction=direction,
                cursor=cursor,
                limit=limit,
            )
        except BadCursorError as error:
            raise refused({"cursor": str(error)}, place="query") from error
        total = queries.count_records(entity, organisation_id, wanted, walk_rows=GLANCE_ROWS)
        return {
            "data": [as_json(entity, record) for record in page.records],
            "next_cursor": page.next_cursor,
            "is_partial": page.is_partial,
            "total": total.number,
            "total_is_exact": total.is_exact,
        }


def _add_create(bp: APIBlueprint, entity: Entity, schemas: Schemas, examples: Examples) -> None:
    @bp.post("")
    @bp.auth_required(api_auth)
    @bp.input(schemas.values, example=examples.create)
    @bp.output(schemas.shown, status_code=201)
    @bp.doc(
        summary=f"Create a {entity.singular}",
        description=f"{entity.key.label} is compared without case, and no two {entity.name} share one.",
        responses={409: f"Another {entity.singular} has this {entity.key.label}"},
    )
    def create(json_data: dict[str, Any]) -> ResponseReturnValue:
        attributes = json_data.pop(ATTRIBUTES, None)
        organisation_id = current_organisation().id
        record = _saved(entity, lambda: service.create_record(entity, organisation_id, json_data, attributes))
        return as_json(entity, record), 201, {"Location": _url(entity, record)}


def _add_one(bp: APIBlueprint, entity: Entity, schemas: Schemas, examples: Examples) -> None:
    @bp.get("/<uuid:record_id>")
    @bp.auth_required(api_auth)
    @bp.output(schemas.shown)
    @bp.doc(summary=f"Read a {entity.singular}")
    def show(record_id: UUID) -> ResponseReturnValue:
        record = queries.get_record(entity, current_organisation().id, record_id)
        if record is None:
            raise _not_found(entity)
        return as_json(entity, record)

    @bp.patch("/<uuid:record_id>")
    @bp.auth_required(api_auth)
    @bp.input(schemas.changes, example=examples.update)
    @bp.output(schemas.shown)
    @bp.doc(
        summary=f"Change a {entity.singular}",
        description="Fields that are not named stay as they are; null empties a field.",
        responses={409: f"Another {entity.singular} has this {entity.key.label}"},
    )
    def update(record_id: UUID, json_data: dict[str, Any]) -> ResponseReturnValue:
        attributes = json_data.pop(ATTRIBUTES, None)
        record = _locked(entity, record_id)
        return as_json(entity, _saved(entity, lambda: service.update_record(entity, record, json_data, attributes)))

    @bp.delete("/<uuid:record_id>")
    @bp.auth_required(api_auth)
    @bp.output({}, status_code=204)
    @bp.doc(
        summary=f"Delete a {entity.singular}",
        description="It is kept in the trash for 30 days, from where it can be restored.",
    )
    def destroy(record_id: UUID) -> ResponseReturnValue:
        service.delete_record(entity, _locked(entity, record_id), None)
        db.session.commit()
        return ""


def filter_of(entity: Entity, arguments: Mapping[str, Any]) -> RecordFilter:
    """The filter in a call's arguments; what cannot be read ends as a problem."""
    listed = {name: value if isinstance(value, list) else [str(value)] for name, value in arguments.items() if value}
    try:
        return read_filter(listed, entity, ZoneInfo(current_organisation().time_zone))
    except FilterError as error:
        raise refused({"filter": str(error)}, place="query") from error


def as_json(entity: Entity, record: Any) -> dict[str, Any]:
    """A record as the API shows it."""
    fields = {field.name: field.as_json(getattr(record, field.name)) for field in entity.fields}
    system = {name: getattr(record, name) for name in (ATTRIBUTES, "created_at", "updated_at")}
    return {"id": record.id, **fields, **system, "import_id": record.bulk_action_id}


def _saved(entity: Entity, write: Callable[[], Any]) -> Any:
    """The written and committed record; what cannot be kept ends as a problem."""
    try:
        record = write()
    except service.KeyTakenError as error:
        raise _exists(entity, error.other) from error
    except service.InvalidRecordError as error:
        raise refused(error.errors) from error
    db.session.commit()
    return record


def _locked(entity: Entity, record_id: UUID) -> Any:
    record = queries.get_record_for_update(entity, current_organisation().id, record_id)
    if record is None:
        raise _not_found(entity)
    return record


def _url(entity: Entity, record: Any) -> str:
    return url_for(f"api_{entity.name}.show", record_id=record.id)


def _not_found(entity: Entity) -> Problem:
    detail = f"This organisation has no {entity.singular} with that id."
    return Problem(404, f"{entity.singular.capitalize()} not found", detail)


def _exists(entity: Entity, other: Any) -> Problem:
    key = entity.key
    taken = f"Another {entity.singular} already has the {key.label} {getattr(other, key.name)}."
    detail = f"{taken} Change that one, or use another."
    title, name = f"{entity.singular.capitalize()} exists", entity.singular
    return Problem(409, title, detail, **{f"{name}_id": other.id, f"{name}_url": _url(entity, other)})


def refused(errors: Mapping[str, str], place: str = "body") -> Problem:
    """A problem that names each value that cannot be used."""
    listed = [{"in": place, "field": field, "message": message} for field, message in errors.items()]
    return Problem(422, "Unprocessable Entity", "Some values cannot be used; `errors` says which.", errors=listed)
