"""Ids count once, also where somebody makes very many of them in one second; then a batch does not read them all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import polars as pl
import psycopg
import pytest

from tests.conftest import Person, owner_connection
from tests.visits.support import utc
from webapp.config import Settings
from webapp.lib.ids import uuid7
from webapp.visits.counting import seen
from webapp.visits.counting.statements import set_tenant

AT = utc("2026-11-20T10:00:00")
Connection = psycopg.Connection[Any]
PACKED = "SELECT coalesce(sum(octet_length(ids)) / 16, 0)::int FROM seen WHERE organisation_id = %s"


@pytest.fixture
def connection(services: Settings) -> Iterator[Connection]:
    with owner_connection(services) as connection:
        connection.autocommit = False
        yield connection
        connection.rollback()


def enter(connection: Connection, person: Person, ids: list[bytes]) -> list[bytes]:
    """Those of the ids that are new, entered."""
    set_tenant(connection, person.organisation_id)
    return seen.keep_unseen(connection, person.organisation_id, pl.DataFrame({"id": ids})).get_column("id").to_list()


def make(count: int, at: datetime = AT) -> list[bytes]:
    return [uuid7(at).bytes for _ in range(count)]


def test_a_stuffed_second_is_not_read_as_a_whole(connection: Connection, alice: Person) -> None:
    for _ in range(60):
        enter(connection, alice, make(100))
    packed, rows = connection.execute(f"{PACKED}", [alice.organisation_id]).fetchone(), make(100)
    assert packed is not None
    assert packed[0] <= seen.FEW + 100
    assert enter(connection, alice, rows) == rows


def test_a_busy_second_stays_in_packs(connection: Connection, alice: Person) -> None:
    for _ in range(6):
        enter(connection, alice, make(2_000))
    assert connection.execute(PACKED, [alice.organisation_id]).fetchone() == (12_000,)


def test_every_id_of_a_stuffed_second_counts_once(
    connection: Connection, alice: Person, charlie: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "FEW", 5)
    monkeypatch.setattr(seen, "TIMES", 1)
    batches = [make(4) for _ in range(6)]
    for batch in batches:
        assert enter(connection, alice, batch) == batch
    known, new, elsewhere = [one for batch in batches for one in batch], make(2), make(3, utc("2026-11-20T10:00:01"))
    assert connection.execute(PACKED, [alice.organisation_id]).fetchone() == (8,)
    assert enter(connection, alice, [*known, *new, *elsewhere]) == [*new, *elsewhere]
    assert enter(connection, alice, [*known, *new, *elsewhere]) == []
    set_tenant(connection, alice.organisation_id)
    assert seen.list_seen(connection, alice.organisation_id, [*make(2), *known]) == known
    assert enter(connection, charlie, known) == known


def test_ids_that_differ_in_one_bit_are_two(
    connection: Connection, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "FEW", 0)
    monkeypatch.setattr(seen, "TIMES", 0)
    enter(connection, alice, make(1))
    one = uuid7(AT)
    alike = [UUID(int=one.int ^ (1 << bit)).bytes for bit in (*range(62), *range(64, 76), 80, 81)]
    assert enter(connection, alice, [one.bytes]) == [one.bytes]
    assert enter(connection, alice, alike) == alike
    assert enter(connection, alice, [one.bytes, *alike]) == []
