"""Limits like "50 requests an hour for each organisation", kept in PostgreSQL for all workers together.

A reservation waits in the order of asking until it is used; used, it counts until it is a window old. Only
what was used counts against the limit, so a job that wakes late shifts those behind it and cannot make one
request too many. The moments of those that wait are what people and the dispatcher are told meanwhile: each that
comes is told anew how long, which is seconds if anything.

A used reservation belongs to its request and not to its job: a job that tries again makes another request
and so needs another reservation, and stands at the end.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.sql.elements import ColumnElement

from webapp.extensions import db
from webapp.jobs.models import UNFINISHED_STATES, Job, RateReservation
from webapp.lib.ids import uuid7

LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


def reserve(
    organisation_id: UUID, limit_name: str, job_id: UUID, *, most: int, window: timedelta, now: datetime
) -> datetime:
    """The moment at which the job may make one request: `now`, which uses it up, or a later one to come back at.

    At most `most` requests are let through in any `window`. Others that ask wait until the transaction ends, so
    commit at once, and before the request is made.
    """
    db.session.execute(LOCK, {"name": f"limit {organisation_id} {limit_name}"})
    _forget(organisation_id, limit_name, now - window)
    mine = _find_waiting(organisation_id, limit_name, job_id) or _ask(organisation_id, limit_name, job_id)
    mine.reserved_at = _turn(mine, most, window, now)
    if mine.reserved_at == now:
        mine.used_at = now
    db.session.flush()
    return mine.reserved_at


def _forget(organisation_id: UUID, limit_name: str, before: datetime) -> None:
    """Remove what counts no more: requests of long ago, and places of jobs that will not come."""
    comes = select(Job.id).where(
        Job.organisation_id == organisation_id,
        Job.id == RateReservation.job_id,
        Job.state.in_(UNFINISHED_STATES),
    )
    is_over = (RateReservation.used_at <= before) | (RateReservation.used_at.is_(None) & ~comes.exists())
    db.session.execute(delete(RateReservation).where(*_of(organisation_id, limit_name), is_over))


def _find_waiting(organisation_id: UUID, limit_name: str, job_id: UUID) -> RateReservation | None:
    wanted = (RateReservation.job_id == job_id, RateReservation.used_at.is_(None))
    return db.session.scalars(select(RateReservation).where(*_of(organisation_id, limit_name), *wanted)).one_or_none()


def _ask(organisation_id: UUID, limit_name: str, job_id: UUID) -> RateReservation:
    mine = RateReservation(organisation_id=organisation_id, id=uuid7(), limit_name=limit_name, job_id=job_id)
    db.session.add(mine)
    return mine


def _turn(mine: RateReservation, most: int, window: timedelta, now: datetime) -> datetime:
    """When this one's turn comes, if all before it come in time.

    `most` requests fit into a window. Each place is free at once, or when the request in it is a window old; who
    finds them all taken by those before waits for the first place once more, one window later.
    """
    with db.session.no_autoflush:
        used = _used_at(mine.organisation_id, mine.limit_name)
        before_count = _count_before(mine)
    places = ([now] * (most - len(used)) + [moment + window for moment in used])[-most:]
    rounds, place = divmod(before_count, most)
    return places[place] + rounds * window


def _used_at(organisation_id: UUID, limit_name: str) -> list[datetime]:
    """Moments of the requests that count, the earliest first."""
    used_at = RateReservation.used_at
    query = select(used_at).where(*_of(organisation_id, limit_name), used_at.is_not(None)).order_by(used_at)
    return [moment for moment in db.session.scalars(query) if moment is not None]


def _count_before(mine: RateReservation) -> int:
    waiting = (RateReservation.used_at.is_(None), RateReservation.id < mine.id)
    query = select(func.count()).where(*_of(mine.organisation_id, mine.limit_name), *waiting)
    return db.session.scalars(query).one()


def _of(organisation_id: UUID, limit_name: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return RateReservation.organisation_id == organisation_id, RateReservation.limit_name == limit_name
