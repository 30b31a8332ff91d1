"""What a site's settings make of a page's address, an address on the network, and a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.visits.support import BROWSER, COUNTRIES, MISSING, make_beacon, make_known_site, make_sender, take_beacon
from webapp.lib.addresses import read_address
from webapp.visits import collecting
from webapp.visits.collecting.clients import Client, client_of
from webapp.visits.collecting.countries import Countries
from webapp.visits.collecting.intake import KnownSite
from webapp.visits.collecting.rate_limits import BURST_SECONDS, KNOWN_LIMIT, Buckets
from webapp.visits.collecting.refusals import BOT, DO_NOT_TRACK, EXPLANATIONS, PRIVACY_CONTROL, DroppedError
from webapp.visits.collecting.rules import make_rules, matches
from webapp.visits.collecting.senders import Sender, Senders

NOW_MS = 1_790_000_000_000
PACKAGE = Path(collecting.__file__).parent
OF_NO_SITE = {"malformed", "too-large", "unknown-site-key", "backlog-full", "try-again"}
GERMAN = "193.99.144.80"
PAGE = "https://shop.example/search"
AGENTS = {
    BROWSER: Client("desktop", "Chrome", "Windows", False),
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": Client(
        "desktop", "Firefox", "Linux", False
    ),
    "Mozilla/5.0 (iPad; CPU OS 16_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.3 "
    "Mobile/15E148 Safari/604.1": Client("tablet", "Mobile Safari", "iOS", False),
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile "
    "Safari/537.36": Client("mobile", "Chrome Mobile", "Android", False),
    "Mozilla/5.0 (Linux; Android 13; SM-X900) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
    "Safari/537.36": Client("tablet", "Chrome", "Android", False),
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) 76.0.3809.146/6.0 TV "
    "Safari/537.36": Client("tv", "Safari", "Tizen", False),
    "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 "
    "Safari/605.1.15": Client("other", "Safari", "", False),
}
BOTS = (
    "",
    "  ",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36",
    "curl/8.5.0",
    "python-requests/2.32",
)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_browser_tells_its_device_its_name_and_its_system(agent: str) -> None:
    assert client_of(agent.encode()) == AGENTS[agent]


@pytest.mark.parametrize("agent", BOTS)
def test_a_program_is_known_by_its_name_or_by_having_none(agent: str) -> None:
    assert client_of(agent.encode()).is_bot


def test_any_bytes_are_a_user_agent() -> None:
    assert not client_of(b"\xff\xfe" * 5000).is_bot


def address_of(url: str, **settings: object) -> tuple[str, ...]:
    found = make_known_site(**settings).rules.read(url)
    return tuple(part for part in found if isinstance(part, str))


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        (f"{PAGE}?q=shoes&sid=7&page=2#top", f"{PAGE}?page=2&q=shoes"),
        (f"{PAGE}?page=2&q=shoes", f"{PAGE}?page=2&q=shoes"),
        (f"{PAGE}?%71=a%26b&", f"{PAGE}?%71=a%26b"),
        (f"{PAGE}?q", f"{PAGE}?q"),
        (f"{PAGE}?sid=7", PAGE),
        (f"{PAGE}?", PAGE),
        ("https://shop.example?q=1", "https://shop.example?q=1"),
    ],
)
def test_of_a_query_only_the_sites_keys_are_kept(url: str, kept: str) -> None:
    assert address_of(url, query_keys=("q", "page"))[0] == kept


def test_a_fragment_is_a_page_only_where_the_site_wants_it() -> None:
    assert address_of(f"{PAGE}#/about")[0] == PAGE
    assert address_of(f"{PAGE}#/about", counts_fragments=True)[0] == f"{PAGE}#/about"
    assert address_of(f"{PAGE}#", counts_fragments=True)[0] == PAGE


def test_campaigns_and_click_ids_have_fields_of_their_own() -> None:
    url = (
        f"{PAGE}?utm_source=news%20letter&UTM_MEDIUM=email&utm_campaign=a+b&utm_term=%00x%1f&utm_content="
        f"{'y' * 300}&gclid=secret&fbclid=other&utm_source=second"
    )
    page, source, medium, campaign, term, content, click_id = address_of(url)
    assert page == PAGE
    assert (source, medium, campaign, term) == ("news letter", "email", "a b", "x")
    assert (len(content), click_id) == (200, "gclid")
    assert address_of(f"{PAGE}?utm_source=x", query_keys=("utm_source",))[:2] == (f"{PAGE}?utm_source=x", "x")


@pytest.mark.parametrize(
    ("pattern", "path", "is_match"),
    [
        ("/admin", "/admin", True),
        ("/admin", "/admin/users", False),
        ("/admin/*", "/admin/users", True),
        ("/admin/*", "/admin", False),
        ("*", "/", True),
        ("*/preview", "/a/b/preview", True),
        ("*/preview", "/a/preview/b", False),
        ("/a*a", "/a", False),
        ("/a*b*c", "/a-b-c", True),
        ("/a*b*c", "/a-c-b", False),
        ("/a*b*b", "/ab", False),
        ("*a*a*a*a*a*a*a*a*b", "/" + "a" * 2000, False),
    ],
)
def test_a_star_stands_for_anything(pattern: str, path: str, is_match: bool) -> None:
    assert matches(tuple(pattern.split("*")), path) is is_match


def dropped(site: KnownSite, sender: Sender | None = None, **changes: object) -> str | None:
    beacon = make_beacon("fs_x", **{"id": MISSING, "visitedAt": MISSING, **changes})
    try:
        take_beacon(json.dumps(beacon).encode(), NOW_MS, site, sender)
    except DroppedError as outcome:
        return outcome.reason
    return None


def test_every_reason_to_leave_out_is_explained() -> None:
    assert all(DroppedError(reason).detail.endswith(".") for reason in (BOT, DO_NOT_TRACK, PRIVACY_CONTROL))
    assert all(text.endswith((".", "?")) for text in EXPLANATIONS.values())


def test_every_reason_to_refuse_a_known_sites_beacon_is_explained() -> None:
    reasons: set[str] = set()
    for name in ("checks.py", "intake.py", "rules.py", "refusals.py"):
        reasons |= set(re.findall(r'RefusedError\(\d+, "([a-z-]+)"', (PACKAGE / name).read_text()))
    assert len(reasons) > 20
    assert reasons - OF_NO_SITE <= set(EXPLANATIONS)


def test_bots_are_left_out_unless_the_site_counts_them() -> None:
    crawler = make_sender(user_agent="Googlebot/2.1")
    assert dropped(make_known_site(), crawler) == "bot"
    assert dropped(make_known_site(drops_bots=False), crawler) is None


def test_who_asks_not_to_be_tracked_is_left_out_where_the_site_respects_it() -> None:
    asks, controls = make_sender(does_not_want_tracking=True), make_sender(sends_privacy_control=True)
    respectful = make_known_site(respects_dnt=True)
    assert (dropped(respectful, asks), dropped(respectful, controls)) == ("do-not-track", "privacy-control")
    assert dropped(respectful) is dropped(make_known_site(), asks) is dropped(make_known_site(), controls) is None


def test_excluded_addresses_and_countries_are_left_out() -> None:
    site = make_known_site(excluded_addresses=("203.0.113.0/24", "2001:db8::/32"), excluded_countries=("DE",))
    assert dropped(site, make_sender("203.0.113.200")) == "excluded-address"
    assert dropped(site, make_sender("::ffff:203.0.113.200")) == "excluded-address"
    assert dropped(site, make_sender("2001:db8::7")) == "excluded-address"
    assert dropped(site, make_sender(GERMAN)) == "excluded-country"
    assert dropped(site, make_sender("198.51.100.7")) is None
    assert dropped(site, make_sender("")) is None


def test_excluded_pages_are_left_out() -> None:
    site = make_known_site(excluded_pages=("/admin/*", "/draft"))
    assert dropped(site, pageUrl="https://shop.example/admin/users?x=1") == "excluded-page"
    assert dropped(site, pageUrl="https://shop.example/draft#a") == "excluded-page"
    assert dropped(site, pageUrl="https://shop.example/drafts") is None


def test_the_country_is_that_of_the_address_and_private_ones_have_none() -> None:
    countries = {address: COUNTRIES.place_of(address).country for address in (GERMAN, "8.8.8.8", "2a00:1450:4001::1")}
    assert countries[GERMAN] == "DE"
    assert countries["8.8.8.8"] == "US"
    assert len(countries["2a00:1450:4001::1"]) == 2
    for address in ("127.0.0.1", "10.1.2.3", "192.168.1.1", "::1", "fe80::1", "203.0.113.9", "", "unknown"):
        assert COUNTRIES.place_of(address).country == ""


def test_without_the_file_no_country_is_known(tmp_path: Path) -> None:
    assert Countries(tmp_path / "none.mmdb").place_of(GERMAN).country == ""


def test_a_household_shares_its_limit() -> None:
    one, other = (COUNTRIES.place_of(address).limit_key for address in ("2001:db8:1:2::1", "2001:db8:1:2:ffff::1"))
    assert one == other != COUNTRIES.place_of("2001:db8:1:3::1").limit_key
    assert read_address(" 10.0.0.1 ") is not None


def address_seen(peer: str | None, *forwarded: str) -> str:
    headers = [(b"user-agent", BROWSER.encode()), *((b"x-forwarded-for", line.encode()) for line in forwarded)]
    scope = {"headers": headers, "client": (peer, 1) if peer else None}
    return Senders(COUNTRIES, ("10.0.0.0/8", "2001:db8:ffff::/48")).of(scope).place.address


def test_a_forwarded_address_counts_only_from_a_trusted_proxy() -> None:
    assert address_seen("10.0.0.1", "198.51.100.1, 203.0.113.5") == "203.0.113.5"
    assert address_seen("203.0.113.9", "198.51.100.1") == "203.0.113.9"
    assert address_seen("10.0.0.1") == "10.0.0.1"
    assert address_seen(None, "198.51.100.1") == ""


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("203.0.113.7:5123", "203.0.113.7"),
        ("[2001:db8::1]:44", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
    ],
)
def test_a_forwarded_address_may_carry_a_port(entry: str, address: str) -> None:
    assert address_seen("10.0.0.1", entry) == address_seen("10.0.0.1", f"198.51.100.1 , {entry} ") == address


def test_proxies_in_a_row_are_passed_over() -> None:
    assert address_seen("10.0.0.1", "198.51.100.7, 10.0.0.2") == "198.51.100.7"
    assert address_seen("10.0.0.1", "192.0.2.1, 198.51.100.7:80, [2001:db8:ffff::9]:44, 10.0.0.2:9") == "198.51.100.7"
    assert address_seen("10.0.0.1", "198.51.100.7", "10.0.0.2") == "198.51.100.7"
    assert address_seen("10.0.0.1", "10.1.2.3, 10.0.0.2") == "10.1.2.3"  # a visitor beside the proxies


@pytest.mark.parametrize(
    "line", ["garbage", "", "198.51.100.7, garbage", "unknown, 10.0.0.2", "[]:1", "1:2:3", "x" * 9999]
)
def test_what_cannot_be_read_is_the_proxys_own_address(line: str) -> None:
    assert address_seen("10.0.0.1", line) == "10.0.0.1"


def test_a_bucket_empties_and_fills_again() -> None:
    buckets = Buckets()
    taken = sum(buckets.wait_seconds("a", 1, 5, 100.0) == 0 for _ in range(200))
    assert taken == 5 * BURST_SECONDS
    wait = buckets.wait_seconds("a", 1, 5, 100.0)
    assert wait == 1
    assert buckets.wait_seconds("b", 1, 5, 100.0) == 0
    assert buckets.wait_seconds("a", 1, 5, 100.0 + wait) == 0
    assert buckets.wait_seconds("a", 50, 5, 1000.0) == 0
    assert buckets.wait_seconds("a", 50, 5, 1000.0) == 10


@pytest.mark.parametrize("processes", [1, 3, 200])
def test_processes_together_let_no_more_pass_than_one(processes: int) -> None:
    every = [Buckets(processes) for _ in range(processes)]
    passed = [sum(one.wait_seconds("a", 1, 60, 100.0) == 0 for _ in range(700)) for one in every]
    assert sum(passed) <= max(60 * BURST_SECONDS, processes)
    assert min(passed) >= 1
    assert len(set(passed)) == 1


def test_made_up_addresses_do_not_fill_the_memory() -> None:
    buckets = Buckets()
    for number in range(KNOWN_LIMIT + 10):
        buckets.wait_seconds(str(number), 1, 5, 100.0 + number / KNOWN_LIMIT / 100)
    assert len(buckets._full_at) <= KNOWN_LIMIT


def test_equal_settings_are_one_object() -> None:
    assert make_known_site().rules is make_known_site().rules
    assert make_rules.cache_info().currsize > 0
