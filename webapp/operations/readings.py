"""How things stand at this moment, read from the broker, the stream of beacons and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from webapp.jobs.broker import broker as dramatiq_broker
from webapp.jobs.queue_names import QUEUES
from webapp.jobs.streams import STREAMS, count_entries, oldest_entry_ms
from webapp.jobs.workers import get_done_counts
from webapp.operations.queries import WaitingJobs
from webapp.operations.sampling import QueueSample, Sample

Oldest = datetime | None


@dataclass(frozen=True)
class Messages:
    """What the broker holds of a queue: messages, or entries of its stream, and since when the oldest waits."""

    count: int
    oldest_at: Oldest


def read_messages(broker: redis.Redis) -> dict[str, Messages]:
    """Every queue's messages. Results and dead letters wait in streams, to which a message only points."""
    return {queue: _read_stream(broker, queue) if queue in STREAMS else _read_list(broker, queue) for queue in QUEUES}


def sample_now(
    messages: Mapping[str, Messages], jobs: Mapping[str, WaitingJobs], done: Mapping[str, int], now: datetime
) -> Sample:
    """What was read, as a sample."""
    return Sample(
        now,
        {
            queue: QueueSample(
                depth=one.count + (jobs[queue].waiting.number if queue in jobs else 0),
                age_seconds=max((now - (oldest_at(one, jobs.get(queue)) or now)).total_seconds(), 0.0),
                done_count=done.get(queue, 0),
            )
            for queue, one in messages.items()
        },
    )


def oldest_at(messages: Messages, jobs: WaitingJobs | None) -> Oldest:
    """Since when the oldest of a queue waits, be it in PostgreSQL or with the broker."""
    known = [moment for moment in (messages.oldest_at, jobs.oldest_at if jobs else None) if moment]
    return min(known, default=None)


def read_done_counts(broker: redis.Redis) -> Mapping[str, int]:
    """How much was ever done, for each queue."""
    return get_done_counts(broker)


def _read_stream(broker: redis.Redis, queue: str) -> Messages:
    oldest_ms = oldest_entry_ms(broker, queue)
    return Messages(count_entries(broker, queue), _moment(oldest_ms) if oldest_ms is not None else None)


def _read_list(broker: redis.Redis, queue: str) -> Messages:
    """Dramatiq appends to a list and takes from its head; a worker may take that message while we look."""
    key = f"{dramatiq_broker.namespace}:{queue}"
    message_id = broker.lindex(key, 0)
    content = broker.hget(f"{key}.msgs", message_id) if isinstance(message_id, bytes) else None
    oldest = _moment(json.loads(content)["message_timestamp"]) if isinstance(content, bytes) else None
    return Messages(int(broker.llen(key)), oldest)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
