"""Visits over HTTP for programs: counts by page and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from apiflask import APIBlueprint, Schema
from apiflask.fields import DateTime, Dict, Integer, List, Nested, String
from flask import Response, request
from flask.typing import ResponseReturnValue
from marshmallow import EXCLUDE

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.problems import Problem
from webapp.visits import answers, queries
from webapp.visits.buckets import BUCKET_LIMITS, Aggregation, TooManyBucketsError, local_midnight, make_edges
from webapp.visits.models import Site
from webapp.visits.periods import FIRST_YEAR, LAST_YEAR, is_possible, utc_iso
from webapp.visits.questions import FIELDS, Filter, Operator, Question, TooManyPointsError
from webapp.visits.site_page.filters import BadFilterError, origins_of, read_filters, with_origins
from webapp.visits.stamps import short_hash, stamp_of

POINTS_LIMIT = 250_000
"""The most points of one answer: some 15 MB of JSON."""
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
    "most_points": POINTS_LIMIT,
}
NARROWER = "Ask for a shorter range, wider buckets or one site."

VERSION = 2
"""To be raised when answers to the same question change their shape or meaning."""
WHERE_DESCRIPTION = (
    "A filter, `field:comparison:value`, as in `country:is:GB`; may be given several times. Values of one field and"
    f" comparison are alternatives. Fields: {', '.join(FIELDS)}. Comparisons:"
    f" {', '.join(operator.value for operator in Operator)}. A property's value is event, key and value with U+001F"
    " between. Events, properties and products are filters of visits: all of a visit passes in which one was reported,"
    " or with is_not none, and several may each be reported on another page. A page lets views of that page pass alone,"
    " and the visits that saw it."
)

COMPLETE_DESCRIPTION = (
    "Only where single visits of the range were deleted by then, as the site's settings say: what needs them (filters,"
    " minutes, hours of pages, other time zones, journeys, funnels) counts from this moment on."
)

api_visits = APIBlueprint("api_visits", __name__, url_prefix="/api/v1", tag="Analytics")


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
    timezone = String(
        metadata={"description": "In which days and hours are cut, as in Asia/Kathmandu; else the organisation's."}
    )
    where = List(String(), load_default=list, metadata={"description": WHERE_DESCRIPTION})


class PagesQuery(VisitsQuery):
    page = String(metadata={"description": "Only this page: its whole address, or a path on any of the sites."})


class Bucket(Schema):
    timeframe = DateTime(metadata={"description": "When the bucket begins, in UTC."})
    visit_count = Integer()


class PageBucket(msgspec.Struct, gc=False):
    """A bucket as it is written: thousands of these cost less than as many dicts."""

    timeframe: str
    visit_count: int


class VisitsAnswer(Schema):
    complete_from = DateTime(metadata={"description": COMPLETE_DESCRIPTION})
    data = Dict(keys=String(), values=List(Nested(Bucket)), metadata={"description": "Buckets with visits, by page."})


@api_visits.get("/visits")
@api_visits.auth_required(api_auth)
@api_visits.input(PagesQuery, location="query", arg_name="query")
@api_visits.output(VisitsAnswer)
@api_visits.doc(summary="Visits by page and time", responses={422: "What is allowed instead"})
def list_visits(query: dict[str, Any]) -> ResponseReturnValue:
    """How often each page was seen, bucket by bucket. Buckets without a visit are left out.

    One answer holds up to 250,000 buckets of all pages together; where there are more, 422 says so, and a
    shorter range, a wider aggregation or a single site is answered. Answers carry an ETag: ask with
    If-None-Match, and what has not changed is answered by 304.
    """
    organisation = current_organisation()
    zone = read_zone(query.get("timezone"), organisation.time_zone)
    aggregation = read_aggregation(query["aggregation"])
    edges = read_edges(aggregation, query.get("date_from"), query.get("date_to"), zone)
    sites = read_sites(organisation.id, query.get("site_id"))
    filters = read_where([*query["where"], *([f"page:is:{query['page']}"] if query.get("page") else [])], sites)
    question = Question(organisation.id, tuple(site.id for site in sites), edges[0], edges[-1], filters)
    return tagged(question, edges, lambda: _page_buckets(question, edges))


def _page_buckets(question: Question, edges: list[datetime]) -> dict[str, list[PageBucket]]:
    try:
        pages = answers.page_points(question, edges, POINTS_LIMIT)
    except TooManyPointsError as error:
        raise Problem(422, "Too much at once", f"{error} {NARROWER}", allowed=ALLOWED) from error
    timeframes = {edge: utc_iso(edge) for edge in edges}
    return {
        url: [PageBucket(timeframes[starts_at], count) for starts_at, count in points] for url, points in pages.items()
    }


def read_aggregation(value: str) -> Aggregation:
    """The width that is asked for."""
    try:
        return Aggregation(value)
    except ValueError as error:
        names = ", ".join(ALLOWED["aggregation"])
        raise Problem(422, "Unknown aggregation", f"`aggregation` must be one of {names}.", allowed=ALLOWED) from error


def read_edges(aggregation: Aggregation, first: str | None, last: str | None, zone: ZoneInfo) -> list[datetime]:
    """The edges of the buckets that are asked for."""
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


def read_sites(organisation_id: UUID, site_id: str | None) -> list[Site]:
    """The site that is asked for, or all."""
    sites = queries.list_sites(organisation_id)
    if site_id is None:
        return sites
    found = [site for site in sites if str(site.id) == site_id]
    if not found:
        raise Problem(422, "Unknown site", "`siteId` must be the id of one of the organisation's sites.")
    return found


def read_zone(name: str | None, usual: str) -> ZoneInfo:
    """The time zone that is asked for."""
    if name is not None and name not in available_timezones():
        raise Problem(422, "Unknown time zone", "`timezone` must be a name such as Europe/Berlin or Asia/Kathmandu.")
    return ZoneInfo(name or usual)


def read_where(texts: Sequence[str], sites: Sequence[Site]) -> tuple[Filter, ...]:
    """The filters that are asked for."""
    try:
        filters = read_filters(texts)
    except BadFilterError as error:
        raise Problem(422, "Not a filter", f"{error} {WHERE_DESCRIPTION}") from error
    return with_origins(filters, origins_of(sites))


def complete_from(question: Question) -> dict[str, str]:
    """What an answer says beside its data where retention took single visits: from when on they are kept."""
    sites = (db.session.get(Site, (question.organisation_id, site_id)) for site_id in question.site_ids)
    kept = [site.raw_complete_from for site in sites if site is not None and site.raw_complete_from is not None]
    return {"complete_from": utc_iso(max(kept))} if kept and max(kept) > question.start else {}


def tagged(question: Question, asked: object, answer: Callable[[], object]) -> Response:
    """The answer as JSON, with an ETag of what it depends on; 304, unasked, to whoever has it already.

    `asked` is what else the question is made of. The shape of the answer is its path's.
    """
    tag = short_hash((request.path, VERSION, question, asked, stamp_of(question)))
    if request.if_none_match.contains_weak(tag):  # a proxy that compresses makes the tag a weak one
        response = Response(status=304)
    else:
        content = {"data": answer(), **complete_from(question)}
        response = Response(msgspec.json.encode(content), content_type="application/json")
    response.headers["Cache-Control"] = "private, no-cache"
    response.set_etag(tag)
    return response
