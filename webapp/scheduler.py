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

import dramatiq
from redis.exceptions import RedisError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from webapp.app import create_app
from webapp.config import get_settings
from webapp.extensions import db
from webapp.jobs.broker import broker, waiting_count
from webapp.lib.clock import utc_now
from webapp.process import begin_process

SCHEDULER_LOCK = 7_305_002
TICK_SECONDS = 0.25
RAW_ROWS_SECONDS = 600.0
PRODUCT_VIEWS_SECONDS = 300.0
WEEKLY_REPORT_SECONDS = 120.0
QUIET_SECONDS = 2.0

logger = logging.getLogger(__name__)


@dataclass
class Tick:
    """Something to send every so many seconds, when there is a reason to. `due_at` counts from the beginning of work.

    `is_kept` while the server that knows the reason is away.
    """

    every_seconds: float
    actor: dramatiq.Actor[[], None]
    is_wanted: Callable[[], bool]
    due_at: float = 0.0
    is_kept: bool = False


@dataclass
class Work:
    """The ticks and their clock, which goes on over lost connections: what is due in an hour is due in that hour."""

    ticks: list[Tick]
    began_at: float | None = None

    def seconds(self) -> float:
        """Since this process became the leader for the first time."""
        if self.began_at is None:
            self.began_at = time.monotonic()
        return time.monotonic() - self.began_at


def make_ticks() -> list[Tick]:
    """Everything that is looked after, with its rhythm.

    What looks around does so again soon, so it is left out while its like still waits for a worker.
    """
    from webapp.bulk_actions.retention_tasks import remove_old_details
    from webapp.bulk_actions.tasks import sweep
    from webapp.bulk_actions.upload_tasks import sweep_pieces, sweep_uploads
    from webapp.jobs.live import is_anything_late
    from webapp.jobs.prune_tasks import prune_jobs
    from webapp.jobs.recurring_queries import is_any_due
    from webapp.jobs.recurring_tasks import start_recurring_jobs
    from webapp.jobs.tasks import (
        has_outcomes,
        publish_late,
        send_due_jobs,
        sweep_jobs,
        write_dead_letters,
        write_results,
    )
    from webapp.operations.sampling import SAMPLE_SECONDS
    from webapp.operations.tasks import sample_queues
    from webapp.pictures.tasks import sweep_pictures
    from webapp.records.tasks import empty_trash
    from webapp.visits.counting.check_tasks import check_roll_ups
    from webapp.visits.deletion.tasks import erase_deleted_sites
    from webapp.visits.product_views.tasks import move_product_views
    from webapp.visits.raw.tasks import look_after_raw_rows
    from webapp.visits.tasks import backlog_count, make_partitions, roll_up
    from webapp.visits.weekly.tasks import send_weekly_reports

    def is_idle() -> bool:
        return not waiting_count("default")

    def has_beacons() -> bool:
        return backlog_count() > 0 and not waiting_count("visits")

    def is_recurring_job_due() -> bool:
        with db.engine.connect() as connection:
            return is_any_due(connection, utc_now())

    return [
        Tick(get_settings().roll_up_seconds, roll_up, has_beacons),
        Tick(1.0, write_results, lambda: has_outcomes("results")),
        Tick(1.0, write_dead_letters, lambda: has_outcomes("dead_letters")),
        Tick(1.0, send_due_jobs, is_idle),
        Tick(1.0, start_recurring_jobs, lambda: is_idle() and is_recurring_job_due()),
        Tick(1.0, publish_late, lambda: is_idle() and is_anything_late(broker.client)),
        Tick(SAMPLE_SECONDS, sample_queues, is_idle),
        Tick(2.0, sweep_jobs, is_idle),
        Tick(2.0, sweep, is_idle),
        Tick(RAW_ROWS_SECONDS, look_after_raw_rows, is_idle, due_at=60.0),
        Tick(PRODUCT_VIEWS_SECONDS, move_product_views, is_idle, due_at=90.0),
        Tick(WEEKLY_REPORT_SECONDS, send_weekly_reports, lambda: bool(get_settings().smtp_url) and is_idle()),
        Tick(3600.0, make_partitions, lambda: True),
        # One after the other: together they would keep every thread busy that writes results and sends jobs.
        Tick(3600.0, prune_jobs, lambda: True, due_at=300.0),
        Tick(3600.0, empty_trash, lambda: True, due_at=600.0),
        Tick(3600.0, erase_deleted_sites, lambda: True, due_at=1800.0),
        Tick(3600.0, check_roll_ups, lambda: True, due_at=1500.0),
        Tick(3600.0, sweep_pieces, lambda: True, due_at=1200.0),
        Tick(3600.0, sweep_uploads, lambda: True, due_at=600.0),
        Tick(3600.0, remove_old_details, lambda: True, due_at=1800.0),
        Tick(3600.0, sweep_pictures, lambda: True, due_at=900.0),
    ]


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    begin_process("scheduler")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    app = create_app()
    with app.app_context():
        work = Work(make_ticks())
        while not stop.is_set():
            try:
                _lead(stop, work)
            except (SQLAlchemyError, RedisError) as error:
                logger.warning("The scheduler lost a server, trying again: %s", error)
                stop.wait(QUIET_SECONDS)


def _lead(stop: threading.Event, work: Work) -> None:
    with db.engine.connect() as connection:
        connection.detach()  # closed at the end, and with it its lock: back in the pool it would keep it from us
        while not stop.is_set() and not _is_leader(connection):
            stop.wait(QUIET_SECONDS)
        logger.info("The scheduler is at work.")
        while not stop.is_set():
            connection.execute(text("SELECT 1"))
            connection.commit()
            run_ticks(work.ticks, work.seconds())
            stop.wait(TICK_SECONDS)


def run_ticks(ticks: list[Tick], now: float) -> None:
    """Send what is due. All is asked before anything is sent, or one tick's message would silence the next.

    A server that is away keeps those ticks that ask it, and no others; they ask again a little later. Where the
    broker is away, nothing can be sent: that is raised.
    """
    wanted = [tick for tick in ticks if now >= tick.due_at and _is_wanted(tick, now)]
    for tick in wanted:
        tick.actor.send()
        tick.due_at = now + tick.every_seconds


def _is_wanted(tick: Tick, now: float) -> bool:
    try:
        is_wanted = tick.is_wanted()
    except (SQLAlchemyError, RedisError) as error:
        if not tick.is_kept:
            logger.warning("The tick %s has to wait, a server is away: %s", tick.actor.actor_name, error)
        tick.is_kept, tick.due_at = True, now + QUIET_SECONDS
        return False
    tick.is_kept = False
    return is_wanted


def _is_leader(connection: Connection) -> bool:
    """The lock belongs to the connection: when this process dies, another scheduler takes over."""
    has_lock = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": SCHEDULER_LOCK}).scalar_one()
    connection.commit()
    return bool(has_lock)


if __name__ == "__main__":
    main()
