"""Sealing, merging, retention and rebuilds are killed while beacons come and everything else dies, too.

Raw rows must go on saying what was counted, and no file may be lost or forgotten. It takes a minute, or
`FOOTFALL_KILL_SECONDS`: see the other test of its kind.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from tests.outfit import ROOT
from tests.visits.counting.reference import count_sites
from tests.visits.killing.killer import VICTIMS, Killer
from tests.visits.killing.load import Load, a_random, running_load, seconds_of
from tests.visits.killing.recount import (
    assert_raw_rows_say_the_same,
    assert_same,
    raw_sites,
    read_raw,
)
from webapp.cli_serve import Program
from webapp.lib.clock import utc_now
from webapp.lib.storage import storage_at
from webapp.visits.backlog import Kind
from webapp.visits.counting.enrichment import visitor_number
from webapp.visits.models import Site
from webapp.visits.raw import tasks

UPKEEP = (sys.executable, "-m", "tests.visits.killing.upkeep_process")
RETENTION_DAYS = 7
ERASED = [f"visitor-{number}@example.com" for number in range(0, 150, 7)]
TRIES = 200

SECONDS = seconds_of(60)
pytestmark = [pytest.mark.alone, pytest.mark.timeout(SECONDS * 3 + 900)]


def test_whatever_dies_while_raw_rows_are_moved_nothing_is_lost_doubled_or_forgotten() -> None:
    random = a_random()
    with running_load(random) as load:
        keep_for_some_days(load, load.strict[-1])
        seed = str(random.random())
        load.outfit.others["upkeep"] = Program("upkeep", (*UPKEEP, seed, str(load.outfit.organisation_id)))
        load.outfit.start_program("upkeep")
        killer = Killer(load.outfit, random, SECONDS, (*VICTIMS, "worker", "upkeep", "upkeep"))
        killer.run()
        load.finish()
        load.wait(lambda: has_moved_rows(load), "nothing was sealed or rebuilt")
        load.wait(lambda: not count_jobs(load, "state IN ('pending', 'running', 'retrying')"), "jobs are stuck")
        end_upkeep(load)
        load.report(killer)
        print(f"{one(load, 'SELECT count(*) FROM sealed_files')} files, {count_jobs(load, 'true')} rebuilds")
        assert not killer.errors, killer.errors
        assert not count_jobs(load, "state <> 'completed'"), load.outfit.describe()
        load.assert_every_id_once()
        load.assert_strict_sites_are_right()
        assert_raw_rows_are_right(load)
        assert_store_holds_what_is_listed(load)
        erase_until_done(load, load.strict[0], random)
        assert_only_the_erased_are_gone(load, load.strict[0])
        assert_store_holds_what_is_listed(load)


def keep_for_some_days(load: Load, site: Site) -> None:
    with load.outfit.connect() as connection:
        connection.execute("UPDATE sites SET retention_days = %s WHERE id = %s", [RETENTION_DAYS, site.id])


def one(load: Load, statement: str, *given: object) -> Any:
    with load.outfit.connect() as connection:
        row = connection.execute(statement, given).fetchone()
    return row[0] if row else None


def count_jobs(load: Load, condition: str) -> int:
    return int(one(load, f"SELECT count(*) FROM jobs WHERE kind = 'rebuild_roll_ups' AND {condition}"))


def has_moved_rows(load: Load) -> bool:
    """On a busy machine only after the kills."""
    sealed = one(load, "SELECT count(*) FROM sealed_files WHERE state = 'sealed'")
    return bool(sealed) and count_jobs(load, "state = 'completed'") > 0


def end_upkeep(load: Load) -> None:
    load.outfit.kill("upkeep")
    del load.outfit.alive["upkeep"], load.outfit.others["upkeep"]


def complete_from(load: Load, site: Site) -> datetime | None:
    found: datetime | None = one(load, "SELECT raw_complete_from FROM sites WHERE id = %s", site.id)
    return found


def assert_raw_rows_are_right(load: Load) -> None:
    sites = [*load.strict, load.loose]
    load.assert_check_finds_nothing(sites)
    with load.outfit.connect() as connection:
        for site in sites:
            assert_raw_rows_say_the_same(load.outfit.settings, connection, site, complete_from(load, site))


def assert_store_holds_what_is_listed(load: Load) -> None:
    """After the sweeps of the next days."""
    for _ in range(2):
        one(
            load,
            "WITH aged AS (UPDATE sealed_files SET created_at = created_at - interval '2 days',"
            " retired_at = retired_at - interval '2 days' RETURNING 1) SELECT count(*) FROM aged",
        )
        with load.app.app_context():
            tasks.sweep_files()
    with load.outfit.connect() as connection:
        listed = connection.execute("SELECT state, id FROM sealed_files").fetchall()
    assert {state for state, _ in listed} == {"sealed"}
    pages: Iterable[list[str]] = storage_at(load.outfit.settings.uploads_url).key_pages(utc_now() + timedelta(days=1))
    stored = {key.rpartition("/")[2].partition(".")[0] for keys in pages for key in keys if "/visits/" in key}
    assert stored == {str(file_id) for _, file_id in listed}


def erase_until_done(load: Load, site: Site, random: Random) -> None:
    """By a process that dies at any step, again and again until one comes to its end."""
    numbers = [str(visitor_number(site.id.bytes, identifier)) for identifier in ERASED]
    for deaths in range(TRIES):
        given = (str(random.random()), str(site.organisation_id), str(site.id), *numbers)
        done = subprocess.run([*UPKEEP, *given], cwd=ROOT, env=load.outfit.environment, check=False)
        if done.returncode == 0:
            print(f"erasing died {deaths} times")
            return
        assert done.returncode == -9, "it failed"
    raise AssertionError("erasing never came to its end")


def assert_only_the_erased_are_gone(load: Load, site: Site) -> None:
    load.assert_strict_sites_are_right()
    kept = [row for row in load.rows_of(site) if row.visitor not in ERASED and row.kind != Kind.IDENTIFY]
    with load.outfit.connect() as connection:
        raw = read_raw(load.outfit.settings, connection, site)
    assert_same(raw_sites(raw, site.time_zone), count_sites(kept, site.time_zone), "raw rows without the erased")
