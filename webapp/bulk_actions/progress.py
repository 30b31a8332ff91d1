"""How far a bulk action is, and telling everyone who watches it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import current_app

from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.queries import get_bulk_action
from webapp.extensions import db
from webapp.jobs.live import publish_job
from webapp.jobs.queries import get_job
from webapp.lib.clock import utc_now
from webapp.live.channels import bulk_action_channel
from webapp.live.publish import may_publish, publish

PACE_MILLISECONDS = 150
STEPS = 20
STEP_MILLISECONDS = 60_000
TEMPLATE = "bulk_actions/_progress.html"


@dataclass(frozen=True)
class Progress:
    """A bulk action at one moment, as pages and programs are told.

    A row that will become a contact is half done when it is staged and done when it is merged.
    While the file is still being planned, `rows_total` is an estimate from the bytes read so far.
    """

    id: str
    state: str
    phase: str
    rows_total: int
    rows_done: int
    rows_per_second: int
    seconds_left: int | None
    created_count: int
    updated_count: int
    unchanged_count: int
    rejected_count: int
    duplicate_count: int
    skipped_count: int
    succeeded_count: int
    failed_count: int
    fraction: float
    run_at: str | None
    wait_reason: str | None
    error: str | None
    is_final: bool

    @property
    def percent(self) -> int:
        return int(self.fraction * 100)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def progress_of(bulk_action: BulkAction) -> Progress:
    """The bulk action as its row says."""
    total, done = _rows_total(bulk_action), _rows_done(bulk_action)
    speed = done / _elapsed(bulk_action).total_seconds()
    left = None if bulk_action.state.is_final or not speed else round((total - done) / speed)
    return Progress(
        id=str(bulk_action.id),
        state=bulk_action.state.value,
        phase=bulk_action.phase.value,
        rows_total=total,
        rows_done=done,
        rows_per_second=round(speed),
        seconds_left=left,
        created_count=bulk_action.created_count,
        updated_count=bulk_action.updated_count,
        unchanged_count=bulk_action.unchanged_count,
        rejected_count=bulk_action.rejected_count,
        duplicate_count=bulk_action.duplicate_count,
        skipped_count=bulk_action.skipped_count,
        succeeded_count=bulk_action.succeeded_count,
        failed_count=bulk_action.failed_count,
        fraction=round(done / total, 4) if total else 0.0,
        run_at=bulk_action.run_at.isoformat() if bulk_action.run_at else None,
        wait_reason=None if bulk_action.state.is_final else bulk_action.wait_reason,
        error=bulk_action.error,
        is_final=bulk_action.state.is_final,
    )


def _rows_total(bulk_action: BulkAction) -> int:
    if bulk_action.planned_at or not bulk_action.planned_offset:
        return bulk_action.row_count
    return round(bulk_action.row_count * max(1.0, bulk_action.file_byte_count / bulk_action.planned_offset))


def _rows_done(bulk_action: BulkAction) -> int:
    """Rejected and blank rows need no merge."""
    return bulk_action.left_out_count + (bulk_action.staged_count + bulk_action.merged_count) // 2


def _elapsed(bulk_action: BulkAction) -> timedelta:
    if bulk_action.started_at is None:
        return timedelta(milliseconds=1)
    elapsed = (bulk_action.ended_at or utc_now()) - bulk_action.started_at
    return max(elapsed, timedelta(milliseconds=1))


def publish_progress(organisation_id: UUID, bulk_action_id: UUID, *, at_once: bool = False) -> None:
    """Publish what was committed: at a steady pace or `at_once`, at every twentieth of the way, and always at the end.

    Call it after the commit, outside any transaction. A state that was overtaken by the end while it
    was being published is followed by the end, so that late viewers never see it as the last word.
    """
    bulk_action = _reread(organisation_id, bulk_action_id)
    if bulk_action and not bulk_action.state.is_final and (at_once or _may_publish(bulk_action)):
        _publish(bulk_action)
        bulk_action = _reread(organisation_id, bulk_action_id)
    if bulk_action and bulk_action.state.is_final:
        _publish(bulk_action)
    db.session.rollback()


def _reread(organisation_id: UUID, bulk_action_id: UUID) -> BulkAction | None:
    db.session.rollback()
    return get_bulk_action(organisation_id, bulk_action_id)


def _may_publish(bulk_action: BulkAction) -> bool:
    broker = current_app.extensions["broker"]
    channel = bulk_action_channel(bulk_action.organisation_id, bulk_action.id)
    step = int(progress_of(bulk_action).fraction * STEPS)
    is_due = may_publish(broker, channel, PACE_MILLISECONDS)
    return may_publish(broker, f"{channel}:{step}", STEP_MILLISECONDS) or is_due


def _publish(bulk_action: BulkAction) -> None:
    broker = current_app.extensions["broker"]
    progress = progress_of(bulk_action)
    html = current_app.jinja_env.get_template(TEMPLATE).render(progress=progress, bulk_action=bulk_action)
    channel = bulk_action_channel(bulk_action.organisation_id, bulk_action.id)
    publish(broker, channel, progress.as_json(), html, final=progress.is_final)
    job = get_job(bulk_action.organisation_id, bulk_action.job_id) if bulk_action.job_id else None
    if job:
        publish_job(broker, job)
