"""An import that adds tags: a record never comes to have more of them than one by itself may."""

from __future__ import annotations

from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import rejections
from tests.conftest import owner_connection
from tests.records.test_merge import import_rows
from webapp.bulk_actions.models import BulkAction, BulkActionState
from webapp.bulk_actions.work import CROWDED
from webapp.config import Settings

HEADER = ["Email", "First name", "Tags"]


def tags(start: int, end: int) -> str:
    return "; ".join(f"t{n:03}" for n in range(start, end))


def kept(settings: Settings) -> dict[str, tuple[str | None, int]]:
    """First name and number of tags by address."""
    with owner_connection(settings) as connection:
        rows = connection.execute("SELECT email_key, first_name, cardinality(tags) FROM contacts ORDER BY 1")
        return {row[0]: (row[1], row[2]) for row in rows}


@pytest.fixture(autouse=True)
def people(app: APIFlask, organisation_id: UUID) -> BulkAction:
    rows = [["full@example.com", "F", tags(0, 50)], ["some@example.com", "S", tags(0, 30)], ["none@example.com", "N"]]
    return import_rows(app, organisation_id, rows, HEADER)


ROWS = [
    ["full@example.com", "New", tags(0, 3)],  # has them all
    ["some@example.com", "New", tags(20, 51)],  # 51 together
    ["none@example.com", "New", tags(0, 50)],
    ["twice@example.com", "New", tags(0, 30)],
    ["twice@example.com", "New", tags(30, 60)],  # 60 together, and new
]


@pytest.mark.parametrize("is_dry_run", [True, False])
def test_a_row_that_would_bring_too_many_is_rejected_with_its_cells(
    app: APIFlask, organisation_id: UUID, services: Settings, is_dry_run: bool
) -> None:
    before = kept(services)
    done = import_rows(app, organisation_id, ROWS, HEADER, is_dry_run=is_dry_run)
    assert done.state is BulkActionState.COMPLETED
    outcomes = (done.created_count, done.updated_count, done.rejected_count, done.duplicate_count, done.unchanged_count)
    assert outcomes == (0, 2, 3, 0, 0)
    assert done.left_out_count == 0
    assert rejections(app, organisation_id, done.id) == {3: CROWDED, 5: CROWDED, 6: CROWDED}
    with owner_connection(services) as connection:
        cells = connection.execute("SELECT cells FROM rejected_rows ORDER BY row_number").fetchall()
    assert [row[0] for row in cells] == [ROWS[1], ROWS[3], ROWS[4]]
    after = {**before, "full@example.com": ("New", 50), "none@example.com": ("New", 50)}
    assert kept(services) == (before if is_dry_run else after)


def test_tags_that_are_overwritten_or_left_crowd_nothing(
    app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    for policy, count in (("leave", 30), ("fill", 30), ("overwrite", 31)):
        rules = {"policies": {"tags": policy}}
        done = import_rows(app, organisation_id, [["some@example.com", policy, tags(20, 51)]], HEADER, rules=rules)
        assert (done.updated_count, done.rejected_count) == (1, 0)
        assert kept(services)["some@example.com"] == (policy, count)


def test_fifty_together_fit(app: APIFlask, organisation_id: UUID, services: Settings) -> None:
    rows = [["some@example.com", "", tags(20, 40)], ["some@example.com", "", tags(40, 50)]]
    done = import_rows(app, organisation_id, rows, HEADER)
    assert (done.updated_count, done.rejected_count, done.duplicate_count) == (1, 0, 1)
    assert kept(services)["some@example.com"] == ("S", 50)


@pytest.mark.parametrize(("mode", "counts"), [("skip_existing", (1, 0, 1)), ("create_only", (0, 1, 1))])
def test_known_records_that_are_left_alone_are_crowded_by_nothing(
    app: APIFlask, organisation_id: UUID, mode: str, counts: tuple[int, int, int]
) -> None:
    rows = [["some@example.com", "", tags(0, 30)], ["some@example.com", "", tags(30, 60)]]
    done = import_rows(app, organisation_id, rows, HEADER, rules={"mode": mode})
    assert (done.skipped_count, done.rejected_count, done.duplicate_count) == counts
    assert CROWDED not in rejections(app, organisation_id, done.id).values()
