"""Asking for what the page shows: the numbers beside those before them, and the buckets of the chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from webapp.visits import answers
from webapp.visits.questions import Figures, Question, Summary
from webapp.visits.site_page.chart import Bucket
from webapp.visits.site_page.choice import Choice
from webapp.visits.site_page.numbers import VISITORS, Metric, change


@dataclass(frozen=True)
class Number:
    """One of the numbers on top; a click on it draws it."""

    metric: Metric
    text: str
    change: float | None
    before: str
    url: str
    is_drawn: bool
    is_estimate: bool


def get_compared(choice: Choice, now: datetime) -> Summary | None:
    """The period that is compared with, its total no more of it than has passed of this one."""
    compared = choice.compared
    if compared is None:
        return None
    question, edges = choice.question(compared.start, compared.end), compared.edges(choice.aggregation)
    until = compared.end_when(choice.period, now)
    return with_told_events(choice, answers.summary(question, edges, until), question, edges, until)


def with_told_events(
    choice: Choice, found: Summary, question: Question, edges: Sequence[datetime], until: datetime
) -> Summary:
    """The same summary, in which those events alone count that the choice's link is limited to."""
    rows = choice.list_question("event").rows
    if not rows:
        return found
    told = answers.summary(replace(question, rows=rows), edges, until)
    points = [_with_events_of(one, other) for one, other in zip(found.points, told.points, strict=True)]
    return Summary(_with_events_of(found.total, told.total), points)


def _with_events_of(figures: Figures, told: Figures) -> Figures:
    return replace(figures, event_count=told.event_count)


def list_numbers(choice: Choice, total: Figures, compared: Summary | None) -> list[Number]:
    """Every number with its change."""
    before = compared.total if compared else None
    return [_number(choice, metric, total, before) for metric in choice.metrics]


def list_buckets(choice: Choice, points: Sequence[Figures], compared: Summary | None) -> list[Bucket]:
    """The buckets of the chart, each with the one that stands at its place in the compared period."""
    others = _compared_buckets(choice, compared)
    edges = choice.period.edges(choice.aggregation)
    return [
        Bucket(start, end, figures, *(others[index] if index < len(others) else (None, None)))
        for index, ((start, end), figures) in enumerate(zip(pairwise(edges), points, strict=True))
    ]


def _compared_buckets(choice: Choice, compared: Summary | None) -> list[tuple[datetime, Figures]]:
    if choice.compared is None or compared is None:
        return []
    return list(zip(choice.compared.edges(choice.aggregation)[:-1], compared.points, strict=True))


def _number(choice: Choice, metric: Metric, total: Figures, before: Figures | None) -> Number:
    return Number(
        metric,
        metric.text(total),
        change(metric.work_out(total), metric.work_out(before)) if before else None,
        metric.text(before) if before else "",
        choice.url(metric=None if metric is VISITORS else metric.name),
        metric is choice.metric,
        metric is VISITORS and total.is_estimate,
    )
