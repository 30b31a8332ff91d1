"""The scheduler's ticks: each comes round, whatever the others send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from apiflask import APIFlask

from webapp.jobs.broker import broker, waiting_count
from webapp.scheduler import TICK_SECONDS, _run_ticks, make_ticks

A_MINUTE = [step * TICK_SECONDS for step in range(int(60 / TICK_SECONDS))]


def sent_at(moments: Iterable[float], *, workers_keep_up: bool) -> Counter[str]:
    """What is sent at these seconds, by actor, while an idle worker takes every message at once, or none ever."""
    ticks, sent = make_ticks(), Counter[str]()
    for now in moments:
        due_before = {id(tick): tick.due_at for tick in ticks}
        _run_ticks(ticks, now)
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
