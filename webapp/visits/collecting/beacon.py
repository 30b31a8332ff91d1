"""The beacon that the tracker posts, as JSON: one, or a list. Its types are checked here and nothing else. Pure.

The decoder lets no lone surrogate through, so a text that was read can be stored unless it holds U+0000.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from webapp.visits.backlog import Kind
from webapp.visits.collecting.refusals import BODY_LIMIT_BYTES, RefusedError, TooLargeError, malformed, wrong_fields

LIST_LIMIT = 500
LIST_LIMIT_BYTES = 4 * 1024 * 1024

KINDS = {
    "pageview": Kind.PAGEVIEW,
    "event": Kind.EVENT,
    "engagement": Kind.ENGAGEMENT,
    "product": Kind.PRODUCT,
    "identify": Kind.IDENTIFY,
}


UNREADABLE = frozenset({"malformed", "too-large", "wrong-fields", "wrong-count"})
"""Reasons of what is no beacon, and may all the same say for which site it was meant."""
SEARCHED_BYTES = 8192
_SITE_KEY = re.compile(rb'"siteKey"\s*:\s*"(fs_[0-9a-f]{48})"')
_PAGE_URL = re.compile(rb'"pageUrl"\s*:\s*"(https?://[^"\\\x00-\x20\x7f-\xff]{1,2000})"')


class Beacon(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """A beacon as it is posted. What a site's own server alone may say stands at the end."""

    page_url: str
    site_key: str = ""
    identifier: str | None = None
    id: str | None = None
    kind: Literal["pageview", "event", "engagement", "product", "identify"] = "pageview"
    visited_at: str | None = None
    sent_at: str | None = None
    referrer: str | None = None
    screen: str | None = None
    language: str | None = None
    name: str | None = None
    props: dict[str, str | int | float | bool] | None = None
    engaged_ms: float | None = None
    scroll_percent: float | None = None
    sku: str | None = None
    identity: str | None = None
    signature: str | None = None
    ip: str | None = None
    user_agent: str | None = None


class _Key(msgspec.Struct, rename="camel"):
    site_key: str = ""


_decoder = msgspec.json.Decoder(Beacon)
_key_decoder = msgspec.json.Decoder(_Key)
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def read_beacon(body: bytes) -> Beacon:
    """The beacon in a body; raises RefusedError."""
    if len(body) > BODY_LIMIT_BYTES:
        raise TooLargeError(body)
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise wrong_fields(error) from error
    except (ValueError, RecursionError) as error:
        raise malformed(error) from error


def read_site_key(body: bytes) -> str:
    """Whose beacon it would be, were its other fields right; '' when nobody can say."""
    try:
        return _key_decoder.decode(body).site_key
    except (ValueError, RecursionError):
        return ""


def find_site_key(body: bytes) -> str:
    """As `read_site_key`, for what may be no JSON: as far as its beginning tells."""
    return _find(_SITE_KEY, body)


def find_page_url(body: bytes) -> str:
    """On which page a beacon was that cannot be read, as far as its beginning tells."""
    return _find(_PAGE_URL, body)


def _find(pattern: re.Pattern[bytes], body: bytes) -> str:
    found = pattern.search(body, 0, SEARCHED_BYTES)
    return found[1].decode() if found else ""


def is_list(body: bytes) -> bool:
    """Whether the body holds a list of beacons."""
    return body[:1] == b"[" or body.lstrip()[:1] == b"["


def split_list(body: bytes) -> list[bytes]:
    """The beacons of a list, each still as JSON; raises RefusedError."""
    try:
        parts = _list_decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "malformed", f"This is not a list of beacons in JSON: {error}") from error
    if not 1 <= len(parts) <= LIST_LIMIT:
        raise RefusedError(422, "wrong-count", f"Send 1 to {LIST_LIMIT} beacons at a time.", None, len(parts))
    return [bytes(part) for part in parts]
