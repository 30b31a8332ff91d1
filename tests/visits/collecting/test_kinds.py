"""What each kind of beacon must and may tell, and what a row holds of it."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.visits.support import MISSING, ORIGIN, VISITOR, make_beacon, make_known_site, make_sender, take_beacon
from webapp.visits.backlog import Kind, Row
from webapp.visits.collecting.checks import language_of
from webapp.visits.collecting.intake import KnownSite
from webapp.visits.collecting.refusals import RefusedError
from webapp.visits.visitor_keys import visitor_key

NOW_MS = int(datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp() * 1000)
SECRET = "secret"
PROP = {"a": "b"}


def take(site: KnownSite | None = None, *, trusted: bool = False, **changes: Any) -> Row:
    beacon = make_beacon("fs_x", **{"id": MISSING, "visitedAt": MISSING, **changes})
    return take_beacon(json.dumps(beacon).encode(), NOW_MS, site, trusted=trusted)


def reason_of(site: KnownSite | None = None, **changes: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        take(site, **changes)
    return caught.value.reason


def signature_of(identity: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), identity.encode(), hashlib.sha256).hexdigest()


def test_a_pageview_is_the_usual_kind() -> None:
    assert take().kind == take(kind="pageview").kind == Kind.PAGEVIEW
    assert reason_of(kind="dropped") == reason_of(kind=5) == "wrong-fields"


def test_an_event_has_a_name_and_properties_as_text() -> None:
    props = {"plan": "Größe L", "count": 3, "price": 9.5, "is_new": True, "note": "two\nlines"}
    row = take(kind="event", name=" Sign-up ", props=props)
    assert (row.kind, row.name) == (Kind.EVENT, "Sign-up")
    wanted = {"count": "3", "is_new": "true", "note": "two\nlines", "plan": "Größe L", "price": "9.5"}
    assert json.loads(row.props) == wanted
    assert list(json.loads(row.props)) == sorted(wanted)
    assert take(kind="event", name="x", props={}).props == take(kind="event", name="x").props == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "bad-name"),
        ({"name": "  "}, "bad-name"),
        ({"name": "x" * 101}, "bad-name"),
        ({"name": "a\x1fb"}, "bad-name"),
        ({"name": 7}, "wrong-fields"),
        ({"name": "x", "props": {str(number): "" for number in range(31)}}, "bad-props"),
        ({"name": "x", "props": {"k" * 101: "v"}}, "bad-props"),
        ({"name": "x", "props": {"": "v"}}, "bad-props"),
        ({"name": "x", "props": {"k": "v" * 1001}}, "bad-props"),
        ({"name": "x", "props": {"k": "\x00"}}, "bad-props"),
        ({"name": "x", "props": {"k": "\x1f"}}, "bad-props"),
        ({"name": "x", "props": {"k": None}}, "wrong-fields"),
        ({"name": "x", "props": {"k": {"deep": 1}}}, "wrong-fields"),
        ({"name": "x", "props": ["k"]}, "wrong-fields"),
    ],
)
def test_an_event_that_is_not_so_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert reason_of(kind="event", **changes) == reason


def test_an_engagement_tells_attention_and_scroll_of_its_page() -> None:
    row = take(kind="engagement", engagedMs=12_345.6, scrollPercent=80)
    assert (row.kind, row.engaged_ms, row.scroll, row.page_url) == (
        Kind.ENGAGEMENT, 12_346, 80, f"{ORIGIN}/pricing",
    )  # fmt: skip
    assert (take(kind="engagement").engaged_ms, take(kind="engagement").scroll) == (0, 0)


@pytest.mark.parametrize(
    "changes",
    [{"engagedMs": -1}, {"engagedMs": 86_400_001}, {"scrollPercent": 101}, {"scrollPercent": -1}, {"engagedMs": 1e300}],
)
def test_an_impossible_engagement_is_refused(changes: dict[str, Any]) -> None:
    assert reason_of(kind="engagement", **changes) == "bad-engagement"


def test_a_product_view_names_its_sku() -> None:
    row = take(kind="product", sku="SKU-1")
    assert (row.kind, row.name) == (Kind.PRODUCT, "SKU-1")
    for sku in (MISSING, "", "x" * 101, "a\x00"):
        assert reason_of(kind="product", sku=sku) == "bad-sku"


def test_an_identity_counts_with_the_signature_of_the_sites_server() -> None:
    row = take(kind="identify", identity="Alice@example.com", signature=signature_of("Alice@example.com"))
    assert (row.kind, row.name, row.visitor) == (Kind.IDENTIFY, "Alice@example.com", VISITOR)
    assert take(kind="identify", identity="C-17", signature=signature_of("C-17").upper()).name == "C-17"
    assert take(kind="identify", identity="bob@example.com", trusted=True).name == "bob@example.com"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"identity": "alice@example.com"}, "needs-signature"),
        ({"identity": "alice@example.com", "signature": signature_of("bob@example.com")}, "bad-signature"),
        ({"identity": "alice@example.com", "signature": signature_of("alice@example.com", "guess")}, "bad-signature"),
        ({"identity": "alice@example.com", "signature": "ü"}, "bad-signature"),
        ({"signature": signature_of("")}, "bad-identity"),
        ({"identity": "x" * 255, "signature": "0"}, "bad-identity"),
        ({"identity": "C-17", "signature": signature_of("C-17"), "identifier": MISSING}, "missing-identifier"),
    ],
)
def test_an_identity_that_nobody_vouches_for_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert reason_of(kind="identify", **changes) == reason


@pytest.mark.parametrize("identifier", ["alice@example.com", "C-17", "@alice", "word " * 30])
def test_who_anybody_may_claim_to_be_is_one_visitor_and_names_no_record(identifier: str) -> None:
    """Site keys are public: without a key or a signature, an identifier is a claim."""
    site = make_known_site()
    claimed = take(site, identifier=identifier).visitor
    assert visitor_key(claimed) is None
    assert claimed == take(site, identifier=identifier.upper()).visitor != take(identifier=identifier).visitor
    assert take(site, identifier=identifier, trusted=True).visitor == identifier
    assert take(site, identifier=VISITOR.upper()).visitor == VISITOR.upper()


def test_nobody_is_tied_to_an_identifier_that_others_can_guess() -> None:
    signed: dict[str, Any] = {"identity": "C-17", "signature": signature_of("C-17")}
    assert reason_of(kind="identify", identifier="C-17", **signed) == "guessable-identifier"
    assert take(kind="identify", identifier="C-17", identity="C-17", trusted=True).visitor == "C-17"


def test_a_cookieless_site_ties_nobody_to_a_hash_that_many_may_share() -> None:
    site = make_known_site(is_cookieless=True)
    assert reason_of(site, kind="identify", identity="C-17", signature=signature_of("C-17")) == "missing-identifier"


def test_without_an_identifier_the_hash_of_the_day_is_the_visitor() -> None:
    site = make_known_site()
    one = take(site, identifier=MISSING).visitor
    assert len(one) == 32
    assert one == take(site, identifier=None).visitor != VISITOR
    assert one == take_from(site, "203.0.113.9")
    assert one != take_from(site, "203.0.113.10")
    assert one != take_from(make_known_site(), "203.0.113.9")
    assert one != take_from(site, "203.0.113.9", user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0")


def take_from(site: KnownSite, address: str, **sender: str) -> str:
    beacon = json.dumps(make_beacon("fs_x", identifier=MISSING, id=MISSING, visitedAt=MISSING)).encode()
    return take_beacon(beacon, NOW_MS, site, make_sender(address, **sender)).visitor


def test_a_cookieless_site_ignores_the_identifier() -> None:
    site = make_known_site(is_cookieless=True)
    assert take(site, identifier="visitor-1").visitor == take(site, identifier="visitor-2").visitor
    server = take(site, identifier="visitor-1", trusted=True).visitor
    assert len(server) == 32
    assert server != take(site, identifier="visitor-2", trusted=True).visitor


def test_what_a_server_says_of_its_visitor_counts_with_a_key_alone() -> None:
    safari = (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/17.5 Mobile/15E148 Safari/604.1"
    )
    row = take(ip="193.99.144.80", userAgent=safari, trusted=True)
    assert (row.country, row.device, row.browser, row.system) == ("DE", "mobile", "Mobile Safari", "iOS")
    assert take(trusted=True).country == take(trusted=True).device == ""
    assert reason_of(ip="193.99.144.80") == reason_of(userAgent=safari) == "needs-signature"
    assert reason_of(ip="home", trusted=True) == "bad-ip"
    assert reason_of(identifier=MISSING, trusted=True) == "missing-identifier"
    assert len(take(identifier=MISSING, ip="193.99.144.80", trusted=True).visitor) == 32


def test_the_language_is_the_beacons_else_the_browsers() -> None:
    assert take(language="de-AT").language == "de-at"
    for odd in ("C", "en_US@posix", "*", "x"):
        assert take(language=odd).language == ("" if odd != "en_US" else "en-us")
    assert reason_of(language="x" * 101) == reason_of(language="e\x00n") == "bad-language"
    beacon = json.dumps(make_beacon("fs_x", id=MISSING, visitedAt=MISSING)).encode()
    assert take_beacon(beacon, NOW_MS, None, make_sender(language="fr-ch")).language == "fr-ch"
    assert language_of("fr-CH, fr;q=0.9, *;q=0.5") == "fr-ch"
    assert language_of("\xff;;") == language_of("") == language_of("*") == ""
