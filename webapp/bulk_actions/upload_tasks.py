"""The actor that removes uploads with which nobody went on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from flask import current_app

from webapp.bulk_actions import resumable
from webapp.bulk_actions.upload_queries import find_unfinished
from webapp.extensions import db, tenant
from webapp.jobs.broker import actor
from webapp.lib.clock import utc_now
from webapp.lib.storage import storage_at

UNCOUNTED_AFTER = timedelta(days=1)
REMOVE_LIMIT = 10_000
"""A sweep ends when it removed so many pieces; the next one goes on."""


@actor("default")
def sweep_pieces() -> None:
    """Forget uploads without a new byte for a week; remove pieces that nobody will join.

    A server that dies between storing a piece and counting it leaves such a piece behind.
    """
    resumable.prune(utc_now() - resumable.LIFETIME)
    db.session.commit()
    storage, removed_count = storage_at(current_app.extensions["settings"].uploads_url), 0
    for keys in storage.key_pages(utc_now() - UNCOUNTED_AFTER):
        unwanted = _unwanted(keys)
        resumable.delete_pieces(storage, unwanted)
        removed_count += len(unwanted)
        if removed_count >= REMOVE_LIMIT:
            return


def _unwanted(keys: Iterable[str]) -> list[str]:
    """The pieces among these whose upload is over or forgotten."""
    owners = {key: owner for key in keys if (owner := resumable.owner_of_piece(key))}
    wanted: set[UUID] = set()
    for organisation_id in {owner[0] for owner in owners.values()}:
        ids = {upload_id for owner, upload_id in owners.values() if owner == organisation_id}
        with tenant(organisation_id):
            wanted |= find_unfinished(organisation_id, ids)
            db.session.rollback()
    return [key for key, owner in owners.items() if owner[1] not in wanted]
