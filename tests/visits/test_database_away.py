"""PostgreSQL stopped and started again under a running collector: nothing that was accepted is lost."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from apiflask import APIFlask
from flask_migrate import upgrade

from tests.conftest import add_organisation
from tests.visits.support import Answered, add_site, ask, count_all, counted, make_beacon
from webapp.app import ROOT, create_app
from webapp.config import Settings, settings_from
from webapp.embedded.postgres import start_postgres, stop_postgres
from webapp.embedded.servers import running_servers
from webapp.extensions import db
from webapp.visits.collecting.collect import Collector
from webapp.visits.models import Site

BEACONS_MEANWHILE = 50


@dataclass(frozen=True)
class Installation:
    """Servers of this module's own: stopping them disturbs no other test."""

    app: APIFlask
    settings: Settings
    known: Site
    unknown: Site


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="ff-away-"))
    folder.chmod(0o755)
    settings = settings_from({"DATA_DIR": str(folder)})
    with running_servers(settings):
        app = create_app(settings)
        with app.app_context():
            upgrade(directory=str(ROOT / "migrations"))
        organisation_id = add_organisation(app, "acme", "Acme")
        yield Installation(app, settings, add_site(app, organisation_id), add_site(app, organisation_id))
        with app.app_context():
            db.engine.dispose()
    shutil.rmtree(folder)


def body_for(site: Site) -> bytes:
    return json.dumps(make_beacon(site.site_key)).encode()


async def visit_while_postgres_stops_and_starts(installation: Installation) -> dict[str, list[Answered]]:
    """What one collector answers before, while and after PostgreSQL is away."""
    collector = Collector(installation.settings)
    await collector.start()
    try:
        before = [await ask(collector, body_for(installation.known))]
        await asyncio.to_thread(stop_postgres, installation.settings)
        known = await asyncio.gather(
            *(ask(collector, body_for(installation.known)) for _ in range(BEACONS_MEANWHILE)),
        )
        unknown = [await ask(collector, body_for(installation.unknown))]
        await asyncio.to_thread(start_postgres, installation.settings)
        after = [await ask_until_accepted(collector, installation.unknown)]
        return {"before": before, "known": list(known), "unknown": unknown, "after": after}
    finally:
        await collector.stop()


async def ask_until_accepted(collector: Collector, site: Site) -> Answered:
    """As the tracker does: the same beacon again until it is taken."""
    body = body_for(site)
    async with asyncio.timeout(30):
        while (answer := await ask(collector, body)).status == 503:
            await asyncio.sleep(0.2)
    return answer


def test_a_stopped_database_keeps_no_known_site_waiting_and_loses_nothing(installation: Installation) -> None:
    answers = asyncio.run(visit_while_postgres_stops_and_starts(installation))
    assert [answer.status for answer in answers["before"]] == [202]
    assert [answer.status for answer in answers["known"]] == [202] * BEACONS_MEANWHILE
    (unknown,) = answers["unknown"]
    assert (unknown.status, unknown.headers["x-footfall-dropped"]) == (503, "try-again")
    assert int(unknown.headers["retry-after"]) > 0
    assert [answer.status for answer in answers["after"]] == [202]
    count_all(installation.app, installation.settings)
    expected = 1 + BEACONS_MEANWHILE + 1
    assert counted(installation.settings) == (expected, expected, expected)


def test_a_collector_that_starts_without_the_database_accepts_as_soon_as_it_is_back(
    installation: Installation,
) -> None:
    before = counted(installation.settings)[0]

    async def start_first() -> tuple[Answered, Answered]:
        collector = Collector(installation.settings)
        await collector.start()
        try:
            refused = await ask(collector, body_for(installation.known))
            await asyncio.to_thread(start_postgres, installation.settings)
            return refused, await ask_until_accepted(collector, installation.known)
        finally:
            await collector.stop()

    stop_postgres(installation.settings)
    refused, accepted = asyncio.run(start_first())
    assert (refused.status, accepted.status) == (503, 202)
    assert int(refused.headers["retry-after"]) > 0
    count_all(installation.app, installation.settings)
    assert counted(installation.settings) == (before + 1, before + 1, before + 1)
