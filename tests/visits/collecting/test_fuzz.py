"""Whatever is posted, there is a row that can be stored or a reason that can be said; never anything else."""

from __future__ import annotations

import contextlib
import json
import string
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.visits.support import make_beacon, make_known_site, take_beacon
from webapp.lib.ids import uuid7
from webapp.visits.backlog import Row, decode_rows, encode_rows
from webapp.visits.collecting.beacon import Beacon, is_list, split_list
from webapp.visits.collecting.refusals import DroppedError, RefusedError

NOW_MS = 1_790_000_000_000
CORPUS = Path(__file__).parent / "corpus"
TRACKER_BODIES = sorted((Path(__file__).parent / "tracker_bodies").glob("*.json"))
"""What the real tracker sent from a page, ten minutes before NOW_MS."""
SITE = make_known_site(query_keys=("q",), excluded_pages=("*/x*",), counts_fragments=True)
KEYS = [field.encode_name for field in msgspec.structs.fields(Beacon)]
KINDS = ["pageview", "event", "engagement", "product", "identify"]
HARD = st.text(st.characters(exclude_categories=()), max_size=30)
URLS = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(["https://", "http://", "HTTPS://", "//", "javascript:", "https://user@"]),
    st.text(string.ascii_letters + ".-[]:é%", max_size=12),
    st.sampled_from(["", "/", "?", "#", "/a?q=1&utm_source=%00%ff&gclid=", "/%", "/a b", "/x?=&&=&utm_term"]),
    HARD,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | HARD | URLS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HARD, inner, max_size=4),
    max_leaves=6,
)
BEACONS = st.builds(
    lambda kind, changes: {**make_beacon("fs_x", kind=kind, name="n", sku="s", identity="i"), **changes},
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5),
)


def outcome_of(body: bytes, *, trusted: bool) -> Row | RefusedError | DroppedError:
    try:
        return take_beacon(body, NOW_MS, SITE, trusted=trusted)
    except (RefusedError, DroppedError) as outcome:
        return outcome


def check(body: bytes, *, trusted: bool = False) -> None:
    outcome = outcome_of(body, trusted=trusted)
    if not isinstance(outcome, Row):
        assert outcome.reason.replace("-", "").isalpha()
        assert outcome.detail
        return
    (again,) = decode_rows(encode_rows([outcome]))
    assert again == outcome
    for value in msgspec.structs.astuple(outcome):
        if isinstance(value, str):
            assert "\x00" not in value
            value.encode()  # no half of a pair of surrogates
    assert 0 <= outcome.scroll <= 100
    assert 0 <= outcome.engaged_ms <= 86_400_000
    assert outcome.visited_ms <= outcome.received_ms == NOW_MS


@given(BEACONS, st.booleans())
@settings(max_examples=600, deadline=None)
def test_any_beacon_makes_a_row_or_has_a_reason(beacon: dict[str, Any], trusted: bool) -> None:
    check(json.dumps(beacon, ensure_ascii=True).encode(), trusted=trusted)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_have_a_reason(body: bytes) -> None:
    assert not isinstance(outcome_of(body, trusted=True), Row)
    if is_list(body):
        with contextlib.suppress(RefusedError):
            assert split_list(body)


@given(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 5))
@settings(max_examples=300, deadline=None)
def test_a_damaged_beacon_has_a_reason_or_is_whole(at: int, put: bytes, cut: int) -> None:
    body = json.dumps(make_beacon("fs_x", id=str(uuid7()))).encode()
    check(body[:at] + put + body[at + cut :])


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*")), ids=lambda path: path.name)
def test_the_corpus_is_refused_or_taken_as_its_name_says(path: Path) -> None:
    """A file is named after the reason with which its beacon is refused, or `taken`, and a number."""
    outcome = outcome_of(path.read_bytes(), trusted=False)
    reason = "taken" if isinstance(outcome, Row) else outcome.reason
    assert reason == path.stem.rstrip("0123456789").rstrip("-")
    check(path.read_bytes())


@pytest.mark.parametrize("path", TRACKER_BODIES, ids=lambda path: path.name)
def test_what_the_tracker_sends_is_taken(path: Path) -> None:
    body = path.read_bytes()
    assert isinstance(outcome_of(body, trusted=False), Row)
    check(body)


@given(st.sampled_from(TRACKER_BODIES), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3))
@settings(max_examples=300, deadline=None)
def test_what_the_tracker_sends_with_anything_changed_has_a_reason_or_is_whole(
    path: Path, changes: dict[str, Any]
) -> None:
    check(json.dumps({**json.loads(path.read_bytes()), **changes}).encode())


@given(st.lists(BEACONS | VALUES, max_size=6))
@settings(max_examples=200, deadline=None)
def test_each_of_a_list_is_as_it_would_be_alone(items: list[Any]) -> None:
    with contextlib.suppress(RefusedError):
        for part, item in zip(split_list(json.dumps(items).encode()), items, strict=True):
            assert json.loads(part) == item
            check(part)
