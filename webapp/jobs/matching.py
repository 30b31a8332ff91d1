"""Which jobs match a filter, newest first, at the same speed among a thousand and among millions.

A filter becomes one select for each state, or for each kind in each state, every one of them a walk along an index in
the order of ids; PostgreSQL merges them and stops when it has enough. Nothing here compares with anything but =, <
and >, which PostgreSQL takes to an index below a row-level policy. For the text there is no index: it is looked for
in the newest LOOK_LIMIT jobs that match the rest, and whoever asks is told how far that was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import ColumnElement, CompoundSelect, Select, func, literal, select, text, union_all

from webapp.extensions import db
from webapp.jobs.filters import JobFilter
from webapp.jobs.models import Job, JobState
from webapp.lib.ids import lowest_uuid7

LOOK_LIMIT = 20_000
NEWEST_FIRST = text("id DESC")

Ids = Select[UUID]

# A look at the index for each kind, however many jobs it has. All jobs of a kind are in the same queue.
KINDS_OF_QUEUE = text(
    """
    WITH RECURSIVE kinds AS (
        (SELECT kind, queue FROM jobs WHERE organisation_id = :organisation_id ORDER BY kind LIMIT 1)
        UNION ALL
        SELECT n.kind, n.queue FROM kinds k CROSS JOIN LATERAL (
            SELECT j.kind, j.queue FROM jobs j WHERE j.organisation_id = :organisation_id AND j.kind > k.kind
            ORDER BY j.kind LIMIT 1
        ) n
    )
    SELECT kind FROM kinds WHERE queue = :queue
    """
)


@dataclass(frozen=True)
class Found:
    """Ids of jobs that match, newest first. What is older than `looked_until` was not looked at."""

    ids: Sequence[UUID]
    looked_until: UUID | None = None


def find_matching(organisation_id: UUID, job_filter: JobFilter, *, before: UUID | None, limit: int) -> Found:
    """The newest that match and are older than `before`."""
    branches = _branches(organisation_id, job_filter, _kinds(organisation_id, job_filter), before)
    if not branches:
        return Found([])
    with by_index():
        looked_until = _floor(branches) if _is_looked_for(job_filter) else None
        newest = _merged([_looked(branch, job_filter, looked_until) for branch in branches]).order_by(NEWEST_FIRST)
        return Found(db.session.scalars(newest.limit(limit)).all(), looked_until)


def count_by_state(organisation_id: UUID, job_filter: JobFilter, most: int) -> tuple[dict[JobState, int], bool]:
    """How many match in each of the filter's states, up to `most`; whether all of them were looked at."""
    kinds = _kinds(organisation_id, job_filter)
    branches = _branches(organisation_id, job_filter, kinds, None)
    if not branches:
        return {}, True
    with by_index():
        looked_until = _floor(branches) if _is_looked_for(job_filter) else None
        counts = [
            _count(state, [_looked(branch, job_filter, looked_until) for branch in branches], most)
            for state in _states(job_filter)
            if (branches := _branches(organisation_id, replace(job_filter, states=frozenset({state})), kinds, None))
        ]
        rows = db.session.execute(union_all(*counts)).all()
    return {JobState(row[0]): row[1] for row in rows}, looked_until is None


def _count(state: JobState, branches: Sequence[Ids], most: int) -> Select[str, int]:
    some = _merged(branches).limit(most).subquery()
    return select(literal(state.value), func.count()).select_from(some)


@contextmanager
def by_index() -> Iterator[None]:
    """Keep PostgreSQL from collecting and sorting all that match, which it takes for few, to give the first ones."""
    db.session.execute(text("SET LOCAL enable_bitmapscan = off"))
    yield
    db.session.execute(text("SET LOCAL enable_bitmapscan = on"))


def _branches(
    organisation_id: UUID, job_filter: JobFilter, kinds: Sequence[str] | None, before: UUID | None
) -> list[Ids]:
    """Selects that together hold every job that matches all but the text, and none twice."""
    every = select(Job.id).where(Job.organisation_id == organisation_id, *_range(job_filter, before))
    states = _states(job_filter)
    if kinds is not None:
        return [every.where(Job.kind == kind, Job.state == state) for kind in kinds for state in states]
    if len(states) == len(JobState):
        return [every]
    return [every.where(Job.state == state) for state in states]


def _states(job_filter: JobFilter) -> list[JobState]:
    return [state for state in JobState if not job_filter.states or state in job_filter.states]


def _range(job_filter: JobFilter, before: UUID | None) -> list[ColumnElement[bool]]:
    """Ids carry their time, so a time is a range of ids."""
    bounds = [before, job_filter.until and lowest_uuid7(job_filter.until)]
    below = [Job.id < bound for bound in bounds if bound is not None]
    return below if job_filter.since is None else [*below, Job.id >= lowest_uuid7(job_filter.since)]


def _kinds(organisation_id: UUID, job_filter: JobFilter) -> list[str] | None:
    """Those that are asked for, by name or by queue; None for whatever kind."""
    if job_filter.queue is None:
        return None if job_filter.kind is None else [job_filter.kind]
    given = {"organisation_id": organisation_id, "queue": job_filter.queue}
    kinds = db.session.scalars(KINDS_OF_QUEUE, given).all()
    return [kind for kind in kinds if job_filter.kind in {None, kind}]


def _merged(branches: Sequence[Ids]) -> Ids | CompoundSelect[UUID]:
    return branches[0] if len(branches) == 1 else union_all(*branches)


def _is_looked_for(job_filter: JobFilter) -> bool:
    return bool(job_filter.text) or job_filter.recurring_job_id is not None


def _floor(branches: Sequence[Ids]) -> UUID | None:
    """The last that is looked at; None when that is all of them."""
    return db.session.scalar(_merged(branches).order_by(NEWEST_FIRST).offset(LOOK_LIMIT - 1).limit(1))


def _looked(branch: Ids, job_filter: JobFilter, looked_until: UUID | None) -> Ids:
    if looked_until is not None:
        branch = branch.where(Job.id >= looked_until)
    if job_filter.recurring_job_id is not None:
        branch = branch.where(Job.recurring_job_id == job_filter.recurring_job_id)
    if job_filter.text:
        words = job_filter.text
        branch = branch.where(Job.title.icontains(words, autoescape=True) | Job.error.icontains(words, autoescape=True))
    return branch
