"""The clock of the installation: looks a few times a second what is due, and sends it.

It holds no state of its own, and doing a tick twice does no harm; still only one scheduler works
at a time, the one with the advisory lock, so that more than one may be started.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import dramatiq
from redis.exceptions import RedisError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from webapp.app import create_app
from webapp.extensions import db
from webapp.jobs.broker import waiting_count

SCHEDULER_LOCK = 7_305_002
TICK_SECONDS = 0.25
QUIET_SECONDS = 2.0

logger = logging.getLogger(__name__)


@dataclass
class Tick:
    """Something to look after every so many seconds."""

    every_seconds: float
    do: Callable[[], None]
    due_at: float = 0.0

    def run_if_due(self, now: float) -> None:
        if now >= self.due_at:
            self.due_at = now + self.every_seconds
            self.do()


def make_ticks() -> list[Tick]:
    """Everything that is looked after, with its rhythm."""
    from webapp.bulk_actions.tasks import sweep
    from webapp.jobs.tasks import send_due_jobs
    from webapp.visits.tasks import backlog_count, make_partitions, roll_up

    def roll_up_if_needed() -> None:
        if backlog_count() and not waiting_count("visits"):
            roll_up.send()

    return [
        Tick(TICK_SECONDS, roll_up_if_needed),
        Tick(1.0, partial(_send_unless_busy, send_due_jobs)),
        Tick(2.0, partial(_send_unless_busy, sweep)),
        Tick(3600.0, partial(_send_unless_busy, make_partitions)),
    ]


def _send_unless_busy(actor: dramatiq.Actor[[], None]) -> None:
    """What the last ticks sent is still waiting: more of the same would only pile up."""
    if not waiting_count("default"):
        actor.send()


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    app = create_app()
    with app.app_context():
        while not stop.is_set():
            try:
                _work(stop, make_ticks())
            except (SQLAlchemyError, RedisError) as error:
                logger.warning("The scheduler lost a server, trying again: %s", error)
                stop.wait(QUIET_SECONDS)


def _work(stop: threading.Event, ticks: list[Tick]) -> None:
    with db.engine.connect() as connection:
        while not stop.is_set() and not _is_leader(connection):
            stop.wait(QUIET_SECONDS)
        logger.info("The scheduler is at work.")
        while not stop.is_set():
            connection.execute(text("SELECT 1"))
            connection.commit()
            _run_ticks(ticks)
            stop.wait(TICK_SECONDS)


def _run_ticks(ticks: list[Tick]) -> None:
    now = time.monotonic()
    for tick in ticks:
        tick.run_if_due(now)


def _is_leader(connection: Connection) -> bool:
    """The lock belongs to the connection: when this process dies, another scheduler takes over."""
    has_lock = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": SCHEDULER_LOCK}).scalar_one()
    connection.commit()
    return bool(has_lock)


if __name__ == "__main__":
    main()
