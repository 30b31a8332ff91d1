"""The numbers of the page: what each is worked out from, and how it is written. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from webapp.pages import duration, number
from webapp.visits.questions import Figures

Worked = float | None


@dataclass(frozen=True)
class Metric:
    """A number that can be shown, compared and drawn."""

    name: str
    label: str
    work_out: Callable[[Figures], Worked]
    write: Callable[[float], str] = number
    is_better_down: bool = False
    tick_format: str = ""
    tick_suffix: str = ""

    def text(self, figures: Figures) -> str:
        """As the page writes it; a dash where there is nothing to divide."""
        worked = self.work_out(figures)
        return "–" if worked is None else self.write(worked)


def per_cent(fraction: float) -> str:
    """0.4251 as 43%."""
    return f"{fraction:.0%}"


def written_share(fraction: float) -> str:
    """The same of a part that is there, however small: 0.001 is not 0%."""
    return "<1%" if 0 < fraction < 0.005 else per_cent(fraction)


def one_place(value: float) -> str:
    """2.345 as 2.3."""
    return f"{value:.1f}"


def seconds(value: float) -> str:
    """A duration; none at all is 0 s."""
    return duration(value) if value >= 1 else "0 s"


def _per_visit(count: Callable[[Figures], float]) -> Callable[[Figures], Worked]:
    return lambda figures: count(figures) / figures.visit_count if figures.visit_count else None


VISITORS = Metric("visitors", "Visitors", lambda figures: figures.visitor_count)
VISITS = Metric("visits", "Visits", lambda figures: figures.visit_count)
PAGEVIEWS = Metric("pageviews", "Pageviews", lambda figures: figures.pageview_count)
PAGES_PER_VISIT = Metric(
    "pages_per_visit", "Pages per visit", _per_visit(lambda figures: figures.pageview_count), one_place
)
BOUNCE_RATE = Metric(
    "bounce_rate",
    "Bounce rate",
    _per_visit(lambda figures: figures.bounce_count),
    per_cent,
    is_better_down=True,
    tick_format=".0%",
)
VISIT_DURATION = Metric(
    "visit_duration", "Visit duration", _per_visit(lambda figures: figures.visit_ms / 1000), seconds, tick_suffix=" s"
)
EVENTS = Metric("events", "Events", lambda figures: figures.event_count)
METRICS = {
    metric.name: metric
    for metric in (VISITORS, VISITS, PAGEVIEWS, PAGES_PER_VISIT, BOUNCE_RATE, VISIT_DURATION, EVENTS)
}


def change(now: Worked, before: Worked) -> float | None:
    """By what fraction a number grew; nothing can be said where there was none before."""
    return (now - before) / before if before and now is not None else None
