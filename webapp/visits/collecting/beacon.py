"""The beacon that the tracker posts: reading it, and every reason to refuse one. Pure functions.

The decoder lets no lone surrogate through, so a text that was read can be stored unless it holds U+0000.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from webapp.lib.ids import uuid7

BODY_LIMIT_BYTES = 64 * 1024
IDENTIFIER_LIMIT = 200
URL_LIMIT = 2048

ID_MAX_AGE = timedelta(hours=48)
"""How long a retry may take: for so long at least, the ids of counted beacons are kept."""
ID_MAX_AHEAD = timedelta(hours=24)
VISIT_MAX_AGE = timedelta(days=31)
VISIT_MAX_AHEAD = timedelta(minutes=5)
OLDEST_VISIT = datetime(2000, 1, 1, tzinfo=UTC)
"""A server with an API key may report visits from as long ago as this."""

_ID_MAX_AGE_MS = int(ID_MAX_AGE.total_seconds()) * 1000
_ID_MAX_AHEAD_MS = int(ID_MAX_AHEAD.total_seconds()) * 1000
_VISIT_MAX_AGE_MS = int(VISIT_MAX_AGE.total_seconds()) * 1000
_VISIT_MAX_AHEAD_MS = int(VISIT_MAX_AHEAD.total_seconds()) * 1000
_OLDEST_VISIT_MS = int(OLDEST_VISIT.timestamp()) * 1000
_ID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}")
_PAGE_URL = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#@\\\x00-\x20\x7f]+(?:[/?#][^\s\x00-\x20\x7f]*)?")
_WEB_URL = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#\\\x00-\x20\x7f]{1,255}(?:[/?#][^\x00-\x1f\x7f]*)?")
_ANY_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x1f\x7f]*")
_SCREEN = re.compile(r"[0-9]{1,5}x[0-9]{1,5}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class RefusedError(Exception):
    """A beacon that is not taken: a status, a short word for programs, and a sentence for people."""

    def __init__(self, status: int, reason: str, detail: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds


class Beacon(msgspec.Struct, rename="camel", gc=False):
    """A beacon as it is posted, its types checked and nothing else."""

    site_key: str
    identifier: str
    page_url: str
    id: str | None = None
    visited_at: str | None = None
    sent_at: str | None = None
    referrer: str | None = None
    screen: str | None = None


class ServerBeacon(Beacon, rename="camel", gc=False, kw_only=True):
    """The same from the site's own server, whose API key says whose it is."""

    site_key: str = ""


@dataclass(frozen=True, slots=True)
class CheckedBeacon:
    """A beacon that may be stored, in the types that the stream of beacons carries."""

    id: bytes
    visited_ms: int
    received_ms: int
    visitor: str
    page_url: str
    referrer: str
    screen: str


_decoder = msgspec.json.Decoder(Beacon)


def read_beacon(body: bytes) -> Beacon:
    """The beacon in a body; raises RefusedError."""
    if len(body) > BODY_LIMIT_BYTES:
        raise too_large()
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise wrong_fields(error) from error
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "malformed", f"The body is not a beacon in JSON: {error}") from error


def too_large() -> RefusedError:
    return RefusedError(413, "too-large", f"A beacon may be at most {BODY_LIMIT_BYTES // 1024} KiB.")


def wrong_fields(error: msgspec.ValidationError) -> RefusedError:
    return RefusedError(422, "wrong-fields", f"The beacon's fields are not as they should be: {error}.")


def check_beacon(beacon: Beacon, now_ms: int, *, trusted: bool = False) -> CheckedBeacon:
    """Everything about a beacon that does not depend on its site; raises RefusedError.

    `trusted` is what comes with a secret key: only its visits may lie further back than a month.
    """
    return CheckedBeacon(
        id=_check_id(beacon.id, now_ms),
        visited_ms=_check_visited_at(beacon, now_ms, trusted),
        received_ms=now_ms,
        visitor=_check_identifier(beacon.identifier),
        page_url=_check_page_url(beacon.page_url),
        referrer=_check_referrer(beacon.referrer),
        screen=_check_screen(beacon.screen),
    )


def _check_id(text: str | None, now_ms: int) -> bytes:
    if text is None:
        return uuid7().bytes
    if not _ID.fullmatch(text):
        raise RefusedError(422, "bad-id", "`id` must be a UUIDv7, made when the page was seen and the same on a retry.")
    value = bytes.fromhex(text.replace("-", ""))
    age_ms = now_ms - int.from_bytes(value[:6])
    if age_ms > _ID_MAX_AGE_MS:
        raise RefusedError(422, "id-too-old", "`id` was made more than 48 hours ago, which is too late to be counted.")
    if -age_ms > _ID_MAX_AHEAD_MS:
        raise RefusedError(422, "id-in-future", "`id` carries a time more than 24 hours in the future.")
    return value


def _check_identifier(text: str) -> str:
    if not 1 <= len(text) <= IDENTIFIER_LIMIT or _CONTROL.search(text):
        detail = f"`identifier` must be 1 to {IDENTIFIER_LIMIT} characters without control characters."
        raise RefusedError(422, "bad-identifier", detail)
    return text


def _check_page_url(text: str) -> str:
    if len(text) > URL_LIMIT or not _PAGE_URL.fullmatch(text):
        detail = f"`pageUrl` must be an http:// or https:// address of at most {URL_LIMIT} characters."
        raise RefusedError(422, "bad-page-url", detail)
    return text


def _check_referrer(text: str | None) -> str:
    """Another app may send people too (`android-app:`): a visit, but no website that brought it.

    Nor is there a website whose name is longer than names in the DNS are (RFC 1035, section 2.3.4).
    """
    if not text:
        return ""
    if not _ANY_URL.fullmatch(text):
        raise RefusedError(422, "bad-referrer", "`referrer` must be the address of a page, or empty.")
    return text[:URL_LIMIT] if _WEB_URL.fullmatch(text) else ""


def _check_screen(text: str | None) -> str:
    if not text:
        return ""
    if not _SCREEN.fullmatch(text):
        raise RefusedError(422, "bad-screen", "`screen` must be width and height in pixels, as in 1920x1080.")
    return text


def _check_visited_at(beacon: Beacon, now_ms: int, trusted: bool) -> int:
    """When the page was seen by our clock: the visitor's clock counts only as a difference."""
    if beacon.visited_at is None:
        return now_ms
    visited_ms = _milliseconds("visitedAt", beacon.visited_at)
    if beacon.sent_at is not None:
        visited_ms = now_ms - max(0, _milliseconds("sentAt", beacon.sent_at) - visited_ms)
    if visited_ms > now_ms + _VISIT_MAX_AHEAD_MS:
        raise RefusedError(422, "visit-in-future", "`visitedAt` lies in the future.")
    if visited_ms < (_OLDEST_VISIT_MS if trusted else now_ms - _VISIT_MAX_AGE_MS):
        raise RefusedError(422, "visit-too-old", "`visitedAt` lies too far back to be counted.")
    return min(visited_ms, now_ms)


def _milliseconds(field: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        detail = f"`{field}` must be a time in ISO 8601, as in 2026-01-31T12:00:00Z."
        raise RefusedError(422, "bad-time", detail) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def beacon_id(value: bytes) -> str:
    """The id as beacons write it."""
    return str(UUID(bytes=value))
