"""A site's page: numbers, filters in the address, lists and their files, right now, goals, segments and notes."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from apiflask import APIFlask
from sqlalchemy import update
from werkzeug.datastructures import MultiDict

from tests.conftest import Person
from tests.visits.site_page.support import json_of, store, visit, yesterday
from tests.visits.support import add_rows, add_site, count_all, make_row
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.visits.models import Site

DAY = {"range": "yesterday"}


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    """Four visits of three visitors yesterday, as raw rows; and one of days before, so that the site was heard from."""
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, yesterday() - timedelta(days=3))])
    count_all(app, services)
    store(
        app,
        site,
        visit(1, ["/", "/pricing"], yesterday(9), "sign-up", country="DE", device="desktop", channel="search"),
        visit(1, ["/pricing"], yesterday(15), country="DE", device="desktop", channel="direct"),
        visit(2, ["/blog/one", "/", "/pricing"], yesterday(10), country="FR", device="mobile", channel="search"),
        visit(3, ["/"], yesterday(11), country="GB", device="mobile", channel="social"),
    )
    return site


def numbers_of(person: Person, site: Site, *where: str) -> dict[str, float]:
    """Yesterday's numbers under these filters, added up over its hours but for visitors."""
    rows = json_of(person.client, "/visits/numbers/json", site=str(site.id), where=list(where), **DAY)
    return {name: sum(row[name] or 0 for row in rows) for name in ("visits", "pageviews", "events")}


def test_filters_combine_and_count_only_what_passes_all_of_them(alice: Person, site: Site) -> None:
    assert numbers_of(alice, site, "country:is:DE") == {"visits": 2, "pageviews": 3, "events": 1}
    assert numbers_of(alice, site, "country:is:DE", "country:is:FR") == {"visits": 3, "pageviews": 6, "events": 1}
    assert numbers_of(alice, site, "country:is_not:DE", "channel:is:search") == {
        "visits": 1,
        "pageviews": 3,
        "events": 0,
    }
    assert numbers_of(alice, site, "entry_page:begins:/blog") == {"visits": 1, "pageviews": 3, "events": 0}
    assert numbers_of(alice, site, "page:contains:pricing", "device:is:mobile")["pageviews"] == 1


def test_filters_stand_as_chips_that_take_themselves_away(alice: Person, site: Site) -> None:
    address = f"/visits?site={site.id}&range=yesterday&where=country:is:DE&where=page:begins:/pri"
    page = alice.client.get(address).text
    assert "Country is Germany" in page
    assert "Page begins with /pri" in page
    removal = re.search(r'href="([^"]+)"[^>]*aria-label="Remove the filter “Country is Germany”"', page)
    assert removal is not None
    assert "where=page:begins:/pri" in removal[1]
    assert "country" not in removal[1]


def test_the_form_adds_a_filter_without_javascript(alice: Person, site: Site) -> None:
    query = {"site": str(site.id), "where": "device:is:mobile", "field": "country", "operator": "is", "value": "France"}
    answer = alice.client.get("/visits", query_string=query)
    assert answer.status_code == 303
    assert "where=device:is:mobile&where=country:is:FR" in answer.location


def test_every_line_of_a_list_filters_by_itself(alice: Person, site: Site) -> None:
    page = alice.client.get(f"/visits?site={site.id}&range=yesterday&where=channel:is:search").text
    assert 'where=country:is:DE"' in page.replace("channel:is:search&amp;", "")
    places = page.partition('id="places-title"')[2].partition("</section>")[0]
    assert "Germany" in places
    assert "United Kingdom" not in places


def test_wrong_filters_are_explained_and_everything_is_shown(alice: Person, site: Site) -> None:
    page = alice.client.get(f"/visits?site={site.id}&where=weather:is:sunny")
    assert page.status_code == 422
    assert "be filtered by “weather”" in page.text


def test_a_whole_list_is_searched_and_comes_as_csv_and_json(alice: Person, site: Site) -> None:
    query = {"site": str(site.id), "where": "device:is:mobile", **DAY}
    rows = json_of(alice.client, "/visits/lists/page/json", **query)
    assert [(row["page"].removeprefix("https://shop.example"), row["pageviews"]) for row in rows] == [
        ("/", 2),
        ("/blog/one", 1),
        ("/pricing", 1),
    ]
    searched = alice.client.get("/visits/lists/page", query_string={**query, "q": "BLOG"}).text
    assert "/blog/one" in searched
    assert "/pricing" not in searched
    text = alice.client.get("/visits/lists/page/csv", query_string=query).text
    assert text.splitlines()[0] == "\ufeffpage,pageviews,entries,time_on_page"
    assert alice.client.get("/visits/lists/weather", query_string=query).status_code == 404


def test_a_whole_list_tells_visitors_where_one_asks_for_them(alice: Person, site: Site) -> None:
    query = {"site": str(site.id), "range": "yesterday"}
    page = alice.client.get("/visits/lists/country", query_string=query).text
    assert ">Visitors</a>" in page
    assert "count=visitors" not in alice.client.get("/visits/lists/event", query_string=query).text, "has them"
    page = alice.client.get("/visits/lists/country", query_string={**query, "count": "visitors"}).text
    assert '<th class="table__number" scope="col">Visitors</th>' in page
    assert re.search(r'lists/country/csv\?[^"]*count=visitors', page)
    rows = json_of(alice.client, "/visits/lists/country/json", **query, count="visitors")
    api = {row["country"]: row["visitors"] for row in rows}
    assert api == {"DE": 1, "FR": 1, "GB": 1}
    searched = alice.client.get("/visits/lists/country", query_string={**query, "count": "visitors", "q": "ger"}).text
    assert "Germany" in searched
    assert "France" not in searched


def test_a_cell_that_a_spreadsheet_would_run_is_neutralised(app: APIFlask, alice: Person, site: Site) -> None:
    store(app, site, visit(9, ["/"], yesterday(), '=HYPERLINK("evil")'))
    query = {"site": str(site.id), "where": "country:is:", **DAY}
    assert "'=HYPERLINK" in alice.client.get("/visits/lists/event/csv", query_string=query).text


def test_right_now_shows_who_was_there_in_the_last_five_minutes(app: APIFlask, alice: Person, site: Site) -> None:
    store(app, site, visit(7, ["/pricing"], utc_now(), country="SE"))
    page = alice.client.get(f"/visits/now?site={site.id}").text
    assert '<span class="now__number">1</span> visitor in' in page
    assert "Sweden" in page
    assert "/pricing" in page


def test_nobody_right_now_is_said(alice: Person, site: Site) -> None:
    assert "Nobody is there at the moment" in alice.client.get(f"/visits/now?site={site.id}").text


def test_a_goal_says_how_many_visitors_reached_it_and_filters(alice: Person, site: Site) -> None:
    goals = f"/visits/sites/{site.id}/goals"
    for form in (
        {"kind": "page", "value": "/pricing", "name": "Saw the prices"},
        {"kind": "event", "value": "sign-up", "name": "Signed up"},
        {"kind": "page", "value": "/blog/*", "name": "Read the blog"},
    ):
        assert alice.client.post(goals, data=form).status_code == 303
    page = alice.client.get(f"/visits?site={site.id}&range=yesterday&where=country:is_not:XX").text
    card = page.partition('id="goals-title"')[2].partition("</section>")[0]
    found = re.findall(r"</svg>([^<]+)</a></th><td>(\d+)</td><td[^>]*>([\d.]+%)", card)
    assert found == [("Saw the prices", "2", "66.7%"), ("Signed up", "1", "33.3%"), ("Read the blog", "1", "33.3%")]
    assert "where=page:begins:/blog/" in card


@pytest.mark.parametrize(
    "form",
    [
        {"kind": "page", "value": ""},
        {"kind": "page", "value": "/a*b"},
        {"kind": "event", "value": "x", "name": "n" * 101},
    ],
)
def test_a_goal_that_cannot_be_is_explained_in_the_form(alice: Person, site: Site, form: dict[str, str]) -> None:
    answer = alice.client.post(f"/visits/sites/{site.id}/goals", data=form)
    assert answer.status_code == 422
    assert "aria-invalid" in answer.text


def test_goals_notes_and_segments_can_be_deleted_by_their_organisation_only(
    alice: Person, charlie: Person, site: Site
) -> None:
    alice.client.post(f"/visits/sites/{site.id}/goals", data={"kind": "event", "value": "sign-up"})
    page = alice.client.get(f"/visits/sites/{site.id}/goals").text
    address = re.search(r'action="(/visits/goals/[^"]+/delete)"', page)
    assert address is not None
    assert charlie.client.post(address[1]).status_code == 404
    assert alice.client.post(address[1]).status_code == 303
    assert "No goals yet" in alice.client.get(f"/visits/sites/{site.id}/goals").text


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("country", ["France", "United Kingdom"]),
        ("page", ["/blog/one", "/", "/pricing"]),
        ("channel", ["Search", "Social"]),
        ("x", []),
    ],
)
def test_the_form_of_filters_offers_values_as_people_type_them(
    alice: Person, site: Site, field: str, values: list[str]
) -> None:
    query = {"site": str(site.id), "range": "yesterday", "field": field, "where": "device:is:mobile"}
    part = alice.client.get("/visits/filter-values", query_string=query)
    assert part.status_code == 200
    assert set(re.findall(r'<option value="([^"]*)">', part.text)) == set(values)


def test_a_segment_is_a_name_for_filters(alice: Person, site: Site) -> None:
    form = {"name": "Germans on phones", "where": ["country:is:DE", "device:is:mobile"]}
    saved = alice.client.post(f"/visits/sites/{site.id}/segments", data=form)
    assert saved.status_code == 303
    page = alice.client.get(f"/visits?site={site.id}").text
    assert "“Germans on phones” is saved" in page
    assert re.search(r'where=country:is:DE&amp;where=device:is:mobile"[^>]*>Germans on phones</a>', page)
    assert alice.client.post(f"/visits/sites/{site.id}/segments", data={"name": "Nothing"}).status_code == 422


def test_a_segment_saved_on_another_page_leads_back_to_that_page(alice: Person, site: Site) -> None:
    address = f"/visits/funnel?site={site.id}&range=7d&where=country:is:DE&step=page:is:/pricing"
    form = alice.client.get(address).text.partition("/segments")[2].partition("</form>")[0]
    hidden = [(name, html.unescape(value)) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form)]
    saved = alice.client.post(f"/visits/sites/{site.id}/segments", data=MultiDict([*hidden, ("name", "Germans")]))
    assert saved.location == address
    away = {"name": "Away", "where": "country:is:DE", "back": "https://elsewhere.example/"}
    assert alice.client.post(f"/visits/sites/{site.id}/segments", data=away).location.startswith("/visits?site=")


def test_a_note_stands_on_the_chart_and_below_it(alice: Person, site: Site) -> None:
    day = yesterday().date().isoformat()
    assert f'type="date" value="{utc_now().date()}"' in alice.client.get(f"/visits/sites/{site.id}/notes").text
    added = alice.client.post(f"/visits/sites/{site.id}/notes", data={"day": day, "text": "Newsletter <sent>"})
    assert added.status_code == 303
    page = alice.client.get(f"/visits?site={site.id}&range=7d").text
    assert "Newsletter &lt;sent&gt;" in page
    assert '"hovertext": "Newsletter \\u003csent\\u003e"' in page
    assert "Newsletter" not in alice.client.get(f"/visits?site={site.id}&range=today").text


def test_several_sites_are_shown_at_a_glance(app: APIFlask, alice: Person, site: Site) -> None:
    other = add_site(app, alice.organisation_id, "https://other.example")
    page = alice.client.get("/visits?range=7d").text
    assert "All sites" in page
    assert f"/visits?site={site.id}&amp;range=7d" in page
    assert f"/visits?site={other.id}" in page
    assert "No visits in these days" in page


def test_an_event_is_a_filter_of_visits(alice: Person, site: Site) -> None:
    assert numbers_of(alice, site, "event:is:sign-up") == {"visits": 1, "pageviews": 2, "events": 1}
    assert numbers_of(alice, site, "event:is_not:sign-up") == {"visits": 3, "pageviews": 5, "events": 0}
    assert numbers_of(alice, site, "event:is:sign-up", "page:is:/") == {"visits": 1, "pageviews": 1, "events": 0}
    page = alice.client.get(f"/visits?site={site.id}&range=yesterday&where=event:is:sign-up").text
    pages = page.partition('id="pages-title"')[2].partition("</section>")[0]
    assert "/pricing" in pages
    assert "Nothing passes" not in pages


def test_a_goal_typed_without_its_slash_is_the_page(alice: Person, site: Site) -> None:
    goals = f"/visits/sites/{site.id}/goals"
    for kind in ("page", "event"):
        alice.client.post(goals, data={"kind": kind, "value": "thanks"})
    page = alice.client.get(goals).text
    assert "page is /thanks" in page
    assert "event is thanks" in page


def test_goals_are_worked_out_of_visits_with_an_event(alice: Person, site: Site) -> None:
    goals = f"/visits/sites/{site.id}/goals"
    alice.client.post(goals, data={"kind": "page", "value": "/pricing", "name": "Saw the prices"})
    alice.client.post(goals, data={"kind": "event", "value": "sign-up", "name": "Signed up"})
    for where, rates in (("event:is:sign-up", ["100.0%", "100.0%"]), ("event:is_not:sign-up", ["66.7%", "0.0%"])):
        page = alice.client.get(f"/visits?site={site.id}&range=yesterday&where={where}").text
        assert re.findall(r'tops__share">([\d.]+%)', page.partition('id="goals-title"')[2]) == rates


def test_lists_of_sources_count_the_views_of_a_filtered_page(alice: Person, site: Site) -> None:
    query = {"site": str(site.id), "where": "page:is:/pricing", **DAY}
    told = {field: json_of(alice.client, f"/visits/lists/{field}/json", **query) for field in ("channel", "country")}
    assert {row["channel"]: row["pageviews"] for row in told["channel"]} == {"search": 2, "direct": 1}
    assert {row["country"]: row["pageviews"] for row in told["country"]} == {"DE": 2, "FR": 1}


def test_a_path_is_found_on_any_host_of_a_site_without_addresses(
    app: APIFlask, alice: Person, services: Settings, site: Site
) -> None:
    with app.app_context(), tenant(site.organisation_id):
        db.session.execute(update(Site).where(Site.organisation_id == site.organisation_id).values(origins=[]))
        db.session.commit()
    assert numbers_of(alice, site, "page:is:/pricing") == {"visits": 3, "pageviews": 3, "events": 1}
    assert numbers_of(alice, site, "entry_page:begins:/blog") == {"visits": 1, "pageviews": 3, "events": 0}
    assert numbers_of(alice, site, "page:is_not:/pricing")["pageviews"] == 4
    funnel = alice.client.get(
        f"/visits/funnel?site={site.id}&range=yesterday&step=page:is:/&step=page:is:/pricing"
    ).text
    assert re.findall(r'table__number">(\d+)</td>', funnel) == ["3", "2"]
