"""Batches read ahead, ids in packs: whatever happens between two batches, each row counts once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.support import add_rows, add_site, count_all, counted, make_row, rows_of, scalar
from webapp.config import Settings
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.lib.redis import beacons_client
from webapp.visits import backlog
from webapp.visits.counting.ahead import Ahead
from webapp.visits.counting.batch import read_entries
from webapp.visits.tasks import roll_up_once, roll_up_until

FOREVER = float("inf")


def test_batch_after_batch_everything_is_counted_once(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    rows = [make_row(site) for _ in range(130)]
    add_rows(services, rows + rows[:40])
    with app.app_context(), beacons_client(services) as client:
        roll_up_until(client, 30, FOREVER)
        assert backlog.waiting_count(client) == 0
    assert counted(services) == (130, 130, 130)
    assert scalar(services, "SELECT sum(greatest(octet_length(ids) / 16, 1)) FROM seen") == 130


def test_a_batch_that_fails_is_counted_when_it_is_tried_again(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site) for _ in range(90)])
    with monkeypatch.context() as patch, app.app_context(), beacons_client(services) as client:
        patch.setattr("webapp.visits.counting.roll_up.statements.set_position", _fail)
        with pytest.raises(OSError, match="The machine is gone"):
            roll_up_until(client, 30, FOREVER)
    count_all(app, services, batch=30)
    assert counted(services) == (90, 90, 90)


def test_what_was_read_ahead_is_dropped_where_somebody_else_counted(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site) for _ in range(60)])
    with app.app_context(), beacons_client(services) as client, Ahead(client, 20) as ahead:
        first = ahead.take(backlog.START)
        assert first is not None
        roll_up_once(client, 40)
        second = ahead.take(str(scalar(services, "SELECT last_id FROM stream_positions")))
        assert (first.height, second.height if second else 0) == (20, 20)
        assert second is not None
        assert second.rows.item(0, "id") not in first.rows.get_column("id")
        assert ahead.take(second.position) is None


def test_a_poisonous_row_in_a_batch_read_ahead_is_laid_aside(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, visitor="a\x00b" if number == 47 else "ada") for number in range(60)])
    with app.app_context(), beacons_client(services) as client:
        roll_up_until(client, 20, FOREVER)
    assert counted(services) == (59, 59, 59)
    assert scalar(services, "SELECT count(*) FROM dead_beacons") == 1


def test_a_retry_is_found_among_the_ids_of_its_second_alone(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    now = utc_now().replace(microsecond=0)
    moments = [now + timedelta(milliseconds=milliseconds) for milliseconds in (0, 1, 998, 1000, 1999)]
    rows = [make_row(site, id=uuid7(moment).bytes) for moment in moments for _ in range(3)]
    for batch in (rows[:7], rows, rows[5:], rows[::-1]):
        add_rows(services, batch)
        count_all(app, services)
    assert counted(services) == (15, 15, 15)
    packs = rows_of(services, "SELECT second - (SELECT min(second) FROM seen), octet_length(ids) / 16 FROM seen")
    assert sorted(packs) == [(0, 2), (0, 7), (1, 6)]


@pytest.mark.parametrize("column", [0, backlog.ID_COLUMN, 9])
def test_a_group_with_a_column_without_values_cannot_be_read(column: int) -> None:
    row = backlog.Row(b"o" * 16, b"s" * 16, uuid7().bytes, 1, 1, "ada", "https://shop.example/", "", "")
    columns = backlog.decode_short_columns(backlog.encode_rows([row]))
    columns[column] = []
    content = backlog._encoder.encode(columns)
    good = backlog.Entry("1-0", backlog.encode_rows([row, row]))
    rows, unreadable = read_entries([good, backlog.Entry("2-0", content)])
    assert (rows.height, [entry.id for entry, _ in unreadable]) == (2, ["2-0"])


def _fail(*_: object) -> None:
    raise OSError("The machine is gone")
