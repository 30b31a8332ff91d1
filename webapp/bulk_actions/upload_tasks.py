"""The actors that remove uploads with which nobody went on, and files that nobody reads."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from flask import current_app

from webapp.bulk_actions import drafts, resumable
from webapp.bulk_actions.files import owner_of
from webapp.bulk_actions.queries import find_with_file
from webapp.bulk_actions.upload_queries import find_unfinished
from webapp.bulk_actions.verbs.export import is_export
from webapp.extensions import db, tenant
from webapp.jobs.broker import actor
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage, storage_at

UNCOUNTED_AFTER = timedelta(days=1)
UNOWNED_AFTER = timedelta(days=1)
EXPORTS_KEPT_FOR = timedelta(days=7)
FILE_LIMIT = 1_000
REMOVE_LIMIT = 10_000
"""A sweep ends when it removed so many pieces, the next one goes on; the same of files."""


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


@actor("default")
def sweep_uploads() -> None:
    """Remove uploads that nobody started within a week, and files that no import will read any more.

    A process that dies between storing a file and committing its row leaves such a file behind.
    """
    storage, removed_count = storage_at(current_app.extensions["settings"].uploads_url), 0
    storage.delete_unfinished(utc_now() - UNOWNED_AFTER)
    removed_count += _remove_old_exports(storage)
    for keys in storage.key_pages(utc_now() - UNOWNED_AFTER):
        for organisation_id, ids_by_key in _by_organisation(keys).items():
            removed_count += _remove_unwanted(organisation_id, ids_by_key, storage)
        if removed_count >= FILE_LIMIT:
            return


def _remove_old_exports(storage: Storage) -> int:
    old = [key for keys in storage.key_pages(utc_now() - EXPORTS_KEPT_FOR) for key in keys if is_export(key)]
    for key in old[:FILE_LIMIT]:
        storage.delete(key)
    return len(old[:FILE_LIMIT])


def _by_organisation(keys: Iterable[str]) -> dict[UUID, dict[str, UUID]]:
    """The keys of imports' files with the ids of their bulk actions, for each organisation."""
    found: dict[UUID, dict[str, UUID]] = {}
    for key in keys:
        if owner := owner_of(key):
            found.setdefault(owner[0], {})[key] = owner[1]
    return found


def _remove_unwanted(organisation_id: UUID, ids_by_key: dict[str, UUID], storage: Storage) -> int:
    """Rows first: a file without a row is found again, a draft without its file would stay."""
    ids = set(ids_by_key.values())
    with tenant(organisation_id):
        drafts.delete_drafts(organisation_id, ids, utc_now() - drafts.DRAFT_LIFETIME)
        db.session.commit()
        wanted = find_with_file(organisation_id, ids)
        db.session.rollback()
    unwanted = [key for key, bulk_action_id in ids_by_key.items() if bulk_action_id not in wanted]
    for key in unwanted:
        storage.delete(key)
    return len(unwanted)
