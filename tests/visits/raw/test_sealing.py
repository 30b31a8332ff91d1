"""Every row lies in exactly one place, whatever dies and whoever reads meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import owner_connection
from tests.visits.raw.made_rows import DAYS, START, Made, ask_plainly, make_filters, make_rows, write_rows
from tests.visits.support import add_site, rows_of, scalar
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage, storage_at
from webapp.visits.models import RawKind, Site
from webapp.visits.questions import Question
from webapp.visits.raw import engine, sealing, tasks
from webapp.visits.raw.models import SealedState
from webapp.visits.raw.sealing import Owner, RowsMovedError, Sealer, WrongSumsError

OLD = timedelta(days=400)
STEPS = ("prepare", "announce", "store", "list")


class DiedError(BaseException):
    """A process was killed here."""


@pytest.fixture
def site(app_context: APIFlask, organisation_id: UUID) -> Site:
    return add_site(app_context, organisation_id)


@pytest.fixture
def made(site: Site) -> Made:
    """Rows of two months, in chunks that are old enough."""
    random = Random(7)
    made = make_rows(random, 200, START, 12)
    write_rows(site.organisation_id, site.id, made, random)
    return made


def everything(site: Site) -> Question:
    return Question(site.organisation_id, (site.id,), START - OLD, START + OLD)


def assert_all_is_there(site: Site, made: Made) -> None:
    with tenant(site.organisation_id):
        random = Random(3)
        for question in [everything(site)] + [with_filters(everything(site), random) for _ in range(10)]:
            expected = ask_plainly(made, question).figures(question.start, question.end)
            assert engine.totals(question) == expected, question


def with_filters(question: Question, random: Random) -> Question:
    return Question(question.organisation_id, question.site_ids, question.start, question.end, make_filters(random))


def counts(services: Settings) -> tuple[int, int, int]:
    """Chunks, sealed files, and files in the store."""
    chunks = scalar(services, "SELECT count(*) FROM raw_chunks")
    sealed = scalar(services, "SELECT count(*) FROM sealed_files WHERE state = 'sealed'")
    return chunks, sealed, len(stored(services))


def stored(services: Settings) -> list[str]:
    return [key for keys in storage(services).key_pages(utc_now() + OLD) for key in keys if "/visits/" in key]


def storage(services: Settings) -> Storage:
    return storage_at(services.uploads_url)


def test_old_chunks_become_files_of_their_months(services: Settings, site: Site, made: Made) -> None:
    tasks.look_after_raw_rows()
    assert_all_is_there(site, made)
    assert counts(services) == (0, 4, 4)
    found = rows_of(services, "SELECT kind, month::text, row_count FROM sealed_files ORDER BY 1, 2")
    assert [row[:2] for row in found] == [
        (kind, month) for kind in ("activity", "visit") for month in ("2026-03-01", "2026-04-01")
    ]
    assert sum(row[2] for row in found if row[0] == "activity") == len(made.activity)
    assert sum(row[2] for row in found if row[0] == "visit") == sum(row["sign"] for row in made.visits)


def test_small_new_chunks_stay(services: Settings, site: Site) -> None:
    random = Random(1)
    made = make_rows(random, 50, utc_now() - timedelta(hours=5), 0.1)
    write_rows(site.organisation_id, site.id, made, random)
    tasks.look_after_raw_rows()
    assert counts(services)[1:] == (0, 0)
    assert_sums(site, made)


def assert_sums(site: Site, made: Made) -> None:
    now = utc_now()
    question = Question(site.organisation_id, (site.id,), now - OLD, now + OLD)
    with tenant(site.organisation_id):
        assert engine.totals(question) == ask_plainly(made, question).figures(question.start, question.end)


def test_files_of_a_month_become_one(services: Settings, site: Site) -> None:
    everything_made = Made()
    for seed in range(3):
        made = make_rows(Random(seed), 40)
        everything_made.activity += made.activity
        everything_made.visits += made.visits
        write_rows(site.organisation_id, site.id, made, Random(seed))
        tasks.seal_chunks()
    assert counts(services)[1] > 4
    tasks.merge_files()
    assert_all_is_there(site, everything_made)
    assert counts(services)[1] == 4 if spans_two_months(everything_made) else 2
    files = len(stored(services))
    tasks.sweep_files()
    assert len(stored(services)) == files, "readers may hold the old files"
    with owner_connection(services) as connection:
        connection.execute("UPDATE sealed_files SET retired_at = retired_at - interval '2 hours'")
    tasks.sweep_files()
    assert len(stored(services)) == counts(services)[1]
    assert_all_is_there(site, everything_made)


def spans_two_months(made: Made) -> bool:
    return bool(max(row["visited_ms"] for row in made.activity) >= 1_775_001_600_000)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("work", [tasks.seal_chunks, tasks.merge_files], ids=["seal", "merge"])
def test_dying_before_or_within_a_step_loses_and_doubles_nothing(
    services: Settings, site: Site, made: Made, monkeypatch: pytest.MonkeyPatch, step: str, work: Callable[[], None]
) -> None:
    if work is tasks.merge_files:
        tasks.seal_chunks()
        more = make_rows(Random(8), 30, START, 12)
        write_rows(site.organisation_id, site.id, more, Random(8))
        tasks.seal_chunks()
        made.activity, made.visits = made.activity + more.activity, made.visits + more.visits
    with monkeypatch.context() as patched:
        die_at(step, patched)
        with pytest.raises(DiedError):
            work()
    assert_all_is_there(site, made)
    work()
    assert_all_is_there(site, made)
    sweep_later(services)
    assert len(stored(services)) == counts(services)[1]
    assert scalar(services, "SELECT count(*) FROM sealed_files WHERE state <> 'sealed'") == 0
    assert_all_is_there(site, made)


def die_at(step: str, patched: pytest.MonkeyPatch, place: object = tasks) -> None:
    """Die before a step; within storing, when a file is in the store already."""

    def die(*_: object, **__: object) -> None:
        raise DiedError

    targets: dict[str, tuple[object, str]] = {
        "prepare": (sealing, "write_month"),
        "announce": (place, "announce"),
        "store": (Sealer, "_read_back"),
        "list": (place, "list_files"),
    }
    patched.setattr(*targets[step], die)


def sweep_later(services: Settings) -> None:
    """As it would be two days later: first what was never finished is given up, then it is removed."""
    for _ in range(2):
        with owner_connection(services) as connection:
            connection.execute(
                "UPDATE sealed_files SET created_at = created_at - interval '2 days',"
                " retired_at = retired_at - interval '2 days'"
            )
        tasks.sweep_files()


def test_whoever_comes_second_rolls_back(services: Settings, site: Site, made: Made) -> None:
    owner = Owner(site.organisation_id, site.id, RawKind.ACTIVITY)
    with tenant(site.organisation_id):
        pieces = sealing.list_sealable_chunks(owner, utc_now())
        sealer = Sealer(services)
        with sealer.prepare(owner, pieces) as late:
            sealing.announce(late)
            db.session.commit()
            sealer.store(late)
            tasks.seal_chunks()
            with pytest.raises(RowsMovedError):
                sealing.list_files(late, utc_now())
            db.session.rollback()
    assert_all_is_there(site, made)


def test_a_file_that_was_given_up_is_not_listed_any_more(services: Settings, site: Site, made: Made) -> None:
    owner = Owner(site.organisation_id, site.id, RawKind.ACTIVITY)
    with tenant(site.organisation_id):
        sealer = Sealer(services)
        with sealer.prepare(owner, sealing.list_sealable_chunks(owner, utc_now())) as slow:
            sealing.announce(slow)
            db.session.commit()
            sealer.store(slow)
            sweep_later(services)
            with pytest.raises(RowsMovedError):
                sealing.list_files(slow, utc_now())
            db.session.rollback()
    assert_all_is_there(site, made)


def test_a_file_that_does_not_hold_its_rows_is_not_listed(
    services: Settings, site: Site, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Owner(site.organisation_id, site.id, RawKind.ACTIVITY)
    with tenant(site.organisation_id):
        sealer = Sealer(services)
        with sealer.prepare(owner, sealing.list_sealable_chunks(owner, utc_now())) as replacement:
            monkeypatch.setattr(Sealer, "_read_back", lambda *_: None)
            with pytest.raises(WrongSumsError):
                sealer.store(replacement)
    assert_all_is_there(site, made)


def test_a_reader_counts_every_row_once_while_others_count_seal_and_merge(
    app_context: APIFlask, services: Settings, site: Site
) -> None:
    written, stop, errors = [0], threading.Event(), []

    def run(work: Callable[[], None]) -> None:
        with app_context.app_context():
            try:
                while not stop.is_set():
                    work()
            except Exception as error:
                errors.append(error)
                stop.set()

    def count() -> None:
        made = make_rows(Random(written[0]), 20)
        write_rows(site.organisation_id, site.id, made, Random(1))
        written[0] += len(made.activity)

    def seal() -> None:
        tasks.seal_chunks()
        tasks.merge_files()
        tasks.sweep_files()

    threads = [threading.Thread(target=run, args=(work,)) for work in (count, seal)]
    for thread in threads:
        thread.start()
    try:
        with tenant(site.organisation_id):
            for _ in range(60):
                before = written[0]
                figures = rows_now(site)
                assert before <= figures <= written[0] + 100, "but for what is being counted now"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors
    with tenant(site.organisation_id):
        assert rows_now(site) == written[0]


def rows_now(site: Site) -> int:
    """All activity there is, in whichever place, read as the engine does."""
    from webapp.visits.raw.reading import read
    from webapp.visits.raw.row_conditions import Parameters

    found = read(
        everything(site),
        lambda reading: reading.rows(f"SELECT count(*) FROM {reading.selection.activity(own := Parameters())}", own),
    )
    db.session.rollback()
    return int(found[0][0])


def test_rows_beyond_a_sites_retention_go_and_others_stay(services: Settings, site: Site, made: Made) -> None:
    tasks.seal_chunks()
    days = (utc_now() - START).days - 8
    with owner_connection(services) as connection:
        connection.execute("UPDATE sites SET retention_days = %s WHERE id = %s", [days, site.id])
    tasks.expire_rows()
    months = rows_of(services, "SELECT DISTINCT month::text FROM sealed_files WHERE state = 'sealed'")
    assert months == [("2026-04-01",)], "a file goes when its youngest row is too old"
    late = [row for row in made.activity if row["visited_ms"] >= 1_775_001_600_000]
    with tenant(site.organisation_id):
        assert rows_now(site) == len(late)


def test_what_a_cache_lost_is_copied_again(services: Settings, site: Site, made: Made) -> None:
    assert_all_is_there(site, made)
    for path in services.raw_cache_dir.glob("*.parquet"):
        path.unlink()
    assert_all_is_there(site, made)
    assert state_names() == {"writing", "sealed", "retired"}


def state_names() -> set[str]:
    return {state.value for state in SealedState}


assert DAYS < 12
