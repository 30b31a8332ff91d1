"""The queues of outcomes in the broker's Redis: results, and dead letters.

An entry holds the outcomes of one message's jobs. It is removed only when PostgreSQL has them, and writing one
twice does no harm, so that a crash between the two loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import msgspec
import redis

from webapp.jobs.outcomes import Outcome, decode_outcome, encode_outcome

RESULTS = "results"
DEAD_LETTERS = "dead_letters"
STREAMS = (RESULTS, DEAD_LETTERS)
READ_ENTRIES = 100

_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True)
class Entry:
    """Some outcomes, and the entry's place in its stream."""

    id: bytes
    outcomes: list[Outcome]


def add_outcomes(broker: redis.Redis, outcomes: Sequence[Outcome]) -> set[str]:
    """Put the outcomes where they belong, in one step, and say which streams got some."""
    dead = [outcome for outcome in outcomes if outcome.is_dead]
    others = [outcome for outcome in outcomes if not outcome.is_dead]
    found = {name: some for name, some in ((RESULTS, others), (DEAD_LETTERS, dead)) if some}
    with broker.pipeline(transaction=True) as pipeline:
        for name, some in found.items():
            pipeline.xadd(stream_key(name), {"outcomes": b"[" + b",".join(map(encode_outcome, some)) + b"]"})
        pipeline.execute()
    return set(found)


def read_entries(broker: redis.Redis, name: str, after: bytes = b"-", count: int = READ_ENTRIES) -> list[Entry]:
    """The oldest entries, after the given one if there is one."""
    start = after if after == b"-" else b"(" + after
    found = cast("list[Any]", broker.xrange(stream_key(name), start.decode(), "+", count=count))
    return [Entry(entry_id, _decode(fields[b"outcomes"])) for entry_id, fields in found]


def remove_entries(broker: redis.Redis, name: str, entries: Sequence[Entry]) -> None:
    """Forget what PostgreSQL has."""
    if entries:
        broker.xdel(stream_key(name), *[entry.id for entry in entries])


def waiting_jobs(broker: redis.Redis, most_entries: int) -> set[tuple[UUID, int]] | None:
    """(job, attempt) of every outcome that waits to be written; None when there are too many to look at now."""
    waiting: set[tuple[UUID, int]] = set()
    for name in STREAMS:
        if count_entries(broker, name) > most_entries:
            return None
        for entry in read_entries(broker, name, count=most_entries):
            waiting.update((outcome.job_id, outcome.number) for outcome in entry.outcomes)
    return waiting


def count_entries(broker: redis.Redis, name: str) -> int:
    """How many entries wait; each holds the outcomes of one message."""
    return int(broker.xlen(stream_key(name)))


def oldest_entry_ms(broker: redis.Redis, name: str) -> int | None:
    """When the oldest entry was added, in milliseconds of Redis's clock; None for an empty stream."""
    found = cast("list[Any]", broker.xrange(stream_key(name), count=1))
    return int(found[0][0].partition(b"-")[0]) if found else None


def stream_key(name: str) -> str:
    """Where the broker's Redis keeps the stream."""
    return f"jobs:{name}"


def _decode(content: bytes) -> list[Outcome]:
    return [decode_outcome(part) for part in _split(content)]
