"""How often products were viewed, read from what the roll-up counts.

A site's days are those of its own zone, and its last thirty days are those that its totals hold. So a product's page
and the list say the same number. Days of several sites are added up by their dates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, true

from webapp.extensions import db
from webapp.visits.counting.product_views import OTHER_SKU, WINDOW_DAYS, first_day_of
from webapp.visits.models import Site
from webapp.visits.product_views.models import ProductViewDay, ProductViewWindow
from webapp.visits.queries import list_sites

WINDOW = timedelta(days=WINDOW_DAYS)


@dataclass(frozen=True)
class SiteViews:
    """Views on one site in the last thirty days, and in the thirty before."""

    site_id: UUID
    name: str
    view_count: int
    before_count: int


@dataclass(frozen=True)
class ProductViews:
    """How often a SKU was viewed: in the last thirty days and the thirty before, by site, and day by day."""

    view_count: int
    before_count: int
    sites: list[SiteViews]
    days: list[tuple[date, int]]
    is_counted: bool
    """Whether any product was ever viewed, which tells a product without views from a website that sends none."""

    @property
    def change(self) -> float | None:
        """By what fraction views grew; nothing can be said where there were none before."""
        return (self.view_count - self.before_count) / self.before_count if self.before_count else None


@dataclass(frozen=True)
class SkuViews:
    """Where a SKU was viewed in the last thirty days, and on which day last."""

    last_day: date
    sites: list[tuple[UUID, str, int]]


def get_product_views(
    organisation_id: UUID, sku_key: str, day_count: int, now: datetime, site_id: UUID | None = None
) -> ProductViews:
    """The views of a SKU, its days on all sites or on one."""
    sites = {site.id: site for site in list_sites(organisation_id)}
    firsts = _list_firsts(organisation_id)
    last = last_day(sites.values(), now)
    span = max(timedelta(days=day_count), 2 * WINDOW + timedelta(days=2))
    counts = _list_days(organisation_id, sku_key, last - span)
    by_site = [
        _site_views(site, counts, firsts.get(site.id, first_day_of(now, zone_of(site)))) for site in sites.values()
    ]
    viewed = sorted((one for one in by_site if one.view_count or one.before_count), key=lambda one: -one.view_count)
    sums: dict[date, int] = defaultdict(int)
    for (of_site, day), count in counts.items():
        sums[day] += count if site_id in {None, of_site} else 0
    days = [last - timedelta(days=back) for back in reversed(range(day_count))]
    return ProductViews(
        sum(one.view_count for one in viewed),
        sum(one.before_count for one in viewed),
        viewed,
        [(day, sums.get(day, 0)) for day in days],
        bool(firsts),
    )


def list_sku_views(organisation_id: UUID, sku_keys: Collection[str]) -> dict[str, SkuViews]:
    """Where some SKUs were viewed in the last thirty days."""
    names = {site.id: site.name for site in list_sites(organisation_id)}
    days, windows = ProductViewDay, ProductViewWindow
    query = (
        select(days.sku_key, days.site_id, func.max(days.day), func.sum(days.view_count))
        .join(windows, (windows.organisation_id == days.organisation_id) & (windows.site_id == days.site_id))
        .where(days.organisation_id == organisation_id, days.sku_key.in_(sku_keys), days.day >= windows.first_day)
        .group_by(days.sku_key, days.site_id)
    )
    found: dict[str, list[tuple[UUID, date, int]]] = defaultdict(list)
    for sku_key, site_id, day, count in db.session.execute(query):
        found[sku_key].append((site_id, day, int(count)))
    return {
        sku_key: SkuViews(
            max(day for _, day, _ in rows),
            [(site_id, names.get(site_id, "A deleted site"), count) for site_id, _, count in sorted(rows, key=_most)],
        )
        for sku_key, rows in found.items()
    }


def count_other_views(organisation_id: UUID) -> int:
    """Views of the last thirty days that are counted together, because a day had too many SKUs."""
    days, windows = ProductViewDay, ProductViewWindow
    query = (
        select(func.coalesce(func.sum(days.view_count), 0))
        .join(windows, (windows.organisation_id == days.organisation_id) & (windows.site_id == days.site_id))
        .where(days.organisation_id == organisation_id, days.sku_key == OTHER_SKU, days.day >= windows.first_day)
    )
    return int(db.session.scalar(query) or 0)


def list_windows(organisation_id: UUID) -> list[tuple[UUID, date, str]]:
    """Each site whose products were ever viewed: the first of its last thirty days, and the zone of its days."""
    firsts = _list_firsts(organisation_id)
    return [(site.id, firsts[site.id], zone_of(site)) for site in list_sites(organisation_id) if site.id in firsts]


def has_product_views(organisation_id: UUID) -> bool:
    """Whether any product was ever viewed."""
    query = select(true()).where(ProductViewWindow.organisation_id == organisation_id).limit(1)
    return db.session.scalar(query) is not None


def last_day(sites: Collection[Site], now: datetime) -> date:
    """The latest day that has begun on any of the sites."""
    zones = {zone_of(site) for site in sites} or {"UTC"}
    return max(now.astimezone(ZoneInfo(zone)).date() for zone in zones)


def zone_of(site: Site) -> str:
    """The zone in which a site's days are cut."""
    return site.counted_zone.key


def _most(row: tuple[UUID, date, int]) -> tuple[int, UUID]:
    return -row[2], row[0]


def _list_firsts(organisation_id: UUID) -> dict[UUID, date]:
    windows = ProductViewWindow
    query = select(windows.site_id, windows.first_day).where(windows.organisation_id == organisation_id)
    return {row.site_id: row.first_day for row in db.session.execute(query)}


def _list_days(organisation_id: UUID, sku_key: str, since: date) -> dict[tuple[UUID, date], int]:
    days = ProductViewDay
    query = select(days.site_id, days.day, days.view_count).where(
        days.organisation_id == organisation_id, days.sku_key == sku_key, days.day >= since
    )
    return {(site_id, day): count for site_id, day, count in db.session.execute(query)}


def _site_views(site: Site, counts: dict[tuple[UUID, date], int], first: date) -> SiteViews:
    own = [(day, count) for (site_id, day), count in counts.items() if site_id == site.id]
    return SiteViews(
        site.id,
        site.name,
        sum(count for day, count in own if day >= first),
        sum(count for day, count in own if first - WINDOW <= day < first),
    )
