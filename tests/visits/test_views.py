"""The visits page as people see it."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row
from webapp.config import Settings
from webapp.lib.clock import utc_now


def figure_of(html: str) -> dict[str, object]:
    match = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert match is not None
    figure: dict[str, object] = json.loads(match[1])
    return figure


def test_without_a_site_the_page_offers_to_make_one(alice: Person) -> None:
    page = alice.client.get("/visits")
    assert page.status_code == 200
    assert 'action="/visits/sites"' in page.text


def test_a_new_site_shows_its_snippet_and_waits_to_be_heard_from(alice: Person, services: Settings) -> None:
    made = alice.client.post("/visits/sites", data={"name": "Shop", "origin": "https://Shop.example:443/"})
    assert made.status_code == 303
    site = alice.client.get(made.location)
    assert f"{services.edge_url}/tracker.js" in site.text
    assert "https://shop.example<" in site.text
    page = alice.client.get("/visits")
    assert "Nothing has been heard yet" in page.text
    assert "tracker.js" in page.text


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("", ORIGIN),
        ("a\x01b", ORIGIN),
        ("Shop", ""),
        ("Shop", "ftp://shop.example"),
        ("Shop", "https://*.shop.example"),
    ],
)
def test_a_site_that_cannot_be_is_explained_in_the_form(alice: Person, name: str, origin: str) -> None:
    answer = alice.client.post("/visits/sites", data={"name": name, "origin": origin})
    assert answer.status_code == 422
    assert "aria-invalid" in answer.text
    assert f'value="{name}"' in answer.text


@pytest.mark.parametrize("preset", ["today", "yesterday", "7d", "30d", "90d", "12m"])
def test_every_range_has_its_numbers_and_its_chart(
    app: APIFlask, alice: Person, services: Settings, preset: str
) -> None:
    site = add_site(app, alice.organisation_id)
    now = utc_now()
    add_rows(services, [make_row(site, now - timedelta(days=days), visitor=f"v{days}") for days in range(120)])
    count_all(app, services)
    page = alice.client.get(f"/visits?range={preset}&metric=pageviews")
    assert page.status_code == 200
    traces = figure_of(page.text)["data"]
    assert isinstance(traces, list)
    compared = [] if preset == "12m" else ["Compared"]
    assert [trace["name"] for trace in traces] == ["Pageviews", *compared]
    expected = {"today": 1, "yesterday": 1, "7d": 7, "30d": 30, "90d": 90}
    if preset in expected:
        assert sum(filter(None, traces[0]["y"])) == expected[preset]


def test_the_figure_is_one_that_plotly_knows(app: APIFlask, alice: Person, services: Settings) -> None:
    go = pytest.importorskip("plotly.graph_objects")
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site)])
    count_all(app, services)
    for query in ("range=30d", "range=90d&by=day", "range=today&by=minute", "range=12m"):
        figure = json.dumps(figure_of(alice.client.get(f"/visits?{query}").text))
        plain = json.loads(
            re.sub(r'"var\(--font\)"', '"sans-serif"', re.sub(r'"var\(--chart[a-z0-9-]*\)"', '"#000000"', figure))
        )
        go.Figure(plain)


def test_the_live_part_comes_alone(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site)])
    count_all(app, services)
    part = alice.client.get("/visits?range=7d", headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert "<html" not in part.text
    assert 'id="figures"' in part.text
    page = alice.client.get("/visits?range=7d").text
    assert "hx-sse:connect" in page
    assert f'id="counted" hx-get="/visits?site={site.id}&amp;range=7d"' in page


def test_the_bars_of_a_top_list_are_as_long_as_the_shares(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, page_url=f"{ORIGIN}/{number // 3}") for number in range(4)])
    count_all(app, services)
    page = alice.client.get("/visits?range=today").text
    pages = page.partition('id="pages-title"')[2].partition("</section>")[0]
    assert re.findall(r'<rect width="(.*?)%"', pages) == ["75.0", "25.0"]
    assert "style=" not in page.partition('class="visits-tops"')[2]


def test_wrong_dates_are_explained_and_the_usual_ones_shown(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site)])
    count_all(app, services)
    page = alice.client.get("/visits?range=custom&from=2026-02-30&to=x")
    assert page.status_code == 422
    assert "Give both dates" in page.text
    assert alice.client.get("/visits?range=custom&from=2026-01-01&to=2026-02-01").status_code == 200


def test_a_page_address_cannot_smuggle_in_markup(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, page_url=f"{ORIGIN}/</script><script>alert(1)</script>")])
    count_all(app, services)
    assert "<script>alert(1)" not in alice.client.get("/visits?range=today").text


def test_charlie_sees_nothing_of_alices_sites(
    app: APIFlask, alice: Person, charlie: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site)])
    count_all(app, services)
    assert charlie.client.get(f"/visits/sites/{site.id}").status_code == 404
    assert site.site_key not in charlie.client.get(f"/visits?site={site.id}").text
    add_site(app, charlie.organisation_id, "https://charlie.example")
    assert charlie.client.get(f"/visits?site={site.id}&range=30d").status_code == 404
    page = charlie.client.get("/visits?range=30d").text
    assert ORIGIN not in page
    assert "Nothing has been heard yet" in page
