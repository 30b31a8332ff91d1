"""Jobs that go through many jobs: all that match a filter, or dead letters that shall be tried again.

They go from the newest to the oldest, some hundreds in each transaction, which also keeps how far they are and what
they counted. So whoever goes on after a crash or a hand-over begins with the next ones, and counts nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

from webapp.extensions import db
from webapp.jobs.announcing import announce_several
from webapp.jobs.claims import note_progress
from webapp.jobs.filters import STATES, JobFilter, read_filter_strictly
from webapp.jobs.kinds import Kind, MayStart, Result, Run, register_kind
from webapp.jobs.matching import Found, find_matching
from webapp.jobs.models import Job, JobState
from webapp.jobs.parameters import Parameter
from webapp.jobs.queries import count_matching, list_jobs_for_update
from webapp.jobs.queue_names import WORKING_QUEUES
from webapp.jobs.verbs import CHANGE_KIND, MAY_BE_CHANGED, Verb, change_job, title_of_change
from webapp.lib.clock import utc_now

BATCH_SIZE = 500
COUNT_LIMIT = 1_000_000
"""So many are counted beforehand, for the progress; more go through all the same."""

Change = Callable[[Job], bool]


def register_change_kinds() -> None:
    """Make them known."""
    register_kind(CHANGE_JOBS)
    register_kind(REDRIVE_DEAD_LETTERS)


@dataclass(frozen=True)
class Mark:
    """How far a run is: all jobs from `before` on, which are newer, are done."""

    before: str
    changed_count: int = 0
    skipped_count: int = 0
    total_count: int | None = None
    is_last: bool = False

    @property
    def done_count(self) -> int:
        return self.changed_count + self.skipped_count

    def after(self, found: Found, changed_count: int, skipped_count: int) -> Mark:
        """How far it is when these have been gone through."""
        before = found.ids[-1] if len(found.ids) == BATCH_SIZE else found.looked_until
        return Mark(
            before=self.before if before is None else str(before),
            changed_count=self.changed_count + changed_count,
            skipped_count=self.skipped_count + skipped_count,
            total_count=self.total_count,
            is_last=before is None,
        )


def change_matching(run: Run) -> Result:
    """Do the verb to every job that matches and is older than this one."""
    verb, job_filter = Verb(run.parameters["verb"]), _filter_of(run.parameters)
    states = (job_filter.states or frozenset(JobState)) & MAY_BE_CHANGED[verb]
    if not states:
        return {"changed_count": 0, "skipped_count": 0}
    return _go_through(run, replace(job_filter, states=states), lambda job: change_job(verb, job), None)


def redrive_dead_letters(run: Run) -> Result:
    """Have dead jobs begin again that have been dead for a while and were not tried again too often."""
    wanted = JobFilter(states=frozenset({JobState.DEAD}), kind=run.parameters["kind"])
    ended_before = utc_now() - timedelta(minutes=run.parameters["older_than_minutes"])
    most_redrives: int = run.parameters["most_redrives"]

    def redrive(job: Job) -> bool:
        is_due = job.ended_at is not None and job.ended_at <= ended_before and job.redrive_count < most_redrives
        return is_due and change_job(Verb.RETRY, job)

    return _go_through(run, wanted, redrive, run.parameters["most"])


def _go_through(run: Run, job_filter: JobFilter, change: Change, most: int | None) -> Result:
    """Change what matches, up to `most` jobs, and say how many were changed and how many left."""
    mark = Mark(**run.checkpoint) if run.checkpoint else _first_mark(run, job_filter, is_counted=most is None)
    while not mark.is_last and (most is None or mark.changed_count < most):
        room = BATCH_SIZE if most is None else most - mark.changed_count
        mark, changed = _change_batch(run, job_filter, change, mark, room)
        db.session.commit()
        try:
            run.report(mark.done_count, mark.total_count, asdict(mark))
        finally:  # also when it stops here
            _send(run.organisation_id, changed)
    return {"changed_count": mark.changed_count, "skipped_count": mark.skipped_count}


def _first_mark(run: Run, job_filter: JobFilter, *, is_counted: bool) -> Mark:
    count = count_matching(run.organisation_id, job_filter, COUNT_LIMIT) if is_counted else None
    db.session.rollback()
    return Mark(before=str(run.job_id), total_count=count.number if count and count.is_exact else None)


def _change_batch(run: Run, job_filter: JobFilter, change: Change, mark: Mark, room: int) -> tuple[Mark, list[UUID]]:
    """The next jobs, of which up to `room` are changed, and how far that is. All of it is undone by the
    StaleAttemptError that says that another attempt has taken over."""
    found = find_matching(run.organisation_id, job_filter, before=UUID(mark.before), limit=BATCH_SIZE)
    locked = {job.id: job for job in list_jobs_for_update(run.organisation_id, found.ids)}
    changed: list[UUID] = []
    skipped_count = 0
    for job in (locked.get(job_id) for job_id in found.ids):
        if len(changed) == room:
            break
        if job is not None and job.state in job_filter.states and change(job):
            changed.append(job.id)
        else:
            skipped_count += 1
    mark = mark.after(found, len(changed), skipped_count)
    key = (run.organisation_id, run.job_id, run.number)
    note_progress(*key, mark.done_count, mark.total_count, asdict(mark), None)
    return mark, changed


def _send(organisation_id: UUID, changed: Sequence[UUID]) -> None:
    if changed:
        announce_several(organisation_id, changed)


def _filter_of(parameters: Mapping[str, Any]) -> JobFilter:
    return read_filter_strictly(parameters, UTC)


def _title_of_change(parameters: Mapping[str, Any]) -> str:
    return title_of_change(Verb(parameters["verb"]), _filter_of(parameters), UTC)


CHANGE_JOBS = Kind(
    name=CHANGE_KIND,
    label="Change many jobs",
    run=change_matching,
    description="Cancels, retries or discards all jobs that match what somebody was looking at.",
    parameters=(
        Parameter(
            "verb",
            "What to do",
            "choice",
            is_required=True,
            choices=(("cancel", "Cancel them"), ("retry", "Retry them"), ("discard", "Discard them")),
        ),
        Parameter("state", "States", hint=f"Any of {', '.join(STATES)}; empty for whatever state."),
        Parameter("kind", "Kind"),
        Parameter("queue", "Queue", "choice", choices=tuple((queue, queue) for queue in WORKING_QUEUES)),
        Parameter("text", "With this in the title or error"),
        Parameter("since", "Created since (UTC)"),
        Parameter("until", "Created until (UTC)"),
        Parameter("recurring_job_id", "Of this schedule"),
    ),
    title=_title_of_change,
)
REDRIVE_DEAD_LETTERS = Kind(
    name="redrive_dead_letters",
    label="Try dead letters again",
    run=redrive_dead_letters,
    description="Has dead jobs begin again. As a recurring job it gives them a later chance without anybody's asking.",
    parameters=(
        Parameter("kind", "Only of this kind", hint="A kind's name, such as find_picture; empty for all kinds."),
        Parameter(
            "older_than_minutes",
            "Dead for at least so many minutes",
            "integer",
            default=60,
            minimum=0,
            maximum=525_600,
        ),
        Parameter("most", "So many at most in one run", "integer", default=1_000, minimum=1, maximum=1_000_000),
        Parameter(
            "most_redrives",
            "Leave what was tried again so often",
            "integer",
            default=3,
            minimum=1,
            maximum=1_000,
            hint="What keeps failing is left for a person to look at.",
        ),
    ),
    may_start=MayStart.OWNER,
)
