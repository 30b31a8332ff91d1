"""How the queues stood in the last ten minutes: samples in the broker's Redis, and what follows from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast

import redis

SAMPLES_KEY = "footfall:samples"
SAMPLE_SECONDS = 5.0
SAMPLES_KEPT = 120
SPAN = timedelta(seconds=SAMPLE_SECONDS * SAMPLES_KEPT)
LATE = timedelta(seconds=4 * SAMPLE_SECONDS)
RATE_SAMPLES = 6
"""The rate is that of the last half minute."""


@dataclass(frozen=True)
class QueueSample:
    """One queue at one moment: what waits, for how long the oldest has, and how much was ever done."""

    depth: int
    age_seconds: float
    done_count: int


@dataclass(frozen=True)
class Sample:
    """All queues at one moment."""

    at: datetime
    queues: Mapping[str, QueueSample]


@dataclass(frozen=True)
class Trend:
    """A queue's last ten minutes: what is done a second now, and lines of (moment, value) for sparklines."""

    per_second: float | None
    rates: Sequence[tuple[datetime, float]]
    depths: Sequence[tuple[datetime, float]]


def add_sample(broker: redis.Redis, sample: Sample) -> None:
    """Keep a sample, and no more than the last ten minutes of them."""
    content = {"at": sample.at.timestamp(), "queues": {name: asdict(queue) for name, queue in sample.queues.items()}}
    with broker.pipeline(transaction=True) as pipeline:
        pipeline.rpush(SAMPLES_KEY, json.dumps(content))
        pipeline.ltrim(SAMPLES_KEY, -SAMPLES_KEPT, -1)
        pipeline.execute()


def list_samples(broker: redis.Redis, now: datetime) -> list[Sample]:
    """Those of the last ten minutes, the oldest first."""
    found = cast("list[bytes]", broker.lrange(SAMPLES_KEY, 0, -1))
    samples = sorted((_read(json.loads(content)) for content in found), key=lambda sample: sample.at)
    return [sample for sample in samples if sample.at > now - SPAN]


def trend_of(samples: Sequence[Sample], queue: str) -> Trend:
    """One queue's part of the samples."""
    own = [(sample.at, sample.queues[queue]) for sample in samples if queue in sample.queues]
    recent = own[-RATE_SAMPLES - 1 :]
    return Trend(
        per_second=_rate(recent[0], recent[-1]) if len(recent) > 1 else None,
        rates=[(later[0], _rate(earlier, later)) for earlier, later in pairwise(own)],
        depths=[(at, float(one.depth)) for at, one in own],
    )


def is_late(samples: Sequence[Sample], now: datetime) -> bool:
    """Whether nobody sampled for a while: the scheduler, or whoever works for it, stands still."""
    return not samples or samples[-1].at < now - LATE


def points_of(line: Sequence[tuple[datetime, float]], now: datetime) -> str:
    """A sparkline's points in a box of 100 by 100, the last ten minutes from left to right."""
    highest = max((value for _, value in line), default=0.0) or 1.0
    return " ".join(
        f"{100 - 100 * ((now - at) / SPAN):.2f},{100 - 100 * value / highest:.2f}" for at, value in line if at <= now
    )


def _rate(earlier: tuple[datetime, QueueSample], later: tuple[datetime, QueueSample]) -> float:
    """A second; nothing when the counter began anew in between."""
    seconds = (later[0] - earlier[0]).total_seconds()
    count = later[1].done_count - earlier[1].done_count
    return count / seconds if seconds > 0 and count > 0 else 0.0


def _read(content: dict[str, Any]) -> Sample:
    queues = {name: QueueSample(**queue) for name, queue in content["queues"].items()}
    return Sample(datetime.fromtimestamp(content["at"], UTC), queues)
