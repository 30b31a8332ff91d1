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

from sqlalchemy import Row, func, select, text

from webapp.extensions import db
from webapp.visits.buckets import QUARTER_MS, Aggregation, local_midnight
from webapp.visits.counting.sketches import count_visitors, is_estimate
from webapp.visits.models import Grain, Site
from webapp.visits.questions import PAGE, Question
from webapp.visits.raw import engine
from webapp.visits.visitor_queries import are_few_visitors as are_few_visitors
from webapp.visits.visitor_queries import get_known_visitor as get_known_visitor
from webapp.visits.visitor_queries import seen_visitor_keys as seen_visitor_keys
from webapp.visits.visitor_queries import was_seen as was_seen

OTHER_LABEL = "other"
POINTS_LIMIT = 250_000
"""The most points of one answer: some 15 MB of JSON."""
ROWS_LIMIT = 1_000_000
"""The most rows that are read for it, so that nobody waits for many seconds."""
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
    """The organisation's sites, oldest first, without deleted ones."""
    own = select(Site).where(Site.organisation_id == organisation_id, Site.deleted_at.is_(None))
    return list(db.session.scalars(own.order_by(Site.id)))


def find_site_by_name(organisation_id: UUID, name: str) -> Site | None:
    """The oldest site of this name."""
    own = select(Site).where(Site.organisation_id == organisation_id, Site.deleted_at.is_(None))
    return db.session.scalars(own.where(Site.name == name).order_by(Site.id).limit(1)).first()


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
        found = _list_buckets(
            organisation_id, site_ids, _grain_for(organisation_id, site_ids, aggregation, zone), edges
        )
    return [Point(start, end, *found.get(index, (0, 0))) for index, (start, end) in enumerate(pairwise(edges))]


def get_totals(
    organisation_id: UUID, site_ids: Sequence[UUID], start: datetime, end: datetime, zone: ZoneInfo
) -> Totals:
    """Pageviews and unique visitors of a range."""
    rows = _in_segments(
        SITE_ROWS, organisation_id, site_ids, _segments_for(organisation_id, site_ids, start, end, zone)
    )
    visitor_count = count_visitors(row.visitors for row in rows)
    return Totals(sum(row.pageview_count for row in rows), visitor_count, is_estimate(visitor_count))


def list_top_pages(
    organisation_id: UUID, site_ids: Sequence[UUID], start: datetime, end: datetime, zone: ZoneInfo, limit: int
) -> list[Share]:
    """The pages most seen in a range."""
    parts = _segments_for(organisation_id, site_ids, start, end, zone)
    if not _are_whole_days(parts):
        return _list_raw_pages(Question(organisation_id, tuple(site_ids), start, end), limit)
    rows = _in_segments(TOP_PAGES, organisation_id, site_ids, parts, limit=limit)
    return [Share(row.url or OTHER_LABEL, int(row.pageview_count)) for row in rows]


def _are_whole_days(parts: list[Segment]) -> bool:
    """Pages are not rolled up by quarters of an hour."""
    return all(part.grain is not Grain.QUARTER for part in parts)


def _list_raw_pages(question: Question, limit: int) -> list[Share]:
    values = engine.breakdown(question, PAGE, limit)
    return [Share(value.value, value.figures.pageview_count) for value in values if value.figures.pageview_count]


def list_page_points(
    organisation_id: UUID, site_ids: Sequence[UUID], aggregation: Aggregation, edges: list[datetime], zone: ZoneInfo
) -> dict[str, list[tuple[datetime, int]]]:
    """For each page the buckets in which it was seen, and how often; raises TooManyPointsError.

    Days and months come from roll-ups, where they are cut in this zone; anything else from raw rows.
    """
    grain = _grain_for(organisation_id, site_ids, aggregation, zone)
    if grain is Grain.QUARTER:
        return _list_raw_page_points(organisation_id, site_ids, edges)
    parameters: dict[str, Any] = {
        "organisation_id": organisation_id,
        "site_ids": list(site_ids),
        "edges": edges,
        "first": edges[0],
        "last": edges[-1],
        "grain": grain.value,
        "rows_limit": ROWS_LIMIT + 1,
        "points_limit": POINTS_LIMIT + 1,
    }
    found = db.session.execute(text(PAGE_BUCKETS), parameters).all()
    if sum(row.row_count for row in found) >= parameters["rows_limit"]:
        raise TooManyPointsError(f"This range has too many visits to be counted at once. {NARROWER}")
    if sum(len(row.indexes) for row in found) > POINTS_LIMIT:
        raise _too_many_points()
    return {
        row.url or OTHER_LABEL: [
            (edges[index - 1], count) for index, count in zip(row.indexes, row.pageview_counts, strict=True)
        ]
        for row in found
    }


def _list_raw_page_points(
    organisation_id: UUID, site_ids: Sequence[UUID], edges: list[datetime]
) -> dict[str, list[tuple[datetime, int]]]:
    question = Question(organisation_id, tuple(site_ids), edges[0], edges[-1])
    try:
        return engine.page_points(question, edges, POINTS_LIMIT)
    except engine.TooManyPointsError as error:
        raise _too_many_points() from error


def _too_many_points() -> TooManyPointsError:
    return TooManyPointsError(f"This range has more than {POINTS_LIMIT:,} buckets with visits. {NARROWER}")


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


def _is_cut_for(organisation_id: UUID, site_ids: Sequence[UUID], zone: ZoneInfo) -> bool:
    """Whether the rows of the sites' days and months are cut in this zone; a changed one is cut by a rebuild."""
    wanted = select(func.coalesce(Site.cut_zone, Site.time_zone)).where(
        Site.organisation_id == organisation_id, Site.id.in_(site_ids)
    )
    return set(db.session.scalars(wanted)) <= {zone.key}


def _grain_for(organisation_id: UUID, site_ids: Sequence[UUID], aggregation: Aggregation, zone: ZoneInfo) -> Grain:
    wider = {Aggregation.DAY: Grain.DAY, Aggregation.MONTH: Grain.MONTH}
    if aggregation in wider and _is_cut_for(organisation_id, site_ids, zone):
        return wider[aggregation]
    return Grain.QUARTER


def _segments_for(
    organisation_id: UUID, site_ids: Sequence[UUID], start: datetime, end: datetime, zone: ZoneInfo
) -> list[Segment]:
    if _is_cut_for(organisation_id, site_ids, zone):
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
    found = engine.points(Question(organisation_id, tuple(site_ids), edges[0], edges[-1]), edges)
    return {index: (figures.pageview_count, figures.visitor_count) for index, figures in enumerate(found)}


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
        GROUP BY r.page_id HAVING sum(r.pageview_count) > 0 ORDER BY 2 DESC, 1 LIMIT :limit
    ) AS top
    LEFT JOIN pages p ON p.organisation_id = :organisation_id AND p.id = top.page_id
    ORDER BY 2 DESC, 1
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
        AND grain = :grain AND bucket_at >= :first AND bucket_at < :last AND pageview_count > 0
    """
)
