"""When something shall begin, as a form's field says it."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from webapp.lib.clock import utc_now

LATEST = timedelta(days=366)
SLACK = timedelta(minutes=1)


class RunAtError(ValueError):
    """The time is none, or none that will do; the message says what to give."""


def read_run_at(text: str, zone: tzinfo) -> datetime | None:
    """A time in this zone, as a browser's field for day and time gives it; None for at once. Raises RunAtError."""
    if not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip()).replace(tzinfo=zone)
    except ValueError as error:
        raise RunAtError("Give a day and a time, or leave it empty.") from error
    now = utc_now()
    if moment < now - SLACK:
        raise RunAtError("This is in the past. Leave it empty to begin at once.")
    if moment > now + LATEST:
        raise RunAtError("It can be planned up to a year ahead.")
    return moment
