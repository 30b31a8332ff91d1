"""Visits over HTTP for programs: counts by page and time, and visits reported by a site's own server."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from apiflask import APIBlueprint, Schema
from apiflask.fields import DateTime, Dict, Integer, List, Nested, String
from flask import Response, current_app, request
from flask.typing import ResponseReturnValue
from marshmallow import EXCLUDE
from redis.exceptions import RedisError
from werkzeug.exceptions import RequestEntityTooLarge

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.config import Settings
from webapp.lib.clock import utc_now
from webapp.lib.redis import beacons_client
from webapp.metrics import beacon_counter
from webapp.problems import Problem, answer
from webapp.visits import backlog, queries
from webapp.visits.backlog import BacklogFullError, Row
from webapp.visits.beacon import (
    BODY_LIMIT_BYTES,
    CheckedBeacon,
    RefusedError,
    ServerBeacon,
    beacon_id,
    check_beacon,
    too_large,
    wrong_fields,
)
from webapp.visits.buckets import BUCKET_LIMITS, Aggregation, TooManyBucketsError, local_midnight, make_edges
from webapp.visits.models import Site
from webapp.visits.periods import FIRST_YEAR, LAST_YEAR, is_possible, utc_iso
from webapp.visits.questions import FIELDS, Filter, Operator, Question
from webapp.visits.raw import engine
from webapp.visits.site_page.filters import BadFilterError, read_filters, with_origins

BEACONS_LIMIT = 500
LIST_LIMIT_BYTES = 4 * 1024 * 1024
BODY_TYPES = ["application/json", "text/plain"]
FULL_RETRY_SECONDS = 10
REFUSALS = {
    400: "Not JSON",
    403: "No site of the organisation",
    413: "Too large",
    422: "No visit that can be counted",
    503: "Try again later",
}
USUAL_SPANS = {
    Aggregation.MINUTE: timedelta(hours=1),
    Aggregation.HOUR: timedelta(days=1),
    Aggregation.DAY: timedelta(days=30),
    Aggregation.MONTH: timedelta(days=365),
}
IDENTIFIER_DESCRIPTION = (
    "Who visited: any text that stays the same. An e-mail address, a customer number or a SKU, in whatever case,"
    " is found again at the contact or product that has it."
)
ALLOWED: dict[str, Any] = {
    "aggregation": [aggregation.value for aggregation in Aggregation],
    "dates": "ISO 8601: a day (2026-01-31, in the organisation's time zone) or a moment (2026-01-31T12:00:00Z)",
    "years": f"{FIRST_YEAR} to {LAST_YEAR}",
    "most_buckets": {aggregation.value: limit for aggregation, limit in BUCKET_LIMITS.items()},
    "most_points": queries.POINTS_LIMIT,
}

WHERE_DESCRIPTION = (
    "A filter, `field:comparison:value`, as in `country:is:GB`; may be given several times. Values of one field and"
    f" comparison are alternatives. Fields: {', '.join(FIELDS)}. Comparisons:"
    f" {', '.join(operator.value for operator in Operator)}. A property's value is event, key and value with U+001F"
    " between."
)

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
    data = Dict(keys=String(), values=List(Nested(Bucket)), metadata={"description": "Buckets with visits, by page."})


class BeaconBody(Schema):
    """One beacon; a list of up to 500 of them is taken as well."""

    id = String(metadata={"description": "A UUIDv7, the same when it is sent again: it counts once."})
    site_key = String(
        data_key="siteKey", metadata={"description": "May be missing when the organisation has one site."}
    )
    identifier = String(required=True, metadata={"description": IDENTIFIER_DESCRIPTION})
    page_url = String(data_key="pageUrl", required=True)
    visited_at = DateTime(data_key="visitedAt")
    sent_at = DateTime(data_key="sentAt")
    referrer = String()
    screen = String(metadata={"example": "1920x1080"})


class Refusal(Schema):
    index = Integer()
    reason = String()
    detail = String()


class AcceptedAnswer(Schema):
    accepted = Integer()
    ids = List(String(), metadata={"description": "Ids of the accepted beacons, in order."})
    refused = List(Nested(Refusal))


def _takes_beacons(view: Callable[[], Any]) -> Callable[[], Any]:
    """Describe the body without having it parsed: JSON that goes by another name is understood as well."""
    vars(view)["_spec"] = {"body": BeaconBody(), "content_type": BODY_TYPES}
    return view


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
    pages = _page_points(question, aggregation, edges, zone)
    timeframes = {edge: utc_iso(edge) for edge in edges}
    data = {
        url: [PageBucket(timeframes[starts_at], count) for starts_at, count in points] for url, points in pages.items()
    }
    return tagged({"data": data})


def _page_points(
    question: Question, aggregation: Aggregation, edges: list[datetime], zone: ZoneInfo
) -> dict[str, list[tuple[datetime, int]]]:
    try:
        if question.filters:
            return engine.page_points(question, edges, queries.POINTS_LIMIT)
        return queries.list_page_points(question.organisation_id, question.site_ids, aggregation, edges, zone)
    except (queries.TooManyPointsError, engine.TooManyPointsError) as error:
        raise Problem(422, "Too much at once", str(error), allowed=ALLOWED) from error


@api_visits.post("/visits")
@api_visits.auth_required(api_auth)
@api_visits.output(AcceptedAnswer, status_code=202)
@api_visits.doc(summary="Report visits", responses=REFUSALS)
@_takes_beacons
def create_visits() -> Response | dict[str, object]:
    """Report one visit, or a list of up to 500, from a server. They are counted within seconds.

    The body is read as JSON whatever its content type says, so a beacon for `/collect` (text/plain) can be
    posted here as it is. Every refusal names its reason in X-Footfall-Dropped.
    """
    organisation_id = current_organisation().id
    try:
        parts, is_list = _split_body()
    except RefusedError as refusal:
        return _refuse(refusal)
    sites = {site.site_key: site for site in queries.list_sites(organisation_id)}
    batch = _check_all(organisation_id, parts, sites)
    if not batch.rows:
        return _refuse_all(batch, is_list)
    _add(batch.rows)
    result: dict[str, object] = {
        "accepted": len(batch.rows),
        "ids": [beacon_id(row.id) for row in batch.rows],
        "refused": batch.refused,
    }
    return result


@dataclass
class Batch:
    """What became of the beacons of one request."""

    rows: list[Row] = field(default_factory=list)
    refused: list[dict[str, object]] = field(default_factory=list)
    first_refusal: RefusedError | None = None

    def refuse(self, index: int, refusal: RefusedError) -> None:
        beacon_counter(refusal.reason)(1)
        self.first_refusal = self.first_refusal or refusal
        self.refused.append({"index": index, "reason": refusal.reason, "detail": refusal.detail})


def _split_body() -> tuple[list[bytes], bool]:
    """The beacons in the body, each still as JSON, and whether they came as a list."""
    body = _read_body()
    if not body.lstrip().startswith(b"["):
        return [body], False
    try:
        parts = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "malformed", f"This is not a list of beacons in JSON: {error}") from error
    if not 1 <= len(parts) <= BEACONS_LIMIT:
        raise RefusedError(422, "wrong-count", f"Send 1 to {BEACONS_LIMIT} visits at a time.")
    return [bytes(part) for part in parts], True


def _read_body() -> bytes:
    request.max_content_length = LIST_LIMIT_BYTES
    try:
        return request.get_data()
    except RequestEntityTooLarge as error:
        limit = f"{LIST_LIMIT_BYTES // 1024**2} MiB"
        raise RefusedError(
            413, "too-large", f"At most {limit} at a time, and at most {BEACONS_LIMIT} visits."
        ) from error


def _check_all(organisation_id: UUID, parts: list[bytes], sites: dict[str, Site]) -> Batch:
    now_ms = time.time_ns() // 1_000_000
    batch = Batch()
    for index, part in enumerate(parts):
        try:
            beacon = _read(part)
            site = _find_site(beacon.site_key, sites)
            checked = check_beacon(beacon, now_ms, trusted=True)
        except RefusedError as refusal:
            batch.refuse(index, refusal)
        else:
            batch.rows.append(_row(organisation_id, site, checked))
    return batch


def _read(part: bytes) -> ServerBeacon:
    if len(part) > BODY_LIMIT_BYTES:
        raise too_large()
    try:
        return msgspec.json.decode(part, type=ServerBeacon)
    except msgspec.ValidationError as error:
        raise wrong_fields(error) from error
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "malformed", f"This is not a beacon in JSON: {error}") from error


def _find_site(site_key: str, sites: dict[str, Site]) -> Site:
    if not site_key and len(sites) == 1:
        return next(iter(sites.values()))
    if not site_key:
        detail = "`siteKey` may be missing only when the organisation has exactly one site."
        raise RefusedError(422, "missing-site-key", detail)
    if site_key not in sites:
        raise RefusedError(403, "unknown-site-key", "This organisation has no site with this key.")
    return sites[site_key]


def _row(organisation_id: UUID, site: Site, checked: CheckedBeacon) -> Row:
    return Row(
        organisation_id.bytes, site.id.bytes, checked.id, checked.visited_ms, checked.received_ms,
        checked.visitor, checked.page_url, checked.referrer, checked.screen,
    )  # fmt: skip


def _refuse_all(batch: Batch, is_list: bool) -> Response:
    first = batch.first_refusal
    if first is None:
        raise RuntimeError("A request without beacons was not refused.")
    if not is_list:
        return _refuse(first)
    detail = "None of these visits can be taken; `refused` says why."
    return _refuse(RefusedError(422, first.reason, detail), title="Visits refused", refused=batch.refused)


def _refuse(refusal: RefusedError, title: str = "Visit refused", **extensions: object) -> Response:
    """The one shape of every refusal here, the same as the collector's."""
    headers = {"X-Footfall-Dropped": refusal.reason}
    problem = Problem(refusal.status, title, refusal.detail, headers=headers, reason=refusal.reason, **extensions)
    return answer(problem)


def _add(rows: list[Row]) -> None:
    settings: Settings = current_app.extensions["settings"]
    try:
        with beacons_client(settings) as client:
            backlog.add(client, rows, settings.beacons_limit)
    except BacklogFullError as error:
        raise _come_back("More visits wait to be counted than may.", "backlog-full") from error
    except RedisError as error:
        raise _come_back("The queue of visits cannot be reached.", "try-again") from error
    beacon_counter("accepted")(len(rows))


def _come_back(detail: str, reason: str) -> Problem:
    headers = {"Retry-After": str(FULL_RETRY_SECONDS), "X-Footfall-Dropped": reason}
    return Problem(503, "Try again later", f"{detail} Send these again later.", headers=headers, reason=reason)


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
    return with_origins(filters, [origin for site in sites for origin in site.origins])


def tagged(content: object) -> Response:
    """As JSON with an ETag, which changes when the numbers do; 304 to whoever has this answer already."""
    response = Response(msgspec.json.encode(content), content_type="application/json")
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response
