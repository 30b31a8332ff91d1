"""The edge, the workers, both Redis servers and PostgreSQL are killed under load: what was accepted counts once.

One of the senders is a real Chromium with the tracker. It takes two minutes; ten minutes, with the moments of a seed:
`make test TESTS=tests/visits/killing FOOTFALL_KILL_SECONDS=600 PYTEST_SEED=7`.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.visits.killing.browsing import LONGEST_PAUSE_SECONDS, Browsing
from tests.visits.killing.killer import VICTIMS, Killer
from tests.visits.killing.load import Load, a_random, running_load, seconds_of
from tests.visits.killing.recount import assert_browser_is_right, assert_raw_rows_say_the_same

SECONDS = seconds_of(120)
pytestmark = [pytest.mark.alone, pytest.mark.timeout(SECONDS * 3 + LONGEST_PAUSE_SECONDS + 600)]


def test_whatever_is_killed_all_that_was_accepted_counts_once() -> None:
    random = a_random()
    with running_load(random) as load:
        browsing = start_browsing(load, random)
        killer = Killer(load.outfit, random, SECONDS)
        killer.run()
        browsing.stopping.set()
        load.wait(lambda: not browsing.is_alive(), "the tracker has not come through", LONGEST_PAUSE_SECONDS + 60)
        load.finish()
        load.report(killer)
        print(browsing.describe())
        assert not killer.errors, killer.errors
        assert set(killer.kills) == set(VICTIMS)
        assert browsing.answers["no answer"], "the tracker was never refused"
        load.assert_every_id_once()
        load.assert_strict_sites_are_right()
        load.assert_check_finds_nothing(load.sites)
        with load.outfit.connect() as connection:
            assert_browser_is_right(load.outfit.settings, connection, load.browsed, load.rows_of(load.browsed))
            for site in load.sites:
                assert_raw_rows_say_the_same(load.outfit.settings, connection, site)


def start_browsing(load: Load, random: Random) -> Browsing:
    """A browser that comes to one of the sites."""
    browsing = Browsing(load.outfit.settings.edge_url, load.browsed, load.ledger, Random(random.random()))
    browsing.start()
    return browsing
