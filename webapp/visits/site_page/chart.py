"""The chart of a site's page as a Plotly figure. Pure functions.

Colours are names of the page's own custom properties; the browser fills them in, so a chart is
light or dark with its page. Buckets stand side by side under their names, not on a clock's time: both
hours of a clock change get a place of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from webapp.visits.buckets import Aggregation
from webapp.visits.questions import Figures
from webapp.visits.site_page.numbers import Metric, Worked

BARS_LIMIT = 62
"""Up to so many buckets are bars; more would be hairs, so they are a line."""
TICK_COUNT = 7
HEADROOM = 1.08
FONT = {"family": "var(--font)", "size": 12}

Figure = dict[str, Any]


@dataclass(frozen=True)
class Bucket:
    """One bucket of the chart and, where there is one, the bucket that it is compared with."""

    starts_at: datetime
    ends_at: datetime
    figures: Figures
    compared_at: datetime | None = None
    compared: Figures | None = None


@dataclass(frozen=True)
class Mark:
    """Something that happened in one of the buckets."""

    index: int
    text: str


def make_figure(
    buckets: Sequence[Bucket],
    metric: Metric,
    aggregation: Aggregation,
    zone: ZoneInfo,
    now: datetime,
    marks: Sequence[Mark] = (),
) -> Figure:
    """One number over time; buckets that have not begun are blank, not zero."""
    labels = [bucket_label(bucket.starts_at, aggregation, zone) for bucket in buckets]
    is_bars = len(buckets) <= BARS_LIMIT
    drawn = _bars(buckets, metric, now, labels) if is_bars else _area(buckets, metric, now, labels)
    overlay = _overlay(buckets, metric, aggregation, zone, labels)
    return {"data": [drawn, *overlay], "layout": _layout(buckets, metric, aggregation, zone, marks, is_bars=is_bars)}


def bucket_label(starts_at: datetime, aggregation: Aggregation, zone: ZoneInfo) -> str:
    """A bucket in words, the same for the chart and the table."""
    local = starts_at.astimezone(zone)
    if aggregation is Aggregation.MONTH:
        return f"{local:%B %Y}"
    day = f"{local:%a} {local.day} {local:%b %Y}"
    if aggregation is Aggregation.DAY:
        return day
    return f"{day}, {local:%H:%M} {local:%Z}"


def _bars(buckets: Sequence[Bucket], metric: Metric, now: datetime, labels: list[str]) -> Figure:
    """A bucket that is not over yet is paler than those that are."""
    colours = ["var(--chart-1)" if bucket.ends_at <= now else "var(--chart-line-soft)" for bucket in buckets]
    return {
        "type": "bar",
        "x": labels,
        "y": _values(buckets, metric, now),
        "width": 0.72,
        "name": metric.label,
        "marker": {"color": colours},
        **_hover([_text(bucket.figures, metric) for bucket in buckets]),
    }


def _area(buckets: Sequence[Bucket], metric: Metric, now: datetime, labels: list[str]) -> Figure:
    """A line, filled below unless it has gaps: rates have one wherever there was no visit."""
    begun = [bucket for bucket in buckets if bucket.starts_at <= now]
    has_gaps = any(metric.work_out(bucket.figures) is None for bucket in begun)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": labels,
        "y": _values(buckets, metric, now),
        "name": metric.label,
        "fill": "none" if has_gaps else "tozeroy",
        "fillcolor": "var(--chart-fill)",
        "line": {"color": "var(--chart-1)", "width": 1.5},
        **_hover([_text(bucket.figures, metric) for bucket in buckets]),
    }


def _overlay(
    buckets: Sequence[Bucket], metric: Metric, aggregation: Aggregation, zone: ZoneInfo, labels: list[str]
) -> list[Figure]:
    """What it is compared with, as a line over it, each point saying its own time."""
    if not any(bucket.compared and bucket.compared.pageview_count for bucket in buckets):
        return []
    texts = [
        f"{_text(bucket.compared, metric)} on {bucket_label(bucket.compared_at, aggregation, zone)}"
        if bucket.compared and bucket.compared_at
        else ""
        for bucket in buckets
    ]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": labels,
            "y": [metric.work_out(bucket.compared) if bucket.compared else None for bucket in buckets],
            "name": "Compared",
            "line": {"color": "var(--chart-strong-text)", "width": 1.25, "dash": "dot"},
            **_hover(texts),
        }
    ]


def _hover(texts: list[str]) -> Figure:
    return {"customdata": texts, "hovertemplate": "%{customdata}<extra></extra>"}


def _text(figures: Figures | None, metric: Metric) -> str:
    return f"{metric.text(figures)} {metric.label.lower()}" if figures else ""


def _values(buckets: Sequence[Bucket], metric: Metric, now: datetime) -> list[Worked]:
    return [metric.work_out(bucket.figures) if bucket.starts_at <= now else None for bucket in buckets]


def _layout(
    buckets: Sequence[Bucket],
    metric: Metric,
    aggregation: Aggregation,
    zone: ZoneInfo,
    marks: Sequence[Mark],
    *,
    is_bars: bool,
) -> Figure:
    shared = {"zeroline": False, "showline": False, "ticks": "", "fixedrange": True, "automargin": True}
    return {
        "barcornerradius": 3,
        "bargap": 0,
        "showlegend": False,
        "dragmode": False,
        "hovermode": "x unified",
        "height": 280,
        "margin": {"l": 4, "r": 4, "t": 8, "b": 4, "pad": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {**FONT, "color": "var(--chart-text)"},
        "hoverlabel": {
            "bgcolor": "var(--chart-surface)",
            "bordercolor": "var(--chart-border)",
            "font": {**FONT, "color": "var(--chart-strong-text)"},
        },
        "xaxis": {**shared, **_time_axis(buckets, aggregation, zone, is_bars=is_bars)},
        "yaxis": {**shared, **_number_axis(buckets, metric)},
        "shapes": [_line_at(mark) for mark in marks],
        "annotations": [_words_at(mark) for mark in marks],
    }


def _time_axis(buckets: Sequence[Bucket], aggregation: Aggregation, zone: ZoneInfo, *, is_bars: bool) -> Figure:
    ticks = _ticks(buckets, aggregation, zone)
    return {
        "type": "category",
        "tickmode": "array",
        "tickvals": [position for position, _ in ticks],
        "ticktext": [label for _, label in ticks],
        "range": [-0.6, len(buckets) - 0.4] if is_bars else [0, max(1, len(buckets) - 1)],
        "showgrid": False,
        "spikecolor": "var(--chart-border)",
        "spikedash": "solid",
        "spikethickness": 1,
        "ticklabelstandoff": 6,
    }


def _number_axis(buckets: Sequence[Bucket], metric: Metric) -> Figure:
    top = _top(buckets, metric)
    least = 0.1 if metric.tick_format else 4.0
    return {
        "rangemode": "tozero",
        "range": [0, max(least, top * HEADROOM)],
        "nticks": 5,
        "tickformat": metric.tick_format or (",~s" if top >= 10_000 else ",~r"),
        "ticksuffix": metric.tick_suffix,
        "gridcolor": "var(--chart-grid)",
        "ticklabelstandoff": 6,
    }


def _top(buckets: Sequence[Bucket], metric: Metric) -> float:
    values = [
        metric.work_out(figures) or 0
        for bucket in buckets
        for figures in (bucket.figures, bucket.compared)
        if figures is not None
    ]
    return max(values, default=0)


def _line_at(mark: Mark) -> Figure:
    where = {"x0": mark.index, "x1": mark.index, "y0": 0, "y1": 1, "yref": "paper", "layer": "below"}
    return {"type": "line", **where, "line": {"color": "var(--chart-4)", "width": 1, "dash": "dot"}}


def _words_at(mark: Mark) -> Figure:
    """A dot above the bucket that says its words when it is pointed at; they stand below the chart as well."""
    return {
        "x": mark.index,
        "y": 1,
        "yref": "paper",
        "yanchor": "top",
        "text": "●",
        "showarrow": False,
        "hovertext": mark.text,
        "font": {"size": 11, "color": "var(--chart-4)"},
    }


def _ticks(buckets: Sequence[Bucket], aggregation: Aggregation, zone: ZoneInfo) -> list[tuple[int, str]]:
    """A few well-spaced positions with their labels; days where hours and minutes span several."""
    starts = [bucket.starts_at.astimezone(zone) for bucket in buckets]
    spans_days = len({start.date() for start in starts}) > 2
    candidates = list(range(len(starts)))
    if aggregation in {Aggregation.HOUR, Aggregation.MINUTE} and spans_days:
        candidates = [index for index in candidates if f"{starts[index]:%H:%M}" == "00:00"]
    step = max(1, -(-len(candidates) // TICK_COUNT))
    if aggregation is Aggregation.HOUR and not spans_days:
        step = max(step, 3)
    if aggregation is Aggregation.MINUTE and not spans_days:
        step = 60 * max(1, -(-len(candidates) // (60 * TICK_COUNT)))
    return [(index, _tick_label(starts[index], aggregation, spans_days)) for index in candidates[::step]]


def _tick_label(local: datetime, aggregation: Aggregation, spans_days: bool) -> str:
    if aggregation is Aggregation.MONTH:
        return f"{local:%b %Y}" if local.month == 1 else f"{local:%b}"
    if aggregation is Aggregation.DAY or spans_days:
        return f"{local.day} {local:%b}"
    return f"{local:%H:%M}"
