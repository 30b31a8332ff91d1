"""Finished imports as the charts of visits name them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from webapp.bulk_actions.models import BulkAction, BulkActionState, Verb
from webapp.extensions import db
from webapp.visits.site_page.annotations import Annotation

LIMIT = 20


def list_finished_imports(organisation_id: UUID, start: datetime, end: datetime) -> Sequence[Annotation]:
    """The last imports that ended between these moments and changed anything, also those that were undone since."""
    query = select(BulkAction).where(
        BulkAction.organisation_id == organisation_id,
        BulkAction.verb == Verb.IMPORT,
        BulkAction.state == BulkActionState.COMPLETED,
        BulkAction.is_dry_run.is_(False),
        BulkAction.created_count + BulkAction.updated_count > 0,
        BulkAction.ended_at >= start,
        BulkAction.ended_at < end,
    )
    found = db.session.scalars(query.order_by(BulkAction.id.desc()).limit(LIMIT)).all()
    undone = _list_undone(organisation_id, [one.id for one in found])
    return [_named(one, is_undone=one.id in undone) for one in found]


def _list_undone(organisation_id: UUID, import_ids: Sequence[UUID]) -> set[UUID | None]:
    query = select(BulkAction.source_id).where(
        BulkAction.organisation_id == organisation_id,
        BulkAction.verb == Verb.UNDO,
        BulkAction.state == BulkActionState.COMPLETED,
        BulkAction.source_id.in_(import_ids),
    )
    return set(db.session.scalars(query)) if import_ids else set()


def _named(one: BulkAction, *, is_undone: bool) -> Annotation:
    text = f"Import of {one.created_count + one.updated_count:,} {one.entity}"
    return Annotation(one.ended_at or one.created_at, f"{text}, undone since" if is_undone else text, one.path)
