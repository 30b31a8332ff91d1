"""An installation under load: sites in several zones, who sends to them, and waiting until all of it is counted."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from uuid import UUID

import psycopg
from apiflask import APIFlask
from redis.exceptions import RedisError

from tests.outfit import PATIENCE_SECONDS, running_outfit
from tests.tracker.support import free_port
from tests.visits.killing.beacons import Maker
from tests.visits.killing.installation import VisitsOutfit
from tests.visits.killing.killer import Killer
from tests.visits.killing.recount import assert_counts_what_was_sent
from tests.visits.killing.senders import Ledger, Sender
from tests.visits.support import add_site
from webapp.app import create_app
from webapp.extensions import db, driver_connection, tenant
from webapp.lib.redis import beacons_client
from webapp.visits import backlog
from webapp.visits.backlog import Row
from webapp.visits.counting.checking import find_differences
from webapp.visits.models import Site


def seconds_of(usual: float) -> float:
    """For how long things are killed: so long in the suite, as long as FOOTFALL_KILL_SECONDS says by hand."""
    return float(os.environ.get("FOOTFALL_KILL_SECONDS", usual))


SENDERS = 6
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
AWAY = (psycopg.OperationalError, RedisError, OSError)


@dataclass
class Load:
    """What runs, and what it was told."""

    outfit: VisitsOutfit
    app: APIFlask
    strict: list[Site]
    """Of their beacons the test knows every moment."""
    loose: Site
    browsed: Site
    """Whose visitor has a real browser."""
    ledger: Ledger
    senders: list[Sender]

    @property
    def sites(self) -> list[Site]:
        return [*self.strict, self.loose, self.browsed]

    def report(self, killer: Killer) -> None:
        """Shown when a test fails, or by `-s`."""
        ledger = self.ledger
        print(f"{len(ledger.accepted)} accepted, kills {dict(killer.kills)}, answers {dict(ledger.tries)}")
        print(f"ended by themselves: {dict(Counter(self.outfit.ended_alone))}")

    def finish(self) -> None:
        """Let senders come to their end, and the installation count all that it took."""
        for sender in self.senders:
            sender.stopping.set()
        self.wait(lambda: not any(sender.is_alive() for sender in self.senders), "beacons are still refused")
        self.wait(self.is_all_counted, "the stream is not empty")

    def wait(self, holds: Callable[[], bool], otherwise: str, seconds: float = PATIENCE_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not self._holds(holds):
            assert time.monotonic() < deadline, f"{otherwise}: {self.ledger.tries}"
            self.outfit.revive()
            time.sleep(0.1)

    def is_all_counted(self) -> bool:
        with beacons_client(self.outfit.settings) as client:
            return not backlog.waiting_count(client) and int(client.get(backlog.COUNT_KEY) or -1) == 0

    def _holds(self, holds: Callable[[], bool]) -> bool:
        try:
            return holds()
        except AWAY:
            return False

    def rows_of(self, site: Site) -> list[Row]:
        return [row for row in self.ledger.accepted.values() if row.site_id == site.id.bytes]

    def assert_every_id_once(self) -> None:
        """Every accepted id, and of those that nobody answered some."""
        with self.outfit.connect() as connection:
            entered = connection.execute("SELECT second, part, ids FROM seen").fetchall()
            ids = [one for row in entered for one in _ids_of(*row)]
            seen = set(ids)
            assert len(seen) == len(ids), "an id was entered twice"
            dead = connection.execute("SELECT count(*), min(reason) FROM dead_beacons").fetchone()
            drops = connection.execute("SELECT coalesce(sum(drop_count), 0)::int FROM drop_counts").fetchone()
        assert not self.ledger.wrong, self.ledger.wrong[:5]
        assert dead == (0, None)
        assert not set(self.ledger.accepted) - seen, "accepted and not counted"
        others = seen - set(self.ledger.accepted) - set(self.ledger.unsure)
        told, unsure = self.ledger.told_dropped.total(), self.ledger.unsure_drops.total()
        assert drops is not None
        assert told <= drops[0] <= told + unsure
        assert len(others) <= drops[0], f"only groups of drops are entered, too: {len(others)}, {sorted(others)[:9]}"

    def assert_strict_sites_are_right(self) -> None:
        with self.outfit.connect() as connection:
            for site in self.strict:
                assert_counts_what_was_sent(connection, site, self.rows_of(site))

    def assert_check_finds_nothing(self, sites: list[Site]) -> None:
        """The nightly check, which compares roll-ups and raw rows as the product does."""
        with self.app.app_context():
            for site in sites:
                with tenant(site.organisation_id):
                    db.session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                    found = find_differences(driver_connection(), site.organisation_id, site.id)
                    assert not found, f"{site.time_zone}: {list(map(str, found[:5]))}"
                    db.session.rollback()


def a_random() -> Random:
    """Of the seed that is asked for, or of a new one; a failure shows which."""
    seed = os.environ.get("PYTEST_SEED") or str(secrets.randbelow(10**6))
    print(f"PYTEST_SEED={seed}")
    return Random(seed)


@contextmanager
def running_load(random: Random, **given: str) -> Iterator[Load]:
    """An installation with sites, to which senders report from now on."""
    port = free_port()
    own = {"EDGE_PORT": str(port), "EDGE_URL": f"http://127.0.0.1:{port}", "TRUSTED_PROXIES": "127.0.0.1", **given}
    own |= {"ADDRESS_RATE_LIMIT": "100000", "ROLL_UP_SECONDS": "0.25"}
    with running_outfit(VisitsOutfit, **own) as outfit:
        app = create_app(outfit.settings)
        *strict, loose, browsed = _add_sites(app, outfit)
        outfit.start_programs()
        makers = [Maker(site, Random(random.random())) for site in (*strict, loose)]
        ledger = Ledger()
        seeds = [Random(random.random()) for _ in range(SENDERS)]
        senders = [Sender(outfit.settings.edge_url, makers[:-1], makers[-1], ledger, seed) for seed in seeds]
        load = Load(outfit, app, strict, loose, browsed, ledger, senders)
        for sender in senders:
            sender.start()
        try:
            yield load
        finally:
            for sender in senders:
                sender.stopping.set()
            with app.app_context():
                db.engine.dispose()


def _add_sites(app: APIFlask, outfit: VisitsOutfit) -> list[Site]:
    """One in each zone, one whose moments only the server knows, and a website that a browser can open."""
    organisation_id: UUID = outfit.organisation_id
    origins = {f"https://shop{number}.example": zone for number, zone in enumerate(ZONES)}
    origins |= {"https://loose.example": "UTC", f"http://127.0.0.1:{free_port()}": "Europe/Berlin"}
    sites = [add_site(app, organisation_id, origin, zone) for origin, zone in origins.items()]
    with outfit.connect() as connection:
        connection.execute("UPDATE sites SET rate_limit = 1000000")
    return sites


def _ids_of(second: int, part: UUID, pack: bytes) -> list[UUID]:
    """What a row of `seen` holds: ids, or none where `part` is one but for its first byte, which the second tells."""
    if not pack:
        return [UUID(bytes=bytes([second * 1000 >> 40]) + part.bytes[1:])]
    return [UUID(bytes=pack[at : at + 16]) for at in range(0, len(pack), 16)]
