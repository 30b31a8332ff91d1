"""What is wrong with this machine, or with what is stored, and with no beacon: nothing is laid aside for it."""

from __future__ import annotations

from zoneinfo import ZoneInfo


class FaultError(Exception):
    """Nothing can be counted until somebody mends it; the batch waits where it is, and is tried again."""


def checked_zone(name: str) -> str:
    """The name of a time zone that this machine knows; raises FaultError for another."""
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise FaultError(f"This machine does not know the time zone {name!r}; install its tzdata.") from error
    return name
