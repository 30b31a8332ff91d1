"""Beacons that could not be stored: operators see how many and why, and have them counted again."""

from __future__ import annotations

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.jobs.support import run_waiting
from tests.operations.support import get
from tests.visits.counting.test_laid_aside import bad_row, lay_aside
from tests.visits.support import add_rows, add_site, count_all, counted, make_row, scalar
from webapp.config import Settings
from webapp.signals.installation import read_jobs

URL = "/operations/laid-aside"


def test_the_page_says_how_many_of_whom_and_why_and_has_them_counted(
    app: APIFlask, operator: Person, charlie: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Nothing lies aside" in get(operator, URL)
    site = add_site(app, charlie.organisation_id)
    lay_aside(app, services, monkeypatch, bad_row(site), bad_row(site), make_row(site))
    assert "Beacons laid aside" in get(operator, "/operations")
    page = get(operator, URL)
    assert "2 not counted" in page
    assert "<code>ValueError</code>" in page
    assert "no room for this" in page
    assert site.name in page
    waiting = {reading.name: reading.value for reading in read_jobs(services)}
    assert waiting["footfall_beacons_aside"] == 2
    assert operator.client.post(f"{URL}/count", data={"organisation": str(operator.organisation_id)}).status_code == 303
    assert scalar(services, "SELECT count(*) FROM jobs") == 0, "that organisation has none"
    assert operator.client.post(f"{URL}/count").status_code == 303
    with app.app_context():
        run_waiting()
    assert counted(services) == (3, 3, 3)
    assert "Nothing lies aside" in get(operator, URL)


def test_what_belongs_to_no_organisation_is_the_systems_and_stays(
    app: APIFlask, operator: Person, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    stray = make_row(site)
    stray.organisation_id = b"short"
    add_rows(services, [stray, make_row(site)])
    count_all(app, services)
    assert "UnstorableError" in get(operator, URL)
    assert operator.client.post(f"{URL}/count").status_code == 303
    with app.app_context():
        run_waiting()
    assert scalar(services, "SELECT state FROM jobs") == "completed"
    assert "UnstorableError" in get(operator, URL)
