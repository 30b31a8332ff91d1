"""Funnels whose steps stand in the address, and the weeks in which visitors come again."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.site_page.support import site_with, store, visit, yesterday
from tests.visits.support import add_site
from webapp.visits.models import Site

NUMBER = r'<td class="table__number">([\d,]+)</td>'


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    """Three visitors yesterday: all saw the prices, two went on to the checkout, one of them signed up."""
    return site_with(
        app,
        alice,
        visit(1, ["/pricing", "/checkout", "/thanks"], yesterday(9), country="DE"),
        visit(2, ["/pricing", "/checkout"], yesterday(10), country="FR"),
        visit(3, ["/checkout", "/pricing"], yesterday(11), country="FR"),
    )


def test_a_funnel_counts_who_did_each_step_after_the_one_before(alice: Person, site: Site) -> None:
    steps = ["page:is:/pricing", "page:is:/checkout", "page:begins:/thank"]
    query = {"site": str(site.id), "range": "yesterday", "step": steps}
    page = alice.client.get("/visits/funnel", query_string=query)
    assert page.status_code == 200
    assert re.findall(NUMBER, page.text) == ["3", "2", "1"]
    assert "66.7%" in page.text
    assert "50.0%" in page.text
    french = alice.client.get("/visits/funnel", query_string={**query, "where": "country:is:FR"}).text
    assert re.findall(NUMBER, french) == ["2", "1", "0"]


def test_steps_are_added_by_a_form_and_taken_away_by_a_link(alice: Person, site: Site) -> None:
    query = {"site": str(site.id), "step": "page:is:/pricing", "kind": "page", "value": "/orders/*"}
    added = alice.client.get("/visits/funnel", query_string=query)
    assert added.status_code == 303
    assert added.location.endswith("step=page:is:/pricing&step=page:begins:/orders/")
    page = alice.client.get(added.location).text
    removal = re.search(r'href="([^"]+)" aria-label="Remove step 1: page is /pricing"', page)
    assert removal is not None
    assert removal[1].endswith("step=page:begins:/orders/")


def test_a_step_typed_without_its_slash_is_the_page(alice: Person, site: Site) -> None:
    query = {"site": str(site.id), "kind": "page", "value": " orders/*"}
    added = alice.client.get("/visits/funnel", query_string=query)
    assert added.location.endswith("step=page:begins:/orders/")
    too_long = alice.client.get("/visits/funnel", query_string={**query, "value": "x" * 3000})
    assert too_long.status_code == 422
    assert "too long" in too_long.text


def test_one_step_asks_for_the_next_and_none_for_the_first(alice: Person, site: Site) -> None:
    assert "Where do people turn back?" in alice.client.get(f"/visits/funnel?site={site.id}").text
    one = alice.client.get(f"/visits/funnel?site={site.id}&step=page:is:/pricing").text
    assert "a funnel begins with two steps" in one


@pytest.mark.parametrize("address", ["", "/now", "/journeys", "/funnel", "/retention"])
def test_a_click_on_dates_or_filters_swaps_the_figures_of_every_page(alice: Person, site: Site, address: str) -> None:
    query = {"site": str(site.id), "range": "7d", "step": ["page:is:/pricing", "page:is:/checkout"]}
    part = alice.client.get(f"/visits{address}", query_string=query, headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert part.text.lstrip().startswith('<div class="stack visits" id="figures"')


@pytest.mark.parametrize("steps", [["country:is:DE"], ["page"], ["page:is:/"] * 9])
def test_steps_that_cannot_be_are_explained(alice: Person, site: Site, steps: list[str]) -> None:
    query = {"site": str(site.id), "step": steps}
    assert alice.client.get("/visits/funnel", query_string=query).status_code == 422


def test_those_who_come_again_are_counted_in_the_week_in_which_they_do(
    app: APIFlask, alice: Person, site: Site
) -> None:
    store(
        app, site, visit(8, ["/"], yesterday() - timedelta(weeks=3)), visit(8, ["/"], yesterday() - timedelta(weeks=1))
    )
    store(app, site, visit(9, ["/"], yesterday() - timedelta(weeks=3)))
    page = alice.client.get(f"/visits/retention?site={site.id}").text
    first = page.partition("<tbody>")[2].partition("</tr>")[0]
    assert re.findall(NUMBER, first) == ["2"]
    assert re.findall(r">(\d+)%</td>", first)[:3] == ["0", "50", "0"]


def test_who_came_before_the_shown_weeks_is_not_new(app: APIFlask, alice: Person, site: Site) -> None:
    store(app, site, visit(8, ["/"], yesterday() - timedelta(weeks=14)), visit(8, ["/"], yesterday()))
    page = alice.client.get(f"/visits/retention?site={site.id}").text
    assert "Nobody came in these weeks" not in page
    new = [re.findall(NUMBER, row)[0] for row in page.partition("<tbody>")[2].split("</tr>")[:-1]]
    assert sum(map(int, new)) == len({1, 2, 3})


def test_a_week_that_is_not_over_is_told_apart(app: APIFlask, alice: Person, site: Site) -> None:
    store(app, site, visit(8, ["/"], yesterday() - timedelta(weeks=2)), visit(8, ["/"], yesterday()))
    page = alice.client.get(f"/visits/retention?site={site.id}").text
    rows = page.partition("<tbody>")[2].partition("</tbody>")[0].split("</tr>")[:-1]
    assert [row.count("--under-way") for row in rows] == [1] * len(rows)
    assert "of the week that is not over" in page
    over = (yesterday() - timedelta(days=yesterday().weekday() + 1)).date()
    custom = {"site": str(site.id), "range": "custom", "from": over.isoformat(), "to": over.isoformat()}
    assert "--under-way" not in alice.client.get("/visits/retention", query_string=custom).text


def test_retention_and_funnels_are_filtered_by_the_form_and_freed_by_a_chip(alice: Person, site: Site) -> None:
    step = "page:is:/pricing"
    form = {"site": str(site.id), "field": "country", "operator": "is", "value": "France"}
    for page, more in (("retention", {}), ("funnel", {"step": [step, "page:is:/checkout"]})):
        answer = alice.client.get(f"/visits/{page}", query_string={**form, **more})
        assert answer.status_code == 303
        assert answer.location.startswith(f"/visits/{page}?")
        assert "where=country:is:FR" in answer.location
        filtered = alice.client.get(answer.location).text
        assert "Country is France" in filtered
        removal = re.search(r'href="([^"]+)"[^>]*aria-label="Remove the filter “Country is France”"', filtered)
        assert removal is not None
        assert "country" not in removal[1]
        assert (step in removal[1]) is (page == "funnel")
        days = re.search(r'href="([^"]+)"[^>]*>7 days</a>', filtered)
        assert days is not None
        assert days[1].startswith(f"/visits/{page}?")
        assert "country:is:FR" in days[1]
        dates = filtered.partition('id="dates"')[2].partition("</form>")[0]
        assert dates.count('name="step"') == len(more.get("step", []))


def test_nobody_yet_is_said(app: APIFlask, alice: Person) -> None:
    empty = add_site(app, alice.organisation_id)
    assert "Nobody came in these weeks" in alice.client.get(f"/visits/retention?site={empty.id}").text


def test_charlie_sees_neither(charlie: Person, site: Site) -> None:
    for page in ("funnel", "retention"):
        assert charlie.client.get(f"/visits/{page}?site={site.id}").status_code == 404
