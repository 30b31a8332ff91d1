"""Every line of every list is a link to its filter, and the page that it leads to counts as much as the line says."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.site_page.support import yesterday
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row
from webapp.config import Settings
from webapp.visits.backlog import Kind
from webapp.visits.models import Site
from webapp.visits.questions import Figures
from webapp.visits.site_page.fields import LABELS, OTHER
from webapp.visits.site_page.lists import Line

ENGLISH = {"country": "GB", "language": "en-GB", "device": "desktop", "browser": "Firefox", "system": "Linux"}
GERMAN = {"country": "DE", "language": "de", "device": "mobile", "browser": "Chrome", "system": "Android"}
LETTER = {
    "utm_source": "letter",
    "utm_medium": "email",
    "utm_campaign": "spring",
    "utm_term": "tea",
    "utm_content": "top",
}
HEADERS_OF = {
    "page": ("Pageviews",),
    "event": ("Events", "Visitors"),
    "property": ("Events",),
    "product": ("", "Visitors"),
}
"""Which numbers of the header a list's columns are about; of all other lists the first is about visits.

No number of the header counts how often products were looked at.
"""
LINE = re.compile(
    r'<th scope="row" title="([^"]*)"><a class="table__link" href="([^"]+)">.*?</th>(.*?)</tr>', re.DOTALL
)
FIGURE = re.compile(r'figure__label">([^<]+)</span>\s*<span class="figure__value">(?:<span[^>]*>[^<]*</span>)?([^<]*)<')


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    """Three visitors of yesterday, with every field filled in at least once and left out at least once."""
    site = add_site(app, alice.organisation_id)
    rows = []
    for number, (known, referrer) in enumerate(((ENGLISH | LETTER, "https://www.google.com/"), (GERMAN, ""), ({}, ""))):
        shared = {"visitor": f"b{number}", "referrer": referrer, "screen": "1280x720" if known else "", **known}
        for minute, path in enumerate(["/", "/pricing", "/pricing", "/beans"][number:]):
            at = yesterday(9 + number) + timedelta(minutes=minute)
            rows.append(make_row(site, at, **{**shared, "page_url": f"{ORIGIN}{path}"}))
        deed = {**shared, "page_url": f"{ORIGIN}/beans", "kind": Kind.EVENT, "name": "order"}
        at = yesterday(9 + number) + timedelta(minutes=5)
        rows += [make_row(site, at, **{**deed, "props": f'{{"plan":"{"pro" if number else "free"}"}}'})] * (number < 2)
        rows.append(make_row(site, at, **{**deed, "kind": Kind.PRODUCT, "name": f"SKU-{number % 2}"}))
        rows.append(make_row(site, at + timedelta(minutes=1), **{**deed, "kind": Kind.PRODUCT, "name": "SKU-1"}))
    add_rows(services, rows)
    count_all(app, services)
    return site


def figures_of(person: Person, url: str) -> dict[str, str]:
    """The numbers in the header of a site's page."""
    answer = person.client.get(url)
    assert answer.status_code == 200, url
    return {label.strip(): value.strip() for label, value in FIGURE.findall(html.unescape(answer.text))}


def lines_of(person: Person, site: Site, field: str) -> list[tuple[str, str, list[str]]]:
    """Value, address and numbers of every line."""
    page = person.client.get(f"/visits/lists/{field}?site={site.id}&range=yesterday").text
    return [
        (html.unescape(value), html.unescape(url), [text.strip() for text in re.findall(r">([^<]*)</td>", cells)])
        for value, url, cells in LINE.findall(page)
    ]


@pytest.mark.parametrize("field", LABELS)
def test_a_click_on_a_line_shows_as_much_as_the_line_says(alice: Person, site: Site, field: str) -> None:
    lines = lines_of(alice, site, field)
    assert lines
    assert OTHER not in [value for value, _, _ in lines]
    for value, url, counts in lines:
        figures = figures_of(alice, url)
        for label, count in zip(HEADERS_OF.get(field, ("Visits",)), counts, strict=False):
            assert not label or figures[label] == count, f"{field} {value!r}: {figures}"


@pytest.mark.parametrize(
    ("field", "fraction", "figures", "words"),
    [
        ("country", 0.125, Figures(), "12%"),
        ("country", 0.001, Figures(), "<1%"),
        ("country", 0.0, Figures(), "0%"),
        ("event", 0.5, Figures(visitor_count=1450), "1,450"),
        ("event", 0.5, Figures(visitor_count=1450, is_estimate=True), "≈ 1,450"),
    ],
)
def test_a_small_share_is_not_nothing_and_an_estimate_says_so(
    field: str, fraction: float, figures: Figures, words: str
) -> None:
    assert Line(field, "x", "x", "", "", 1, fraction, figures, is_chosen=False).second == words
