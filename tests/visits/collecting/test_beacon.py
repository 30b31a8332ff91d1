"""Reading a beacon, and every reason to refuse one."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.visits.support import MISSING, make_beacon, take_beacon
from webapp.lib.ids import uuid7
from webapp.visits.backlog import Row
from webapp.visits.collecting.beacon import read_beacon
from webapp.visits.collecting.refusals import BODY_LIMIT_BYTES, RefusedError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def check(body: bytes | None = None, *, trusted: bool = False, **changes: Any) -> Row:
    beacon = make_beacon("fs_x", **{"id": MISSING, "visitedAt": MISSING, **changes})
    return take_beacon(body or json.dumps(beacon).encode(), NOW_MS, trusted=trusted)


def refusal(body: bytes | None = None, **changes: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        check(body, **changes)
    assert caught.value.detail.endswith((".", ")", ":")) or caught.value.detail
    return caught.value


def test_a_whole_beacon_is_taken() -> None:
    at = NOW - timedelta(minutes=3)
    checked = check(id=str(uuid7(at)), visitedAt=at.isoformat())
    assert checked.visited_ms == NOW_MS - 180_000
    assert (checked.page_url, checked.utm_source) == ("https://shop.example/pricing", "letter")
    assert checked.referrer == "https://www.google.com/"
    assert checked.screen == "1920x1080"


def test_what_may_be_missing_is_filled_in() -> None:
    checked = check(referrer=MISSING, screen=MISSING)
    assert checked.visited_ms == checked.received_ms == NOW_MS
    assert checked.referrer == checked.screen == ""
    assert abs(int.from_bytes(checked.id[:6]) - time.time() * 1000) < 5000
    assert check(referrer=None, screen=None, visitedAt=None, id=None, sentAt=None).referrer == ""


@pytest.mark.parametrize("name", ["pageUrl"])
def test_what_must_not_be_missing_is_named(name: str) -> None:
    error = refusal(None, **{name: MISSING})
    assert (error.status, error.reason) == (422, "wrong-fields")
    assert name in error.detail


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null,", b"\xff\xfe{}", b'{"pageUrl":"\xed\xa0\x80"}', b"[" * 50_000, b"NaN", b'{"a":"\\ud800"}'],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        read_beacon(body)
    assert caught.value.status in {400, 422}


@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null", b"{}"])
def test_json_that_is_no_beacon_has_wrong_fields(body: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        read_beacon(body)
    assert (caught.value.status, caught.value.reason) == (422, "wrong-fields")


def test_a_body_over_64_kib_is_too_large() -> None:
    with pytest.raises(RefusedError) as caught:
        read_beacon(b" " * (BODY_LIMIT_BYTES + 1))
    assert (caught.value.status, caught.value.reason) == (413, "too-large")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"identifier": ""}, "bad-identifier"),
    ({"identifier": "x" * 201}, "bad-identifier"),
    ({"identifier": "a\x00b"}, "bad-identifier"),
    ({"identifier": "a\nb"}, "bad-identifier"),
    ({"identifier": 7}, "wrong-fields"),
    ({"pageUrl": "/pricing"}, "bad-page-url"),
    ({"pageUrl": "javascript:alert(1)"}, "bad-page-url"),
    ({"pageUrl": "ftp://shop.example/"}, "bad-page-url"),
    ({"pageUrl": "https://"}, "bad-page-url"),
    ({"pageUrl": "https://user:secret@shop.example/"}, "bad-page-url"),
    ({"pageUrl": "https://shop.example/\x00"}, "bad-page-url"),
    ({"pageUrl": "https://shop.example/a b"}, "bad-page-url"),
    ({"pageUrl": "https://shop.example/" + "x" * 2048}, "bad-page-url"),
    ({"pageUrl": None}, "wrong-fields"),
    ({"referrer": "not an address"}, "bad-referrer"),
    ({"referrer": "https://a.example/\x00"}, "bad-referrer"),
    ({"screen": "wide"}, "bad-screen"),
    ({"screen": "1920x1080x3"}, "bad-screen"),
    ({"id": "1"}, "bad-id"),
    ({"id": str(uuid4())}, "bad-id"),
    ({"id": str(uuid7(NOW - timedelta(hours=48, seconds=1)))}, "id-too-old"),
    ({"id": str(uuid7(NOW + timedelta(hours=25)))}, "id-in-future"),
    ({"visitedAt": "yesterday"}, "bad-time"),
    ({"visitedAt": ""}, "bad-time"),
    ({"visitedAt": 1}, "wrong-fields"),
    ({"visitedAt": NOW.isoformat(), "sentAt": "soon"}, "bad-time"),
    ({"visitedAt": (NOW + timedelta(minutes=6)).isoformat()}, "visit-in-future"),
    ({"visitedAt": (NOW - timedelta(hours=48, seconds=1)).isoformat()}, "visit-too-old"),
    ({"visitedAt": "0001-01-01T00:00:00+14:00"}, "visit-too-old"),
    ({"visitedAt": "9999-12-31T23:59:59-14:00"}, "visit-in-future"),
    (
        {"visitedAt": (NOW - timedelta(days=40)).isoformat(), "sentAt": NOW.isoformat()},
        "visit-too-old",
    ),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSED)
def test_a_wrong_field_is_refused_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    error = refusal(**changes)
    assert (error.status, error.reason) == (422, reason)


def test_a_clock_that_is_wrong_counts_only_as_a_difference() -> None:
    years_behind = datetime(2009, 1, 1, tzinfo=UTC)
    changes: dict[str, Any] = {
        "visitedAt": years_behind.isoformat(),
        "sentAt": (years_behind + timedelta(minutes=10)).isoformat(),
    }
    assert check(**changes).visited_ms == NOW_MS - 600_000


def test_a_visit_sent_before_it_happened_happened_now() -> None:
    changes: dict[str, Any] = {"visitedAt": NOW.isoformat(), "sentAt": (NOW - timedelta(hours=1)).isoformat()}
    assert check(**changes).visited_ms == NOW_MS


def test_a_visit_a_little_in_the_future_happened_now() -> None:
    assert check(visitedAt=(NOW + timedelta(minutes=4)).isoformat()).visited_ms == NOW_MS


def test_a_time_without_a_zone_is_utc() -> None:
    assert check(visitedAt="2026-11-22T11:00:00").visited_ms == NOW_MS - 3_600_000
    assert check(visitedAt="2026-11-22T11:00:00.000Z").visited_ms == NOW_MS - 3_600_000


def test_only_who_has_a_key_may_report_the_past() -> None:
    assert check(visitedAt="2024-02-29T10:00:00Z", trusted=True).visited_ms == 1_709_200_800_000
    with pytest.raises(RefusedError):
        check(visitedAt="1999-12-31T00:00:00Z", trusted=True)


def test_a_browser_may_tell_what_it_kept_for_two_days_and_nothing_older() -> None:
    """Anyone can send what no key and no signature vouches for, and must not change the past with it."""
    at, late = NOW - timedelta(hours=47, minutes=59), NOW - timedelta(days=20)
    assert check(visitedAt=at.isoformat()).visited_ms == int(at.timestamp() * 1000)
    assert check(visitedAt=late.isoformat(), trusted=True).visited_ms == int(late.timestamp() * 1000)
    assert refusal(visitedAt=late.isoformat()).reason == "visit-too-old"
    ahead = NOW + timedelta(days=2)
    told: dict[str, Any] = {"visitedAt": (ahead - timedelta(hours=1)).isoformat(), "sentAt": ahead.isoformat()}
    assert check(**told).visited_ms == NOW_MS - 3_600_000
    assert refusal(**{**told, "visitedAt": (ahead - timedelta(hours=49)).isoformat()}).reason == "visit-too-old"


def test_another_app_is_no_referring_website() -> None:
    assert check(referrer="android-app://com.example.reader/").referrer == ""
    assert check(referrer="about:blank").referrer == ""
