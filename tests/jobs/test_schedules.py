"""When recurring jobs run: cron in a time zone, in words, from a form, and on the days when clocks change."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from webapp.jobs.schedules import (
    OWN_CRON,
    ScheduleError,
    check_schedule,
    form_values,
    in_words,
    next_run,
    next_runs,
    read_rhythm,
    write_rhythm,
)

VIENNA = "Europe/Vienna"
NOW = datetime(2026, 11, 23, 7, 31, 40, tzinfo=UTC)
SPRING = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
"""Midnight in Vienna; two hours later the clock goes from 02:00 to 03:00."""
AUTUMN = datetime(2026, 10, 24, 22, 0, tzinfo=UTC)
"""Midnight in Vienna; at 03:00 the clock goes back to 02:00."""


def local_runs(schedule: str, after: datetime, count: int, time_zone: str = VIENNA) -> list[str]:
    runs = next_runs(schedule, time_zone, after, count)
    return [f"{run.astimezone(ZoneInfo(time_zone)):%d %H:%M %z}" for run in runs]


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("*/15 * * * *", "Every 15 minutes"),
        ("*/1 * * * *", "Every minute"),
        ("0 * * * *", "Every hour, on the hour"),
        ("1 * * * *", "Every hour at 1 minute past"),
        ("20 * * * *", "Every hour at 20 minutes past"),
        ("0 3 * * *", "Every day at 03:00, Europe/Vienna time"),
        ("5 14 * * 1", "Every Monday at 14:05, Europe/Vienna time"),
        ("0 9 * * 0,3,1", "Every Monday, Wednesday and Sunday at 09:00, Europe/Vienna time"),
        ("0 9 * * 1,2,3,4,5", "Monday to Friday at 09:00, Europe/Vienna time"),
        ("0 9 * * 0,1,2,3,4,5,6", "Every day at 09:00, Europe/Vienna time"),
        ("30 2 1 * *", "On the 1st of every month at 02:30, Europe/Vienna time"),
        ("30 2 12 * *", "On the 12th of every month at 02:30, Europe/Vienna time"),
        ("30 2 23 * *", "On the 23rd of every month at 02:30, Europe/Vienna time"),
        ("0 0 L * *", "On the last day of every month at 00:00, Europe/Vienna time"),
        ("0 0 1 1 *", "At 00:00 on January 1, Europe/Vienna time"),
        ("0 8 * * MON-FRI", "At 08:00 on Monday through Friday, Europe/Vienna time"),
    ],
)
def test_a_schedule_is_said_in_plain_words(schedule: str, words: str) -> None:
    assert in_words(schedule, VIENNA) == words


def test_the_time_zone_is_said_as_a_place() -> None:
    assert in_words("0 3 * * *", "UTC") == "Every day at 03:00, UTC"
    assert in_words("0 3 * * *", "America/New_York") == "Every day at 03:00, America/New York time"


@pytest.mark.parametrize(
    ("schedule", "after", "runs"),
    [
        pytest.param("30 2 * * *", SPRING, ["29 03:00 +0200", "30 02:30 +0200"], id="fixed-skipped"),
        pytest.param("0,30 2 * * *", SPRING, ["29 03:00 +0200", "30 02:00 +0200"], id="two-fixed-skipped"),
        pytest.param("0 3 * * *", SPRING, ["29 03:00 +0200", "30 03:00 +0200"], id="fixed-right-after"),
        pytest.param("*/30 2 * * *", SPRING, ["30 02:00 +0200", "30 02:30 +0200"], id="star-skipped"),
        pytest.param("30 * * * *", SPRING, ["29 00:30 +0100", "29 01:30 +0100", "29 03:30 +0200"], id="hourly-skipped"),
        pytest.param("30 2 * * *", AUTUMN, ["25 02:30 +0200", "26 02:30 +0100"], id="fixed-doubled"),
        pytest.param("*/30 2 * * *", AUTUMN + timedelta(hours=2, minutes=40), ["25 02:00 +0100"], id="star-doubled"),
        pytest.param(
            "30 * * * *",
            AUTUMN + timedelta(hours=1),
            ["25 01:30 +0200", "25 02:30 +0200", "25 02:30 +0100", "25 03:30 +0100"],
            id="hourly-doubled",
        ),
    ],
)
def test_on_the_days_when_clocks_change_it_runs_as_debians_cron_does(
    schedule: str, after: datetime, runs: list[str]
) -> None:
    assert local_runs(schedule, after, len(runs)) == runs


def test_a_run_that_is_looked_for_in_the_second_of_two_equal_hours_is_never_in_the_first() -> None:
    second_hour = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
    assert second_hour.astimezone(ZoneInfo(VIENNA)).fold == 1
    assert local_runs("30 2 * * *", second_hour, 1) == ["26 02:30 +0100"]


def test_runs_only_ever_go_forward_and_happen_at_real_times() -> None:
    choices = random.Random(5)
    zones = (VIENNA, "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
    schedules = (
        "30 2 * * *",
        "*/20 * * * *",
        "0 0 * * *",
        "15 1-3 * * *",
        "0 */6 * * 0",
        "45 23 L * *",
        "*/15 0 * * *",
    )
    for _ in range(300):
        zone, schedule = choices.choice(zones), choices.choice(schedules)
        after = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=choices.randrange(365 * 1440))
        runs = next_runs(schedule, zone, after, 5)
        assert [after, *runs] == sorted({after, *runs}), (zone, schedule)
        assert next_run(schedule, zone, runs[0]) == runs[1], (zone, schedule)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("", "Write five fields"),
        ("@daily", "Write five fields"),
        ("* * * * * *", "Write five fields"),
        ("0 " * 60, "Write five fields"),
        ("60 * * * *", "look at its minute"),
        ("0 24 * * *", "look at its hour"),
        ("0 0 1-5-7 * *", "look at its day-of-month"),
        ("0 0 * XYZ *", "look at its month"),
        ("0 0 * * MON#6", "look at its day-of-week"),
        ("0 0 30 2 *", "look at its day-of-month"),
        ("0 0 */29 2 MON#5", "a day that never comes"),
        ("0 0 ¹ * *", "look at its day-of-month"),
    ],
)
def test_a_schedule_that_cannot_be_used_is_refused_with_the_place_to_look_at(schedule: str, words: str) -> None:
    with pytest.raises(ScheduleError, match=words):
        check_schedule(schedule, VIENNA, NOW)


@pytest.mark.parametrize("time_zone", ["", "Europe", "Europe/Nowhere", "../../etc/passwd", "x\0y"], ids=repr)
def test_a_time_zone_that_is_none_is_refused(time_zone: str) -> None:
    with pytest.raises(ScheduleError, match="time zone"):
        next_run("0 3 * * *", time_zone, NOW)


def test_a_schedule_is_kept_with_single_spaces() -> None:
    assert check_schedule("  0  3 *   * mon ", VIENNA, NOW) == "0 3 * * mon"


@pytest.mark.parametrize(
    ("rhythm", "values", "schedule"),
    [
        ("minutes", {"every_minutes": "5"}, "*/5 * * * *"),
        ("hourly", {"hour_minute": "20"}, "20 * * * *"),
        ("daily", {"daily_time": "03:05"}, "5 3 * * *"),
        ("daily", {"daily_time": "00:00"}, "0 0 * * *"),
        ("weekly", {"weekly_time": "18:30", "weekdays": "1,5"}, "30 18 * * 1,5"),
        ("monthly", {"monthly_time": "23:59", "day": "31"}, "59 23 31 * *"),
        ("monthly", {"monthly_time": "06:00", "day": "L"}, "0 6 L * *"),
        ("cron", {"cron": "0 8 * * MON-FRI"}, "0 8 * * MON-FRI"),
    ],
)
def test_the_form_makes_cron_and_finds_itself_in_it_again(rhythm: str, values: dict[str, str], schedule: str) -> None:
    assert write_rhythm(rhythm, values) == schedule
    assert form_values(schedule).items() >= {"rhythm": rhythm, **values}.items()


@pytest.mark.parametrize(
    ("rhythm", "values"),
    [
        ("minutes", {"every_minutes": "7"}),
        ("hourly", {"hour_minute": "60"}),
        ("hourly", {}),
        ("daily", {"daily_time": "3"}),
        ("daily", {"daily_time": "25:00"}),
        ("weekly", {"weekly_time": "03:00", "weekdays": ""}),
        ("monthly", {"monthly_time": "03:00", "day": "32"}),
        ("monthly", {"day": "1"}),
        ("yearly", {}),
    ],
)
def test_a_choice_of_the_form_without_its_values_is_refused(rhythm: str, values: dict[str, str]) -> None:
    with pytest.raises(ScheduleError):
        write_rhythm(rhythm, values)


def test_what_the_form_cannot_say_is_shown_as_cron() -> None:
    assert read_rhythm("0 8 * * MON-FRI") == (OWN_CRON, {})
    assert read_rhythm("*/7 * * * *") == (OWN_CRON, {})
