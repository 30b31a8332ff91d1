"""What can be done to recurring jobs. Nothing here commits or sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from webapp.accounts.time_zones import TIME_ZONES
from webapp.config import Settings
from webapp.extensions import db
from webapp.jobs.kinds import Kind, MayStart, UnknownKindError, get_kind, list_kinds
from webapp.jobs.models import Job, RecurringJob
from webapp.jobs.parameters import MASK, ParametersError, read_parameters
from webapp.jobs.queries import get_job
from webapp.jobs.recurring_queries import count_recurring_jobs
from webapp.jobs.schedules import ScheduleError, check_schedule, next_run
from webapp.jobs.service import create_job

COUNT_LIMIT = 100
TITLE_LENGTH = 200
STILL_AT_WORK = "The run before had not ended."


class RecurringJobError(Exception):
    """Some values cannot be used; `errors` says for each field why, for parameters as `parameters.NAME`."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in errors.items()))
        self.errors = errors


class CannotStartError(Exception):
    """No job can be made now; the message says why."""


@dataclass(frozen=True)
class Wanted:
    """What somebody wants of a recurring job, not checked yet. An empty title stands for the kind's own."""

    title: str
    parameters: Mapping[str, Any]
    schedule: str
    time_zone: str
    is_enabled: bool = True


def list_recurring_kinds() -> list[Kind]:
    """Kinds that people may start, and so may have started for them."""
    return [kind for kind in list_kinds() if kind.may_start is not MayStart.NOBODY]


def find_recurring_kind(name: str) -> Kind | None:
    """The kind of that name, if people may start it."""
    return next((kind for kind in list_recurring_kinds() if kind.name == name), None)


def create_recurring_job(
    organisation_id: UUID, kind: Kind, wanted: Wanted, now: datetime, created_by: UUID | None
) -> RecurringJob:
    """A new one, whose first run is its schedule's next time; raises RecurringJobError."""
    if count_recurring_jobs(organisation_id) >= COUNT_LIMIT:
        raise RecurringJobError({"title": f"There may be up to {COUNT_LIMIT} recurring jobs. Delete one first."})
    recurring_job = RecurringJob(organisation_id=organisation_id, kind=kind.name, created_by=created_by)
    _write(recurring_job, kind, wanted, {}, now)
    recurring_job.next_run_at = _next_run(recurring_job, now)
    db.session.add(recurring_job)
    db.session.flush()
    return recurring_job


def update_recurring_job(recurring_job: RecurringJob, kind: Kind, wanted: Wanted, now: datetime) -> None:
    """Change it; a run that is due stays due unless its time or its switch was changed. Raises RecurringJobError."""
    before = _timing(recurring_job)
    _write(recurring_job, kind, wanted, recurring_job.parameters, now)
    if _timing(recurring_job) != before:
        recurring_job.next_run_at = _next_run(recurring_job, now)


def switch_recurring_job(recurring_job: RecurringJob, is_enabled: bool, now: datetime) -> None:
    """Switch it on or off. What it missed while it was off is not made up for."""
    if recurring_job.is_enabled == is_enabled:
        return
    recurring_job.is_enabled = is_enabled
    recurring_job.next_run_at = _next_run(recurring_job, now)
    recurring_job.skipped_at = recurring_job.skip_reason = None


def start_due(recurring_job: RecurringJob, settings: Settings, now: datetime) -> Job | None:
    """Make the job whose time has come, and go on to the first time after now.

    However many times were missed, one job makes up for them. Where none can be made, the row says why.
    """
    due_at = recurring_job.next_run_at
    if not recurring_job.is_enabled or due_at is None or due_at > now:
        return None
    try:
        recurring_job.next_run_at = None  # what cannot be reckoned any more is not due for ever
        recurring_job.next_run_at = _next_run(recurring_job, now)
        return _start(recurring_job, settings)
    except (UnknownKindError, ParametersError, ScheduleError, CannotStartError) as error:
        recurring_job.skip(due_at, str(error))
        return None


def start_now(recurring_job: RecurringJob, settings: Settings, created_by: UUID | None) -> Job:
    """Make a job outside of the schedule, which stays as it is; raises CannotStartError."""
    try:
        return _create(recurring_job, settings, created_by)
    except (UnknownKindError, ParametersError) as error:
        raise CannotStartError(str(error)) from error


def _start(recurring_job: RecurringJob, settings: Settings) -> Job:
    last_job_id = recurring_job.last_job_id
    last_job = get_job(recurring_job.organisation_id, last_job_id) if last_job_id else None
    if last_job is not None and not last_job.state.is_final:
        raise CannotStartError(STILL_AT_WORK)
    return _create(recurring_job, settings, recurring_job.created_by)


def _create(recurring_job: RecurringJob, settings: Settings, created_by: UUID | None) -> Job:
    kind = get_kind(recurring_job.kind)
    if reason := kind.why_unavailable(settings):
        raise CannotStartError(reason)
    job = create_job(
        recurring_job.organisation_id,
        kind,
        recurring_job.parameters,
        title=recurring_job.title,
        created_by=created_by,
        recurring_job_id=recurring_job.id,
    )
    recurring_job.note_run(job)
    return job


def _write(recurring_job: RecurringJob, kind: Kind, wanted: Wanted, kept: Mapping[str, Any], now: datetime) -> None:
    """Check everything, so that all that is wrong is said at once, and only then change the row."""
    errors: dict[str, str] = {}
    schedule = _read_schedule(wanted, now, errors)
    parameters = _read_parameters(kind, wanted, kept, errors)
    title = " ".join(wanted.title.split())
    if len(title) > TITLE_LENGTH:
        errors["title"] = f"This may have up to {TITLE_LENGTH} characters."
    if errors:
        raise RecurringJobError(errors)
    recurring_job.title = title or kind.title_of(parameters)
    recurring_job.parameters, recurring_job.schedule = parameters, schedule
    recurring_job.time_zone, recurring_job.is_enabled = wanted.time_zone, wanted.is_enabled


def _read_schedule(wanted: Wanted, now: datetime, errors: dict[str, str]) -> str:
    if wanted.time_zone not in TIME_ZONES:
        errors["time_zone"] = "Choose a time zone from the list."
        return ""
    try:
        return check_schedule(wanted.schedule, wanted.time_zone, now)
    except ScheduleError as error:
        errors["schedule"] = str(error)
        return ""


def _read_parameters(kind: Kind, wanted: Wanted, kept: Mapping[str, Any], errors: dict[str, str]) -> dict[str, Any]:
    try:
        return read_parameters(kind.parameters, _with_secrets(kind, wanted.parameters, kept))
    except ParametersError as error:
        errors |= {f"parameters.{name}": reason for name, reason in error.errors.items()}
        return {}


def _with_secrets(kind: Kind, given: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """What was given; a secret that was left empty, or sent back covered, is the one that is kept."""
    unchanged = {
        parameter.name: kept[parameter.name]
        for parameter in kind.parameters
        if parameter.is_secret and parameter.name in kept and given.get(parameter.name) in (None, "", MASK)
    }
    return {**given, **unchanged}


def _timing(recurring_job: RecurringJob) -> tuple[str, str, bool]:
    return recurring_job.schedule, recurring_job.time_zone, recurring_job.is_enabled


def _next_run(recurring_job: RecurringJob, now: datetime) -> datetime | None:
    if not recurring_job.is_enabled:
        return None
    return next_run(recurring_job.schedule, recurring_job.time_zone, now)
