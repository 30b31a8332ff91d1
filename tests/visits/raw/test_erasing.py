"""Erased visitors are in no file and no chunk that is read, and nobody else lost a row."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.visits.raw.made_rows import START, Made, ask_plainly, make_rows, write_rows
from tests.visits.raw.test_sealing import DiedError, die_at, everything, stored, sweep_later
from tests.visits.support import add_site, scalar
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.visits.models import Site
from webapp.visits.raw import engine, erasing, tasks
from webapp.visits.raw.erasing import erase_visitors
from webapp.visits.raw.sealing import Sealer

ERASED = (-3, 0, 7)


@pytest.fixture
def site(app_context: APIFlask, organisation_id: UUID) -> Site:
    return add_site(app_context, organisation_id)


@pytest.fixture
def made(site: Site) -> Made:
    """Rows in sealed files and in chunks."""
    made, later = make_rows(Random(1), 120, START, 12), make_rows(Random(2), 60)
    write_rows(site.organisation_id, site.id, made, Random(1))
    tasks.seal_chunks()
    write_rows(site.organisation_id, site.id, later, Random(2))
    return Made(made.activity + later.activity, made.visits + later.visits)


def without_erased(made: Made) -> Made:
    kept = [[row for row in rows if row["visitor"] not in ERASED] for rows in (made.activity, made.visits)]
    return Made(*kept)


def erase(services: Settings, site: Site) -> None:
    with tenant(site.organisation_id):
        try:
            erase_visitors(Sealer(services), site.organisation_id, [site.id], ERASED, db.session.commit)
        finally:
            db.session.rollback()


def assert_only_others_are_left(site: Site, made: Made) -> None:
    question = everything(site)
    with tenant(site.organisation_id):
        expected = ask_plainly(without_erased(made), question).figures(question.start, question.end)
        assert engine.totals(question) == expected


def test_all_rows_of_erased_visitors_are_gone_and_no_others(services: Settings, site: Site, made: Made) -> None:
    erase(services, site)
    assert_only_others_are_left(site, made)
    sweep_later(services)
    assert len(stored(services)) == scalar(services, "SELECT count(*) FROM sealed_files")
    assert_only_others_are_left(site, made)


@pytest.mark.parametrize("step", ["prepare", "announce", "store", "list"])
def test_what_died_on_the_way_is_done_by_doing_it_again(
    services: Settings, site: Site, made: Made, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patched:
        die_at(step, patched, erasing)
        with pytest.raises(DiedError):
            erase(services, site)
    erase(services, site)
    assert_only_others_are_left(site, made)


def test_visitors_that_were_never_there_change_nothing(services: Settings, site: Site, made: Made) -> None:
    before = scalar(services, "SELECT count(*) FROM sealed_files")
    commit: Callable[[], None] = db.session.commit
    with tenant(site.organisation_id):
        erase_visitors(Sealer(services), site.organisation_id, [site.id], [10**12], commit)
    assert scalar(services, "SELECT count(*) FROM sealed_files") == before
