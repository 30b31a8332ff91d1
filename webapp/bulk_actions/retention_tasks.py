"""The actor that removes the details of bulk actions that ended long ago. It may die between any two lines."""

from __future__ import annotations

from uuid import UUID

from webapp.bulk_actions.retention import find_outdated, note_removed, remove_some_details
from webapp.extensions import db, tenant
from webapp.jobs.broker import actor
from webapp.lib.clock import utc_now

STEP = 20_000
"""So many rows of each kind go in one transaction."""
MOST = 200
"""A run ends after so many bulk actions; the next one goes on."""


@actor("default")
def remove_old_details() -> None:
    """Remove what bulk actions kept of single records, when they ended too long ago to be undone."""
    outdated = find_outdated(utc_now(), MOST)
    db.session.rollback()
    for organisation_id, bulk_action_id in outdated:
        with tenant(organisation_id):
            _remove_details(organisation_id, bulk_action_id)


def _remove_details(organisation_id: UUID, bulk_action_id: UUID) -> None:
    while remove_some_details(organisation_id, bulk_action_id, STEP):
        db.session.commit()
    note_removed(organisation_id, bulk_action_id)
    db.session.commit()
