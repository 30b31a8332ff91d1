"""Links that are limited to some pages or events tell nothing else that the visits behind them saw or did."""

from __future__ import annotations

import re

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person
from tests.visits.site_page.support import json_of, store, visit, yesterday
from tests.visits.site_page.test_shared_links import share
from tests.visits.support import add_rows, add_site, count_all, make_row
from webapp.config import Settings
from webapp.visits.models import Site
from webapp.visits.questions import FIELDS
from webapp.visits.site_page.filters import read_filters
from webapp.visits.site_page.limits import is_told, may_be_asked

DAY = {"range": "yesterday"}
TELLING = ("/secret", "/thanks", "/start", "/end", "cancelled")
"""Pages and events that only a look at whole visits knows of."""
PAGE, EVENT = "page:is:/pricing", "event:is:sign-up"
TABS = {"pages": "entry_page", "events": "property", "sources": "referrer"}


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, yesterday())])
    count_all(app, services)
    store(
        app,
        site,
        visit(1, ["/start", "/pricing", "/thanks"], yesterday(9), "sign-up", country="DE", channel="search"),
        visit(2, ["/secret", "/pricing", "/end"], yesterday(9), "cancelled", country="FR", channel="search"),
    )
    both = visit(3, ["/secret", "/thanks"], yesterday(10), "sign-up", country="GB", channel="direct")
    both.activity.append({**both.activity[-1], "name": "cancelled", "visited_ms": both.activity[-1]["visited_ms"] + 1})
    store(app, site, both)
    goals = f"/visits/sites/{site.id}/goals"
    alice.client.post(goals, data={"kind": "page", "value": "/secret", "name": "cancelled"})
    return site


def addresses(path: str) -> list[str]:
    """Every address of a link that anybody can ask for."""
    lists = [f"{path}/lists/{field}{kind}" for field in FIELDS for kind in ("", "/csv", "/json")]
    others = ("", "/numbers/csv", "/numbers/json", "/journeys", "/journeys/csv", "/journeys/json")
    return [*lists, *(f"{path}{other}" for other in others)]


@pytest.mark.parametrize("limit", [PAGE, EVENT, "property:contains:sign-up\x1fplan\x1f", "product:is:SKU-1"])
def test_no_address_of_a_narrow_link_tells_another_page_or_event(
    client: FlaskClient, alice: Person, site: Site, limit: str
) -> None:
    path = share(alice, site, limit, goals="yes")
    for address in addresses(path):
        for query in (DAY, {**DAY, **TABS}):
            answer = client.get(address, query_string=query)
            assert answer.status_code in {200, 404}, address
            assert not [told for told in TELLING if told in answer.text], address
    offered = [client.get(f"{path}/filter-values", query_string={**DAY, "field": field}).text for field in FIELDS]
    assert any("Germany" in one for one in offered) is (limit in {PAGE, EVENT})
    assert not [told for told in TELLING if told in "".join(offered)]


def test_a_link_of_a_page_tells_the_visits_that_saw_it(client: FlaskClient, alice: Person, site: Site) -> None:
    path = share(alice, site, PAGE)
    assert [(row["page"], row["pageviews"]) for row in json_of(client, f"{path}/lists/page/json", **DAY)] == [
        ("https://shop.example/pricing", 2)
    ]
    channels = json_of(client, f"{path}/lists/channel/json", **DAY)
    assert [(row["channel"], row["visits"], row["pageviews"]) for row in channels] == [("search", 2, 2)]
    page = client.get(path, query_string=DAY).text
    assert ">Entry</a>" not in page
    assert ">Exit</a>" not in page
    assert '<option value="entry_page">' not in page
    assert '<option value="event">' not in page


def test_a_link_of_an_event_tells_how_often_and_from_where(client: FlaskClient, alice: Person, site: Site) -> None:
    path = share(alice, site, EVENT)
    assert [(row["event"], row["count"]) for row in json_of(client, f"{path}/lists/event/json", **DAY)] == [
        ("sign-up", 2)
    ]
    countries = json_of(client, f"{path}/lists/country/json", **DAY)
    assert {row["country"]: (row["visits"], row["pageviews"]) for row in countries} == {"DE": (1, 3), "GB": (1, 2)}
    page = client.get(path, query_string=DAY).text
    assert 'id="events-title"' in page
    assert 'id="pages-title"' not in page
    for field in ("page", "entry_page", "exit_page", "product"):
        for kind in ("", "/csv", "/json"):
            assert client.get(f"{path}/lists/{field}{kind}", query_string=DAY).status_code == 404


@pytest.mark.parametrize(("limit", "is_offered"), [(PAGE, False), (EVENT, False), ("country:is:DE", True)])
def test_a_narrow_link_offers_no_journeys(
    client: FlaskClient, alice: Person, site: Site, limit: str, is_offered: bool
) -> None:
    assert (">Journeys</a>" in client.get(share(alice, site, limit)).text) is is_offered


def test_the_number_of_events_counts_those_of_the_link(client: FlaskClient, alice: Person, site: Site) -> None:
    path = share(alice, site, EVENT)
    page = client.get(path, query_string={**DAY, "metric": "events"}).text
    assert re.search(r'Events</span>\s*<span class="figure__value">2<', page)
    hours = json_of(client, f"{path}/numbers/json", by="hour", compare="none", **DAY)
    assert [row["events"] for row in hours if row["visits"]] == [1, 1]
    compared = json_of(client, f"{path}/numbers/json", range="today")
    assert sum(row["compared_events"] for row in compared) == 2


def test_a_link_of_a_product_tells_no_number_of_events(client: FlaskClient, alice: Person, site: Site) -> None:
    path = share(alice, site, "product:is:SKU-1")
    page = client.get(path, query_string={**DAY, "metric": "events"}).text
    assert "Visitors, " in page
    assert ">Events</span>" not in page
    assert not [name for name in json_of(client, f"{path}/numbers/json", **DAY)[0] if "events" in name]


@pytest.mark.parametrize("limit", [PAGE, EVENT])
@pytest.mark.parametrize(
    "asked", ["entry_page:is:/secret", "exit_page:begins:/e", "event:is:cancelled", "event:is_not:cancelled"]
)
def test_what_is_not_told_cannot_be_asked_for_by_a_filter(
    client: FlaskClient, alice: Person, site: Site, limit: str, asked: str
) -> None:
    path = share(alice, site, limit)
    plain = client.get(path, query_string=DAY).text
    page = client.get(path, query_string={**DAY, "where": asked})
    assert page.status_code == 422
    assert "be filtered by what else its visits saw" in page.text
    numbers = 'class="figure__value">'
    assert [part.partition("<")[0] for part in page.text.split(numbers)[1:]] == [
        part.partition("<")[0] for part in plain.split(numbers)[1:]
    ]
    for file in ("lists/country/csv", "lists/country/json", "numbers/csv", "numbers/json"):
        refused = client.get(f"{path}/{file}", query_string={**DAY, "where": asked})
        assert refused.status_code == 422


def test_other_filters_combine_with_a_narrow_link(client: FlaskClient, alice: Person, site: Site) -> None:
    path = share(alice, site, PAGE)
    [row] = json_of(client, f"{path}/lists/page/json", where="country:is:DE", **DAY)
    assert row["pageviews"] == 1
    assert json_of(client, f"{path}/lists/page/json", where="page:is:/secret", **DAY) == []


def test_a_link_without_such_limits_tells_everything() -> None:
    wide = read_filters(["country:is:DE", "entry_page:is:/secret"])
    assert all(is_told(wide, field) and may_be_asked(wide, field) for field in FIELDS)
