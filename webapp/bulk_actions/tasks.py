"""Actors of bulk actions: take a chunk, do its work in one transaction, commit, send what follows.

A message names no chunk: whoever receives it takes the one whose turn it is, of all organisations, or none. A worker
may die between any two lines here; its transaction is then undone, its lock is free, and `sweep` gives the chunk
back and sends what is missing.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import psycopg
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from webapp.bulk_actions import chunks, service
from webapp.bulk_actions.chunks import OverError, RefusedError, Sends, Take
from webapp.bulk_actions.copies import prepare_copy
from webapp.bulk_actions.giving_up import given_up_words, reject_merge_chunk, reject_stage_chunk
from webapp.bulk_actions.models import BulkAction, BulkActionState, Phase, Verb
from webapp.bulk_actions.phases import phase_work, register_phase
from webapp.bulk_actions.progress import publish_progress
from webapp.bulk_actions.queries import (
    STUCK_AFTER,
    count_waiting_chunks,
    entity_of,
    find_unswept,
    get_bulk_action,
    lock_bulk_action,
    lock_chunk,
    lock_undone_chunks,
    may_clean,
    may_go_on,
)
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.verbs.work import register_verbs
from webapp.bulk_actions.work import merge_chunk, plan_step, stage_chunk
from webapp.extensions import db, tenant
from webapp.jobs.broker import actor, waiting_count
from webapp.jobs.queues import is_paused
from webapp.lib.clock import utc_now
from webapp.lib.outage import cause_of, database_is_away, disk_is_full
from webapp.lib.storage import Storage, storage_at
from webapp.metrics import count_import_rows
from webapp.records.entities import get_entity
from webapp.records.staging import BUCKET_COUNT, clean_staged

MAX_TRIES = 10
RETRY_SECONDS = 0.05
SWEEP_LIMIT = 500
MESSAGE_LIMIT = 1_000
"""The sweeper fills the queue up to so many messages."""
CLEAN_BUCKETS = 256
CLEAN_AFTER = timedelta(seconds=5)
PLAN_AFTER = timedelta(seconds=5)
"""So long a message may take to freeze a selection."""
ERROR_LIMIT = 500
FULL_DISK_PAUSE = timedelta(seconds=15)
FULL_DISK_REASON = "The disk is full: free some space, then it goes on by itself."
PUT_OFF_TRIES = 120
PUT_OFF_SECONDS = 0.5
# Deadlock, serialisation failure, and a key that another transaction created meanwhile.
PASSING_ERRORS = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, psycopg.errors.UniqueViolation)
DATABASE_ERRORS = (psycopg.Error, SQLAlchemyError)

logger = logging.getLogger(__name__)

register_phase(Verb.IMPORT, Phase.PLAN, plan_step)
register_phase(Verb.IMPORT, Phase.STAGE, stage_chunk, give_up=reject_stage_chunk)
register_phase(Verb.IMPORT, Phase.MERGE, merge_chunk, give_up=reject_merge_chunk)
register_verbs()


class GivenUpError(Exception):
    """A chunk was tried often enough, and its bulk action cannot do without it."""


@actor("imports")
def work() -> None:
    """Do the chunk whose turn it is, if there is any."""
    take = chunks.take_chunk(utc_now())
    db.session.commit()
    if take is None:
        return
    with tenant(take.organisation_id):
        _work(take)
        publish_progress(take.organisation_id, take.bulk_action_id)


@actor("imports")
def prepare(organisation: str, bulk_action: str) -> None:
    """Make the copy in which all rows of a draft can be looked at. If this message is lost, the next look sends it."""
    with tenant(UUID(organisation)):
        draft = get_bulk_action(UUID(organisation), UUID(bulk_action))
        if draft and draft.state is BulkActionState.DRAFT:
            prepare_copy(draft, _storage())
        db.session.rollback()


@actor("default")
def plan_ahead(organisation: str, bulk_action: str) -> None:
    """Freeze the selection of what begins later.

    Its message names it, so it waits in no queue of chunks; `sweep` sends it again when it was lost.
    """
    organisation_id, bulk_action_id = UUID(organisation), UUID(bulk_action)
    with tenant(organisation_id):
        take = chunks.take_plan(organisation_id, bulk_action_id, utc_now())
        db.session.commit()
        if take is not None:
            _work(take)
            publish_progress(organisation_id, bulk_action_id, at_once=True)  # nothing follows for long


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
            entity = entity_of(organisation_id, bulk_action_id)
            clean_staged(get_entity(entity), organisation_id, bulk_action_id, start, start + CLEAN_BUCKETS)
            db.session.commit()
        service.clean_up(organisation_id, bulk_action_id, _storage())
        db.session.commit()
        publish_progress(organisation_id, bulk_action_id)  # whoever ended it may have died before saying so


@actor("default")
def sweep() -> None:
    """Give back what lost its worker, and send what has no message: nothing committed is ever forgotten."""
    unswept = find_unswept(SWEEP_LIMIT)
    db.session.rollback()
    for organisation_id, bulk_action_id in unswept:
        with tenant(organisation_id):
            _sweep_one(organisation_id, bulk_action_id)
    _send_missing()


def send_work(count: int = 1) -> None:
    """Send messages for so many chunks that became pending. Call it after the commit."""
    for _ in range(count):
        work.send()


def send_first(bulk_action: BulkAction) -> None:
    """Send what begins a bulk action that was just committed: what it is about is settled now, if its work is not."""
    if bulk_action.plans_ahead:
        plan_ahead.send(str(bulk_action.organisation_id), str(bulk_action.id))
    else:
        send_work()


def _work(take: Take) -> None:
    try:
        chunks.begin(take, f"{socket.gethostname()}:{os.getpid()}")
        db.session.commit()
        _do(take)
    except OverError:
        db.session.rollback()
        _end_if_cancelled(take.organisation_id, take.bulk_action_id)
    except (UnreadableFileError, GivenUpError, RefusedError) as error:
        _fail(take, str(error))
    except Exception as error:
        if not _put_off(take, error):
            _note_error(take, error)
            raise


def _do(take: Take) -> None:
    """One transaction of work, its commit, and the messages that follow."""
    sends = _try_until_undisturbed(lambda: _attempt(take))
    for outcome, count in sends.row_counts.items():
        count_import_rows(outcome, count)
    send_work(sends.message_count)
    if sends.clean:
        clean.send(str(take.organisation_id), str(take.bulk_action_id))


def _attempt(take: Take) -> Sends:
    chunk = chunks.hold(take)
    bulk_action = get_bulk_action(take.organisation_id, take.bulk_action_id)
    if bulk_action is None:
        raise OverError
    found = phase_work(bulk_action.verb, take.phase)
    if not take.is_spent:
        return found.work(chunk, _storage())
    if found.give_up is None:
        raise GivenUpError(given_up_words(chunk))
    return found.give_up(chunk, _storage())


def _try_until_undisturbed(attempt: Callable[[], Sends]) -> Sends:
    """Do the whole transaction again when another one crossed it."""
    for number in range(1, MAX_TRIES + 1):
        try:
            sends = attempt()
            db.session.commit()
        except DATABASE_ERRORS as error:
            if number == MAX_TRIES or not isinstance(cause_of(error), PASSING_ERRORS):
                raise
            db.session.rollback()
            time.sleep(random.uniform(0, RETRY_SECONDS * number))  # noqa: S311
        else:
            return sends
    raise AssertionError("The last try either returned or raised.")


def _fail(take: Take, reason: str) -> None:
    """End the bulk action: no other attempt can help."""
    db.session.rollback()
    bulk_action = lock_bulk_action(take.organisation_id, take.bulk_action_id)
    if bulk_action and bulk_action.is_running:
        service.fail(bulk_action, reason)
    db.session.commit()
    clean.send(str(take.organisation_id), str(take.bulk_action_id))


def _put_off(take: Take, error: Exception) -> bool:
    """Spend no attempt on what is not the chunk's fault; whether that is so, and could be written in the end.

    If it cannot be written, the sweeper gives the chunk back with the attempt spent.
    """
    is_full = disk_is_full(error)
    if not is_full and not database_is_away(error):
        return False
    logger.warning("Chunk %s %s is put off: %s", take.phase.value, take.index, error)
    for _ in range(PUT_OFF_TRIES):
        try:
            _forget_transaction()
            chunks.put_off(take, *((utc_now() + FULL_DISK_PAUSE, FULL_DISK_REASON) if is_full else (None, None)))
            db.session.commit()
        except DATABASE_ERRORS:
            time.sleep(PUT_OFF_SECONDS)
        else:
            return True
    return False


def _forget_transaction() -> None:
    """Roll back, also on a connection that is broken: it is thrown away then."""
    try:
        db.session.rollback()
    except DATABASE_ERRORS:
        db.session().invalidate()


def _note_error(take: Take, error: Exception) -> None:
    """Keep the reason with the chunk, for whoever gives it up after the last attempt; the sweeper gives it back."""
    logger.exception("Chunk %s %s failed.", take.phase.value, take.index)
    _forget_transaction()
    chunk = lock_chunk(take.organisation_id, take.bulk_action_id, take.phase, take.index)
    if chunk:
        chunk.error = f"{type(error).__name__}: {error}"[:ERROR_LIMIT]
    db.session.commit()


def _sweep_one(organisation_id: UUID, bulk_action_id: UUID) -> None:
    bulk_action = get_bulk_action(organisation_id, bulk_action_id)
    if bulk_action is None or not bulk_action.state.is_final:
        if not _end_if_cancelled(organisation_id, bulk_action_id):
            _give_back_left(organisation_id, bulk_action_id)
            _plan_if_forgotten(organisation_id, bulk_action_id)
    elif bulk_action.ended_at is None or bulk_action.ended_at < utc_now() - CLEAN_AFTER:
        clean.send(str(organisation_id), str(bulk_action_id))
    db.session.rollback()


def _end_if_cancelled(organisation_id: UUID, bulk_action_id: UUID) -> bool:
    """Somebody asked its job to stop: end it here, whether a chunk has just seen that or none comes by."""
    if may_go_on(organisation_id, bulk_action_id):
        return False
    bulk_action = lock_bulk_action(organisation_id, bulk_action_id)
    if bulk_action is None or not bulk_action.is_running:
        db.session.rollback()
        return False
    service.cancel(bulk_action)
    db.session.commit()
    clean.send(str(organisation_id), str(bulk_action_id))
    publish_progress(organisation_id, bulk_action_id)
    return True


def _give_back_left(organisation_id: UUID, bulk_action_id: UUID) -> None:
    for chunk in lock_undone_chunks(organisation_id, bulk_action_id, utc_now() - STUCK_AFTER):
        chunk.taken_at = None
    db.session.commit()


def _plan_if_forgotten(organisation_id: UUID, bulk_action_id: UUID) -> None:
    bulk_action = get_bulk_action(organisation_id, bulk_action_id)
    if bulk_action is None or not bulk_action.plans_ahead or bulk_action.phase is not Phase.PLAN:
        return
    if bulk_action.created_at < utc_now() - PLAN_AFTER:
        send_first(bulk_action)


def _send_missing() -> None:
    """As many messages as chunks might be taken now, beyond those that wait; one too many finds nothing to do.

    In a paused queue chunks wait because they shall.
    """
    if not is_paused("imports"):
        send_work(count_waiting_chunks(utc_now(), MESSAGE_LIMIT) - waiting_count("imports"))
    db.session.rollback()


def _storage() -> Storage:
    return storage_at(current_app.extensions["settings"].uploads_url)
