"""The edge, the workers, both Redis servers and PostgreSQL are killed under load: what was accepted counts once.

It takes a minute; `FOOTFALL_KILL_SECONDS=600 PYTEST_SEED=7` makes it ten, with the moments of that seed.
"""

from __future__ import annotations

import pytest

from tests.visits.killing.killer import VICTIMS, Killer
from tests.visits.killing.load import SECONDS, a_random, running_load
from tests.visits.killing.recount import assert_raw_rows_say_the_same

pytestmark = [pytest.mark.alone, pytest.mark.timeout(SECONDS * 3 + 600)]


def test_whatever_is_killed_all_that_was_accepted_counts_once() -> None:
    random = a_random()
    with running_load(random) as load:
        killer = Killer(load.outfit, random, SECONDS)
        killer.run()
        load.finish()
        load.report(killer)
        assert not killer.errors, killer.errors
        assert set(killer.kills) == set(VICTIMS)
        load.assert_every_id_once()
        load.assert_strict_sites_are_right()
        load.assert_check_finds_nothing([*load.strict, load.loose])
        with load.outfit.connect() as connection:
            for site in (*load.strict, load.loose):
                assert_raw_rows_say_the_same(load.outfit.settings, connection, site)
