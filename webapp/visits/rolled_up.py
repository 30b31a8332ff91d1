"""Answering questions without filters from roll-ups: some hundred rows a line, however many pageviews there are."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Row, text

from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.visits.buckets import local_midnight
from webapp.visits.counting.sketches import count_readable_visitors, is_estimate
from webapp.visits.models import OTHER_PAGE_ID, Grain, Site
from webapp.visits.questions import ENTRY_PAGE, EXIT_PAGE, PAGE, Figures, Question, Value, told_of
from webapp.visits.segments import Segment, next_month, segments, with_signs

OTHER = "(other)"
CLOCKS_APART = timedelta(minutes=5)
"""By how much the clocks of machines may differ."""
Parts = dict[UUID, list[Segment]]
EVENT_FIELDS = ("event", "property", "product")


def totals(question: Question) -> Figures:
    """What is counted of the whole range."""
    return _figures(_site_rows(question, _parts_for(question)))


def totals_by_site(question: Question) -> dict[UUID, Figures]:
    """What is counted of the whole range on each site, by one statement however many there are."""
    found: dict[UUID, list[Row[Any]]] = defaultdict(list)
    for row in _site_rows(question, _parts_for(question)):
        found[row.site_id].append(row)
    return {site_id: _figures(found[site_id]) for site_id in question.site_ids}


def points_by_site(question: Question, edges: Sequence[datetime]) -> dict[UUID, list[Figures]]:
    """What is counted of each bucket on each site."""
    found: dict[tuple[UUID, int], list[Row[Any]]] = defaultdict(list)
    for row in _site_rows(question, parts_between(question, edges)):
        found[row.site_id, bisect_right(edges, row.bucket_at) - 1].append(row)
    buckets = range(len(edges) - 1)
    return {site_id: [_figures(found[site_id, index]) for index in buckets] for site_id in question.site_ids}


def points(question: Question, edges: Sequence[datetime]) -> list[Figures]:
    """What is counted of each bucket between the edges, empty ones too."""
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in _site_rows(question, parts_between(question, edges)):
        found[bisect_right(edges, row.bucket_at) - 1].append(row)
    return [_figures(found[index]) for index in range(len(edges) - 1)]


def breakdown(question: Question, field: str, limit: int) -> list[Value]:
    """The values most counted, of whole days of each site's zone."""
    if field in {PAGE, ENTRY_PAGE, EXIT_PAGE}:
        return _pages(question, field, limit)
    rows = _asked(VALUES, question, _parts_for(question), dimension=field, limit=limit)
    if field in EVENT_FIELDS:
        return _with_visitors(question, field, rows)
    return [Value(row.value, _counts(row)) for row in rows]


def zones_of(question: Question) -> dict[UUID, ZoneInfo]:
    """The zones in which the sites' days and months are cut so far; sites that are loaded are not asked again."""
    found = {site_id: db.session.get(Site, (question.organisation_id, site_id)) for site_id in question.site_ids}
    return {site_id: site.counted_zone for site_id, site in found.items() if site is not None}


def _pages(question: Question, field: str, limit: int) -> list[Value]:
    """The pages that are listed are found by one count alone: every month has a row of each of thousands."""
    order = {PAGE: "pageview_count", ENTRY_PAGE: "entry_count", EXIT_PAGE: "exit_count"}[field]
    parts = _parts_for(question)
    top = _top_pages(question, order, parts, limit)
    asked = {"page_ids": [row.page_id for row in top]}
    rows = {row.page_id: row for row in _asked(PAGES, question, parts, **asked)} if field != EXIT_PAGE else {}
    return [_page(field, row, rows.get(row.page_id)) for row in top]


def _top_pages(question: Question, order: str, parts: Parts, limit: int) -> Sequence[Row[Any]]:
    alike: dict[tuple[int, Segment], list[UUID]] = defaultdict(list)
    zones, now = zones_of(question), utc_now()
    for site_id, of_site in parts.items():
        for signed in with_signs(of_site, zones[site_id], now):
            alike[signed].append(site_id)
    parameters: dict[str, Any] = {
        "organisation_id": question.organisation_id, "other": OTHER_PAGE_ID, "limit": limit
    }  # fmt: skip
    for n, ((_, part), site_ids) in enumerate(alike.items()):
        own = {"sites": site_ids, "grain": part.grain.value, "start": part.start, "end": part.end}
        parameters |= {f"{name}_{n}": value for name, value in own.items()}
    every = [TOP_PAGES_PART.format(counted=f"{sign} * r.{order}", n=n) for n, (sign, _) in enumerate(alike)]
    rows = " UNION ALL ".join(every)
    return db.session.execute(text(TOP_PAGES.format(rows=rows)), parameters).all() if alike else []


def _page(field: str, top: Row[Any], row: Row[Any] | None) -> Value:
    """A line with as much as a list of the field tells."""
    if row is None:
        return Value(top.url or OTHER, Figures(visit_count=int(top.counted)))
    figures = Figures(
        pageview_count=int(row.pageview_count),
        visit_count=int(row.entry_count),
        bounce_count=int(row.bounce_count),
        engaged_ms=int(row.engaged_ms),
    )
    return Value(top.url or OTHER, told_of(field, figures))


def _with_visitors(question: Question, field: str, rows: Sequence[Row[Any]]) -> list[Value]:
    sketches: dict[str, list[bytes]] = defaultdict(list)
    values = [row.value for row in rows]
    for row in _asked(VISITORS, question, _parts_for(question), dimension=field, values=values):
        sketches[row.value].append(row.visitors)
    return [Value(row.value, _counts(row, sketches[row.value])) for row in rows]


def _counts(row: Row[Any], sketches: Iterable[bytes] = ()) -> Figures:
    visitor_count = count_readable_visitors(sketches)
    return Figures(
        pageview_count=int(row.pageview_count),
        visit_count=int(row.visit_count),
        visitor_count=visitor_count,
        is_estimate=is_estimate(visitor_count),
        bounce_count=int(row.bounce_count),
        visit_ms=int(row.visit_ms),
        event_count=int(row.event_count),
    )


def _figures(rows: Sequence[Row[Any]]) -> Figures:
    visitor_count = count_readable_visitors(row.visitors for row in rows)
    return Figures(
        pageview_count=sum(row.pageview_count for row in rows),
        visit_count=sum(row.visit_count for row in rows),
        visitor_count=visitor_count,
        is_estimate=is_estimate(visitor_count),
        bounce_count=sum(row.bounce_count for row in rows),
        visit_ms=sum(row.visit_ms for row in rows),
        event_count=sum(row.event_count for row in rows),
        engaged_ms=sum(row.engaged_ms for row in rows),
    )


def _grain_for(edges: Sequence[datetime], zone: ZoneInfo) -> Grain:
    """The widest rows of which every bucket is made up."""
    days = [edge.astimezone(zone).date() for edge in edges]
    if any(local_midnight(day, zone) != edge for day, edge in zip(days, edges, strict=True)):
        return Grain.QUARTER
    return Grain.MONTH if all(day.day == 1 for day in days) else Grain.DAY


def parts_between(question: Question, edges: Sequence[datetime]) -> Parts:
    """For each site the widest rows of which every bucket is made up."""
    zones = zones_of(question)
    grains = {zone: _grain_for(edges, zone) for zone in set(zones.values())}
    return {site_id: [Segment(grains[zone], edges[0], edges[-1])] for site_id, zone in zones.items()}


def _parts_for(question: Question) -> Parts:
    zones = zones_of(question)
    return {site_id: segments(question.start, _open_end(question.end, zone), zone) for site_id, zone in zones.items()}


def _open_end(end: datetime, zone: ZoneInfo) -> datetime:
    """The end of the month, where the range ends in the future: nothing lies there, and one row holds all days."""
    return next_month(end, zone) if end - utc_now() > CLOCKS_APART else end


def _site_rows(question: Question, parts: Parts) -> Sequence[Row[Any]]:
    return _asked(SITE_ROWS, question, parts)


def _asked(statement: str, question: Question, parts: Parts, **more: Any) -> Sequence[Row[Any]]:
    return db.session.execute(text(statement), {**parts_as_parameters(question, parts), **more}).all()


def parts_as_parameters(question: Question, parts: Parts) -> dict[str, Any]:
    """What WANTED and MATCHES name."""
    flat = [(site_id, part) for site_id, of_site in parts.items() for part in of_site]
    return {
        "organisation_id": question.organisation_id,
        "site_ids": [site_id for site_id, _ in flat],
        "grains": [part.grain.value for _, part in flat],
        "starts": [part.start for _, part in flat],
        "ends": [part.end for _, part in flat],
    }


WANTED = """
    unnest(CAST(:site_ids AS uuid[]), CAST(:grains AS text[]), CAST(:starts AS timestamptz[]),
        CAST(:ends AS timestamptz[])) AS part (site_id, grain, starts_at, ends_at)
"""
MATCHES = """
    r.organisation_id = :organisation_id AND r.site_id = part.site_id AND r.grain = part.grain
    AND r.bucket_at >= part.starts_at AND r.bucket_at < part.ends_at
"""
SITE_ROWS = f"""
    SELECT r.site_id, r.bucket_at, r.pageview_count, r.visit_count, r.bounce_count, r.visit_ms, r.event_count,
        r.engaged_ms, r.visitors
    FROM {WANTED} JOIN site_roll_ups r ON {MATCHES}
"""  # noqa: S608  (put together from the names above)
# Hundreds of thousands of rows: the planner sees each part's own edges, and joins nothing.
TOP_PAGES_PART = """
    SELECT r.page_id, {counted} AS counted FROM page_roll_ups r
    WHERE r.organisation_id = :organisation_id AND r.site_id = ANY(CAST(:sites_{n} AS uuid[]))
        AND r.grain = :grain_{n} AND r.bucket_at >= :start_{n} AND r.bucket_at < :end_{n}
"""
TOP_PAGES = """
    SELECT p.url, top.* FROM (
        SELECT r.page_id, sum(r.counted) AS counted FROM ({rows}) AS r
        GROUP BY r.page_id HAVING sum(r.counted) > 0
        ORDER BY r.page_id = :other, 2 DESC, 1 LIMIT :limit
    ) AS top
    LEFT JOIN pages p ON p.organisation_id = :organisation_id AND p.id = top.page_id
    ORDER BY top.page_id = :other, top.counted DESC, p.url
"""
PAGES = f"""
    SELECT r.page_id, sum(r.pageview_count) AS pageview_count, sum(r.entry_count) AS entry_count,
        sum(r.bounce_count) AS bounce_count, sum(r.engaged_ms) AS engaged_ms
    FROM {WANTED} JOIN page_roll_ups r ON {MATCHES} AND r.page_id = ANY(CAST(:page_ids AS uuid[]))
    GROUP BY r.page_id
"""  # noqa: S608  (put together from the names above)
VALUES = f"""
    SELECT r.value, sum(r.pageview_count) AS pageview_count, sum(r.visit_count) AS visit_count,
        sum(r.bounce_count) AS bounce_count, sum(r.visit_ms) AS visit_ms, sum(r.event_count) AS event_count
    FROM {WANTED} JOIN dimension_roll_ups r ON {MATCHES} AND r.dimension = :dimension
    GROUP BY r.value HAVING sum(r.visit_count) > 0 OR sum(r.pageview_count) > 0 OR sum(r.event_count) > 0
    ORDER BY r.value = '{OTHER}', sum(r.visit_count) DESC, sum(r.event_count) DESC, 1 LIMIT :limit
"""  # noqa: S608  (put together from the names above)
VISITORS = f"""
    SELECT r.value, r.visitors FROM {WANTED} JOIN dimension_roll_ups r ON {MATCHES} AND r.dimension = :dimension
    WHERE r.value = ANY(CAST(:values AS text[])) AND r.visitors IS NOT NULL
"""  # noqa: S608  (put together from the names above)
