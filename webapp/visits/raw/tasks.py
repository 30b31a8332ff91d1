"""The actor that looks after raw rows: sealing, merging, retention, sweeping. It may die between any two lines."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, timedelta

from flask import current_app

from webapp.config import Settings
from webapp.extensions import db
from webapp.jobs.broker import actor
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage, storage_at
from webapp.visits.raw import upkeep
from webapp.visits.raw.cache import RawCache
from webapp.visits.raw.guarding import Guard, do_all
from webapp.visits.raw.models import SealedFile, SealedState
from webapp.visits.raw.sealing import (
    SEAL_ROWS,
    Owner,
    RowsMovedError,
    Sealer,
    announce,
    list_files,
    list_mergeable_files,
    list_sealable_chunks,
)
from webapp.visits.raw.sources import Piece, RawRowsGoneError

logger = logging.getLogger(__name__)


@actor("default")
def look_after_raw_rows() -> None:
    """Seal chunks, merge files, take away what is too old, and remove what nobody reads, of this machine's copies too.

    Whatever fails for one site is done for all others, and raised as UpkeepError in the end.
    """
    do_all([seal_chunks, merge_files, expire_rows, sweep_files, trim_copies])


def seal_chunks() -> None:
    """Make files of the chunks that are enough, or old enough."""
    owners = upkeep.find_chunks_to_seal(utc_now())
    db.session.rollback()
    guard = Guard("seal")
    for owner in owners:
        with guard.over(owner.organisation_id, owner.site_id):
            _seal(owner)
    guard.finish()


def _seal(owner: Owner) -> None:
    """File after file, until what is left had better wait for more."""
    is_enough = True
    while is_enough:
        pieces = list_sealable_chunks(owner, utc_now() - upkeep.OLD_AFTER)
        is_enough = bool(pieces) and _replace(owner, pieces)
        is_enough &= sum(piece.row_count for piece in pieces) >= SEAL_ROWS


def merge_files() -> None:
    """Make one file of a month's files that are too many."""
    found = upkeep.find_files_to_merge(utc_now())
    db.session.rollback()
    guard = Guard("merge")
    for owner, month in found:
        with guard.over(owner.organisation_id, owner.site_id):
            _merge(owner, month)
    guard.finish()


def _merge(owner: Owner, month: date) -> None:
    """What is listed still, and cannot be found, is gone: nobody moved it."""
    pieces = list_mergeable_files(owner, month, upkeep.LARGE_FILE_ROWS)
    if not _replace(owner, pieces) and list_mergeable_files(owner, month, upkeep.LARGE_FILE_ROWS) == pieces:
        raise RawRowsGoneError(f"The upload store lacks files of {month:%Y-%m} that are listed.")


def expire_rows() -> None:
    """Take away raw rows that sites do not keep any longer."""
    found = upkeep.find_sites_with_retention()
    db.session.rollback()
    guard = Guard("expire")
    for organisation_id, site_id, days in found:
        with guard.over(organisation_id, site_id):
            upkeep.expire(organisation_id, site_id, utc_now() - timedelta(days=days), utc_now())
            db.session.commit()
    guard.finish()


def sweep_files() -> None:
    """Remove files that were replaced a while ago, and give up those that were never finished."""
    found = upkeep.find_files_to_sweep(utc_now())
    db.session.rollback()
    settings: Settings = current_app.extensions["settings"]
    guard = Guard("sweep")
    for organisation_id, site_id, file_id, state in found:
        with guard.over(organisation_id, site_id):
            file = upkeep.get_file(organisation_id, site_id, file_id)
            if file is not None and file.state is state:
                _sweep_one(file, storage_at(settings.uploads_url))
            db.session.commit()
    guard.finish()


def trim_copies() -> None:
    """Let copies go that nobody read for a day, where nothing is copied any more, too: the erased are in some."""
    settings: Settings = current_app.extensions["settings"]
    RawCache(settings.raw_cache_dir, settings.raw_cache_bytes).trim()


def _sweep_one(file: SealedFile, storage: Storage) -> None:
    """First the file, then its row: what dies in between does so again."""
    if file.state is SealedState.WRITING:
        upkeep.give_up(file, utc_now())
        return
    storage.delete(file.key)
    db.session.delete(file)


def _replace(owner: Owner, pieces: Sequence[Piece]) -> bool:
    """The four steps. Whether they were done, and not by somebody else."""
    sealer = Sealer(current_app.extensions["settings"])
    try:
        with sealer.prepare(owner, pieces) as replacement:
            announce(replacement)
            db.session.commit()
            sealer.store(replacement)
            list_files(replacement, utc_now())
            db.session.commit()
    except RowsMovedError:
        logger.info("Raw rows of site %s were moved by somebody else.", owner.site_id)
        return False
    finally:
        db.session.rollback()
    return True
