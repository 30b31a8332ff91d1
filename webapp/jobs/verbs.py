"""What can be done to jobs by hand: to one, to several, or to all that match. Nothing here commits or sends."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from uuid import UUID

from webapp.jobs.filters import JobFilter, filter_arguments
from webapp.jobs.kinds import attempt_limit_of, get_kind, list_kinds
from webapp.jobs.models import TROUBLED_STATES, UNFINISHED_STATES, WITHOUT_SUCCESS, Job, JobState
from webapp.jobs.queries import list_jobs_for_update
from webapp.jobs.service import create_job

CHANGE_KIND = "change_jobs"
OVER = {
    JobState.COMPLETED: "It is completed",
    JobState.FAILED: "It failed",
    JobState.CANCELLED: "It was cancelled",
    JobState.DEAD: "Its attempts are spent",
    JobState.DISCARDED: "It was discarded",
}


class Verb(enum.Enum):
    """`retry` begins again what ended without success; `discard` puts away what failed or is dead."""

    CANCEL = "cancel"
    RETRY = "retry"
    DISCARD = "discard"


MAY_BE_CHANGED = {Verb.CANCEL: UNFINISHED_STATES, Verb.RETRY: WITHOUT_SUCCESS, Verb.DISCARD: TROUBLED_STATES}


@dataclass(frozen=True)
class Changed:
    """Jobs that were changed, and how many of those that were meant were left as they are."""

    changed: Sequence[Job]
    skipped_count: int


def cancel_jobs(organisation_id: UUID, job_ids: Iterable[UUID]) -> Changed:
    """End at once what waits, and ask what runs to stop at its next safe point."""
    return change_jobs(organisation_id, Verb.CANCEL, job_ids)


def retry_jobs(organisation_id: UUID, job_ids: Iterable[UUID]) -> Changed:
    """Have what ended without success begin again."""
    return change_jobs(organisation_id, Verb.RETRY, job_ids)


def discard_jobs(organisation_id: UUID, job_ids: Iterable[UUID]) -> Changed:
    """Put away what failed or is dead."""
    return change_jobs(organisation_id, Verb.DISCARD, job_ids)


def put_back_jobs(organisation_id: UUID, job_ids: Iterable[UUID]) -> Sequence[Job]:
    """Undo discards; those that are not discarded any more stay as they are."""
    jobs = [job for job in list_jobs_for_update(organisation_id, set(job_ids)) if job.state is JobState.DISCARDED]
    for job in jobs:
        job.put_back()
    return jobs


def change_jobs(organisation_id: UUID, verb: Verb, job_ids: Iterable[UUID]) -> Changed:
    """The verb for each of the jobs that it may be done to. Ids of no job, or of another's, count as left."""
    wanted = set(job_ids)
    changed = [job for job in list_jobs_for_update(organisation_id, wanted) if change_job(verb, job)]
    return Changed(changed, len(wanted) - len(changed))


def change_job(verb: Verb, job: Job) -> bool:
    """The verb for a locked job; False when it may not be done, or was asked for already."""
    if why_not(verb, job) is not None or (verb is Verb.CANCEL and job.cancel_requested_at is not None):
        return False
    if verb is Verb.CANCEL:
        job.cancel()
    elif verb is Verb.RETRY:
        job.begin_again(attempt_limit_of(job))
    else:
        job.discard()
    return True


def why_not(verb: Verb, job: Job) -> str | None:
    """Why the verb cannot be done to this job, and what can be; None when it can."""
    if verb is Verb.CANCEL:
        return f"{OVER[job.state]}, so there is nothing to stop." if job.state.is_final else None
    if verb is Verb.DISCARD:
        return None if job.may_be_discarded else "Only a failed or dead job can be discarded."
    if job.may_begin_again:
        return None
    if not job.state.is_final:
        return "It is not over yet. Cancel it first, or wait for its end."
    if job.state is JobState.COMPLETED:
        return "It is completed. Start another job of the same kind to do it once more."
    return "An import begins again where it began: drop its file there once more."


def start_change(
    organisation_id: UUID, verb: Verb, job_filter: JobFilter, zone: tzinfo, created_by: UUID | None = None
) -> Job:
    """A job that does the verb to all jobs that match and are older than itself. Commit, then `dispatch`."""
    given = {"verb": verb.value, **filter_arguments(job_filter, UTC)}
    title = title_of_change(verb, job_filter, zone)
    return create_job(organisation_id, get_kind(CHANGE_KIND), given, title=title, created_by=created_by)


def title_of_change(verb: Verb, job_filter: JobFilter, zone: tzinfo) -> str:
    """Like "Retry all dead jobs of the kind “Rehearsal”". Days and times are of the zone."""
    said = filter_arguments(job_filter, zone)
    labels = {kind.name: kind.label for kind in list_kinds()}
    states = said["state"].replace(",", " or ") + " " if "state" in said else ""
    parts = [
        f" of the kind “{labels.get(said['kind'], said['kind'])}”" if "kind" in said else "",
        f" in the queue {said['queue']}" if "queue" in said else "",
        " of one schedule" if "recurring_job_id" in said else "",
        f" with “{said['text']}”" if "text" in said else "",
        f" since {said['since']}" if "since" in said else "",
        f" until {said['until']}" if "until" in said else "",
    ]
    return f"{verb.value.capitalize()} all {states}jobs{''.join(parts)}"
