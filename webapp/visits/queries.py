"""Asking the roll-ups: every answer reads some hundred rows a line, however many pageviews there are."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Row, select, text

from webapp.extensions import db
from webapp.visits.buckets import QUARTER_MS, Aggregation, local_midnight
from webapp.visits.models import Grain, RollUpZone, Site
from webapp.visits.sketches import count_visitors, is_estimate
from webapp.visits.visitor_queries import count_known_visitors as count_known_visitors
from webapp.visits.visitor_queries import get_known_visitor as get_known_visitor
from webapp.visits.visitor_queries import list_known_visitors as list_known_visitors
from webapp.visits.visitor_queries import seen_visitor_keys as seen_visitor_keys
from webapp.visits.visitor_queries import was_seen as was_seen

OTHER_LABEL = "other"
POINTS_LIMIT = 250_000
"""The most points of one answer: some 15 MB of JSON."""
ROWS_LIMIT = 1_000_000
MINUTE_ROWS_LIMIT = 2_000_000
"""The most rows that are read for it, so that nobody waits for many seconds; minutes read raw rows."""
QUARTER = timedelta(milliseconds=QUARTER_MS)


class TooManyPointsError(ValueError):
    """More than one answer may hold; the message says what to ask for instead."""


@dataclass(frozen=True)
class Point:
    """One bucket of a chart."""

    starts_at: datetime
    ends_at: datetime
    pageview_count: int
    visitor_count: int


@dataclass(frozen=True)
class Totals:
    """A whole range."""

    pageview_count: int
    visitor_count: int
    is_estimate: bool


@dataclass(frozen=True)
class Share:
    """One line of a top list."""

    label: str
    pageview_count: int


@dataclass(frozen=True)
class Segment:
    """A stretch of time and the grain whose rows make it up."""

    grain: Grain
    start: datetime
    end: datetime


def list_sites(organisation_id: UUID) -> list[Site]:
    """The organisation's sites, oldest first."""
    found = db.session.scalars(select(Site).where(Site.organisation_id == organisation_id).order_by(Site.id))
    return list(found)


def find_site_by_name(organisation_id: UUID, name: str) -> Site | None:
    """The oldest site of this name."""
    wanted = select(Site).where(Site.organisation_id == organisation_id, Site.name == name).order_by(Site.id).limit(1)
    return db.session.scalars(wanted).first()


def has_pageviews(organisation_id: UUID, site_ids: Sequence[UUID]) -> bool:
    """Whether anything was ever counted on these sites."""
    found = db.session.execute(text(HAS_PAGEVIEWS), {"organisation_id": organisation_id, "site_ids": list(site_ids)})
    return bool(found.scalar_one())


def list_points(
    organisation_id: UUID, site_ids: Sequence[UUID], aggregation: Aggregation, edges: list[datetime], zone: ZoneInfo
) -> list[Point]:
    """Pageviews and visitors of every bucket between the edges, empty ones too."""
    if aggregation is Aggregation.MINUTE:
        found = _list_minutes(organisation_id, site_ids, edges)
    else:
        found = _list_buckets(organisation_id, site_ids, _grain_for(organisation_id, aggregation, zone), edges)
    return [Point(start, end, *found.get(index, (0, 0))) for index, (start, end) in enumerate(pairwise(edges))]


def get_totals(
    organisation_id: UUID, site_ids: Sequence[UUID], start: datetime, end: datetime, zone: ZoneInfo
) -> Totals:
    """Pageviews and unique visitors of a range."""
    rows = _in_segments(SITE_ROWS, organisation_id, site_ids, _segments_for(organisation_id, start, end, zone))
    visitor_count = count_visitors(row.visitors for row in rows)
    return Totals(sum(row.pageview_count for row in rows), visitor_count, is_estimate(visitor_count))


def list_top_pages(
    organisation_id: UUID, site_ids: Sequence[UUID], start: datetime, end: datetime, zone: ZoneInfo, limit: int
) -> list[Share]:
    """The pages most seen in a range."""
    segments = _segments_for(organisation_id, start, end, zone)
    rows = _in_segments(TOP_PAGES, organisation_id, site_ids, segments, limit=limit)
    return [Share(row.url or OTHER_LABEL, int(row.pageview_count)) for row in rows]


def list_top_referrers(
    organisation_id: UUID, site_ids: Sequence[UUID], start: datetime, end: datetime, zone: ZoneInfo, limit: int
) -> list[Share]:
    """The websites that brought most pageviews in a range; '' stands for none."""
    segments = _segments_for(organisation_id, start, end, zone)
    rows = _in_segments(TOP_REFERRERS, organisation_id, site_ids, segments, limit=limit)
    return [Share(row.referrer, int(row.pageview_count)) for row in rows]


def list_page_points(
    organisation_id: UUID, site_ids: Sequence[UUID], aggregation: Aggregation, edges: list[datetime], zone: ZoneInfo
) -> dict[str, list[tuple[datetime, int]]]:
    """For each page the buckets in which it was seen, and how often; raises TooManyPointsError."""
    is_raw = aggregation is Aggregation.MINUTE
    parameters: dict[str, Any] = {
        "organisation_id": organisation_id,
        "site_ids": list(site_ids),
        "edges": edges,
        "first": edges[0],
        "last": edges[-1],
        "grain": _grain_for(organisation_id, aggregation, zone).value,
        "rows_limit": (MINUTE_ROWS_LIMIT if is_raw else ROWS_LIMIT) + 1,
        "points_limit": POINTS_LIMIT + 1,
    }
    found = db.session.execute(text(PAGE_MINUTES if is_raw else PAGE_BUCKETS), parameters).all()
    if sum(row.row_count for row in found) >= parameters["rows_limit"]:
        raise TooManyPointsError(f"This range has too many visits to be counted at once. {NARROWER}")
    if sum(len(row.indexes) for row in found) > POINTS_LIMIT:
        raise TooManyPointsError(f"This range has more than {POINTS_LIMIT:,} buckets with visits. {NARROWER}")
    return {
        row.url or OTHER_LABEL: [
            (edges[index - 1], count) for index, count in zip(row.indexes, row.pageview_counts, strict=True)
        ]
        for row in found
    }


def segments(start: datetime, end: datetime, zone: ZoneInfo) -> list[Segment]:
    """A range as quarters, days, months, days, quarters: the fewest rows that make it up."""
    first_day, last_day = _next_day(start, zone), _day_before(end, zone)
    if first_day >= last_day:
        return _non_empty([Segment(Grain.QUARTER, start, end)])
    first_month, last_month = _next_month(first_day, zone), _month_before(last_day, zone)
    if first_month >= last_month:
        first_month = last_month = last_day
    return _non_empty(
        [
            Segment(Grain.QUARTER, start, first_day),
            Segment(Grain.DAY, first_day, first_month),
            Segment(Grain.MONTH, first_month, last_month),
            Segment(Grain.DAY, last_month, last_day),
            Segment(Grain.QUARTER, last_day, end),
        ]
    )


def _non_empty(parts: list[Segment]) -> list[Segment]:
    return [part for part in parts if part.start < part.end]


def _next_day(moment: datetime, zone: ZoneInfo) -> datetime:
    """The first midnight at or after this moment."""
    midnight = _day_before(moment, zone)
    day = midnight.astimezone(zone).date()
    return midnight if midnight == moment else local_midnight(day + timedelta(days=1), zone)


def _day_before(moment: datetime, zone: ZoneInfo) -> datetime:
    """The last midnight at or before this moment."""
    return local_midnight(moment.astimezone(zone).date(), zone)


def _next_month(moment: datetime, zone: ZoneInfo) -> datetime:
    """The first beginning of a month at or after this moment."""
    begin = _month_before(moment, zone)
    day = begin.astimezone(zone).date()
    return begin if begin == moment else local_midnight((day + timedelta(days=31)).replace(day=1), zone)


def _month_before(moment: datetime, zone: ZoneInfo) -> datetime:
    """The last beginning of a month at or before this moment."""
    return local_midnight(moment.astimezone(zone).date().replace(day=1), zone)


def _is_cut_for(organisation_id: UUID, zone: ZoneInfo) -> bool:
    """Whether the rows of days and months are cut in this zone; a changed one is cut with the next beacon."""
    wanted = select(RollUpZone.time_zone).where(RollUpZone.organisation_id == organisation_id)
    return db.session.scalars(wanted).first() in {zone.key, None}


def _grain_for(organisation_id: UUID, aggregation: Aggregation, zone: ZoneInfo) -> Grain:
    wider = {Aggregation.DAY: Grain.DAY, Aggregation.MONTH: Grain.MONTH}
    if aggregation in wider and _is_cut_for(organisation_id, zone):
        return wider[aggregation]
    return Grain.QUARTER


def _segments_for(organisation_id: UUID, start: datetime, end: datetime, zone: ZoneInfo) -> list[Segment]:
    if _is_cut_for(organisation_id, zone):
        return segments(start, end, zone)
    return [Segment(Grain.QUARTER, start, end)]


def _in_segments(
    statement: str, organisation_id: UUID, site_ids: Sequence[UUID], parts: list[Segment], **more: Any
) -> Sequence[Row[Any]]:
    parameters = {
        "organisation_id": organisation_id,
        "site_ids": list(site_ids),
        "grains": [part.grain.value for part in parts],
        "starts": [part.start for part in parts],
        "ends": [part.end for part in parts],
        **more,
    }
    return db.session.execute(text(statement), parameters).all()


def _list_buckets(
    organisation_id: UUID, site_ids: Sequence[UUID], grain: Grain, edges: list[datetime]
) -> dict[int, tuple[int, int]]:
    rows = _in_segments(SITE_ROWS, organisation_id, site_ids, [Segment(grain, edges[0], edges[-1])])
    counts: dict[int, int] = defaultdict(int)
    sketches: dict[int, list[bytes]] = defaultdict(list)
    for row in rows:
        index = bisect_right(edges, row.bucket_at) - 1
        counts[index] += row.pageview_count
        sketches[index].append(row.visitors)
    return {index: (count, count_visitors(sketches[index])) for index, count in counts.items()}


def _list_minutes(organisation_id: UUID, site_ids: Sequence[UUID], edges: list[datetime]) -> dict[int, tuple[int, int]]:
    parameters = {
        "organisation_id": organisation_id,
        "site_ids": list(site_ids),
        "first": edges[0],
        "last": edges[-1],
    }
    return {
        (row.minute - edges[0]) // timedelta(minutes=1): (row.pageview_count, row.visitor_count)
        for row in db.session.execute(text(MINUTES), parameters)
    }


HAS_PAGEVIEWS = """
    SELECT EXISTS (
        SELECT 1 FROM site_roll_ups
        WHERE organisation_id = :organisation_id AND site_id = ANY(CAST(:site_ids AS uuid[])) AND grain = 'month'
    )
"""
WANTED = """
    unnest(CAST(:site_ids AS uuid[])) AS site (id)
    CROSS JOIN unnest(CAST(:grains AS text[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
        AS part (grain, starts_at, ends_at)
"""
MATCHES = """
    r.organisation_id = :organisation_id AND r.site_id = site.id AND r.grain = part.grain
    AND r.bucket_at >= part.starts_at AND r.bucket_at < part.ends_at
"""
SITE_ROWS = f"""
    SELECT r.bucket_at, r.pageview_count, r.visitors FROM {WANTED} JOIN site_roll_ups r ON {MATCHES}
"""  # noqa: S608  (put together from the names above)
TOP_PAGES = f"""
    SELECT p.url, top.pageview_count FROM (
        SELECT r.page_id, sum(r.pageview_count) AS pageview_count
        FROM {WANTED} JOIN page_roll_ups r ON {MATCHES}
        GROUP BY r.page_id ORDER BY 2 DESC, 1 LIMIT :limit
    ) AS top
    LEFT JOIN pages p ON p.organisation_id = :organisation_id AND p.id = top.page_id
    ORDER BY 2 DESC, 1
"""  # noqa: S608  (put together from the names above)
TOP_REFERRERS = f"""
    SELECT r.referrer, sum(r.pageview_count) AS pageview_count
    FROM {WANTED} JOIN referrer_roll_ups r ON {MATCHES}
    GROUP BY r.referrer ORDER BY 2 DESC, 1 LIMIT :limit
"""  # noqa: S608  (put together from the names above)
NARROWER = "Ask for a shorter range, wider buckets or one site."
# Reading and answering stop at their limits; pages are joined and sorted when each is one row.
BY_PAGE = """
    SELECT p.url, page.indexes, page.pageview_counts, page.row_count FROM (
        SELECT point.page_id, array_agg(point.index ORDER BY point.index) AS indexes,
            array_agg(point.pageview_count ORDER BY point.index) AS pageview_counts,
            CAST(sum(point.row_count) AS bigint) AS row_count
        FROM (
            SELECT r.page_id, width_bucket(r.at, CAST(:edges AS timestamptz[])) AS index,
                CAST(sum(r.pageview_count) AS bigint) AS pageview_count, count(*) AS row_count
            FROM ({rows} LIMIT :rows_limit) AS r
            GROUP BY 1, 2 LIMIT :points_limit
        ) AS point
        GROUP BY point.page_id
    ) AS page
    LEFT JOIN pages p ON p.organisation_id = :organisation_id AND p.id = page.page_id
    ORDER BY p.url
"""
PAGE_BUCKETS = BY_PAGE.format(
    rows="""
    SELECT page_id, bucket_at AS at, pageview_count FROM page_roll_ups
    WHERE organisation_id = :organisation_id AND site_id = ANY(CAST(:site_ids AS uuid[]))
        AND grain = :grain AND bucket_at >= :first AND bucket_at < :last
    """
)
PAGE_MINUTES = BY_PAGE.format(
    rows="""
    SELECT page_id, visited_at AS at, 1 AS pageview_count FROM pageviews
    WHERE organisation_id = :organisation_id AND site_id = ANY(CAST(:site_ids AS uuid[]))
        AND visited_at >= :first AND visited_at < :last
    """
)
MINUTES = """
    SELECT date_trunc('minute', visited_at) AS minute, count(*) AS pageview_count,
        count(DISTINCT visitor) AS visitor_count
    FROM pageviews
    WHERE organisation_id = :organisation_id AND site_id = ANY(CAST(:site_ids AS uuid[]))
        AND visited_at >= :first AND visited_at < :last
    GROUP BY 1
"""
