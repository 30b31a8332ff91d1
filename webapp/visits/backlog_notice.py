"""What the jobs page says of beacons that wait to be counted: nothing, as long as they are counted in time."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from flask import current_app
from redis.exceptions import RedisError

from webapp.config import Settings
from webapp.jobs.notices import Notice
from webapp.lib.clock import utc_now
from webapp.lib.redis import beacons_client
from webapp.visits.backlog import Backlog, read_backlog

LATE_AFTER = timedelta(minutes=1)
TO_DO = (
    "Whoever runs this installation should look whether the worker of the queue “visits” runs and PostgreSQL answers."
)

logger = logging.getLogger(__name__)


def backlog_notice() -> Notice | None:
    """A line on beacons that wait for long, or are refused because too many do."""
    settings: Settings = current_app.extensions["settings"]
    try:
        with beacons_client(settings) as client:
            return notice_of(read_backlog(client, settings.beacons_limit), utc_now())
    except RedisError as error:
        logger.warning("Nobody says how many beacons wait: %s", error)
        text = "Websites keep them and send them later. Whoever runs this installation should look after Redis."
        return Notice("bad", "Visits cannot be taken at the moment", text)


def notice_of(backlog: Backlog, now: datetime) -> Notice | None:
    """What is to be said of a backlog; times are those of Redis, whose clock may differ a little."""
    age = max(now - backlog.oldest_at, timedelta()) if backlog.oldest_at else timedelta()
    waiting = f"{backlog.count:,} beacons wait to be counted, the oldest for {_words(age)}."
    if backlog.is_full:
        limit = f"The limit is {backlog.limit:,}: new ones are told to come again later (503), and trackers do."
        return Notice("bad", "More visits wait than may", f"{waiting} {limit} {TO_DO}")
    if age > LATE_AFTER:
        return Notice("warn", "Visits are counted late", f"{waiting} None is lost, and charts catch up. {TO_DO}")
    return None


def _words(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            number = seconds // size
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return f"{seconds} seconds"
