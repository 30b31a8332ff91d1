"""Adding a batch of beacons up, before the database hears of it. Pure functions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from webapp.visits.addresses import page_of, referrer_of
from webapp.visits.backlog import Row
from webapp.visits.buckets import QUARTER_MS, day_of, month_of
from webapp.visits.models import OTHER_PAGE_ID, Grain
from webapp.visits.sketches import merge, sketch_of

PAGE_LIMIT_A_DAY = 25_000
"""Pages of one site that a day counts one by one; many pages, not many visits, are what slows a chart."""
OTHER = OTHER_PAGE_ID.bytes

Key = TypeVar("Key", bytes, str)
SiteQuarter = tuple[bytes, int]
SiteDay = tuple[bytes, int]
Bucket = tuple[bytes, Grain, int]


@dataclass
class Tally:
    """A batch of one organisation, by site and quarter of an hour."""

    zone: str
    pages: Counter[tuple[bytes, int, bytes]] = field(default_factory=Counter)
    referrers: Counter[tuple[bytes, int, str]] = field(default_factory=Counter)
    visitors: dict[SiteQuarter, set[str]] = field(default_factory=lambda: defaultdict(set))
    addresses: dict[bytes, str] = field(default_factory=dict)

    def pages_by_day(self) -> dict[SiteDay, dict[bytes, None]]:
        """Which pages each site's day saw, in the order in which they came."""
        days: dict[SiteDay, dict[bytes, None]] = defaultdict(dict)
        for site_id, quarter, page_id in self.pages:
            days[site_id, day_of(self.zone, quarter)][page_id] = None
        return days

    def fold_into_other(self, crowded: Mapping[SiteDay, set[bytes]]) -> None:
        """Count these pages of these days as "other"."""
        for key in [key for key in self.pages if self.is_crowded(crowded, *key)]:
            self.pages[key[0], key[1], OTHER] += self.pages.pop(key)

    def is_crowded(self, crowded: Mapping[SiteDay, set[bytes]], site_id: bytes, quarter: int, page_id: bytes) -> bool:
        return page_id in crowded.get((site_id, day_of(self.zone, quarter)), ())

    def totals(self) -> Counter[SiteQuarter]:
        """Pageviews by site and quarter."""
        totals: Counter[SiteQuarter] = Counter()
        for (site_id, quarter, _), count in self.pages.items():
            totals[site_id, quarter] += count
        return totals


def tally_rows(rows: Iterable[Row], zone: str) -> Tally:
    """Add up rows of one organisation whose days are cut in this time zone."""
    tally = Tally(zone)
    pages, referrers, visitors, addresses = tally.pages, tally.referrers, tally.visitors, tally.addresses
    for row in rows:
        quarter = row.visited_ms - row.visited_ms % QUARTER_MS
        page, page_id = page_of(row.page_url)
        addresses[page_id] = page
        pages[row.site_id, quarter, page_id] += 1
        visitors[row.site_id, quarter].add(row.visitor)
        referrer = referrer_of(row.referrer, row.page_url)
        if referrer is not None:
            referrers[row.site_id, quarter, referrer] += 1
    return tally


def buckets_of(zone: str, site_id: bytes, quarter: int) -> tuple[Bucket, Bucket, Bucket]:
    """The three buckets into which a quarter's pageviews count."""
    return (
        (site_id, Grain.QUARTER, quarter),
        (site_id, Grain.DAY, day_of(zone, quarter)),
        (site_id, Grain.MONTH, month_of(zone, quarter)),
    )


def spread(zone: str, counts: Mapping[tuple[bytes, int, Key], int]) -> list[tuple[Bucket, Key, int]]:
    """Counts by quarter as counts by quarter, day and month, in the order of their keys."""
    buckets: Counter[tuple[Bucket, Key]] = Counter()
    for (site_id, quarter, key), count in counts.items():
        for bucket in buckets_of(zone, site_id, quarter):
            buckets[bucket, key] += count
    flat = [(bucket, key, count) for (bucket, key), count in buckets.items()]
    flat.sort(key=lambda item: (item[0][0], item[0][1].value, item[0][2], item[1]))
    return flat


def spread_totals(zone: str, totals: Mapping[SiteQuarter, int]) -> Counter[Bucket]:
    """Pageviews by bucket."""
    buckets: Counter[Bucket] = Counter()
    for (site_id, quarter), count in totals.items():
        for bucket in buckets_of(zone, site_id, quarter):
            buckets[bucket] += count
    return buckets


def spread_visitors(zone: str, visitors: Mapping[SiteQuarter, set[str]]) -> dict[Bucket, bytes]:
    """A sketch of the visitors of each bucket."""
    sketches: dict[Bucket, list[bytes]] = defaultdict(list)
    for (site_id, quarter), names in visitors.items():
        sketch = sketch_of(names)
        for bucket in buckets_of(zone, site_id, quarter):
            sketches[bucket].append(sketch)
    return {bucket: parts[0] if len(parts) == 1 else merge(parts) for bucket, parts in sketches.items()}


def crowded_pages(
    seen: Mapping[SiteDay, dict[bytes, None]],
    counted: Mapping[SiteDay, set[bytes]],
    page_counts: Mapping[SiteDay, int],
    limit: int = PAGE_LIMIT_A_DAY,
) -> dict[SiteDay, set[bytes]]:
    """Pages for which their day has no room: new ones once as many as the limit are counted."""
    crowded: dict[SiteDay, set[bytes]] = {}
    for day, pages in seen.items():
        new = [page for page in pages if page not in counted.get(day, ()) and page != OTHER]
        room = max(0, limit - page_counts.get(day, 0))
        if len(new) > room:
            crowded[day] = set(new[room:])
    return crowded
