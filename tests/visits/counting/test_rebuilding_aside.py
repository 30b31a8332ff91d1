"""A rebuild counts aside while beacons are counted, and dies without a trace."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.visits.counting.test_rebuilding import TABLES, check_counts, count_rows, make_rows, rebuild_site, snapshot
from tests.visits.support import add_site, rows_of, scalar
from webapp.config import Settings
from webapp.extensions import db, driver_connection, tenant
from webapp.visits.backlog import Row
from webapp.visits.counting import statements
from webapp.visits.counting.enrichment import visitor_number
from webapp.visits.counting.rebuilding import rebuild_roll_ups
from webapp.visits.models import Site
from webapp.visits.raw import tasks, upkeep
from webapp.visits.raw.erasing import erase_visitors
from webapp.visits.raw.sealing import Sealer

STEPS = ("_count", "statements.wait_for_lock", "_count_rest", "_clear", "_move", "_finish")


class DiedError(Exception):
    """A process was killed here."""


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


def in_parts(rows: list[Row], count: int) -> list[list[Row]]:
    """In no order: visits of one part begin, go on and become one in others."""
    random.Random(5).shuffle(rows)
    return [rows[number::count] for number in range(count)]


def spoil(settings: Settings) -> None:
    with owner_connection(settings) as connection:
        connection.execute("UPDATE page_roll_ups SET pageview_count = pageview_count + 5")
        connection.execute("UPDATE site_roll_ups SET visit_count = visit_count + 7")


def count_anew(app: APIFlask, settings: Settings, rows: list[Row]) -> dict[str, list[object]]:
    """What counting counts of these rows, when there is nothing yet."""
    with owner_connection(settings) as connection:
        for table in (*TABLES, "raw_chunks", "sealed_files", "visits", "seen"):
            connection.execute(f"DELETE FROM {table}")
    count_rows(app, settings, rows)
    return snapshot(settings)


def do_before_the_swap(patch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Somebody else does something once all is counted aside."""
    lock, todo = statements.wait_for_lock, [meanwhile]

    def wait(connection: statements.Connection) -> None:
        with ThreadPoolExecutor(1) as other:
            while todo:
                other.submit(todo.pop()).result()
        lock(connection)

    patch.setattr(statements, "wait_for_lock", wait)


def seal(app: APIFlask) -> None:
    with app.app_context():
        tasks.seal_chunks()


@pytest.mark.parametrize("small", [0, 2_000])
@pytest.mark.parametrize("is_sealed", [False, True])
def test_what_is_counted_meanwhile_is_in(
    app: APIFlask,
    site: Site,
    alice: Person,
    services: Settings,
    monkeypatch: pytest.MonkeyPatch,
    small: int,
    is_sealed: bool,
) -> None:
    """It may lie in new chunks, or in what took the place of others: joined with them, or sealed."""
    monkeypatch.setattr("webapp.visits.raw.chunks.SMALL_CHUNK_ROWS", small)
    monkeypatch.setattr(upkeep, "OLD_AFTER", timedelta(0))
    rows = make_rows(site, 6)
    first, second, third = in_parts(rows, 3)
    count_rows(app, services, first)
    spoil(services)

    def count_more() -> None:
        count_rows(app, services, second)
        if is_sealed:
            seal(app)
        count_rows(app, services, third)

    with monkeypatch.context() as patch:
        do_before_the_swap(patch, count_more)
        rebuild_site(app, site)
    assert check_counts(app, alice, services)["difference_count"] == 0
    assert scalar(services, "SELECT count(DISTINCT site_id) FROM page_roll_ups") == 1
    rebuilt = snapshot(services)
    assert rebuilt == count_anew(app, services, rows)


def test_who_is_erased_meanwhile_is_counted_no_more(
    app: APIFlask, site: Site, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(site, 7)
    erased = rows[0].visitor
    count_rows(app, services, rows)
    numbers = [visitor_number(site.id.bytes, erased)]

    def erase() -> None:
        with app.app_context(), tenant(alice.organisation_id):
            erase_visitors(Sealer(services), alice.organisation_id, [site.id], numbers, db.session.commit)

    with monkeypatch.context() as patch:
        do_before_the_swap(patch, erase)
        rebuild_site(app, site)
    rebuilt = snapshot(services)
    assert rebuilt == count_anew(app, services, [row for row in rows if row.visitor != erased])


def test_a_time_zone_that_is_changed_meanwhile_is_the_one_that_is_cut(
    app: APIFlask, site: Site, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(site, 8)
    count_rows(app, services, rows)

    def move() -> None:
        with owner_connection(services) as connection:
            connection.execute("UPDATE sites SET time_zone = 'Asia/Kathmandu'")

    with monkeypatch.context() as patch:
        do_before_the_swap(patch, move)
        rebuild_site(app, site)
    assert rows_of(services, "SELECT time_zone, cut_zone FROM sites") == [("Asia/Kathmandu", "Asia/Kathmandu")]
    rebuilt = snapshot(services)
    assert rebuilt == count_anew(app, services, rows)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("is_over", [False, True])
def test_whatever_dies_leaves_what_was(
    app: APIFlask, site: Site, services: Settings, monkeypatch: pytest.MonkeyPatch, step: str, is_over: bool
) -> None:
    """And the next one rebuilds."""
    rows = make_rows(site, 9)
    count_rows(app, services, rows)
    counted = snapshot(services)
    spoil(services)
    before = snapshot(services)
    with monkeypatch.context() as patch, app.app_context(), tenant(site.organisation_id):
        patch.setattr(*_dying(step, is_over))
        with pytest.raises(DiedError):
            rebuild_roll_ups(driver_connection(), site.organisation_id, site.id)
        db.session.rollback()
    assert snapshot(services) == before
    rebuild_site(app, site)
    assert snapshot(services) == counted


def _dying(step: str, is_over: bool) -> tuple[str, Callable[..., object]]:
    """Where a step is, and the step that dies, before or after it does its work."""
    from webapp.visits.counting import rebuilding

    work = statements.wait_for_lock if "." in step else getattr(rebuilding, step)

    def die(*given: Any) -> object:
        if is_over:
            work(*given)
        raise DiedError

    return f"webapp.visits.counting.rebuilding.{step}", die
