"""Samples of the queues, and the rates and lines that follow from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import redis
from apiflask import APIFlask
from redis.exceptions import RedisError

from tests.jobs.support import add_job, broker, run_sent, run_waiting, take
from webapp.jobs.workers import Worker, add_done_counts, get_done_counts, this_worker
from webapp.lib.clock import utc_now
from webapp.live.channels import operations_channel, state_key
from webapp.operations.sampling import (
    SAMPLE_SECONDS,
    SAMPLES_KEPT,
    QueueSample,
    Sample,
    add_sample,
    is_late,
    list_samples,
    points_of,
    trend_of,
)
from webapp.operations.tasks import sample_queues

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STEP = timedelta(seconds=SAMPLE_SECONDS)


def samples(*done_counts: int, depth: int = 0) -> list[Sample]:
    """One every five seconds, the last one now."""
    first = NOW - STEP * (len(done_counts) - 1)
    return [
        Sample(first + STEP * number, {"jobs": QueueSample(depth, 0.0, done)})
        for number, done in enumerate(done_counts)
    ]


def test_a_rate_is_what_was_done_between_two_samples() -> None:
    trend = trend_of(samples(100, 110, 110, 160), "jobs")
    assert [rate for _, rate in trend.rates] == [2.0, 0.0, 10.0]
    assert trend.per_second == 4.0


def test_the_rate_now_is_that_of_the_last_half_minute() -> None:
    assert trend_of(samples(0, 1000, *[1000 + 30 * number for number in range(7)]), "jobs").per_second == 6.0


def test_counters_that_began_anew_make_no_negative_rate() -> None:
    assert [rate for _, rate in trend_of(samples(500, 20, 30), "jobs").rates] == [0.0, 2.0]


def test_one_sample_is_too_few_for_a_rate() -> None:
    assert trend_of(samples(5), "jobs").per_second is None
    assert trend_of([], "jobs").per_second is None
    assert trend_of(samples(5, 6), "unheard of").rates == []


def test_a_line_goes_from_ten_minutes_ago_to_now_and_up_to_its_highest() -> None:
    line = [(NOW - timedelta(minutes=10), 0.0), (NOW - timedelta(minutes=5), 4.0), (NOW, 2.0)]
    assert points_of(line, NOW) == "0.00,100.00 50.00,0.00 100.00,50.00"
    assert points_of([(NOW, 0.0)], NOW) == "100.00,100.00"
    assert points_of([], NOW) == ""


def test_samples_that_stay_away_are_noticed() -> None:
    assert is_late([], NOW)
    assert not is_late(samples(1), NOW)
    assert is_late(samples(1), NOW + timedelta(seconds=30))


def test_no_more_than_ten_minutes_of_samples_are_kept(app_context: APIFlask) -> None:
    for sample in samples(*range(SAMPLES_KEPT + 5)):
        add_sample(broker(), sample)
    kept = list_samples(broker(), NOW)
    assert len(kept) == SAMPLES_KEPT
    assert kept[-1].queues["jobs"].done_count == SAMPLES_KEPT + 4
    assert list_samples(broker(), NOW + timedelta(minutes=9))[0].at > NOW - timedelta(minutes=1)
    assert list_samples(broker(), NOW + timedelta(hours=1)) == []


def test_the_actor_notes_what_waits_and_what_was_done_and_tells_the_pages(organisation: UUID) -> None:
    this_worker().take_done_counts()
    for _ in range(3):
        add_job(organisation)
    run_waiting()
    add_done_counts(broker(), this_worker())
    add_job(organisation)
    sample_queues.fn()
    (sample,) = list_samples(broker(), utc_now())
    assert set(sample.queues) == {"default", "jobs", "results", "dead_letters", "imports", "visits"}
    assert (sample.queues["jobs"].depth, sample.queues["jobs"].done_count) == (1, 3)
    assert 0 < sample.queues["jobs"].age_seconds < 60
    assert sample.queues["results"].done_count == 3
    assert broker().exists(state_key(operations_channel()))


def test_outcomes_that_wait_are_the_depth_of_results(organisation: UUID) -> None:
    add_job(organisation)
    run_sent(take())
    sample_queues.fn()
    (sample,) = list_samples(broker(), utc_now())
    assert sample.queues["results"].depth == 1
    assert sample.queues["jobs"].depth == 0


def test_counts_of_several_workers_add_up(app_context: APIFlask) -> None:
    for count in (3, 4):
        worker = Worker(("jobs",), 1)
        worker.count_done("jobs", count)
        worker.count_done("default")
        add_done_counts(broker(), worker)
        add_done_counts(broker(), worker)
    assert get_done_counts(broker()) == {"jobs": 7, "default": 2}


def test_what_redis_does_not_take_is_counted_later(app_context: APIFlask) -> None:
    worker = Worker(("jobs",), 1)
    worker.count_done("jobs", 5)
    with pytest.raises(RedisError):
        add_done_counts(redis.Redis(unix_socket_path="/nowhere/redis.sock"), worker)
    add_done_counts(broker(), worker)
    assert get_done_counts(broker()) == {"jobs": 5}
