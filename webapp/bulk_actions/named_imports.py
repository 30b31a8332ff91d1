"""Imports as lists of records name them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from webapp.bulk_actions.models import BulkAction, Verb
from webapp.extensions import db
from webapp.records.entities import Entity
from webapp.records.imports import Import, Imports

OFFERED = 20


def find(organisation_id: UUID, import_id: UUID) -> Import | None:
    """One import of the organisation."""
    found = db.session.get(BulkAction, (organisation_id, import_id))
    return _named(found) if found is not None and found.verb is Verb.IMPORT else None


def list_recent(organisation_id: UUID, entity: Entity) -> Sequence[Import]:
    """The latest imports of a kind of record that created any, newest first."""
    query = select(BulkAction).where(
        BulkAction.organisation_id == organisation_id,
        BulkAction.verb == Verb.IMPORT,
        BulkAction.entity == entity.name,
        BulkAction.is_dry_run.is_(False),
        BulkAction.created_count > 0,
    )
    return [_named(one) for one in db.session.scalars(query.order_by(BulkAction.id.desc()).limit(OFFERED))]


def _named(bulk_action: BulkAction) -> Import:
    return Import(bulk_action.id, bulk_action.file_name, bulk_action.created_at)


IMPORTS = Imports(find, list_recent)
