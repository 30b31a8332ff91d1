"""The verbs of weekly reports: asking for them, taking that back, and claiming a mail before it is sent."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import ColumnElement, delete, update
from sqlalchemy.dialects.postgresql import insert

from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.visits.weekly.models import MailState, WeeklyMail, WeeklySubscription

REASON_LIMIT = 300


def subscribe(organisation_id: UUID, site_id: UUID, user_id: UUID) -> None:
    """Send this person the site's weekly report from the next one on; once is enough."""
    values = {"organisation_id": organisation_id, "site_id": site_id, "user_id": user_id, "created_at": utc_now()}
    db.session.execute(insert(WeeklySubscription).values(**values).on_conflict_do_nothing())


def unsubscribe(organisation_id: UUID, site_id: UUID, user_id: UUID) -> bool:
    """Send no more; whether there was something to end."""
    gone = db.session.execute(
        delete(WeeklySubscription)
        .where(
            WeeklySubscription.organisation_id == organisation_id,
            WeeklySubscription.site_id == site_id,
            WeeklySubscription.user_id == user_id,
        )
        .returning(WeeklySubscription.user_id)
    )
    return gone.first() is not None


def claim(organisation_id: UUID, site_id: UUID, monday: date, user_id: UUID) -> bool:
    """Whether this mail is the caller's to send: commit first, then send. Nobody else will."""
    values = {
        "organisation_id": organisation_id,
        "site_id": site_id,
        "monday": monday,
        "user_id": user_id,
        "state": MailState.CLAIMED,
        "reason": "",
        "created_at": utc_now(),
    }
    claimed = insert(WeeklyMail).values(**values).on_conflict_do_nothing().returning(WeeklyMail.user_id)
    return db.session.scalar(claimed) is not None


def end(organisation_id: UUID, site_id: UUID, monday: date, user_id: UUID, state: MailState, reason: str = "") -> None:
    """Write down what became of a claimed mail."""
    ended = {"state": state, "reason": reason[:REASON_LIMIT], "ended_at": utc_now()}
    db.session.execute(update(WeeklyMail).where(*_is(organisation_id, site_id, monday, user_id)).values(**ended))


def release(organisation_id: UUID, site_id: UUID, monday: date, user_id: UUID) -> None:
    """Give back a claim whose mail the server certainly has not: it is tried again."""
    db.session.execute(delete(WeeklyMail).where(*_is(organisation_id, site_id, monday, user_id)))


def _is(organisation_id: UUID, site_id: UUID, monday: date, user_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return (
        WeeklyMail.organisation_id == organisation_id,
        WeeklyMail.site_id == site_id,
        WeeklyMail.monday == monday,
        WeeklyMail.user_id == user_id,
    )
