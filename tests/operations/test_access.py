"""The operators' pages are there for operators, and for nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.operations.conftest import verify
from tests.operations.support import add_dead_letters, get, state_of
from webapp.config import DEMO_OPERATORS, Settings, settings_from
from webapp.demo_issuer import DEMO_PEOPLE

PAGES = (
    "/operations",
    "/operations/jobs",
    "/operations/dead-letters",
    "/operations/dead-letters/change?verb=retry",
    "/operations/laid-aside",
)


@pytest.mark.parametrize("page", PAGES)
def test_operators_see_them_and_others_do_not(operator: Person, bob: Person, charlie: Person, page: str) -> None:
    get(operator, page)
    assert [person.client.get(page).status_code for person in (bob, charlie)] == [404, 404]


def test_the_side_bar_leads_operators_there_and_nobody_else(operator: Person, bob: Person) -> None:
    assert 'href="/operations"' in get(operator, "/jobs")
    assert "/operations" not in get(bob, "/jobs")


def test_an_address_that_is_not_verified_opens_nothing(operator: Person, services: Settings) -> None:
    verify(services, operator, is_verified=False)
    assert operator.client.get("/operations").status_code == 404
    assert "/operations" not in get(operator, "/jobs")


def test_addresses_are_compared_without_case(app: APIFlask, operator: Person, tmp_path: Path) -> None:
    operators = settings_from({"DATA_DIR": str(tmp_path), "OPERATORS": " ALICE@Example.com , "}).operators
    app.extensions["settings"] = replace(app.extensions["settings"], operators=operators)
    get(operator, "/operations")


def test_others_change_nothing(app: APIFlask, operator: Person, charlie: Person, organisation_id: UUID) -> None:
    (job_id,) = add_dead_letters(app, organisation_id)
    ticked = {"verb": "retry", "job": f"{organisation_id}/{job_id}"}
    refused = [
        charlie.client.post("/operations/queues/jobs/pause"),
        charlie.client.post("/operations/queues/jobs/resume"),
        charlie.client.post("/operations/dead-letters/change", data=ticked),
        charlie.client.post("/operations/dead-letters/change-matching", data=ticked),
        charlie.client.post(f"/operations/organisations/{organisation_id}/jobs/{job_id}/retry"),
        charlie.client.get(f"/operations/organisations/{organisation_id}/jobs/{job_id}"),
        charlie.client.get(f"/operations/organisations/{organisation_id}/jobs/{job_id}/log.txt"),
    ]
    assert [answer.status_code for answer in refused] == [404] * len(refused)
    assert state_of(app, organisation_id, job_id) == "dead"


def test_nobody_is_an_operator_unless_named(tmp_path: Path) -> None:
    folder = {"DATA_DIR": str(tmp_path)}
    assert settings_from({**folder, "DEMO": "0"}).operator_addresses == ()
    assert settings_from({**folder, "PUBLIC_URL": "https://desk.example.com"}).operator_addresses == ()
    assert settings_from({**folder, "OPERATORS": "a@b.example"}).operator_addresses == ("a@b.example",)


def test_in_the_demo_people_of_the_demo_are_operators(tmp_path: Path) -> None:
    assert settings_from({"DATA_DIR": str(tmp_path)}).operator_addresses == DEMO_OPERATORS
    assert set(DEMO_OPERATORS) <= {person.email for person in DEMO_PEOPLE}
