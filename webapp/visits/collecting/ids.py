"""Ids of beacons as they are written."""

from __future__ import annotations

from uuid import UUID


def beacon_id(value: bytes) -> str:
    """The id as beacons write it."""
    return str(UUID(bytes=value))
