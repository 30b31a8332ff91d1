"""When a recurring job runs: five fields of cron in a time zone, their words, and the form that makes them. Pure.

When clocks change, schedules do as Debian's cron does. One with a fixed minute and hour runs once on such a day: in
the skipped hour's place at the first moment after it, in the doubled hour at its first time. One whose minutes or
hours begin with a star keeps its rhythm in real time: nothing in the hour that is skipped, twice in the hour
that comes twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

LENGTH = 100
FIELD_COUNT = 5
PARTS_OF_HOUR = ("1", "2", "3", "5", "10", "15", "20", "30")
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
WORKING_DAYS = "1,2,3,4,5"
LAST_DAY = "L"
TIME = r"(?P<minute>[0-5]?\d) (?P<hour>[01]?\d|2[0-3])"
RHYTHMS = {
    "minutes": re.compile(rf"\*/(?P<every_minutes>{'|'.join(PARTS_OF_HOUR)}) \* \* \* \*"),
    "hourly": re.compile(r"(?P<minute>[0-5]?\d) \* \* \* \*"),
    "daily": re.compile(rf"{TIME} \* \* \*"),
    "weekly": re.compile(rf"{TIME} \* \* (?P<weekdays>[0-6](?:,[0-6])*)"),
    "monthly": re.compile(rf"{TIME} (?P<day>[1-9]|[12]\d|3[01]|{LAST_DAY}) \* \*"),
}
OWN_CRON = "cron"
WITHOUT_ZONE = ("minutes", "hourly")
USUAL = {
    "every_minutes": "15",
    "hour_minute": "0",
    "daily_time": "03:00",
    "weekly_time": "03:00",
    "weekdays": "1",
    "monthly_time": "03:00",
    "day": "1",
}
USUAL_SCHEDULE = "0 3 * * *"
Values = Mapping[str, str]


class ScheduleError(ValueError):
    """The schedule cannot be used; the message says why, and what would do."""


def check_schedule(schedule: str, time_zone: str, now: datetime) -> str:
    """The schedule as it is kept, with single spaces; raises ScheduleError."""
    fields = schedule.split()
    if len(schedule) > LENGTH or len(fields) != FIELD_COUNT:
        raise ScheduleError("Write five fields: minute, hour, day of the month, month, day of the week.")
    kept = " ".join(fields)
    if next_run(kept, time_zone, now) is None:
        raise ScheduleError("This schedule names a day that never comes.")
    return kept


def next_run(schedule: str, time_zone: str, after: datetime) -> datetime | None:
    """The first time after `after`, in UTC; None when there is none in fifty years. Raises ScheduleError."""
    return next(_runs(schedule, time_zone, after), None)


def next_runs(schedule: str, time_zone: str, after: datetime, count: int) -> list[datetime]:
    """The next times after `after`, in UTC. Raises ScheduleError."""
    return list(islice(_runs(schedule, time_zone, after), count))


def in_words(schedule: str, time_zone: str) -> str:
    """The schedule as people say it: "Every day at 03:00, Europe/Vienna time"."""
    rhythm, values = read_rhythm(schedule)
    words = WORDS[rhythm](values) if rhythm in WORDS else _explained(schedule)
    return words if rhythm in WITHOUT_ZONE else f"{words}, {_zone_words(time_zone)}"


def read_rhythm(schedule: str) -> tuple[str, dict[str, str]]:
    """Which choice of the form this is, and its values; `cron` and none when the form has no such choice."""
    for rhythm, pattern in RHYTHMS.items():
        if found := pattern.fullmatch(schedule):
            return rhythm, found.groupdict()
    return OWN_CRON, {}


def form_values(schedule: str) -> dict[str, str]:
    """What the form shows for a schedule; its other choices show something usual."""
    rhythm, found = read_rhythm(schedule)
    values = {**USUAL, "rhythm": rhythm, "cron": schedule}
    for name in ("every_minutes", "weekdays", "day"):
        values[name] = found.get(name, values[name])
    if "hour" in found:
        values[f"{rhythm}_time"] = time_of(found)
    elif "minute" in found:
        values["hour_minute"] = found["minute"]
    return values


def write_rhythm(rhythm: str, values: Values) -> str:
    """The schedule of a choice of the form and its values; raises ScheduleError when one is missing."""
    if rhythm not in CRON:
        raise ScheduleError("Choose how often it runs.")
    schedule = CRON[rhythm](values)
    if rhythm != OWN_CRON and not RHYTHMS[rhythm].fullmatch(schedule):
        raise ScheduleError(MISSING[rhythm])
    return schedule


def time_of(values: Values) -> str:
    """03:05 for minute 5 and hour 3."""
    return f"{int(values['hour']):02}:{int(values['minute']):02}"


def _runs(schedule: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    """In the doubled hour's second half cron's next time may lie in its first half, and so is over."""
    try:
        moments = CronSim(schedule, after.astimezone(ZoneInfo(time_zone)))
    except CronSimError as error:
        raise ScheduleError(f"{str(error).replace('Bad ', 'This cannot be read as cron: look at its ')}.") from error
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError("Choose a time zone from the list.") from error
    return (moment for moment in (local.astimezone(UTC) for local in moments) if moment > after)


def _explained(schedule: str) -> str:
    return str(CronSim(schedule, datetime.now(UTC)).explain())


def _zone_words(time_zone: str) -> str:
    return time_zone if time_zone == "UTC" else f"{time_zone.replace('_', ' ')} time"


def _every_minutes(values: Values) -> str:
    count = values["every_minutes"]
    return "Every minute" if count == "1" else f"Every {count} minutes"


def _hourly(values: Values) -> str:
    minute = int(values["minute"])
    if minute == 0:
        return "Every hour, on the hour"
    return f"Every hour at {minute} {'minute' if minute == 1 else 'minutes'} past"


def _weekly(values: Values) -> str:
    days = sorted({int(day) for day in values["weekdays"].split(",")}, key=lambda day: day or 7)
    if ",".join(map(str, days)) == WORKING_DAYS:
        return f"Monday to Friday at {time_of(values)}"
    names = [WEEKDAYS[day] for day in days]
    together = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"Every {'day' if len(names) == len(WEEKDAYS) else together} at {time_of(values)}"


def _monthly(values: Values) -> str:
    day = values["day"]
    return f"On the {'last day' if day == LAST_DAY else _ordinal(int(day))} of every month at {time_of(values)}"


def _ordinal(number: int) -> str:
    ending = "th" if 11 <= number <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _clock(values: Values, name: str) -> str:
    """Minute and hour of a time field's 03:05, as cron has them; what is no time matches no rhythm."""
    hour, _, minute = values.get(name, "").partition(":")
    return f"{minute.lstrip('0') or '0' if minute else ''} {hour.lstrip('0') or '0' if hour else ''}"


WORDS: dict[str, Callable[[Values], str]] = {
    "minutes": _every_minutes,
    "hourly": _hourly,
    "daily": lambda values: f"Every day at {time_of(values)}",
    "weekly": _weekly,
    "monthly": _monthly,
}
CRON: dict[str, Callable[[Values], str]] = {
    "minutes": lambda values: f"*/{values.get('every_minutes', '')} * * * *",
    "hourly": lambda values: f"{values.get('hour_minute', '').strip()} * * * *",
    "daily": lambda values: f"{_clock(values, 'daily_time')} * * *",
    "weekly": lambda values: f"{_clock(values, 'weekly_time')} * * {values.get('weekdays', '')}",
    "monthly": lambda values: f"{_clock(values, 'monthly_time')} {values.get('day', '')} * *",
    OWN_CRON: lambda values: values.get("cron", ""),
}
MISSING = {
    "minutes": "Choose after how many minutes it runs again.",
    "hourly": "Write a minute from 0 to 59.",
    "daily": "Write a time of day, such as 03:00.",
    "weekly": "Choose at least one day, and a time such as 03:00.",
    "monthly": "Choose a day of the month, and a time such as 03:00.",
}
