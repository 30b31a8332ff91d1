"""Actors of bulk actions: take a chunk, do its work in one transaction, commit, send what follows.

A message carries ids only, and running one twice does no harm: the second finds the chunk done, or
locked by whoever is at work. A worker may die between any two lines here; its transaction is then
undone, its lock is free, and `sweep` finds the chunk.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from uuid import UUID

import psycopg
from flask import current_app
from sqlalchemy.exc import DBAPIError

from webapp.bulk_actions import service
from webapp.bulk_actions.chunks import ChunkId, OverError, Sends, claim, hold
from webapp.bulk_actions.files import owner_of
from webapp.bulk_actions.models import BulkAction, BulkActionChunk, Phase
from webapp.bulk_actions.progress import publish_progress
from webapp.bulk_actions.queries import (
    find_stuck_chunks,
    find_unswept,
    find_with_file,
    get_bulk_action,
    lock_bulk_action,
    lock_chunk,
    may_clean,
)
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.work import merge_chunk, plan_step, stage_chunk
from webapp.contacts.staging import BUCKET_COUNT, clean_staged
from webapp.extensions import db, tenant
from webapp.jobs.broker import actor, waiting_count
from webapp.jobs.queries import get_job
from webapp.jobs.queues import is_paused
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage, storage_at
from webapp.metrics import count_import_rows

MAX_TRIES = 10
RETRY_SECONDS = 0.05
SWEEP_LIMIT = 500
CLEAN_BUCKETS = 256
CLEAN_AFTER = timedelta(seconds=5)
ERROR_LIMIT = 500
DRAFT_LIFETIME = timedelta(days=7)
UNOWNED_AFTER = timedelta(days=1)
REMOVE_LIMIT = 1_000
"""A sweep of the store ends when it removed so many files; the next one goes on."""
# Deadlock, serialisation failure, and a key that another transaction created meanwhile.
PASSING_ERRORS = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, psycopg.errors.UniqueViolation)

logger = logging.getLogger(__name__)
Work = Callable[[BulkActionChunk, Storage], Sends]


@actor("imports")
def plan(organisation: str, bulk_action: str) -> None:
    """Cut the file into chunks, a few at a time, so that the first are staged meanwhile."""
    chunk_id = ChunkId(UUID(organisation), UUID(bulk_action), Phase.PLAN, 0)
    _run(chunk_id, plan_step)


@actor("imports")
def stage(organisation: str, bulk_action: str, index: str) -> None:
    """Stage one chunk of the file."""
    _run(ChunkId(UUID(organisation), UUID(bulk_action), Phase.STAGE, int(index)), stage_chunk)


@actor("imports")
def merge(organisation: str, bulk_action: str, index: str) -> None:
    """Merge one range of keys."""
    _run(ChunkId(UUID(organisation), UUID(bulk_action), Phase.MERGE, int(index)), merge_chunk)


@actor("default")
def clean(organisation: str, bulk_action: str) -> None:
    """Remove what an import that is over leaves behind, some rows at a time.

    Nothing that a chunk locks is held meanwhile, and a second message for the same import goes away.
    """
    organisation_id, bulk_action_id = UUID(organisation), UUID(bulk_action)
    with tenant(organisation_id):
        for start in range(0, BUCKET_COUNT, CLEAN_BUCKETS):
            if not may_clean(organisation_id, bulk_action_id):
                db.session.rollback()
                return
            clean_staged(organisation_id, bulk_action_id, start, start + CLEAN_BUCKETS)
            db.session.commit()
        service.clean_up(organisation_id, bulk_action_id, _storage())
        db.session.commit()
        publish_progress(organisation_id, bulk_action_id)  # whoever ended it may have died before saying so


@actor("default")
def sweep() -> None:
    """Send again whatever has no worker and no message: nothing committed is ever forgotten."""
    unswept = find_unswept(SWEEP_LIMIT)
    db.session.rollback()
    for organisation_id, bulk_action_id in unswept:
        with tenant(organisation_id):
            _sweep_one(organisation_id, bulk_action_id)


@actor("default")
def sweep_uploads() -> None:
    """Remove uploads that nobody started within a week, and files that no import will read any more.

    A process that dies between storing a file and committing its row leaves such a file behind.
    """
    storage, removed_count = _storage(), 0
    storage.delete_unfinished(utc_now() - UNOWNED_AFTER)
    for keys in storage.key_pages(utc_now() - UNOWNED_AFTER):
        for organisation_id, ids_by_key in _by_organisation(keys).items():
            removed_count += _remove_unwanted(organisation_id, ids_by_key, storage)
        if removed_count >= REMOVE_LIMIT:
            return


def send_chunk(organisation_id: UUID, bulk_action_id: UUID, phase: Phase, index: int) -> None:
    """Send a chunk's message. Call it after the commit."""
    organisation, bulk_action = str(organisation_id), str(bulk_action_id)
    if phase is Phase.PLAN:
        plan.send(organisation, bulk_action)
    elif phase is Phase.STAGE:
        stage.send(organisation, bulk_action, str(index))
    else:
        merge.send(organisation, bulk_action, str(index))


def _run(chunk_id: ChunkId, work: Work) -> None:
    with tenant(chunk_id.organisation_id):
        is_mine = claim(chunk_id, f"{socket.gethostname()}:{os.getpid()}")
        db.session.commit()
        if is_mine:
            _work(chunk_id, work)
        publish_progress(chunk_id.organisation_id, chunk_id.bulk_action_id)


def _work(chunk_id: ChunkId, work: Work) -> None:
    try:
        _do(chunk_id, work)
        while chunk_id.phase is Phase.PLAN:  # until its chunk is done, which `hold` says by OverError
            publish_progress(chunk_id.organisation_id, chunk_id.bulk_action_id)
            _do(chunk_id, work)
    except OverError:
        db.session.rollback()
    except UnreadableFileError as error:
        _fail(chunk_id, str(error))
    except Exception as error:
        _note_error(chunk_id, error)
        raise


def _do(chunk_id: ChunkId, work: Work) -> None:
    """One transaction of work, its commit, and the messages that follow."""
    sends = _try_until_undisturbed(lambda: work(hold(chunk_id), _storage()))
    for outcome, count in sends.row_counts.items():
        count_import_rows(outcome, count)
    for phase, index in sends.chunks:
        send_chunk(chunk_id.organisation_id, chunk_id.bulk_action_id, phase, index)
    if sends.clean:
        clean.send(str(chunk_id.organisation_id), str(chunk_id.bulk_action_id))


def _try_until_undisturbed(attempt: Callable[[], Sends]) -> Sends:
    """Do the whole transaction again when another one crossed it."""
    for number in range(1, MAX_TRIES + 1):
        try:
            sends = attempt()
            db.session.commit()
        except (psycopg.Error, DBAPIError) as error:
            db.session.rollback()
            if number == MAX_TRIES or not _will_pass(error):
                raise
            time.sleep(random.uniform(0, RETRY_SECONDS * number))  # noqa: S311
        else:
            return sends
    raise AssertionError("The last try either returned or raised.")


def _will_pass(error: Exception) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, PASSING_ERRORS)


def _fail(chunk_id: ChunkId, reason: str) -> None:
    """End the import: no other attempt can read this file either."""
    db.session.rollback()
    bulk_action = lock_bulk_action(chunk_id.organisation_id, chunk_id.bulk_action_id)
    if bulk_action and bulk_action.is_running:
        service.fail(bulk_action, reason)
    db.session.commit()
    clean.send(str(chunk_id.organisation_id), str(chunk_id.bulk_action_id))


def _note_error(chunk_id: ChunkId, error: Exception) -> None:
    """Keep the reason with the chunk, for the message after the last attempt; the sweeper sends it again."""
    logger.exception("Chunk %s %s failed.", chunk_id.phase.value, chunk_id.index)
    db.session.rollback()
    chunk = lock_chunk(chunk_id.organisation_id, chunk_id.bulk_action_id, chunk_id.phase, chunk_id.index)
    if chunk:
        chunk.error = f"{type(error).__name__}: {error}"[:ERROR_LIMIT]
    db.session.commit()


def _sweep_one(organisation_id: UUID, bulk_action_id: UUID) -> None:
    bulk_action = get_bulk_action(organisation_id, bulk_action_id)
    if bulk_action is None or not bulk_action.state.is_final:
        if bulk_action is None or not _end_if_cancelled(bulk_action):
            _send_stuck(organisation_id, bulk_action_id)
    elif bulk_action.ended_at is None or bulk_action.ended_at < utc_now() - CLEAN_AFTER:
        clean.send(str(organisation_id), str(bulk_action_id))
    db.session.rollback()


def _end_if_cancelled(bulk_action: BulkAction) -> bool:
    """Somebody asked its job to stop, and no chunk comes by to see that: its queue is paused, or a message is lost."""
    organisation_id, bulk_action_id = bulk_action.organisation_id, bulk_action.id
    job = get_job(organisation_id, bulk_action.job_id) if bulk_action.job_id else None
    if job is None or job.cancel_requested_at is None:
        return False
    if locked := lock_bulk_action(organisation_id, bulk_action_id):
        service.cancel(locked)
    db.session.commit()
    clean.send(str(organisation_id), str(bulk_action_id))
    publish_progress(organisation_id, bulk_action_id)
    return True


def _send_stuck(organisation_id: UUID, bulk_action_id: UUID) -> None:
    """In a paused queue they wait because they shall."""
    if is_paused("imports"):
        return
    now = utc_now()
    stuck = find_stuck_chunks(organisation_id, bulk_action_id, now, queue_is_empty=not waiting_count("imports"))
    for chunk in stuck:
        chunk.sent_at = now
    sends = [(chunk.phase, chunk.index) for chunk in stuck]
    db.session.commit()
    for phase, index in sends:
        send_chunk(organisation_id, bulk_action_id, phase, index)


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
        service.delete_drafts(organisation_id, ids, utc_now() - DRAFT_LIFETIME)
        db.session.commit()
        wanted = find_with_file(organisation_id, ids)
        db.session.rollback()
    unwanted = [key for key, bulk_action_id in ids_by_key.items() if bulk_action_id not in wanted]
    for key in unwanted:
        storage.delete(key)
    return len(unwanted)


def _storage() -> Storage:
    return storage_at(current_app.extensions["settings"].uploads_url)
