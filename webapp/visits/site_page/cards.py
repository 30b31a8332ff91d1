"""All sites at a glance: each site's numbers, their change, and a small line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from webapp.visits import rolled_up
from webapp.visits.models import Site
from webapp.visits.periods import Period
from webapp.visits.questions import Figures, Question
from webapp.visits.site_page.numbers import PAGEVIEWS, VISITORS, VISITS, Metric, change

HEIGHT = 100.0
METRICS = (VISITORS, VISITS, PAGEVIEWS)


@dataclass(frozen=True)
class SiteNumber:
    """One of a site's numbers."""

    metric: Metric
    text: str
    change: float | None
    is_estimate: bool


@dataclass(frozen=True)
class SiteCard:
    """A site with its numbers; `line` are the points of its visitors, from 0 to 100 in both directions."""

    site: Site
    numbers: list[SiteNumber]
    line: str
    is_empty: bool


def list_site_cards(sites: list[Site], period: Period, now: datetime) -> list[SiteCard]:
    """One card a site, in the sites' order, all of them by a few statements."""
    if not sites:
        return []
    organisation_id, site_ids = sites[0].organisation_id, tuple(site.id for site in sites)
    totals = rolled_up.totals_by_site(Question(organisation_id, site_ids, period.start, period.end))
    before = rolled_up.totals_by_site(Question(organisation_id, site_ids, *period.before(now)))
    edges = [edge for edge in period.edges(period.aggregations()[0]) if edge <= now or edge == period.start]
    points = rolled_up.points_by_site(Question(organisation_id, site_ids, edges[0], edges[-1]), edges)
    return [_card(site, totals[site.id], before[site.id], points[site.id]) for site in sites]


def _card(site: Site, total: Figures, before: Figures, points: list[Figures]) -> SiteCard:
    numbers = [_number(metric, total, before) for metric in METRICS]
    return SiteCard(site, numbers, _line(points), total.pageview_count == 0)


def _number(metric: Metric, total: Figures, before: Figures) -> SiteNumber:
    grown = change(metric.work_out(total), metric.work_out(before))
    return SiteNumber(metric, metric.text(total), grown, metric is VISITORS and total.is_estimate)


def _line(points: list[Figures]) -> str:
    highest = max((point.visitor_count for point in points), default=0) or 1
    step = HEIGHT / max(1, len(points) - 1)
    return " ".join(
        f"{index * step:.1f},{HEIGHT - HEIGHT * point.visitor_count / highest:.1f}"
        for index, point in enumerate(points)
    )
