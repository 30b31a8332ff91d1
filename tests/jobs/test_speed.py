"""Rates, times left and the line of the chart, out of samples."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webapp.jobs.speed import STRETCHES, Point, make_chart, rate_now, rate_words, time_left, with_ends

BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def steady(seconds: int, per_second: int) -> list[Point]:
    return [(at(second), second * per_second) for second in range(seconds + 1)]


def test_the_rate_is_that_of_the_last_seconds() -> None:
    points = [*steady(60, 100), *[(at(60 + second), 6_000 + 10 * second) for second in range(1, 31)]]
    assert rate_now(points, BEGAN) == pytest.approx(10)


def test_the_rate_counts_nothing_from_before_the_attempt_began() -> None:
    points = [(at(0), 0), (at(1), 100), (at(11), 100), (at(12), 150), (at(13), 200)]
    assert rate_now(points, at(11)) == pytest.approx(50)


def test_nobody_can_say_a_rate_after_half_a_second() -> None:
    assert rate_now([(at(0), 0), (at(0.5), 10)], BEGAN) is None
    assert rate_now([], BEGAN) is None


def test_an_attempt_that_begins_anew_is_no_step_back() -> None:
    points = [(at(0), 0), (at(5), 500), (at(6), 0), (at(10), 400)]
    chart = make_chart(points)
    assert chart is not None
    assert chart.average == pytest.approx(90)
    assert all(0 <= y <= 100 for _, y in chart.line)


@pytest.mark.parametrize(
    ("per_second", "done", "total", "left"),
    [(10.0, 50, 150, 10), (0.0, 50, 150, None), (None, 50, 150, None), (10.0, 50, None, None), (10.0, 150, 150, 0)],
)
def test_the_time_left_is_what_is_left_at_this_rate(
    per_second: float | None, done: int, total: int | None, left: int | None
) -> None:
    found = time_left(per_second, done, total)
    assert found == (None if left is None else timedelta(seconds=left))


def test_a_hopelessly_slow_job_has_a_time_left_that_can_be_written() -> None:
    assert time_left(1e-12, 0, 10**15) == timedelta(days=365)


def test_a_chart_of_few_seconds_has_a_stretch_for_each() -> None:
    chart = make_chart(steady(10, 4))
    assert chart is not None
    assert len(chart.line) == 10 + 2
    assert (chart.average, chart.highest, chart.latest) == pytest.approx((4, 4, 4))


def test_a_chart_of_a_day_has_no_more_stretches_than_can_be_seen() -> None:
    chart = make_chart([(at(minute * 60), minute * 600) for minute in range(1440)])
    assert chart is not None
    assert len(chart.line) <= STRETCHES + 2
    assert chart.line[0][0] == 0
    assert chart.line[-1][0] == 100


def test_the_highest_stretch_is_highest_in_the_chart() -> None:
    chart = make_chart([*steady(5, 10), (at(6), 150), (at(7), 160)])
    assert chart is not None
    x, _ = min(chart.line, key=lambda point: point[1])
    assert x == pytest.approx(100 * 5.5 / 7, abs=0.01)
    assert chart.highest == pytest.approx(100)


def test_a_job_that_stands_still_has_a_line_at_the_bottom() -> None:
    chart = make_chart([(at(0), 5), (at(10), 5)])
    assert chart is not None
    assert {y for _, y in chart.line} == {100}


@pytest.mark.parametrize("points", [[], [(at(0), 0)], [(at(0), 0), (at(1), 10)]])
def test_too_few_points_make_no_chart(points: list[Point]) -> None:
    assert make_chart(points) is None


def test_samples_get_the_beginning_and_the_present_as_ends() -> None:
    samples = [(at(1), 10), (at(2), 20)]
    assert with_ends(samples, BEGAN, (at(2.5), 25)) == [(BEGAN, 0), *samples, (at(2.5), 25)]
    assert with_ends(samples, BEGAN, None) == [(BEGAN, 0), *samples]
    assert with_ends([], BEGAN, (at(2.5), 25)) == []


@pytest.mark.parametrize(
    ("per_second", "words"),
    [(1234.5, "1,234/s"), (4.25, "4.2/s"), (0.5, "30.0/min"), (1 / 600, "6.0/h"), (0, "0/s")],
)
def test_rates_are_written_so_that_they_can_be_read(per_second: float, words: str) -> None:
    assert rate_words(per_second) == words
