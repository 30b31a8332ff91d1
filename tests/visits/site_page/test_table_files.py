"""Every table as a file: linked beside it, the same in CSV and JSON, safe in a spreadsheet, nobody else's."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.records.support import add_record
from tests.visits.support import add_rows, add_site, count_all, make_row
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.products.models import PRODUCTS
from webapp.visits.backlog import Kind
from webapp.visits.models import Site
from webapp.visits.site_page import service
from webapp.visits.site_page.numbers import METRICS

RUN = '=HYPERLINK("https://evil.example")'
NUMBERS = ["visitors", "visits", "pageviews"]
STEPS = "&step=page:is:/pricing&step=event:begins:%3DHYPER"
TABLES: dict[str, tuple[str, str, list[str]]] = {
    "numbers": (
        "/visits?site={site}&range=yesterday",
        "/visits/numbers",
        ["starts_at", *METRICS, "compared_starts_at", *(f"compared_{name}" for name in METRICS)],
    ),
    "a list": ("/visits?site={site}&range=yesterday", "/visits/lists/country", ["country", "visits", "pageviews"]),
    "a list by visitors": (
        "/visits/lists/country?site={site}&range=yesterday&count=visitors",
        "/visits/lists/country",
        ["country", "visitors"],
    ),
    "goals": (
        "/visits?site={site}&range=yesterday",
        "/visits/goals",
        ["goal", "reached_when", "visitors", "conversion_rate"],
    ),
    "a funnel": (
        f"/visits/funnel?site={{site}}&range=yesterday{STEPS}",
        "/visits/funnel",
        ["step", "visitors", "of_first", "of_previous"],
    ),
    "journeys": ("/visits/journeys?site={site}&range=yesterday", "/visits/journeys", ["when"]),
    "weeks of return": ("/visits/retention?site={site}", "/visits/retention", ["week", "new_visitors", "is_estimate"]),
    "right now": ("/visits/now?site={site}", "/visits/now", ["list", "value", "visitors", "pageviews"]),
    "a weekly report": ("/visits/weekly?site={site}", "/visits/weekly", ["list", "value", "count", "share_or_change"]),
    "all sites": (
        "/visits",
        "/visits/sites",
        ["site", "addresses", *NUMBERS, *(f"{name}_before" for name in NUMBERS)],
    ),
    "refused links": (
        "/visits/refused-merges",
        "/visits/refused-merges",
        ["named", "on_a_browser_of", "website", "at"],
    ),
    "a product's views": (
        "/products/{product}",
        "/products/{product}/views",
        ["list", "value", "views", "views_before", "visitors"],
    ),
    "an unknown SKU's views": (
        "/products/unknown/sku?sku=%3Dsku-9",
        "/products/unknown/sku",
        ["list", "value", "views", "views_before", "visitors"],
    ),
    "unknown SKUs": ("/products/unknown", "/products/unknown", ["sku", "views", "last_viewed", "sites"]),
}


@pytest.fixture
def places(app: APIFlask, alice: Person, services: Settings) -> dict[str, str]:
    """Two sites that were heard today, yesterday and weeks ago, with all that tables tell of."""
    site, _ = add_site(app, alice.organisation_id), add_site(app, alice.organisation_id, "https://blog.example")
    product_id = add_record(app, alice, PRODUCTS, "cup")
    now = utc_now()
    for days in (0, 1, 2, 8, 15):
        add_rows(services, make_rows(site, days))
    add_rows(services, [make_row(site, now - timedelta(seconds=30), visitor="charlie")])
    count_all(app, services)
    with app.app_context(), tenant(alice.organisation_id):
        service.create_goal(site, RUN, "page", "/pricing")
        db.session.commit()
    return {"site": str(site.id), "product": str(product_id)}


def make_rows(site: Site, days_ago: int) -> list[Any]:
    """Bob's doings of a day, on whose browser somebody else is named later; he writes what spreadsheets would run."""
    at = utc_now() - timedelta(days=days_ago, minutes=10)
    told: list[dict[str, Any]] = [
        {"page_url": "https://shop.example/pricing", "country": "DE"},
        {"kind": int(Kind.EVENT), "name": RUN},
        {"kind": int(Kind.PRODUCT), "name": "=sku-9"},
        {"kind": int(Kind.PRODUCT), "name": "CUP"},
        {"kind": int(Kind.IDENTIFY), "name": "bob@example.com"},
        {"kind": int(Kind.IDENTIFY), "name": "=alice@example.com"},
    ]
    return [
        make_row(site, at + timedelta(seconds=index), visitor="bob", **changes) for index, changes in enumerate(told)
    ]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_comes_as_csv_and_json(alice: Person, places: dict[str, str], table: str) -> None:
    page, path, header = TABLES[table]
    links = links_of(alice, page.format(**places), path.format(**places))
    cells = list(csv.reader(io.StringIO(alice.client.get(links["csv"]).text.removeprefix("\ufeff"))))
    answer = alice.client.get(links["json"]).json or {}
    assert cells[0][: len(header)] == header
    assert len(cells) - 1 == len(answer["data"]) > 0
    assert [list(row) for row in answer["data"]] == [cells[0]] * len(answer["data"])
    assert not [cell for row in cells for cell in row if is_run(cell)]


def links_of(person: Person, page: str, path: str) -> dict[str, str]:
    """The page's links to the files of a table, which come as files with a name."""
    text = html.unescape(person.client.get(page).text)
    found = {kind: re.search(rf'href="({re.escape(path)}/{kind}[^"]*)" download', text) for kind in ("csv", "json")}
    assert all(found.values()), (page, path)
    links = {kind: match[1] for kind, match in found.items() if match}
    for kind, link in links.items():
        answer = person.client.get(link)
        assert answer.status_code == 200, answer.text
        assert re.fullmatch(rf'attachment; filename="[\w-]+\.{kind}"', answer.headers["Content-Disposition"])
    return links


def is_run(cell: str) -> bool:
    """Whether a spreadsheet would run it; a number may be negative."""
    return cell.startswith(("=", "+", "-", "@")) and not re.fullmatch(r"-\d+(\.\d+)?", cell)


@pytest.mark.parametrize("table", TABLES)
def test_charlie_gets_nothing_of_alices_tables(
    alice: Person, charlie: Person, places: dict[str, str], table: str
) -> None:
    page, path, _ = TABLES[table]
    for link in links_of(alice, page.format(**places), path.format(**places)).values():
        answer = charlie.client.get(link)
        if answer.status_code != 404:
            assert table in {"all sites", "refused links", "unknown SKUs"}, "they are of whoever asks"
            assert "shop.example" not in answer.text
            assert "sku-9" not in answer.text.lower()
            assert "alice" not in answer.text


def test_numbers_stand_beside_those_they_are_compared_with(alice: Person, places: dict[str, str]) -> None:
    query = f"?site={places['site']}&range=yesterday"
    rows = (alice.client.get(f"/visits/numbers/json{query}").json or {})["data"]
    for row in rows:
        assert row["compared_starts_at"] < row["starts_at"]
    assert sum(row["pageviews"] for row in rows) == sum(row["compared_pageviews"] for row in rows) == 1
    alone = (alice.client.get(f"/visits/numbers/json{query}&compare=none").json or {})["data"]
    assert list(alone[0]) == ["starts_at", *METRICS]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/visits/funnel/csv?site={site}", 422),
        ("/visits/funnel/csv?site={site}&step=weather:is:sunny&step=page:is:/", 422),
        ("/visits/goals/csv?site={site}&where=page:is:/pricing", 404),
        ("/visits/weekly/csv?site={site}&week=2020-01-01", 404),
        ("/visits/sites/csv?range=weather", 422),
        ("/visits/now/xml?site={site}", 404),
    ],
)
def test_what_is_no_table_is_no_file(alice: Person, places: dict[str, str], path: str, status: int) -> None:
    assert alice.client.get(path.format(**places)).status_code == status


def test_a_shared_link_gives_goals_only_where_it_shows_them(
    app: APIFlask, alice: Person, charlie: Person, places: dict[str, str]
) -> None:
    with app.app_context(), tenant(alice.organisation_id):
        site = db.session.get(Site, (alice.organisation_id, UUID(places["site"])))
        assert site is not None
        shown, hidden = (service.share(site, str(shows), [], shows_goals=shows).secret for shows in (True, False))
        db.session.commit()
    page = html.unescape(charlie.client.get(f"/shared/{shown}?range=yesterday").text)
    link = re.search(r'href="(/shared/[^"]+/goals/csv[^"]*)"', page)
    assert link is not None
    assert "HYPERLINK" in charlie.client.get(link[1]).text
    assert charlie.client.get(f"/shared/{hidden}/goals/csv").status_code == 404
    assert "/goals/csv" not in charlie.client.get(f"/shared/{hidden}?range=yesterday").text
