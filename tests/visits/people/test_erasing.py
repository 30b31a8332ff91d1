"""Erased people are in no row and no link any more, whenever the job dies, and nobody else lost anything."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count as count_from
from typing import Any
from uuid import UUID

import polars as pl
import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.jobs.support import run_waiting
from tests.records.people import add_contact
from tests.visits.counting.test_rebuilding import check_counts, rebuild_site
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, rows_of, scalar
from tests.visits.test_kill import ROOT
from webapp.config import Settings
from webapp.extensions import db, driver_connection, tenant
from webapp.lib.clock import utc_now
from webapp.records.tasks import empty_trash
from webapp.visits.backlog import Kind, Row
from webapp.visits.collecting.visitors import pseudonym
from webapp.visits.counting import rebuilding
from webapp.visits.counting.checking import find_differences
from webapp.visits.counting.enrichment import visitor_number
from webapp.visits.counting.raw_rows import read_raw_rows
from webapp.visits.models import RawKind, Site
from webapp.visits.people import erasing
from webapp.visits.people.erasing import request_erasure
from webapp.visits.people.erasing_tasks import erase_them, start_erasing, start_waiting_erasures
from webapp.visits.people.identities import identities_of, own_visitors, visitors_of
from webapp.visits.people.reading import Person as Visitors
from webapp.visits.people.summary import summarise
from webapp.visits.raw import tasks, upkeep
from webapp.visits.raw.erasing import _forget_recent_visits
from webapp.visits.raw.sealing import Replacement, Sealer

ALICE, BOB, ADA = "alice@example.com", "bob@example.com", "ada@example.com"
NOW = utc_now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
STEP = 5
"""It is killed at every fifth line: a process takes half a second."""
LEFT = """
    SELECT (SELECT count(*) FROM identities WHERE identity = %s),
        (SELECT count(*) FROM refused_merges WHERE identity = %s),
        (SELECT count(*) FROM known_visitors WHERE visitor_key = %s)
"""
WAITS_FOR_LOCK = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def row(site: Site, visitor: str, minutes: float = 0, **changes: Any) -> Row:
    return make_row(site, NOW + timedelta(minutes=minutes), visitor=visitor, **changes)


def named(site: Site, visitor: str, identity: str, minutes: float = 0) -> Row:
    return row(site, visitor, minutes, kind=int(Kind.IDENTIFY), name=identity)


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Two people with a browser each and a name, in sealed files and in chunks, and a stranger."""
    monkeypatch.setattr(upkeep, "ENOUGH_CHUNKS", 1)
    site = add_site(app, alice.organisation_id)
    rows = [row(site, browser, minute, page_url=f"{ORIGIN}/{browser}") for browser in "abc" for minute in range(5)]
    rows += [row(site, "a", 6, kind=int(Kind.EVENT), name="buy"), row(site, "b", 9, kind=int(Kind.PRODUCT), name="S")]
    rows += [named(site, "a", ALICE, 3), named(site, "b", BOB, 3), named(site, "b", ALICE, 4), named(site, "a", BOB, 4)]
    rows += [row(site, address, 30) for address in (ALICE, BOB)]
    count(app, services, rows)
    with app.app_context():
        tasks.seal_chunks()
    count(app, services, [row(site, browser, 1000) for browser in "abc"])
    return site


def test_who_was_called_by_the_address_without_proof_is_erased_too(
    app: APIFlask, services: Settings, site: Site
) -> None:
    unproven = {address: pseudonym(site.id.bytes, address.upper()) for address in (ALICE, BOB)}
    count(app, services, [row(site, identifier, 40) for identifier in unproven.values()])
    request(app, site, ALICE)
    run_jobs(app, services)
    left = set(read_everything(app, site).get_column("visitor"))
    numbers = {address: visitor_number(site.id.bytes, identifier) for address, identifier in unproven.items()}
    assert numbers[ALICE] not in left
    assert numbers[BOB] in left


def read_everything(app: APIFlask, site: Site) -> pl.DataFrame:
    """All raw rows of activity, sealed and not."""
    with app.app_context(), tenant(site.organisation_id):
        paths = read_raw_rows(site.organisation_id, site.id)[RawKind.ACTIVITY]
        return pl.concat([pl.read_parquet(path) for path in paths], how="diagonal_relaxed")


def count(app: APIFlask, settings: Settings, rows: list[Row]) -> None:
    add_rows(settings, rows)
    count_all(app, settings)


def request(app: APIFlask, site: Site, *identities: str) -> None:
    with app.app_context(), tenant(site.organisation_id):
        request_erasure(site.organisation_id, identities, utc_now())
        start_erasing(site.organisation_id)
        db.session.commit()


def run_jobs(app: APIFlask, settings: Settings) -> None:
    with app.app_context():
        run_waiting()
    assert rows_of(settings, "SELECT state, error FROM jobs WHERE state <> 'completed'") == []


def totals(app: APIFlask, site: Site, *identities: str) -> list[tuple[int, int]]:
    """Visits and pageviews of each."""
    with app.app_context(), tenant(site.organisation_id):
        found = []
        for identity in identities:
            links = tuple(visitors_of(site.organisation_id, [identity]))
            summary = summarise(Visitors(site.organisation_id, links))
            found.append((summary.visit_count, summary.pageview_count))
        return found


def assert_alice_is_gone_and_bob_is_not(app: APIFlask, settings: Settings, site: Site, alice: Person) -> None:
    assert rows_of(settings, LEFT, ALICE, ALICE, ALICE) == [(0, 0, 0)]
    assert rows_of(settings, LEFT, BOB, BOB, BOB) == [(1, 0, 1)]
    assert scalar(settings, "SELECT visitor_count FROM known_visitor_counts WHERE kind = 'email'") == 1
    assert totals(app, site, ALICE, BOB) == [(0, 0), (3, 7)]
    with app.app_context(), tenant(site.organisation_id):
        numbers = own_visitors(ALICE, [site.id])
    assert scalar(settings, "SELECT count(*) FROM visits WHERE visitor = %s", numbers[0][1]) == 0
    result = check_counts(app, alice, settings)
    assert result["differences"] == []
    assert result["erased_quarter_count"] > 0


def test_whom_is_erased_is_gone_and_nobody_else(app: APIFlask, services: Settings, site: Site, alice: Person) -> None:
    assert rows_of(services, LEFT, ALICE, ALICE, ALICE) == [(1, 1, 1)]
    request(app, site, ALICE)
    run_jobs(app, services)
    assert_alice_is_gone_and_bob_is_not(app, services, site, alice)
    pageviews = "SELECT sum(pageview_count)::int FROM site_roll_ups WHERE grain = 'quarter'"
    assert scalar(services, pageviews) == 20  # what is counted of everybody together stays
    rebuild_site(app, site)
    assert scalar(services, pageviews) == 13
    assert scalar(services, "SELECT count(*) FROM erased_counts") == 0
    assert check_counts(app, alice, services)["differences"] == []


def test_what_came_late_under_their_own_address_is_not_theirs_when_they_come_back(
    app: APIFlask, services: Settings, site: Site, alice: Person
) -> None:
    request(app, site, ALICE)
    run_jobs(app, services)
    counts = "SELECT sum(pageview_count)::int FROM site_roll_ups WHERE grain = 'day'"
    before = scalar(services, counts)
    count(app, services, [row(site, " Alice@example.com", 31), row(site, ALICE, 32), row(site, BOB, 31)])
    assert scalar(services, counts) == before + 3, "they count, as somebody's"
    assert totals(app, site, ALICE, BOB) == [(0, 0), (3, 8)]
    count(app, services, [make_row(site, visitor=ALICE), row(site, ALICE, 33)])
    assert totals(app, site, ALICE, BOB) == [(1, 1), (3, 8)]
    assert check_counts(app, alice, services)["differences"] == []


def test_what_somebody_looked_at_stays_counted_and_is_no_difference(
    app: APIFlask, services: Settings, site: Site, alice: Person
) -> None:
    request(app, site, BOB)
    run_jobs(app, services)
    views = "SELECT sum(view_count) FROM product_view_days"
    assert scalar(services, views) == 1
    assert check_counts(app, alice, services)["differences"] == []
    rebuild_site(app, site)
    assert not scalar(services, views)
    assert check_counts(app, alice, services)["differences"] == []


def test_a_real_difference_is_still_found(app: APIFlask, services: Settings, site: Site, alice: Person) -> None:
    request(app, site, ALICE)
    run_jobs(app, services)
    with owner_connection(services) as connection:
        connection.execute("UPDATE site_roll_ups SET pageview_count = pageview_count + 1 WHERE bucket_at = %s", [NOW])
    differences = check_counts(app, alice, services)["differences"]
    assert len(differences) == 3, "the quarter, and its day and its month, which are not its sum"
    assert all("pageview_count" in difference for difference in differences)


@contextmanager
def killable() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.visits.people.killable"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline().strip() == "ready"
        yield process
        process.stdin.close()


def test_it_survives_a_kill_at_any_line(app: APIFlask, services: Settings, site: Site, alice: Person) -> None:
    """Each process goes on from what the ones before left, and roll-ups are explained at every moment."""
    request(app, site, ALICE)
    answer, number = "killed", 0
    with killable() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while answer == "killed":
            number += STEP
            process.stdin.write(f"{site.organisation_id} {number}\n")
            process.stdin.flush()
            answer = process.stdout.readline().strip()
            assert_explained(app, site)
            assert scalar(services, "SELECT count(*) FROM identities WHERE identity = %s", BOB) == 1
    assert answer == "ended 0"
    assert number > 100, "it dies all along the way"
    run_jobs(app, services)
    assert_alice_is_gone_and_bob_is_not(app, services, site, alice)


def assert_explained(app: APIFlask, site: Site) -> None:
    with app.app_context(), tenant(site.organisation_id):
        assert find_differences(driver_connection(), site.organisation_id, site.id) == []


def test_rows_leave_before_a_rebuild_or_after_it(
    app: APIFlask, services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new files are ready when the rebuild has listed the old ones once more, and lets nobody else count."""
    is_ready, is_listed, lists = threading.Event(), threading.Event(), count_from(1)
    store, list_rows = Sealer.store, read_raw_rows

    def store_late(self: Sealer, replacement: Replacement) -> None:
        is_ready.set()
        is_listed.wait()
        store(self, replacement)

    def list_early(organisation_id: UUID, site_id: UUID) -> Any:
        files = list_rows(organisation_id, site_id)
        if next(lists) == 1:
            return files
        is_listed.set()
        while scalar(services, WAITS_FOR_LOCK) == 0 and eraser.is_alive():
            eraser.join(0.01)
        return files

    def erase() -> None:
        with app.app_context(), tenant(site.organisation_id):
            erase_them(site.organisation_id, {ALICE: utc_now()})

    monkeypatch.setattr(Sealer, "store", store_late)
    monkeypatch.setattr(rebuilding, "read_raw_rows", list_early)
    eraser = threading.Thread(target=erase, daemon=True)
    eraser.start()
    while not is_ready.is_set():
        assert eraser.is_alive()
        eraser.join(0.01)
    rebuild_site(app, site)
    eraser.join()
    assert_explained(app, site)
    assert totals(app, site, ALICE) == [(0, 0)]


def test_late_beacons_link_nobody_again(app: APIFlask, services: Settings, site: Site, alice: Person) -> None:
    """Neither what waits in the stream while somebody is erased, nor what a browser kept for a day."""
    add_rows(services, [named(site, "a", ALICE, 40), row(site, "a", 41), row(site, ALICE, 42)])
    request(app, site, ALICE)
    run_jobs(app, services)
    count(app, services, [named(site, "d", ALICE, 50), named(site, "b", ALICE, 51), row(site, "Alice@Example.com", 52)])
    assert rows_of(services, LEFT, ALICE, ALICE, ALICE) == [(0, 0, 0)]
    assert rows_of(services, "SELECT pageview_count::int FROM known_visitors WHERE visitor_key = %s", BOB) == [(1,)]
    assert totals(app, site, ALICE) == [(0, 0)]
    assert check_counts(app, alice, services)["differences"] == []
    later = utc_now() + timedelta(minutes=1)
    new = [make_row(site, later, visitor="a"), make_row(site, later, visitor=ALICE)]
    new.append(make_row(site, later, visitor="e", kind=int(Kind.IDENTIFY), name=ALICE))
    count(app, services, new)  # whoever comes back and says so is somebody new
    assert rows_of(services, LEFT, ALICE, ALICE, ALICE) == [(1, 0, 1)]
    assert scalar(services, "SELECT pageview_count FROM known_visitors WHERE visitor_key = %s", ALICE) == 1


def test_many_people_are_erased_in_one_pass(
    app: APIFlask, services: Settings, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing.list_waiting, "__defaults__", (40,))
    site = add_site(app, alice.organisation_id)
    people = [f"p{number}@example.com" for number in range(90)]
    count(app, services, [row(site, f"b{number}") for number in range(90)])
    count(app, services, [named(site, f"b{number}", people[number], 1) for number in range(90)])
    request(app, site, *people[:85])
    run_jobs(app, services)
    assert scalar(services, "SELECT count(*) FROM identities") == 5
    assert scalar(services, "SELECT result->>'erased_count' FROM jobs") == "85"
    assert totals(app, site, people[0], people[84], people[85]) == [(0, 0), (0, 0), (1, 1)]
    assert scalar(services, "SELECT count(*) FROM sealed_files") < 20


def test_any_number_of_visitors_fits_into_a_statement(app: APIFlask, services: Settings, site: Site) -> None:
    many = list(range(70_000))
    with app.app_context(), tenant(site.organisation_id):
        own = visitors_of(site.organisation_id, [ALICE])
        _forget_recent_visits(site.organisation_id, site.id, [*many, own[0].visitor])
        found = [(site.id, number) for number in [*many, own[0].visitor]]
        assert [link.identity for link in identities_of(site.organisation_id, found)] == [ALICE]
        erasing.forget_people(site.organisation_id, {ALICE: NOW}, {site.id: [number for _, number in found]}, NOW)
        db.session.commit()
    assert rows_of(services, LEFT, ALICE, ALICE, ALICE) == [(0, 0, 0)]
    assert scalar(services, "SELECT count(*) FROM visits WHERE visitor = %s", own[0].visitor) == 0


def delete(person: Person, contact_id: UUID) -> None:
    assert person.client.post(f"/contacts/{contact_id}/delete").status_code == 303


def age_trash(settings: Settings, days: int = 31) -> None:
    with owner_connection(settings) as connection:
        connection.execute("UPDATE deleted_contacts SET deleted_at = deleted_at - %s", [timedelta(days=days)])


def test_what_leaves_the_trash_is_erased(app: APIFlask, services: Settings, site: Site, alice: Person) -> None:
    contact_id = add_contact(app, alice, ALICE)
    with owner_connection(services) as connection:
        connection.execute(
            "INSERT INTO before_images SELECT %s, gen_random_uuid(), id, '{}', now(), now()"
            " FROM unnest(%s::uuid[]) AS w (id)",
            [alice.organisation_id, [contact_id, site.id]],
        )
    delete(alice, contact_id)
    with app.app_context():
        empty_trash()
    assert rows_of(services, LEFT, ALICE, ALICE, ALICE) == [(1, 1, 1)]
    age_trash(services)
    with app.app_context():
        empty_trash()
    run_jobs(app, services)
    assert_alice_is_gone_and_bob_is_not(app, services, site, alice)
    assert rows_of(services, "SELECT record_id FROM before_images") == [(site.id,)]


def test_whose_address_is_a_contacts_again_is_not(app: APIFlask, services: Settings, site: Site, alice: Person) -> None:
    delete(alice, add_contact(app, alice, ALICE))
    delete(alice, add_contact(app, alice, BOB))
    age_trash(services)
    add_contact(app, alice, ALICE)
    delete(alice, add_contact(app, alice, BOB))  # can be restored for a month
    delete(alice, add_contact(app, alice, ADA))  # nobody knows anything of her
    age_trash(services, 1)
    with app.app_context():
        empty_trash()
    assert scalar(services, "SELECT count(*) FROM deleted_contacts") == 2
    assert scalar(services, "SELECT count(*) FROM erasures") == 0
    assert scalar(services, "SELECT count(*) FROM jobs") == 0


def test_what_was_noted_and_not_started_is_started_later_and_then_forgotten(
    app: APIFlask, services: Settings, site: Site
) -> None:
    with app.app_context():
        with tenant(site.organisation_id):
            request_erasure(site.organisation_id, [ALICE], utc_now())
            db.session.commit()
        start_waiting_erasures()
        start_waiting_erasures()
    assert scalar(services, "SELECT count(*) FROM jobs") == 1
    run_jobs(app, services)
    assert scalar(services, "SELECT count(*) FROM erasures WHERE erased_at IS NOT NULL") == 1
    with owner_connection(services) as connection:
        connection.execute("UPDATE erasures SET erased_at = erased_at - interval '33 days'")
    with app.app_context():
        start_waiting_erasures()
    assert scalar(services, "SELECT count(*) FROM erasures") == 0
    assert scalar(services, "SELECT count(*) FROM jobs") == 1


def test_charlies_person_of_the_same_address_stays(
    app: APIFlask, services: Settings, site: Site, charlie: Person
) -> None:
    other = add_site(app, charlie.organisation_id)
    count(app, services, [row(other, "a"), named(other, "a", ALICE, 1), row(other, ALICE, 2)])
    request(app, site, ALICE)
    run_jobs(app, services)
    assert rows_of(services, LEFT, ALICE, ALICE, ALICE) == [(1, 0, 1)]
    assert totals(app, other, ALICE) == [(2, 2)]
