"""Which addresses a site may have: those whose origin a browser can send, and no others."""

from __future__ import annotations

from uuid import uuid4

import pytest

from webapp.visits.service import BadSiteError, create_site, origin_of

LONG_LABEL = "a" * 63


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://shop.example", "https://shop.example"),
        (" https://Shop.Example/ ", "https://shop.example"),
        ("HTTPS://shop.example:443", "https://shop.example"),
        ("http://shop.example:443", "http://shop.example:443"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("shop.example", "https://shop.example"),
        (" Shop.Example:8443/ ", "https://shop.example:8443"),
        ("localhost:3000", "http://localhost:3000"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("localhost.example", "https://localhost.example"),
        ("http://my_site.example", "http://my_site.example"),
        (f"https://{LONG_LABEL}.example", f"https://{LONG_LABEL}.example"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://xn--strae-oqa.example", "https://xn--strae-oqa.example"),
        ("https://shop.example.", "https://shop.example."),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://[2001:DB8:0::1]", "http://[2001:db8::1]"),
    ],
)
def test_an_address_becomes_the_origin_that_browsers_send(address: str, origin: str) -> None:
    assert origin_of(address) == origin
    assert origin_of(origin) == origin


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "http://"),
        ("shop.example/path", "after the host"),
        ("me@shop.example", "password"),
        ("javascript:alert(1)", "not the address"),
        ("ftp://shop.example", "http://"),
        ("//shop.example", "http://"),
        ("https://", "http://"),
        ("https://a b", "spaces"),
        ("https://a\tb.example", "spaces"),
        ("https://a\u00a0b.example", "spaces"),
        ("https://a.example\x00", "control"),
        ("\x00https://a.example", "control"),
        ("https://*.a.example", "subdomain"),
        ("https://*", "subdomain"),
        ("https://user:pw@a.example", "password"),
        ("https://@a.example", "password"),
        ("https://a.example/path", "after the host"),
        ("https://a.example//", "after the host"),
        ("https://a.example?x=1", "after the host"),
        ("https://a.example/#top", "after the host"),
        ("https://a.example:port", "not the address"),
        ("https://a.example:70000", "not the address"),
        ("https://[::1", "not the address"),
        ("https://[fe80::1%25eth0]", "not the"),
        ("https://a%20b.example", "not the name"),
        ("https://a..example", "not the name"),
        ("https://-a.example", "not the name"),
        ("https://a,b.example", "not the name"),
        ("https://a.example\\b", "not the name"),
        (f"https://{LONG_LABEL}a.example", "not the name"),
        ("http://127.1", "not the name"),
        ("http://300.1.1.1", "not the name"),
        ("https://straße.example", "xn--"),
    ],
)
def test_an_address_that_no_browser_ever_sends_is_refused_in_plain_words(address: str, words: str) -> None:
    with pytest.raises(BadSiteError) as caught:
        create_site(uuid4(), "Shop", address)
    assert caught.value.field == "origin"
    assert words in str(caught.value)
    assert str(caught.value).endswith("as in https://shop.example.")


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\x00b", "a\nb"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(BadSiteError) as caught:
        create_site(uuid4(), name, "https://shop.example")
    assert caught.value.field == "name"
