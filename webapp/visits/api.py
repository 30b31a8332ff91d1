"""Visits over HTTP for programs: counts by page and time."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from apiflask import APIBlueprint, Schema
from apiflask.fields import DateTime, Dict, Integer, List, Nested, String
from flask import Response
from flask.typing import ResponseReturnValue
from marshmallow import EXCLUDE

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.lib.clock import utc_now
from webapp.problems import Problem
from webapp.visits import queries
from webapp.visits.buckets import BUCKET_LIMITS, Aggregation, TooManyBucketsError, local_midnight, make_edges
from webapp.visits.periods import FIRST_YEAR, LAST_YEAR, is_possible, utc_iso

USUAL_SPANS = {
    Aggregation.MINUTE: timedelta(hours=1),
    Aggregation.HOUR: timedelta(days=1),
    Aggregation.DAY: timedelta(days=30),
    Aggregation.MONTH: timedelta(days=365),
}
ALLOWED: dict[str, Any] = {
    "aggregation": [aggregation.value for aggregation in Aggregation],
    "dates": "ISO 8601: a day (2026-01-31, in the organisation's time zone) or a moment (2026-01-31T12:00:00Z)",
    "years": f"{FIRST_YEAR} to {LAST_YEAR}",
    "most_buckets": {aggregation.value: limit for aggregation, limit in BUCKET_LIMITS.items()},
    "most_points": queries.POINTS_LIMIT,
}

api_visits = APIBlueprint("api_visits", __name__, url_prefix="/api/v1", tag="Visits")


class VisitsQuery(Schema):
    class Meta:
        unknown = EXCLUDE

    aggregation = String(
        load_default="day",
        metadata={"description": "How wide the buckets are.", "enum": ALLOWED["aggregation"]},
    )
    date_from = String(
        data_key="dateFrom", metadata={"description": f"{ALLOWED['dates']}. The bucket that holds it is the first."}
    )
    date_to = String(
        data_key="dateTo", metadata={"description": "As dateFrom. A day is included; a moment is where the range ends."}
    )
    site_id = String(data_key="siteId", metadata={"description": "Only this site; without it, all of them."})


class Bucket(Schema):
    timeframe = DateTime(metadata={"description": "When the bucket begins, in UTC."})
    visit_count = Integer()


class PageBucket(msgspec.Struct, gc=False):
    """A bucket as it is written: thousands of these cost less than as many dicts."""

    timeframe: str
    visit_count: int


class VisitsAnswer(Schema):
    data = Dict(keys=String(), values=List(Nested(Bucket)), metadata={"description": "Buckets with visits, by page."})


@api_visits.get("/visits")
@api_visits.auth_required(api_auth)
@api_visits.input(VisitsQuery, location="query", arg_name="query")
@api_visits.output(VisitsAnswer)
@api_visits.doc(summary="Visits by page and time", responses={422: "What is allowed instead"})
def list_visits(query: dict[str, str]) -> ResponseReturnValue:
    """How often each page was seen, bucket by bucket. Buckets without a visit are left out.

    One answer holds up to 250,000 buckets of all pages together; where there are more, 422 says so, and a
    shorter range, a wider aggregation or a single site is answered.
    """
    organisation = current_organisation()
    zone = ZoneInfo(organisation.time_zone)
    aggregation = _read_aggregation(query["aggregation"])
    edges = _read_edges(aggregation, query.get("date_from"), query.get("date_to"), zone)
    site_ids = _read_site_ids(organisation.id, query.get("site_id"))
    try:
        pages = queries.list_page_points(organisation.id, site_ids, aggregation, edges, zone)
    except queries.TooManyPointsError as error:
        raise Problem(422, "Too much at once", str(error), allowed=ALLOWED) from error
    timeframes = {edge: utc_iso(edge) for edge in edges}
    data = {
        url: [PageBucket(timeframes[starts_at], count) for starts_at, count in points] for url, points in pages.items()
    }
    return Response(msgspec.json.encode({"data": data}), content_type="application/json")


def _read_aggregation(value: str) -> Aggregation:
    try:
        return Aggregation(value)
    except ValueError as error:
        names = ", ".join(ALLOWED["aggregation"])
        raise Problem(422, "Unknown aggregation", f"`aggregation` must be one of {names}.", allowed=ALLOWED) from error


def _read_edges(aggregation: Aggregation, first: str | None, last: str | None, zone: ZoneInfo) -> list[datetime]:
    end = _read_moment("dateTo", last, zone, is_end=True) if last else utc_now()
    start = _read_moment("dateFrom", first, zone, is_end=False) if first else end - USUAL_SPANS[aggregation]
    if start >= end:
        raise Problem(422, "Empty range", "`dateFrom` must come before `dateTo`.", allowed=ALLOWED)
    try:
        return make_edges(aggregation, start, end, zone)
    except TooManyBucketsError as error:
        raise Problem(422, "Too many buckets", str(error), allowed=ALLOWED) from error


def _read_moment(name: str, value: str, zone: ZoneInfo, *, is_end: bool) -> datetime:
    """A day begins (or, as an end, is over) at midnight of the organisation; a moment without a zone is its own."""
    try:
        moment = _parse_moment(value, zone)
    except (ValueError, OverflowError) as error:
        raise Problem(422, "Not a date", f"`{name}` must be {ALLOWED['dates']}.", allowed=ALLOWED) from error
    if not is_possible(moment):
        detail = f"`{name}` must lie in the years {ALLOWED['years']}."
        raise Problem(422, "Date out of range", detail, allowed=ALLOWED)
    if isinstance(moment, datetime):
        return moment
    return local_midnight(moment + timedelta(days=1) if is_end else moment, zone)


def _parse_moment(value: str, zone: ZoneInfo) -> date | datetime:
    if len(value) == len("2026-01-31"):
        return date.fromisoformat(value)
    moment = datetime.fromisoformat(value.replace(" ", "+"))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return moment.astimezone(zone)


def _read_site_ids(organisation_id: UUID, site_id: str | None) -> list[UUID]:
    site_ids = [site.id for site in queries.list_sites(organisation_id)]
    if site_id is None:
        return site_ids
    if site_id not in {str(one) for one in site_ids}:
        raise Problem(422, "Unknown site", "`siteId` must be the id of one of the organisation's sites.")
    return [UUID(site_id)]
