"""The edge, the workers, both Redis servers and PostgreSQL are killed under load: what was accepted counts once.

It takes a minute; `FOOTFALL_KILL_SECONDS=600 PYTEST_SEED=7` makes it ten, with the moments of that seed.
"""

from __future__ import annotations

import os
import secrets
from random import Random

import pytest

from tests.visits.killing.killer import VICTIMS, Killer
from tests.visits.killing.load import Load, running_load
from tests.visits.killing.recount import assert_raw_rows_say_the_same

SECONDS = float(os.environ.get("FOOTFALL_KILL_SECONDS", "60"))

pytestmark = [pytest.mark.alone, pytest.mark.timeout(SECONDS * 3 + 600)]


def a_random() -> Random:
    """Of the seed that is asked for, or of a new one; a failure shows which."""
    seed = os.environ.get("PYTEST_SEED") or str(secrets.randbelow(10**6))
    print(f"PYTEST_SEED={seed}")
    return Random(seed)


def report(load: Load, killer: Killer) -> None:
    print(f"{len(load.ledger.accepted)} beacons accepted; kills: {dict(killer.kills)}; answers: {dict(load.ledger.tries)}")
    print(f"ended by themselves: {load.outfit.ended_alone}")


def test_whatever_is_killed_all_that_was_accepted_counts_once() -> None:
    random = a_random()
    with running_load(random) as load:
        killer = Killer(load.outfit, random, SECONDS)
        killer.run()
        load.finish()
        report(load, killer)
        assert not killer.errors, killer.errors
        assert set(killer.kills) == set(VICTIMS)
        load.assert_every_id_once()
        load.assert_strict_sites_are_right()
        load.assert_check_finds_nothing([*load.strict, load.loose])
        with load.outfit.connect() as connection:
            for site in (*load.strict, load.loose):
                assert_raw_rows_say_the_same(load.outfit.settings, connection, site)
