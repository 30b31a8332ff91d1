"""Starting a verb over many records. Nothing here commits or sends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text

from webapp.bulk_actions.models import BulkAction, BulkActionState, Phase, Verb
from webapp.bulk_actions.retention import GONE, are_details_kept
from webapp.bulk_actions.service import new_chunk
from webapp.bulk_actions.verbs.parameters import CONFIRMED, check_parameters
from webapp.bulk_actions.verbs.selection import Selection, check_selection
from webapp.bulk_actions.verbs.words import title_of
from webapp.extensions import db
from webapp.jobs.service import create_chunked_job
from webapp.lib.clock import utc_now
from webapp.lib.ids import lowest_uuid7, uuid7
from webapp.records.entities import Entity, get_entity

JOB_KIND = "bulk_action"
WINDOW = timedelta(hours=1)
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 2))")
UNDOABLE = (Verb.IMPORT, Verb.UPDATE, Verb.ADD_TAGS, Verb.REMOVE_TAGS, Verb.DELETE, Verb.DELETE_ALL)


class TooManyError(Exception):
    """The organisation started as many bulk actions within an hour as it may; `retry_at` is when it may again."""

    def __init__(self, most: int, retry_at: datetime) -> None:
        minutes = max(1, math.ceil((retry_at - utc_now()) / timedelta(minutes=1)))
        super().__init__(
            f"Your organisation started {most:,} bulk actions within an hour, as many as it may."
            f" Try again in {minutes} {'minute' if minutes == 1 else 'minutes'}."
        )
        self.retry_at = retry_at


class NotUndoableError(ValueError):
    """This bulk action cannot be undone; the message says why."""


@dataclass(frozen=True)
class Order:
    """What somebody wants done: a verb over a selection, now or later."""

    verb: Verb
    entity: Entity
    selection: Selection | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    run_at: datetime | None = None
    selected_at: datetime | None = None
    confirmed_count: int | None = None
    source_id: UUID | None = None


def start_verb(organisation_id: UUID, user_id: UUID | None, order: Order, *, most_per_hour: int) -> BulkAction:
    """Queue a verb over a selection. Commit, then `send_work`.

    Raises ParameterError, SelectionError, FilterError or TooManyError.
    """
    parameters = check_parameters(order.verb, order.entity, organisation_id, order.parameters)
    if order.confirmed_count is not None:
        parameters[CONFIRMED] = order.confirmed_count
    if order.selection:
        check_selection(order.selection, order.entity, of_deleted=order.verb is Verb.RESTORE)
    refuse_too_many(organisation_id, most_per_hour)
    bulk_action = BulkAction(
        organisation_id=organisation_id,
        id=uuid7(),
        verb=order.verb,
        entity=order.entity.name,
        state=BulkActionState.PENDING,
        file_name="",
        file_key="",
        file_byte_count=0,
        file_sha256="",
        parameters=parameters,
        selection=order.selection.as_json() if order.selection else None,
        selected_at=order.selected_at or utc_now(),
        source_id=order.source_id,
        created_by=user_id,
        run_at=order.run_at,
    )
    job = create_chunked_job(
        organisation_id,
        JOB_KIND,
        title_of(bulk_action),
        parameters={"bulk_action_id": str(bulk_action.id)},
        subject_path=bulk_action.path,
        created_by=user_id,
    )
    job.run_at = order.run_at or job.run_at
    bulk_action.job_id = job.id
    db.session.add(bulk_action)
    db.session.flush()
    db.session.add(new_chunk(bulk_action, Phase.PLAN, 0))
    db.session.flush()
    return bulk_action


def start_undo(source: BulkAction, user_id: UUID | None, *, most_per_hour: int) -> BulkAction:
    """Queue the undoing of a bulk action, which the caller has locked. Raises NotUndoableError or TooManyError."""
    if reason := why_not_undoable(source):
        raise NotUndoableError(reason)
    order = Order(Verb.UNDO, get_entity(source.entity), source_id=source.id)
    return start_verb(source.organisation_id, user_id, order, most_per_hour=most_per_hour)


def why_not_undoable(source: BulkAction) -> str | None:
    """Why a bulk action cannot be undone, in plain words; None when it can."""
    if source.verb not in UNDOABLE or source.is_dry_run:
        return "It changed nothing that could be undone."
    if not source.state.is_final:
        return "It is not over yet. Cancel it first, or wait for its end."
    if not (source.created_count + source.updated_count + source.succeeded_count):
        return "It changed no record."
    if not are_details_kept(source):
        return GONE
    if find_undo(source) is not None:
        return "It is undone already, or just being undone."
    return None


def find_undo(source: BulkAction) -> BulkAction | None:
    """The bulk action that undid this one, or is about to."""
    query = select(BulkAction).where(
        BulkAction.organisation_id == source.organisation_id,
        BulkAction.source_id == source.id,
        BulkAction.verb == Verb.UNDO,
        BulkAction.state.not_in([BulkActionState.FAILED, BulkActionState.CANCELLED]),
    )
    return db.session.scalars(query.order_by(BulkAction.id.desc()).limit(1)).one_or_none()


def refuse_too_many(organisation_id: UUID, most: int) -> None:
    """Raises TooManyError when the organisation started as many verbs within an hour as it may.

    Imports and their tries do not count: nobody shall wait with an undo because of files.
    """
    db.session.execute(LOCK, {"name": f"bulk actions {organisation_id}"})
    since = utc_now() - WINDOW
    query = select(func.count(), func.min(BulkAction.created_at)).where(
        BulkAction.organisation_id == organisation_id,
        BulkAction.id >= lowest_uuid7(since),
        BulkAction.created_at > since,
        BulkAction.verb != Verb.IMPORT,
    )
    count, first_at = db.session.execute(query).one()
    if count >= most:
        raise TooManyError(most, first_at + WINDOW)
