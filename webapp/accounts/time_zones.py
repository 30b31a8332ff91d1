"""The time zones that an organisation can choose from."""

from __future__ import annotations

from zoneinfo import available_timezones

REGIONS = ("Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")

TIME_ZONES = ("UTC", *sorted(name for name in available_timezones() if name.startswith(REGIONS)))
"""Places, by name; the abbreviations and the fixed offsets of the tz database would only mislead."""
