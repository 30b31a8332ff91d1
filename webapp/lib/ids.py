"""UUIDv7 (RFC 9562, section 5.7): ids that sort by the millisecond in which they were made."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from uuid import UUID

_RANDOM_BITS = 74
_VERSION = 7 << 76
_VARIANT = 2 << 62


def uuid7(at: datetime | None = None) -> UUID:
    """A new id, carrying `at` (default: now) to the millisecond."""
    milliseconds = time.time_ns() // 1_000_000 if at is None else int(at.timestamp() * 1000)
    random = int.from_bytes(os.urandom(10)) >> (80 - _RANDOM_BITS)
    high, low = random >> 62, random & ((1 << 62) - 1)
    return UUID(int=(milliseconds << 80) | _VERSION | (high << 64) | _VARIANT | low)


def uuid7_time(value: UUID) -> datetime:
    """The moment that a UUIDv7 carries; raises ValueError for any other kind of UUID."""
    if value.version != 7:
        raise ValueError(f"{value} is not a UUIDv7.")
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)


def lowest_uuid7(at: datetime) -> UUID:
    """No id that is made at this moment, to the millisecond, or later is lower: for ranges of ids by time."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)
