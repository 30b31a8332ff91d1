"""What a bulk action keeps of single records: rejected cells, outcomes, and what was there before.

It is kept as long as somebody might still ask or undo, and no longer: it is as personal as the records. The
numbers, who asked, and for what stay.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CursorResult, text, update

from webapp.bulk_actions.models import BulkAction
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.problems import Problem

DETAILS_KEPT_FOR = timedelta(days=90)
MARGIN = timedelta(days=1)
"""Removing waits a day longer than undoing is offered, so that no undo begins on what is being removed."""
DETAILS = ("before_images", "bulk_action_outcomes", "rejected_rows", "replaced_rows", "bulk_action_chunks")
GONE = f"It ended more than {DETAILS_KEPT_FOR.days} days ago: what it did to single records is no longer kept."
GONE_AFTER = f"What happened to single records is kept for {DETAILS_KEPT_FOR.days} days."
FIND = text("SELECT * FROM footfall_bulk_actions_with_details(:before, :most)")


def are_details_kept(bulk_action: BulkAction, now: datetime | None = None) -> bool:
    """Whether its single rows and records can be looked at, and it can be undone."""
    return bulk_action.ended_at is None or bulk_action.ended_at > (now or utc_now()) - DETAILS_KEPT_FOR


def with_details(bulk_action: BulkAction) -> BulkAction:
    """The same, while its single rows and records are kept; else this ends the request."""
    if not are_details_kept(bulk_action):
        raise Problem(410, "No longer kept", GONE)
    return bulk_action


def find_outdated(now: datetime, most: int) -> list[tuple[UUID, UUID]]:
    """(organisation, bulk action) of those whose details may go, the oldest first, in every organisation."""
    asked = {"before": now - DETAILS_KEPT_FOR - MARGIN, "most": most}
    return [(row[0], row[1]) for row in db.session.execute(FIND, asked)]


def remove_some_details(organisation_id: UUID, bulk_action_id: UUID, most: int) -> bool:
    """Remove so many rows of each kind; whether there may be more. Nothing is committed."""
    asked = {"organisation_id": organisation_id, "bulk_action_id": bulk_action_id, "most": most}
    removed_counts = [_remove(table, asked) for table in DETAILS]
    return max(removed_counts) >= most


def note_removed(organisation_id: UUID, bulk_action_id: UUID) -> None:
    """Nothing of its details is left."""
    db.session.execute(
        update(BulkAction)
        .where(BulkAction.organisation_id == organisation_id, BulkAction.id == bulk_action_id)
        .values(details_removed_at=utc_now())
    )


def _remove(table: str, asked: dict[str, object]) -> int:
    statement = text(
        f"DELETE FROM {table} WHERE organisation_id = :organisation_id AND ctid = ANY (ARRAY("  # noqa: S608
        f"SELECT ctid FROM {table} WHERE organisation_id = :organisation_id"
        " AND bulk_action_id = :bulk_action_id LIMIT :most))"
    )
    done = db.session.execute(statement, asked)
    assert isinstance(done, CursorResult)
    return done.rowcount
