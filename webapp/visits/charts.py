"""The chart of the visits page as a Plotly figure. Pure functions.

Colours are names of the page's own custom properties; the browser fills them in, so a chart is
light or dark with its page. Buckets stand side by side under their names, not on a clock's time: both
hours of a clock change get a place of their own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from webapp.visits.buckets import Aggregation
from webapp.visits.queries import Point

BARS_LIMIT = 62
"""Up to so many buckets are bars; more would be hairs, so they are a line."""
TICK_COUNT = 7

Figure = dict[str, Any]


def make_figure(points: list[Point], aggregation: Aggregation, zone: ZoneInfo, now: datetime) -> Figure:
    """Pageviews and visitors over time; buckets that have not begun are blank, not zero."""
    labels = [bucket_label(point, aggregation, zone) for point in points]
    is_bars = len(points) <= BARS_LIMIT
    series = _bars if is_bars else _lines
    return {
        "data": series(
            [point.pageview_count if point.starts_at <= now else None for point in points],
            [point.visitor_count if point.starts_at <= now else None for point in points],
            labels,
        ),
        "layout": _layout(points, aggregation, zone, is_bars=is_bars),
    }


def bucket_label(point: Point, aggregation: Aggregation, zone: ZoneInfo) -> str:
    """A bucket in words, the same for the chart and the table."""
    local = point.starts_at.astimezone(zone)
    if aggregation is Aggregation.MONTH:
        return f"{local:%B %Y}"
    day = f"{local:%a} {local.day} {local:%b %Y}"
    if aggregation is Aggregation.DAY:
        return day
    return f"{day}, {local:%H:%M} {local:%Z}"


def _tick_label(point: Point, aggregation: Aggregation, zone: ZoneInfo, spans_days: bool) -> str:
    local = point.starts_at.astimezone(zone)
    if aggregation is Aggregation.MONTH:
        return f"{local:%b %Y}" if local.month == 1 else f"{local:%b}"
    if aggregation is Aggregation.DAY or spans_days:
        return f"{local.day} {local:%b}"
    return f"{local:%H:%M}"


def _bars(pageviews: list[int | None], visitors: list[int | None], labels: list[str]) -> list[Figure]:
    shared = {"type": "bar", "x": labels, "width": 0.72}
    return [
        {**shared, "name": "Pageviews", "y": pageviews, "marker": {"color": "var(--chart-fill-strong)"}, **_hover()},
        {**shared, "name": "Visitors", "y": visitors, "marker": {"color": "var(--chart-1)"}, **_hover()},
    ]


def _lines(pageviews: list[int | None], visitors: list[int | None], labels: list[str]) -> list[Figure]:
    shared = {"type": "scatter", "mode": "lines", "x": labels}
    return [
        {
            **shared,
            "name": "Pageviews",
            "y": pageviews,
            "fill": "tozeroy",
            "fillcolor": "var(--chart-fill)",
            "line": {"color": "var(--chart-line-soft)", "width": 1.25},
            **_hover(),
        },
        {**shared, "name": "Visitors", "y": visitors, "line": {"color": "var(--chart-1)", "width": 1.5}, **_hover()},
    ]


def _hover() -> Figure:
    return {"hovertemplate": "%{y:,} %{fullData.name}<extra></extra>"}


def _layout(points: list[Point], aggregation: Aggregation, zone: ZoneInfo, *, is_bars: bool) -> Figure:
    ticks = _ticks(points, aggregation, zone)
    top = max((point.pageview_count for point in points), default=0)
    return {
        "barmode": "overlay",
        "barcornerradius": 3,
        "bargap": 0,
        "showlegend": False,
        "dragmode": False,
        "hovermode": "x unified",
        "height": 300,
        "margin": {"l": 4, "r": 4, "t": 8, "b": 4, "pad": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "var(--font)", "size": 12, "color": "var(--chart-text)"},
        "hoverlabel": {
            "bgcolor": "var(--chart-surface)",
            "bordercolor": "var(--chart-border)",
            "font": {"family": "var(--font)", "size": 12, "color": "var(--chart-strong-text)"},
        },
        "xaxis": {
            "type": "category",
            "tickmode": "array",
            "tickvals": [position for position, _ in ticks],
            "ticktext": [label for _, label in ticks],
            "range": [-0.6, len(points) - 0.4] if is_bars else [0, max(1, len(points) - 1)],
            "showgrid": False,
            "zeroline": False,
            "showline": False,
            "ticks": "",
            "fixedrange": True,
            "automargin": True,
            "spikecolor": "var(--chart-border)",
            "spikedash": "solid",
            "spikethickness": 1,
            "ticklabelstandoff": 6,
        },
        "yaxis": {
            "rangemode": "tozero",
            "range": [0, max(4.0, top * 1.08)],
            "nticks": 5,
            "tickformat": ",~s" if top >= 10_000 else ",d",
            "gridcolor": "var(--chart-grid)",
            "ticklabelstandoff": 6,
            "zeroline": False,
            "showline": False,
            "ticks": "",
            "fixedrange": True,
            "automargin": True,
        },
    }


def _ticks(points: list[Point], aggregation: Aggregation, zone: ZoneInfo) -> list[tuple[int, str]]:
    """A few well-spaced positions with their labels; days where hours and minutes span several."""
    spans_days = len({point.starts_at.astimezone(zone).date() for point in points}) > 2
    candidates = list(range(len(points)))
    if aggregation in {Aggregation.HOUR, Aggregation.MINUTE} and spans_days:
        candidates = [index for index in candidates if f"{points[index].starts_at.astimezone(zone):%H:%M}" == "00:00"]
    step = max(1, -(-len(candidates) // TICK_COUNT))
    if aggregation is Aggregation.HOUR and not spans_days:
        step = max(step, 3)
    if aggregation is Aggregation.MINUTE and not spans_days:
        step = 60 * max(1, -(-len(candidates) // (60 * TICK_COUNT)))
    return [(index, _tick_label(points[index], aggregation, zone, spans_days)) for index in candidates[::step]]
