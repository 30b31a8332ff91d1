"""Beacons over the API: visits reported by whoever has the organisation's secret key."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from uuid import UUID

from apiflask import Schema
from apiflask.fields import DateTime, Dict, Integer, List, Nested, Raw, String
from flask import Response, current_app, request
from redis.exceptions import RedisError
from werkzeug.exceptions import RequestEntityTooLarge

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.config import Settings
from webapp.lib.redis import beacons_client
from webapp.metrics import beacon_counter
from webapp.problems import Problem, answer
from webapp.visits import backlog, queries
from webapp.visits.api import api_visits
from webapp.visits.backlog import BacklogFullError, Row
from webapp.visits.collecting.batches import Batch, take_all
from webapp.visits.collecting.beacon import (
    KINDS,
    LIST_LIMIT,
    LIST_LIMIT_BYTES,
    Beacon,
    find_site_key,
    is_list,
    split_list,
)
from webapp.visits.collecting.countries import Countries
from webapp.visits.collecting.intake import KnownSite, take
from webapp.visits.collecting.rate_limits import Buckets
from webapp.visits.collecting.refusals import FULL_RETRY_SECONDS, RefusedError, rate_limited
from webapp.visits.collecting.senders import Sender, Senders
from webapp.visits.collecting.site_directory import SETTINGS, rules_of
from webapp.visits.collecting.uncounted import sum_rows
from webapp.visits.collecting.visitors import find_salt
from webapp.visits.models import Site
from webapp.visits.site_queries import list_deleted_sites

BODY_TYPES = ["application/json", "text/plain"]
REFUSALS = {
    400: "Not JSON",
    403: "No site of the organisation",
    413: "Too large",
    422: "No visit that can be counted",
    429: "More visits than the site may send; Retry-After says when to come again",
    503: "Try again later",
}
IDENTIFIER_DESCRIPTION = (
    "Who visited: any text that stays the same. An e-mail address, a customer number or a SKU, in whatever case,"
    " is found again at the contact or product that has it, since the key proves who says so: `/collect` believes it"
    " with a signature only. Without it, `ip` and `userAgent` make one for the day."
)

_site_lock = threading.Lock()


class BeaconBody(Schema):
    """One beacon; a list of up to 500 of them is taken as well."""

    id = String(metadata={"description": "A UUIDv7, the same when it is sent again: it counts once."})
    site_key = String(
        data_key="siteKey", metadata={"description": "May be missing when the organisation has one site."}
    )
    kind = String(metadata={"enum": list(KINDS), "default": "pageview"})
    identifier = String(metadata={"description": IDENTIFIER_DESCRIPTION})
    page_url = String(data_key="pageUrl", required=True)
    visited_at = DateTime(data_key="visitedAt")
    sent_at = DateTime(data_key="sentAt")
    referrer = String()
    screen = String(metadata={"example": "1920x1080"})
    language = String(metadata={"example": "en-GB"})
    ip = String(metadata={"description": "The visitor's address: gives the country, and is not kept."})
    user_agent = String(data_key="userAgent", metadata={"description": "Gives device, browser and system."})
    name = String(metadata={"description": "An event's name."})
    props = Dict(keys=String(), values=Raw(), metadata={"description": "An event's properties, up to 30."})
    engaged_ms = Integer(data_key="engagedMs", metadata={"description": "Of an engagement: attention since the last."})
    scroll_percent = Integer(data_key="scrollPercent", metadata={"description": "Of an engagement: the deepest."})
    sku = String(metadata={"description": "Of a product view."})
    identity = String(metadata={"description": "Of an identify: the e-mail address or customer number."})


class LeftOut(Schema):
    index = Integer()
    reason = String()
    detail = String()
    retry_after = Integer(
        data_key="retryAfter",
        attribute="retryAfter",
        metadata={"description": "Where nothing is wrong with it: after how many seconds it may come again."},
    )


class AcceptedAnswer(Schema):
    accepted = Integer()
    ids = List(String(), metadata={"description": "Ids of the accepted beacons, in order."})
    dropped = List(Nested(LeftOut), metadata={"description": "What the site's own settings leave out."})
    refused = List(Nested(LeftOut), metadata={"description": "What must be mended before it is sent again."})


def _takes_beacons(view: Callable[[], Any]) -> Callable[[], Any]:
    """Describe the body without having it parsed: JSON that goes by another name is understood as well."""
    vars(view)["_spec"] = {"body": BeaconBody(), "content_type": BODY_TYPES}
    return view


@api_visits.post("/visits")
@api_visits.auth_required(api_auth)
@api_visits.output(AcceptedAnswer, status_code=202)
@api_visits.doc(summary="Report visits", responses=REFUSALS)
@_takes_beacons
def create_visits() -> Response | dict[str, Any]:
    """Report one visit, or a list of up to 500, from a server. They are counted within seconds.

    The body is read as JSON whatever its content type says, so a beacon for `/collect` (text/plain) can be
    posted here as it is. Every refusal names its reason in X-Footfall-Dropped.
    """
    organisation_id = current_organisation().id
    try:
        body = _read_body()
        is_many = is_list(body)
        batch = _take_all(organisation_id, _split(organisation_id, body) if is_many else [body])
    except RefusedError as refusal:
        return _refuse(refusal)
    if batch.rows or batch.uncounted or batch.sums:
        _add(batch)
    return _refuse_all(batch, is_many) or batch.answer()


def _read_body() -> bytes:
    request.max_content_length = LIST_LIMIT_BYTES
    try:
        return request.get_data()
    except RequestEntityTooLarge as error:
        limit = f"{LIST_LIMIT_BYTES // 1024**2} MiB"
        raise RefusedError(413, "too-large", f"At most {limit} at a time, and at most {LIST_LIMIT} visits.") from error


def _split(organisation_id: UUID, body: bytes) -> list[bytes]:
    """The beacons of a list; of one that cannot be read, its site's owner will see that it came."""
    try:
        return split_list(body)
    except RefusedError as refusal:
        site_key = find_site_key(body)
        for site in queries.list_sites(organisation_id):
            if site.site_key == site_key:
                _add(Batch(sums={(organisation_id.bytes, site.id.bytes, refusal.reason): refusal.beacon_count}))
        raise


def _take_all(organisation_id: UUID, parts: list[bytes]) -> Batch:
    """What becomes of each beacon. The key proves whose they are, so each describes its visitor itself."""
    now_ms = time.time_ns() // 1_000_000
    salt = _find_salt(now_ms)
    known = [*queries.list_sites(organisation_id), *list_deleted_sites(organisation_id)]
    sites = {site.site_key: _known_site(site) for site in known}
    server, senders = Sender(is_trusted=True), _senders(_settings())

    def take_one(beacon: Beacon, site: KnownSite) -> Row:
        _charge(site)
        return take(beacon, site, senders.spoken_for(beacon, server), now_ms, salt)

    return take_all(parts, lambda site_key: _find_site(site_key, sites), take_one)


def _charge(site: KnownSite) -> None:
    """As at `/collect`: each process that serves pages lets its share pass."""
    buckets = _by_site(_settings().web_processes)
    with _site_lock:
        wait = buckets.wait_seconds(site.site_id, 1, site.rules.rate_limit, time.monotonic())
    if wait:
        raise rate_limited(wait)


@cache
def _by_site(processes: int) -> Buckets:
    return Buckets(processes)


@cache
def _senders(settings: Settings) -> Senders:
    return Senders(Countries(settings.countries_path), ())


def _find_salt(now_ms: int) -> bytes:
    try:
        with beacons_client(_settings()) as client:
            return find_salt(client, now_ms)
    except RedisError as error:
        raise _come_back("The queue of visits cannot be reached.", "try-again") from error


def _known_site(site: Site) -> KnownSite:
    rules = rules_of(getattr(site, name) for name in SETTINGS)
    return KnownSite(site.organisation_id.bytes, site.id.bytes, rules)


def _find_site(site_key: str, sites: dict[str, KnownSite]) -> KnownSite:
    if not site_key:
        there = [site for site in sites.values() if not site.rules.is_deleted]
        if len(there) == 1:
            return there[0]
        detail = "`siteKey` may be missing only when the organisation has exactly one site."
        raise RefusedError(422, "missing-site-key", detail)
    if site_key not in sites:
        raise RefusedError(403, "unknown-site-key", "This organisation has no site with this key.")
    return sites[site_key]


def _refuse_all(batch: Batch, is_many: bool) -> Response | None:
    refusal = batch.refusal()
    if refusal is None:
        return None
    if is_many:
        return _refuse(refusal, title="Visits refused", refused=batch.refused)
    return _refuse(batch.first_refusal or refusal)


def _refuse(refusal: RefusedError, title: str = "Visit refused", **extensions: object) -> Response:
    """The one shape of every refusal here, the same as the collector's."""
    headers = {"X-Footfall-Dropped": refusal.reason}
    if refusal.retry_after_seconds is not None:
        headers["Retry-After"] = str(refusal.retry_after_seconds)
    problem = Problem(refusal.status, title, refusal.detail, headers=headers, reason=refusal.reason, **extensions)
    return answer(problem)


def _add(batch: Batch) -> None:
    settings = _settings()
    try:
        with beacons_client(settings) as client:
            backlog.add(client, [*batch.rows, *batch.uncounted, *sum_rows(batch.sums)], settings.beacons_limit)
    except BacklogFullError as error:
        raise _come_back("More visits wait to be counted than may.", "backlog-full") from error
    except RedisError as error:
        raise _come_back("The queue of visits cannot be reached.", "try-again") from error
    beacon_counter("accepted")(len(batch.rows))


def _come_back(detail: str, reason: str) -> Problem:
    headers = {"Retry-After": str(FULL_RETRY_SECONDS), "X-Footfall-Dropped": reason}
    return Problem(503, "Try again later", f"{detail} Send these again later.", headers=headers, reason=reason)


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings
