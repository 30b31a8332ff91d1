"""A kind of record over the API: list, read, create, change, delete, with an API key."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue
from marshmallow import RAISE

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.lib.pagination import BadCursorError
from webapp.records import queries, service
from webapp.records.behaviour_views import settled
from webapp.records.entities import ATTRIBUTE_PREFIX, ATTRIBUTES
from webapp.records.filters_api import add_saved_filters
from webapp.records.refusals import refused
from webapp.records.shared_api import Calls, filter_of, locked, not_found, saved, url_of
from webapp.records.trash_api import add_trash

SYSTEM_COLUMNS = (ATTRIBUTES, "created_at", "updated_at", "import_id")


def make_api(calls: Calls) -> APIBlueprint:
    """The blueprint `/api/v1/<entity>`."""
    entity = calls.entity
    bp = APIBlueprint(f"api_{entity.name}", __name__, url_prefix=f"/api/v1/{entity.name}", tag=entity.title)
    _add_list(bp, calls)
    add_saved_filters(bp, entity)
    _add_create(bp, calls)
    _add_one(bp, calls)
    add_trash(bp, calls)
    return bp


def _add_list(bp: APIBlueprint, calls: Calls) -> None:
    entity, schemas = calls.entity, calls.schemas

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
        cursor, limit, columns = (query_data.pop(name) for name in ("cursor", "limit", "columns"))
        if unknown := next((name for name in columns if not is_shown(calls, name)), None):
            raise refused({"columns": f"There is no column called “{unknown[:60]}”."}, place="query")
        wanted = settled(entity, filter_of(entity, query_data), has_cursor=bool(cursor))
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
        total = queries.count_beside(entity, organisation_id, wanted, page, cursor)
        return {
            "data": [only(columns, shown) for shown in calls.as_list(page.records)],
            "next_cursor": page.next_cursor,
            "is_partial": page.is_partial,
            "total": total.number,
            "total_is_exact": total.is_exact,
        }


def _add_create(bp: APIBlueprint, calls: Calls) -> None:
    entity, schemas = calls.entity, calls.schemas

    @bp.post("")
    @bp.auth_required(api_auth)
    @bp.input(schemas.values, example=calls.example)
    @bp.output(schemas.shown, status_code=201)
    @bp.doc(
        summary=f"Create a {entity.singular}",
        description=f"{entity.key.label} is compared without case, and no two {entity.name} share one.",
        responses={409: f"Another {entity.singular} has this {entity.key.label}"},
    )
    def create(json_data: dict[str, Any]) -> ResponseReturnValue:
        attributes = json_data.pop(ATTRIBUTES, None)
        organisation_id = current_organisation().id
        record = saved(entity, lambda: service.create_record(entity, organisation_id, json_data, attributes))
        return calls.as_json(record), 201, {"Location": url_of(entity, record)}


def _add_one(bp: APIBlueprint, calls: Calls) -> None:
    entity, schemas = calls.entity, calls.schemas

    @bp.get("/<uuid:record_id>")
    @bp.auth_required(api_auth)
    @bp.output(schemas.shown)
    @bp.doc(summary=f"Read a {entity.singular}")
    def show(record_id: UUID) -> ResponseReturnValue:
        record = queries.get_record(entity, current_organisation().id, record_id)
        if record is None:
            raise not_found(entity)
        return calls.as_json(record)

    @bp.patch("/<uuid:record_id>")
    @bp.auth_required(api_auth)
    @bp.input(schemas.changes, example=calls.example_change)
    @bp.output(schemas.shown)
    @bp.doc(
        summary=f"Change a {entity.singular}",
        description="Fields that are not named stay as they are; null empties a field, and takes away an own one.",
        responses={409: f"Another {entity.singular} has this {entity.key.label}"},
    )
    def update(record_id: UUID, json_data: dict[str, Any]) -> ResponseReturnValue:
        attributes = json_data.pop(ATTRIBUTES, None)
        record = locked(entity, record_id)
        return calls.as_json(saved(entity, lambda: service.update_record(entity, record, json_data, attributes)))

    @bp.delete("/<uuid:record_id>")
    @bp.auth_required(api_auth)
    @bp.output({}, status_code=204)
    @bp.doc(
        summary=f"Delete a {entity.singular}",
        description="It is kept in the trash for 30 days, from where it can be restored.",
    )
    def destroy(record_id: UUID) -> ResponseReturnValue:
        service.delete_record(entity, locked(entity, record_id), None)
        db.session.commit()
        return ""


def is_shown(calls: Calls, name: str) -> bool:
    """Whether a record of the API has this, or may have it as one of its own fields."""
    known = {"id", *calls.entity.field_names, *SYSTEM_COLUMNS, *calls.entity.beside, *calls.more_fields}
    return name in known or name.startswith(ATTRIBUTE_PREFIX)


def only(columns: Collection[str], shown: dict[str, Any]) -> dict[str, Any]:
    """A record's id and these columns; everything when none is named."""
    if not columns:
        return shown
    kept = {name: value for name, value in shown.items() if name == "id" or name in columns}
    own = {name.removeprefix(ATTRIBUTE_PREFIX) for name in columns if name.startswith(ATTRIBUTE_PREFIX)}
    if own and ATTRIBUTES not in columns:
        kept[ATTRIBUTES] = {name: value for name, value in shown[ATTRIBUTES].items() if name in own}
    return kept
