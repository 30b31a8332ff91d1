"""The actors of visits: counting what came in, and having partitions ready for it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from uuid import UUID

import redis
from flask import current_app
from sqlalchemy import text

from webapp.config import Settings
from webapp.extensions import db, driver_connection
from webapp.jobs.broker import actor
from webapp.jobs.workers import this_worker
from webapp.lib.clock import utc_now
from webapp.lib.redis import beacons_client
from webapp.live.channels import visits_channel
from webapp.live.publish import publish
from webapp.metrics import count_laid_aside
from webapp.visits import backlog
from webapp.visits.counting.ahead import Ahead
from webapp.visits.counting.rebuild_tasks import rebuild_stale_sites
from webapp.visits.counting.recount_tasks import tidy
from webapp.visits.counting.roll_up import Counted, begin_batch, count_batch

ROLL_UP_SECONDS = 20.0
"""How long one message may keep its worker; the scheduler sends the next while beacons wait."""
DAYS_AHEAD = 7
SEEN_DAYS = 7
VISIT_DAYS = 3
"""A beacon is taken up to 48 hours late, and what it changes may have begun a while before."""


@actor("visits")
def roll_up() -> None:
    """Count what waits in the stream, batch after batch, until less than a batch waits.

    What came meanwhile is left for the next message: many small batches would cost more than they are worth.
    """
    settings: Settings = current_app.extensions["settings"]
    with beacons_client(settings) as stream:
        roll_up_until(stream, settings.roll_up_batch, time.monotonic() + ROLL_UP_SECONDS)


def roll_up_until(stream: redis.Redis, batch: int, until: float) -> None:
    """Count batches of about so many beacons until less than one waits, or until this moment of the monotonic clock."""
    with Ahead(stream, batch) as ahead:
        while time.monotonic() < until and _roll_up_batch(stream, batch, ahead):
            pass


def roll_up_once(stream: redis.Redis, batch: int) -> bool:
    """Count one batch. Whether another may wait."""
    with Ahead(stream, batch) as ahead:
        return _roll_up_batch(stream, batch, ahead)


def _roll_up_batch(stream: redis.Redis, batch: int, ahead: Ahead) -> bool:
    """Commit, then trim the stream, then tell the pages."""
    try:
        connection = driver_connection()
        position = begin_batch(connection)
        if position is None:
            return False
        if backlog.is_behind(stream, position):
            position = backlog.START
        waiting = ahead.take(position)
        counted = count_batch(connection, waiting) if waiting else None
        db.session.commit()
    finally:
        db.session.rollback()
    backlog.trim(stream, counted.position if counted else position)
    if counted:
        this_worker().count_done("visits", counted.row_count)
        for error, count in counted.laid_aside.items():
            count_laid_aside(error, count)
        _tell_pages(counted)
        for organisation_id in counted.stale_organisations:
            rebuild_stale_sites(organisation_id)
    return counted is not None and counted.row_count >= batch


@actor("default")
def make_partitions() -> None:
    """Make the coming days' partitions; drop ids that no beacon can carry any more, and visits that none can change.

    What was laid aside is looked after in between. Days are those since the oldest beacon that waits: after days
    without counting, those that wait may be of the ids and visits that would have been dropped by today's date.
    """
    today = utc_now().date()
    days = {"first": today - timedelta(days=1), "last": today + timedelta(days=DAYS_AHEAD)}
    db.session.execute(text("SELECT footfall_make_partitions(:first, :last)"), days)
    db.session.commit()
    tidy()  # while the ids are known by which it tells what was counted
    counted_to = _counted_to()
    first_day = counted_to.date() - timedelta(days=SEEN_DAYS)
    db.session.execute(text("SELECT footfall_drop_seen_partitions(:day)"), {"day": first_day})
    db.session.commit()
    before = counted_to - timedelta(days=VISIT_DAYS)
    db.session.execute(text("SELECT footfall_prune_visits(:before)"), {"before": before})
    db.session.commit()


def _counted_to() -> datetime:
    """When the oldest beacon came that waits to be counted; now, where none does."""
    settings: Settings = current_app.extensions["settings"]
    with beacons_client(settings) as stream:
        oldest_at = backlog.read_backlog(stream, settings.beacons_limit).oldest_at
    return min(oldest_at or utc_now(), utc_now())


def backlog_count() -> int:
    """How many groups of beacons wait to be counted."""
    settings: Settings = current_app.extensions["settings"]
    with beacons_client(settings) as stream:
        return backlog.waiting_count(stream)


def _tell_pages(counted: Counted) -> None:
    for organisation_id, count in counted.pageview_counts.items():
        _tell_page(organisation_id, count)


def _tell_page(organisation_id: UUID, count: int) -> None:
    publish(current_app.extensions["broker"], visits_channel(organisation_id), {"pageview_count": count})
