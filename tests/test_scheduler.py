"""The scheduler's ticks: each comes round, whatever the others send."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from apiflask import APIFlask

from webapp.config import Settings
from webapp.jobs.broker import broker, waiting_count
from webapp.scheduler import QUIET_SECONDS, TICK_SECONDS, Work, make_ticks, run_ticks

A_MINUTE = [step * TICK_SECONDS for step in range(int(60 / TICK_SECONDS))]


def sent_at(moments: Iterable[float], *, workers_keep_up: bool) -> Counter[str]:
    """What is sent at these seconds, by actor, while an idle worker takes every message at once, or none ever."""
    ticks, sent = make_ticks(), Counter[str]()
    for now in moments:
        due_before = {id(tick): tick.due_at for tick in ticks}
        run_ticks(ticks, now)
        sent.update(tick.actor.actor_name for tick in ticks if tick.due_at != due_before[id(tick)])
        if workers_keep_up:
            broker.flush("default")
    return sent


def test_every_tick_comes_round_while_workers_keep_up(app_context: APIFlask) -> None:
    sent = sent_at(A_MINUTE, workers_keep_up=True)
    assert sent["jobs.send_due_jobs"] == 60
    assert sent["bulk_actions.sweep"] == 30
    assert sent["jobs.sweep_jobs"] == 30
    assert sent["visits.make_partitions"] == 1


def test_ticks_do_not_pile_up_while_workers_are_busy(app_context: APIFlask) -> None:
    sent_at(A_MINUTE, workers_keep_up=False)
    assert waiting_count("default") <= len(make_ticks())


def test_partitions_are_made_at_the_start_and_every_hour(app_context: APIFlask) -> None:
    sent = sent_at([0, 1, 3599, 3600, 3601, 7200], workers_keep_up=True)
    assert sent["visits.make_partitions"] == 3


@pytest.fixture
def without_beacons(app_context: APIFlask, services: Settings) -> Iterable[APIFlask]:
    """The Redis of the beacons does not answer."""
    app_context.extensions["settings"] = replace(services, beacons_redis_url="redis://127.0.0.1:1/0")
    yield app_context
    app_context.extensions["settings"] = services


def test_the_beacons_server_being_away_keeps_their_count_and_nothing_else(
    without_beacons: APIFlask, services: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    ticks, sent = make_ticks(), Counter[str]()
    with caplog.at_level(logging.WARNING):
        for now in range(10):
            due_before = {id(tick): tick.due_at for tick in ticks}
            run_ticks(ticks, now)
            sent.update(tick.actor.actor_name for tick in ticks if tick.due_at >= due_before[id(tick)] + 1)
            broker.flush("default")
    assert sent["jobs.send_due_jobs"] == 10
    assert sent["jobs.start_recurring_jobs"] == 10 or sent["visits.make_partitions"] == 1
    assert waiting_count("visits") == 0
    warnings = [record for record in caplog.records if "visits.roll_up" in record.getMessage()]
    assert len(warnings) == 1, "said once, not with every look"
    [roll_up] = [tick for tick in ticks if tick.actor.actor_name == "visits.roll_up"]
    assert roll_up.is_kept
    assert roll_up.due_at <= 9 + QUIET_SECONDS


def test_a_lost_connection_does_not_begin_every_delay_anew(
    app_context: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    from webapp import scheduler

    work, stop, turns = Work([]), threading.Event(), []

    def end(ticks: object, now: float) -> None:
        turns.append((work.began_at, now))
        stop.set()

    monkeypatch.setattr(scheduler, "run_ticks", end)
    for _ in range(2):
        stop.clear()
        scheduler._lead(stop, work)
    assert turns[0][0] == turns[1][0], "the clock goes on"
    assert turns[0][1] < turns[1][1]
