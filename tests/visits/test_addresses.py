"""What a page and a referrer count as, and what is remembered of them."""

from __future__ import annotations

import tracemalloc
from uuid import NAMESPACE_URL, uuid5

import pytest

from webapp.visits.addresses import CACHED_TEXTS, host_of, page_id_of, page_of


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://Shop.Example", "https://shop.example/"),
        ("https://shop.example/?a=1", "https://shop.example/?a=1"),
        ("https://shop.example?a=/b", "https://shop.example/?a=/b"),
        ("https://shop.example#/top?x", "https://shop.example/#/top?x"),
        ("HTTPS://shop.example:443/A", "https://shop.example/A"),
        ("http://shop.example:443/A", "http://shop.example:443/A"),
        ("https://shop.example/" + "ä" * 1000, "https://shop.example/" + "ä" * 1000),
    ],
)
def test_a_page_is_its_address_written_in_one_way(url: str, page: str) -> None:
    assert page_of(url) == page
    assert page_id_of(page) == uuid5(NAMESPACE_URL, page).bytes


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.google.com/search?q=a", "google.com"),
        ("https://News.Example:8080", "news.example"),
        ("https://news.example?from=/x", "news.example"),
        ("https://user:pw@news.example/", "news.example"),
        ("http://[::1]:80/", "::1"),
        ("http://[::1/", ""),
        ("about:blank", ""),
        ("/relative://x", ""),
        ("", ""),
    ],
)
def test_a_website_is_its_host_without_www(url: str, host: str) -> None:
    assert host_of(url) == host


def test_made_up_addresses_do_not_fill_the_memory() -> None:
    """Short ones take a bounded number of places, long ones none."""
    tracemalloc.start()
    for length in (0, 2000):
        for number in range(3 * CACHED_TEXTS):
            url = f"https://{number}.example/{number}" + "x" * length
            host_of(url)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 15 * 1024**2
