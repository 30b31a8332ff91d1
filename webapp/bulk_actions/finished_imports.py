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
    """The last imports that ended between these moments and changed anything."""
    query = select(BulkAction).where(
        BulkAction.organisation_id == organisation_id,
        BulkAction.verb == Verb.IMPORT,
        BulkAction.state == BulkActionState.COMPLETED,
        BulkAction.is_dry_run.is_(False),
        BulkAction.created_count + BulkAction.updated_count > 0,
        BulkAction.ended_at >= start,
        BulkAction.ended_at < end,
    )
    return [_named(one) for one in db.session.scalars(query.order_by(BulkAction.id.desc()).limit(LIMIT))]


def _named(one: BulkAction) -> Annotation:
    changed = one.created_count + one.updated_count
    return Annotation(one.ended_at or one.created_at, f"Import of {changed:,} {one.entity}", one.path)
