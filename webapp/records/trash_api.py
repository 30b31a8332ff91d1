"""The trash of a kind of record over the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue
from marshmallow import RAISE

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.lib.pagination import BadCursorError
from webapp.records import service
from webapp.records.entities import Entity
from webapp.records.refusals import refused
from webapp.records.shared_api import Calls, as_json, not_found, saved
from webapp.records.trash import KEPT_FOR
from webapp.records.trash_queries import DELETION, DeletedRecord, list_deleted


def add_trash(bp: APIBlueprint, calls: Calls) -> None:
    """List what was deleted, and restore one."""
    entity, schemas = calls.entity, calls.schemas

    @bp.get("/deleted")
    @bp.auth_required(api_auth)
    @bp.input(schemas.deleted_query, location="query", unknown=RAISE)
    @bp.output(schemas.deleted)
    @bp.doc(
        summary=f"List deleted {entity.name}",
        description=f"What was deleted in the last {KEPT_FOR.days} days, the latest first.",
    )
    def index_deleted(query_data: dict[str, Any]) -> ResponseReturnValue:
        try:
            page = list_deleted(entity, current_organisation().id, **query_data)
        except BadCursorError as error:
            raise refused({"cursor": str(error)}, place="query") from error
        return {
            "data": [_as_json(entity, deleted) for deleted in page.records],
            "next_cursor": page.next_cursor,
            "is_partial": page.is_partial,
        }

    @bp.post("/<uuid:record_id>/restore")
    @bp.auth_required(api_auth)
    @bp.output(schemas.shown)
    @bp.doc(
        summary=f"Restore a {entity.singular}",
        description="It comes back as it was. One that is there already is left alone.",
        responses={409: f"Another {entity.singular} has its {entity.key.label} by now"},
    )
    def restore(record_id: UUID) -> ResponseReturnValue:
        organisation_id = current_organisation().id
        try:
            return calls.as_json(saved(entity, lambda: service.restore_record(entity, organisation_id, record_id)))
        except LookupError as error:
            raise not_found(entity) from error


def _as_json(entity: Entity, deleted: DeletedRecord) -> dict[str, Any]:
    said = {name: getattr(deleted, name) for name in DELETION}
    return {**as_json(entity, deleted.record), **said, "gone_at": deleted.deleted_at + KEPT_FOR}
