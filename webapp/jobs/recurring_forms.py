"""The form of a recurring job: what it offers, how it is read, and what its schedule comes to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from werkzeug.datastructures import MultiDict

from webapp.accounts.time_zones import TIME_ZONES
from webapp.jobs.kinds import Kind
from webapp.jobs.recurring import RecurringJobError, Wanted
from webapp.jobs.schedules import (
    LAST_DAY,
    PARTS_OF_HOUR,
    USUAL,
    WEEKDAYS,
    ScheduleError,
    check_schedule,
    in_words,
    next_runs,
    write_rhythm,
)

PREFIX = "parameter-"
FIELD_NAMES = ("title", "time_zone", "rhythm", "cron", *USUAL)
RUNS_FORESEEN = 5
CHOICES = {
    "every_minutes": PARTS_OF_HOUR,
    "weekdays": [(str(day % 7), WEEKDAYS[day % 7]) for day in range(1, 8)],
    "days": [*((str(day), str(day)) for day in range(1, 32)), (LAST_DAY, "last")],
    "time_zones": [(name, name.replace("_", " ")) for name in TIME_ZONES],
}


def read_prefilled(arguments: MultiDict[str, str]) -> dict[str, str]:
    """The fields that an address fills in."""
    given = {name: arguments[name] for name in FIELD_NAMES if name in arguments}
    return {**given, "weekdays": _ticked(arguments)} if "rhythm" in given else given


def read_sent(form: MultiDict[str, str]) -> dict[str, str]:
    """All fields of a form that was sent, empty where it has none, with the ticked days in one text."""
    return {**{name: form.get(name, "") for name in FIELD_NAMES}, "weekdays": _ticked(form)}


def read_sent_parameters(kind: Kind, form: Mapping[str, str]) -> dict[str, str | None]:
    """The kind's parameters as they were sent."""
    return {parameter.name: form.get(PREFIX + parameter.name) for parameter in kind.parameters}


def read_wanted(kind: Kind, form: MultiDict[str, str], is_enabled: bool) -> Wanted:
    """What the form says; raises RecurringJobError when it makes no schedule."""
    sent = read_sent(form)
    try:
        schedule = write_rhythm(sent["rhythm"], sent)
    except ScheduleError as error:
        raise RecurringJobError({"schedule": str(error)}) from error
    return Wanted(sent["title"], read_sent_parameters(kind, form), schedule, sent["time_zone"], is_enabled)


def preview(values: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """The form's schedule in `words` with its next `runs`, or the `error` why there are none."""
    time_zone = values["time_zone"]
    try:
        schedule = check_schedule(write_rhythm(values["rhythm"], values), time_zone, now)
        return {
            "words": in_words(schedule, time_zone),
            "runs": next_runs(schedule, time_zone, now, RUNS_FORESEEN),
        }
    except ScheduleError as error:
        return {"error": str(error)}


def _ticked(form: MultiDict[str, str]) -> str:
    return ",".join(form.getlist("weekdays"))
