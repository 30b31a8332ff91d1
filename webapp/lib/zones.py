"""Time zones as this machine knows them; where it lacks one, UTC stands in for it."""

from __future__ import annotations

from zoneinfo import ZoneInfo

UTC_NAME = "UTC"


class NoZonesError(Exception):
    """This machine knows not even UTC: it has no database of time zones, and nothing can be counted by days."""


def is_known_zone(name: str) -> bool:
    """Whether this machine has the time zone."""
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return False
    return True


def usable_zone(name: str) -> str:
    """The time zone, or UTC where this machine lacks it; raises NoZonesError."""
    if is_known_zone(name):
        return name
    if not is_known_zone(UTC_NAME):
        raise NoZonesError(f"This machine knows no time zones, not even {UTC_NAME}; install its tzdata.")
    return UTC_NAME


def zone_named(name: str) -> ZoneInfo:
    """As `usable_zone`, ready to be used."""
    return ZoneInfo(usable_zone(name))
