"""What a product's page shows of its views: numbers, a chart of days, each site. Pure but for its one question."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from webapp.visits.buckets import Aggregation
from webapp.visits.product_views.queries import ProductViews, get_product_views
from webapp.visits.questions import Figures
from webapp.visits.site_page.chart import Bucket, bucket_label, make_figure
from webapp.visits.site_page.numbers import Metric

RANGES = (30, 90, 365)
USUAL_RANGE = 90
VIEWS = Metric("views", "Views", lambda figures: figures.event_count)
ZONE = ZoneInfo("UTC")
"""Days are drawn by their dates alone, whatever zones they were cut in."""


@dataclass(frozen=True)
class Shown:
    """The views of a SKU as a page shows them."""

    views: ProductViews
    day_count: int
    site_id: UUID | None
    figure: dict[str, Any]
    rows: list[tuple[str, int]]

    @property
    def drawn_count(self) -> int:
        """How many views the chart shows."""
        return sum(count for _, count in self.views.days)


def shown_views(organisation_id: UUID, sku_key: str, arguments: dict[str, str], now: datetime) -> Shown:
    """The views of a SKU, for the `days` and the `site` of an address; what is unknown there counts as not given."""
    day_count = _range_of(arguments.get("days", ""))
    site_id = _uuid(arguments.get("site", ""))
    views = get_product_views(organisation_id, sku_key, day_count, now, site_id)
    if site_id not in {site.site_id for site in views.sites} and site_id is not None:
        return shown_views(organisation_id, sku_key, {**arguments, "site": ""}, now)
    buckets = [_bucket(day, count) for day, count in views.days]
    figure = make_figure(buckets, VIEWS, Aggregation.DAY, ZONE, _during(views.days[-1][0]))
    figure["layout"]["height"] = 200
    rows = [(bucket_label(bucket.starts_at, Aggregation.DAY, ZONE), bucket.figures.event_count) for bucket in buckets]
    return Shown(views, day_count, site_id, figure, rows[::-1])


def _bucket(day: date, count: int) -> Bucket:
    starts_at = datetime.combine(day, time(), UTC)
    return Bucket(starts_at, starts_at + timedelta(days=1), Figures(event_count=count))


def _during(day: date) -> datetime:
    """A moment of the last day, which is not over yet."""
    return datetime.combine(day, time(12), UTC)


def _range_of(text: str) -> int:
    return int(text) if text in {str(days) for days in RANGES} else USUAL_RANGE


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
