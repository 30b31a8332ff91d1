"""`kill -9` in the middle of rolling up: what is counted at the end is exactly what was sent."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.support import add_rows, add_site, count_all, counted, make_row, read_raw, rows_of, scalar
from webapp.config import Settings
from webapp.lib.redis import beacons_client
from webapp.visits import backlog
from webapp.visits.models import RawKind

ROOT = Path(__file__).resolve().parents[2]
BEACONS = 15_000
VISITORS = 300
KILLS = 5
BATCH = 250
WORKER = f"""
from webapp.app import create_app
from webapp.config import get_settings
from webapp.lib.redis import beacons_client
from webapp.visits.tasks import roll_up_until
with create_app().app_context(), beacons_client(get_settings()) as client:
    print("at work", flush=True)
    while True:
        roll_up_until(client, {BATCH}, float("inf"))
"""


def test_a_worker_killed_at_random_moments_counts_nothing_twice_and_loses_nothing(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    rows = [make_row(site, visitor=f"visitor-{number % VISITORS}@example.com") for number in range(BEACONS)]
    twice = rows[:500]
    add_rows(services, rows + twice, group=20)
    moments = random.Random(os.environ.get("PYTEST_SEED", "8"))
    positions = {_work_until_killed(moments.uniform(0.05, 0.6), services) for _ in range(KILLS)}
    assert len(positions) > KILLS // 2, "the kills did not hit it while it worked"
    count_all(app, services)
    assert counted(services) == (BEACONS, BEACONS, BEACONS)
    assert scalar(services, "SELECT sum(greatest(octet_length(ids) / 16, 1)) FROM seen") == BEACONS
    known = rows_of(services, "SELECT count(*), min(pageview_count), max(pageview_count) FROM known_visitors")
    assert known == [(VISITORS, BEACONS // VISITORS, BEACONS // VISITORS)]
    assert scalar(services, "SELECT visitor_count FROM known_visitor_counts") == VISITORS
    changes = read_raw(services, RawKind.VISIT).with_columns(pl.col("sign").cast(pl.Int64))
    net = changes.select(pl.col("sign").sum(), pageviews=(pl.col("sign") * pl.col("pageview_count")).sum()).row(0)
    kept = rows_of(services, "SELECT count(*), sum(pageview_count)::int FROM visits")
    rolled_up = "SELECT sum(visit_count)::int, sum(pageview_count)::int FROM site_roll_ups WHERE grain = 'month'"
    assert [net] == kept == rows_of(services, rolled_up) == [(VISITORS, BEACONS)]
    with beacons_client(services) as client:
        assert (backlog.waiting_count(client), int(client.get(backlog.COUNT_KEY) or -1)) == (0, 0)


def _work_until_killed(seconds: float, settings: Settings) -> str:
    """Where the position stood after a worker was killed so many seconds into its work."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER], cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline()
        time.sleep(seconds)
        worker.send_signal(signal.SIGKILL)
    return str(scalar(settings, "SELECT last_id FROM stream_positions"))
