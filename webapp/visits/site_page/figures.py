"""Asking for what the page shows: the numbers beside those before them, and the buckets of the chart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from webapp.visits import answers
from webapp.visits.questions import Figures
from webapp.visits.site_page.chart import Bucket
from webapp.visits.site_page.choice import Choice
from webapp.visits.site_page.numbers import METRICS, VISITORS, Metric, change


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


def list_numbers(choice: Choice, total: Figures, now: datetime) -> list[Number]:
    """Every number with its change."""
    before = get_compared(choice, now)
    return [_number(choice, metric, total, before) for metric in METRICS.values()]


def get_compared(choice: Choice, now: datetime) -> Figures | None:
    """The period that is compared with, no more of it than has passed of this one."""
    compared = choice.compared
    if compared is None:
        return None
    return answers.totals(choice.question(compared.start, compared.end_when(choice.period, now)))


def list_buckets(choice: Choice) -> list[Bucket]:
    """The buckets of the chart, each with the one that stands at its place in the compared period."""
    edges = choice.period.edges(choice.aggregation)
    found = answers.points(choice.question(edges[0], edges[-1]), edges)
    compared = _compared_points(choice)
    return [
        Bucket(start, end, figures, *(compared[index] if index < len(compared) else (None, None)))
        for index, ((start, end), figures) in enumerate(zip(pairwise(edges), found, strict=True))
    ]


def _compared_points(choice: Choice) -> list[tuple[datetime, Figures]]:
    if choice.compared is None:
        return []
    edges = choice.compared.edges(choice.aggregation)
    return list(zip(edges[:-1], answers.points(choice.question(edges[0], edges[-1]), edges), strict=True))


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
