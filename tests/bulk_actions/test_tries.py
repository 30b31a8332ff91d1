"""A dry run leaves nothing behind, and begins while its file is kept."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import count_rows, csv_of, upload, work_off
from tests.bulk_actions.test_api import UPLOAD, calling_as, problem
from tests.bulk_actions.test_resumable import stored_keys
from tests.conftest import Person
from tests.records.test_merge import import_rows
from webapp.bulk_actions.drafts import DRAFT_LIFETIME
from webapp.config import Settings
from webapp.lib.clock import utc_now

Call = Callable[..., Any]
OWN: dict[str, str | None] = {"0": "email", "1": "attributes.Never kept"}
ROWS = [["ada@example.com", "x"]]


@pytest.fixture
def call(app: APIFlask, alice: Person) -> Call:
    return calling_as(app, alice.organisation_id)


def test_a_dry_run_leaves_no_name_and_no_mapping_behind(app: APIFlask, alice: Person, services: Settings) -> None:
    organisation_id, header = alice.organisation_id, ["Mail", "Never kept"]
    import_rows(app, organisation_id, ROWS, header, mapping=OWN, is_dry_run=True)
    assert count_rows(services, "attribute_names") == count_rows(services, "import_mappings") == 0
    page = alice.client.get(f"/bulk-actions/{upload(app, organisation_id, csv_of(ROWS, header))}/mapping").text
    assert 'value="attributes.Never kept" selected' not in page
    import_rows(app, organisation_id, ROWS, header, mapping=OWN)
    assert count_rows(services, "attribute_names") == count_rows(services, "import_mappings") == 1


def test_what_was_tried_is_remembered_once_it_is_imported(app: APIFlask, call: Call, services: Settings) -> None:
    tried = send(call, dry_run="true", keep_unmapped="true").json
    work_off(app)
    assert count_rows(services, "attribute_names") == 0
    assert call(f"/api/v1/bulk-actions/{tried['id']}/start", "POST").status_code == 202
    work_off(app)
    assert count_rows(services, "attribute_names") == count_rows(services, "import_mappings") == 1


def send(call: Call, **fields: str) -> Any:
    content = csv_of(ROWS, ["Mail", "Never kept"])
    return call(UPLOAD, "POST", data={**fields, "file": (io.BytesIO(content), "people.csv")})


def test_a_dry_run_of_the_time_when_its_file_is_gone_is_refused(app: APIFlask, call: Call, services: Settings) -> None:
    kept = stored_keys(app, services)
    late = (utc_now() + DRAFT_LIFETIME).isoformat()
    status, detail = problem(send(call, dry_run="true", run_at=late))
    assert (status, "The file of a dry run is kept for 7 days, so it must begin by" in detail) == (422, True)
    assert count_rows(services, "bulk_actions") == 0
    assert stored_keys(app, services) == kept


def test_a_dry_run_within_a_week_and_an_import_of_next_month_wait(call: Call) -> None:
    in_time = (utc_now() + DRAFT_LIFETIME - timedelta(hours=2)).isoformat()
    assert send(call, dry_run="true", run_at=in_time).json["state"] == "pending"
    assert send(call, run_at=(utc_now() + timedelta(days=30)).isoformat()).json["state"] == "pending"


def test_a_late_dry_run_of_a_resumed_upload_is_refused_and_its_file_stays(call: Call) -> None:
    content = csv_of(ROWS, ["Mail", "Never kept"])
    headers = {"Tus-Resumable": "1.0.0"}
    made = call("/api/v1/uploads", "POST", headers={**headers, "Upload-Length": str(len(content))})
    sent = {**headers, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    address = made.headers["Location"]
    assert call(address, "PATCH", headers=sent, data=content).status_code == 204
    late = {"dry_run": "true", "run_at": (utc_now() + DRAFT_LIFETIME).isoformat()}
    status, detail = problem(call(f"{address}/import", "POST", data=late))
    assert (status, "must begin by" in detail) == (422, True)
    assert call(f"{address}/import", "POST", data={"dry_run": "true"}).status_code == 202
