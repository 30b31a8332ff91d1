"""Every field of a beacon that does not depend on its site, checked; raises RefusedError with the reason. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from webapp.lib.ids import uuid7
from webapp.visits.collecting.beacon import Beacon
from webapp.visits.collecting.ids import read_id
from webapp.visits.collecting.refusals import RefusedError
from webapp.visits.collecting.rules import REMEMBERED_LENGTH, URL_LIMIT

IDENTIFIER_LIMIT = 200
NAME_LIMIT = 100
IDENTITY_LIMIT = 254
PROPS_LIMIT = 30
PROP_KEY_LIMIT = 100
PROP_VALUE_LIMIT = 1000
LANGUAGE_LIMIT = 100
ENGAGED_MS_LIMIT = 24 * 3600 * 1000

ID_MAX_AGE = timedelta(hours=48)
"""How long a retry may take: for so long at least, the ids of counted beacons are kept."""
ID_MAX_AHEAD = timedelta(hours=24)
VISIT_MAX_AGE = ID_MAX_AGE
"""What anybody may tell of the past: the tracker's queue holds a day, and no id may be older than this."""
VISIT_MAX_AHEAD = timedelta(minutes=5)
OLDEST_VISIT = datetime(2000, 1, 1, tzinfo=UTC)
"""A server with an API key or a signature may report visits from as long ago as this."""

_ID_MAX_AGE_MS = int(ID_MAX_AGE.total_seconds()) * 1000
_ID_MAX_AHEAD_MS = int(ID_MAX_AHEAD.total_seconds()) * 1000
_VISIT_MAX_AGE_MS = int(VISIT_MAX_AGE.total_seconds()) * 1000
_VISIT_MAX_AHEAD_MS = int(VISIT_MAX_AHEAD.total_seconds()) * 1000
_OLDEST_VISIT_MS = int(OLDEST_VISIT.timestamp()) * 1000
_WEB_URL = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#\\\x00-\x20\x7f]{1,255}(?:[/?#][^\x00-\x1f\x7f]*)?")
_ANY_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x1f\x7f]*")
_SCREEN = re.compile(r"[0-9]{1,5}x[0-9]{1,5}")
_LANGUAGE = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]{1,8})*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_BREAKS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def check_id(text: str | None, now_ms: int, *, is_signed: bool = False) -> bytes:
    """The id's 16 bytes; a new one where none was sent, unless what was signed could then be sent again."""
    if text is None:
        if is_signed:
            raise RefusedError(422, "missing-id", "A signed beacon needs an `id`, so that it counts once.")
        return uuid7().bytes
    value = read_id(text)
    if value is None:
        raise RefusedError(422, "bad-id", "`id` must be a UUIDv7, made when the page was seen and the same on a retry.")
    age_ms = now_ms - int.from_bytes(value[:6])
    if age_ms > _ID_MAX_AGE_MS:
        raise RefusedError(422, "id-too-old", "`id` was made more than 48 hours ago, which is too late to be counted.")
    if -age_ms > _ID_MAX_AHEAD_MS:
        raise RefusedError(422, "id-in-future", "`id` carries a time more than 24 hours in the future.")
    return value


def check_identifier(text: str) -> str:
    if not 1 <= len(text) <= IDENTIFIER_LIMIT or _CONTROL.search(text):
        detail = f"`identifier` must be 1 to {IDENTIFIER_LIMIT} characters without control characters."
        raise RefusedError(422, "bad-identifier", detail)
    return text


def check_referrer(text: str | None) -> str:
    """Where the visitor came from; referrers are few, so those of usual length are remembered."""
    if not text:
        return ""
    return _referrer(text) if len(text) <= REMEMBERED_LENGTH else _referrer.__wrapped__(text)


@lru_cache(20_000)
def _referrer(text: str) -> str:
    """Another app may send people too (`android-app:`): a visit, but no website that brought it.

    Nor is there a website whose name is longer than names in the DNS are (RFC 1035, section 2.3.4).
    """
    if not _ANY_URL.fullmatch(text):
        raise RefusedError(422, "bad-referrer", "`referrer` must be the address of a page, or empty.")
    return text[:URL_LIMIT] if _WEB_URL.fullmatch(text) else ""


@lru_cache(10_000)
def check_screen(text: str | None) -> str:
    if not text:
        return ""
    if len(text) > len("99999x99999") or not _SCREEN.fullmatch(text):
        raise RefusedError(422, "bad-screen", "`screen` must be width and height in pixels, as in 1920x1080.")
    return text


def check_language(text: str) -> str:
    """Browsers name languages in more ways than the standard knows: what is none is not known, and no mistake."""
    if len(text) > LANGUAGE_LIMIT or _CONTROL.search(text):
        raise RefusedError(422, "bad-language", "`language` must be a language's tag, as in en-GB.")
    return language_of(text)


@lru_cache(10_000)
def language_of(text: str) -> str:
    """The first language of a tag or of an Accept-Language header, in lower case; '' for none."""
    first = text.partition(",")[0].partition(";")[0].strip().lower().replace("_", "-")
    return first if len(first) <= 35 and _LANGUAGE.fullmatch(first) else ""


def check_visited_at(beacon: Beacon, now_ms: int, *, is_trusted: bool) -> int:
    """When the page was seen by our clock: the visitor's clock counts only as a difference."""
    if beacon.visited_at is None:
        return now_ms
    visited_ms = _milliseconds("visitedAt", beacon.visited_at)
    if beacon.sent_at is not None:
        visited_ms = now_ms - max(0, _milliseconds("sentAt", beacon.sent_at) - visited_ms)
    if visited_ms > now_ms + _VISIT_MAX_AHEAD_MS:
        raise RefusedError(422, "visit-in-future", "`visitedAt` lies in the future.")
    if visited_ms < (_OLDEST_VISIT_MS if is_trusted else now_ms - _VISIT_MAX_AGE_MS):
        detail = "`visitedAt` may lie 48 hours back; with an API key or a signature, as far as the year 2000."
        raise RefusedError(422, "visit-too-old", detail)
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


def check_name(text: str | None) -> str:
    """The name of a custom event."""
    if text is None or not _is_text(text, NAME_LIMIT):
        detail = f"An event needs a `name` of 1 to {NAME_LIMIT} characters without control characters."
        raise RefusedError(422, "bad-name", detail)
    return text.strip()


def check_sku(text: str | None) -> str:
    """What a product view is about."""
    if text is None or not _is_text(text, NAME_LIMIT):
        detail = f"A product view needs a `sku` of 1 to {NAME_LIMIT} characters without control characters."
        raise RefusedError(422, "bad-sku", detail)
    return text.strip()


def check_identity(text: str | None) -> str:
    """Who the visitor says to be, as it was signed."""
    if text is None or not _is_text(text, IDENTITY_LIMIT):
        detail = f"`identity` must be an e-mail address or customer number of at most {IDENTITY_LIMIT} characters."
        raise RefusedError(422, "bad-identity", detail)
    return text


def _is_text(text: str, limit: int) -> bool:
    return bool(text.strip()) and len(text) <= limit and not _CONTROL.search(text)


def check_props(props: dict[str, str | int | float | bool] | None) -> str:
    """An event's properties as JSON text, their values as text, sorted by key; '' for none."""
    if not props:
        return ""
    if len(props) > PROPS_LIMIT:
        raise RefusedError(422, "bad-props", f"An event may have at most {PROPS_LIMIT} properties.")
    return msgspec.json.encode({_key(key): _value(key, props[key]) for key in sorted(props)}).decode()


def _key(key: str) -> str:
    if not _is_text(key, PROP_KEY_LIMIT):
        detail = f"A property's name must be 1 to {PROP_KEY_LIMIT} characters without control characters."
        raise RefusedError(422, "bad-props", detail)
    return key


def _value(key: str, value: str | int | float | bool) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if len(text) > PROP_VALUE_LIMIT or _CONTROL_BUT_BREAKS.search(text):
        detail = f"The property {key!r} must be at most {PROP_VALUE_LIMIT:,} characters without control characters."
        raise RefusedError(422, "bad-props", detail)
    return text


def check_engagement(beacon: Beacon) -> tuple[int, int]:
    """Milliseconds of attention since this page's last report, and the deepest scroll in per cent."""
    engaged_ms, scroll = beacon.engaged_ms or 0, beacon.scroll_percent or 0
    if not 0 <= engaged_ms <= ENGAGED_MS_LIMIT or not 0 <= scroll <= 100:
        detail = "`engagedMs` must be 0 to 86400000 milliseconds, and `scrollPercent` 0 to 100."
        raise RefusedError(422, "bad-engagement", detail)
    return round(engaged_ms), round(scroll)
