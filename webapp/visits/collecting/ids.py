"""Ids of beacons: as they are written, as they are read, and those of beacons that are not counted. Pure."""

from __future__ import annotations

import re
from hashlib import blake2b
from uuid import UUID

_ID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}")
TIME_BYTES = 6


def beacon_id(value: bytes) -> str:
    """The id as beacons write it."""
    return str(UUID(bytes=value))


def read_id(text: str) -> bytes | None:
    """The 16 bytes of a UUIDv7; None for anything else."""
    return bytes.fromhex(text.replace("-", "")) if _ID.fullmatch(text) else None


def drop_id(value: bytes, reason: str) -> bytes:
    """The id of a beacon's not being counted for a reason: sent again it is the same, and of the same moment.

    It is not the beacon's own, under which the beacon may come again, mended, and count.
    """
    rest = bytearray(blake2b(value + reason.encode(), digest_size=16 - TIME_BYTES).digest())
    rest[0] = rest[0] & 0x0F | 0x70
    rest[2] = rest[2] & 0x3F | 0x80
    return value[:TIME_BYTES] + rest
