"""The queues of outcomes in the broker's Redis: results, and dead letters.

An entry holds the outcomes of one message's jobs. It is removed only when PostgreSQL has them, and writing one
twice does no harm, so that a crash between the two loses nothing.
"""

from __future__ import annotations

import logging
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
OUTCOMES = b"outcomes"
READ_ENTRIES = 100
STEP_ENTRIES = 20
READ_LIMIT_BYTES = 4 * 1024 * 1024
UNREADABLE = "unreadable"
UNREADABLE_ENTRIES = 1_000

logger = logging.getLogger(__name__)
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
            pipeline.xadd(stream_key(name), {OUTCOMES: b"[" + b",".join(map(encode_outcome, some)) + b"]"})
        pipeline.execute()
    return set(found)


def read_entries(
    broker: redis.Redis, name: str, count: int = READ_ENTRIES, most_bytes: float = READ_LIMIT_BYTES
) -> list[Entry]:
    """The oldest entries, up to so many, or to about so many bytes.

    One that nobody can read would keep all others waiting: it is set aside, and its jobs count as lost.
    """
    entries: list[Entry] = []
    start, byte_count = "-", 0
    while len(entries) < count and byte_count < most_bytes:
        found = cast("list[Any]", broker.xrange(stream_key(name), start, "+", count=min(STEP_ENTRIES, count)))
        for entry_id, fields in found:
            start = f"({entry_id.decode()}"
            byte_count += len(fields.get(OUTCOMES, b""))
            if (entry := _entry_or_none(broker, name, entry_id, fields)) is not None:
                entries.append(entry)
        if len(found) < min(STEP_ENTRIES, count):
            break
    return entries


def _entry_or_none(broker: redis.Redis, name: str, entry_id: bytes, fields: dict[bytes, bytes]) -> Entry | None:
    try:
        return Entry(entry_id, _decode(fields[OUTCOMES]))
    except (KeyError, ValueError) as error:
        logger.error("Entry %s of %s cannot be read and is set aside: %r", entry_id, name, error)
        with broker.pipeline(transaction=True) as pipeline:
            pipeline.xadd(stream_key(UNREADABLE), cast("Any", fields), maxlen=UNREADABLE_ENTRIES)
            pipeline.xdel(stream_key(name), entry_id)
            pipeline.execute()
        return None


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
        for entry in read_entries(broker, name, most_entries, float("inf")):
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
