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

LOOK_LIMIT = 10_000

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
PLAN = text("SELECT set_config('enable_sort', :others, true), set_config('enable_bitmapscan', :others, true)")


@dataclass(frozen=True)
class Found:
    """Ids of jobs that match, newest first. What is older than `looked_until` was not looked at."""

    ids: Sequence[UUID]
    looked_until: UUID | None = None


@dataclass(frozen=True)
class Search:
    """What is searched for, where; `kinds` are those that its kind and queue mean, None for whatever kind."""

    organisation_id: UUID
    job_filter: JobFilter
    kinds: Sequence[str] | None
    before: UUID | None = None

    @property
    def states(self) -> list[JobState]:
        return [state for state in JobState if not self.job_filter.states or state in self.job_filter.states]


def find_matching(organisation_id: UUID, job_filter: JobFilter, *, before: UUID | None, limit: int) -> Found:
    """The newest that match and are older than `before`."""
    search = Search(organisation_id, job_filter, _kinds(organisation_id, job_filter), before)
    with by_index():
        looked_until = _look(search)
        branches = _looked(search, looked_until)
        if not branches:
            return Found([])
        return Found(db.session.scalars(_newest(branches).limit(limit)).all(), looked_until)


def count_by_state(organisation_id: UUID, job_filter: JobFilter, most: int) -> tuple[dict[JobState, int], bool]:
    """How many match in each of the filter's states, up to `most`; whether all of them were looked at."""
    search = Search(organisation_id, job_filter, _kinds(organisation_id, job_filter))
    with by_index():
        looked_until = _look(search)
        counts = [
            _count(state, branches, most)
            for state in search.states
            if (branches := _looked(_in_state(search, state), looked_until))
        ]
        rows = db.session.execute(union_all(*counts)).all() if counts else []
    return {JobState(row[0]): row[1] for row in rows}, looked_until is None


def _in_state(search: Search, state: JobState) -> Search:
    return replace(search, job_filter=replace(search.job_filter, states=frozenset({state})))


def _count(state: JobState, branches: Sequence[Ids], most: int) -> Select[str, int]:
    some = _newest(branches).limit(most).subquery()
    return select(literal(state.value), func.count()).select_from(some)


@contextmanager
def by_index() -> Iterator[None]:
    """Have PostgreSQL take rows from an index in its order, until this block ends.

    Without statistics of the organisation it expects few rows, and would collect and sort all of them, millions,
    to give the first ones.
    """
    db.session.execute(PLAN, {"others": "off"})
    yield
    db.session.execute(PLAN, {"others": "on"})


def _branches(search: Search) -> list[Ids]:
    """Selects that together hold every job that matches what an index knows, and none twice."""
    job_filter, states = search.job_filter, search.states
    every = select(Job.id).where(Job.organisation_id == search.organisation_id, *_range(job_filter, search.before))
    if job_filter.recurring_job_id is not None:
        return [every.where(Job.recurring_job_id == job_filter.recurring_job_id)]
    if search.kinds is not None:
        return [every.where(Job.kind == kind, Job.state == state) for kind in search.kinds for state in states]
    if len(states) == len(JobState):
        return [every]
    return [every.where(Job.state == state) for state in states]


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


def _newest(branches: Sequence[Ids]) -> Ids | CompoundSelect[UUID]:
    """All branches as one, newest first. Each is ordered too, which is what lets PostgreSQL merge them lazily."""
    ordered = [branch.order_by(Job.id.desc()) for branch in branches]
    return ordered[0] if len(ordered) == 1 else union_all(*ordered).order_by(text("id DESC"))


def _look(search: Search) -> UUID | None:
    """How far to look for what no index knows; None for as far as there are jobs."""
    branches = _branches(search)
    if not branches or not _unindexed(search):
        return None
    return db.session.scalar(_newest(branches).offset(LOOK_LIMIT - 1).limit(1))


def _looked(search: Search, looked_until: UUID | None) -> list[Ids]:
    """Selects of all that matches, down to `looked_until`."""
    conditions = _unindexed(search)
    if looked_until is not None:
        conditions.append(Job.id >= looked_until)
    return [branch.where(*conditions) for branch in _branches(search)]


def _unindexed(search: Search) -> list[ColumnElement[bool]]:
    """What each job has to be looked at for. Of one recurring job's there are few, in whatever kind and state."""
    conditions: list[ColumnElement[bool]] = []
    if search.job_filter.recurring_job_id is not None:
        conditions += [Job.state.in_(search.states)] if search.job_filter.states else []
        conditions += [Job.kind.in_(search.kinds)] if search.kinds is not None else []
    if words := search.job_filter.text:
        conditions.append(Job.title.icontains(words, autoescape=True) | Job.error.icontains(words, autoescape=True))
    return conditions
