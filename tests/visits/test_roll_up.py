"""Counting: exactly once, whatever arrives twice, is broken, or comes late."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person, add_organisation, owner_connection
from tests.visits.support import (
    ORIGIN,
    add_rows,
    add_site,
    count_all,
    counted,
    make_beacon,
    make_row,
    post,
    read_raw,
    rows_of,
    scalar,
    utc,
)
from webapp.accounts.models import SYSTEM_ORGANISATION_ID
from webapp.config import Settings
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.lib.redis import beacons_client, broker_client
from webapp.live.channels import state_key, visits_channel
from webapp.visits import backlog
from webapp.visits.counting import capping, statements
from webapp.visits.models import RawKind
from webapp.visits.tasks import make_partitions, roll_up_once


def test_a_beacon_is_counted_and_leaves_the_stream(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    post(services, make_beacon(site.site_key))
    count_all(app, services)
    assert counted(services) == (1, 1, 1)
    assert rows_of(services, "SELECT url FROM pages") == [(f"{ORIGIN}/pricing",)]
    raw = read_raw(services, RawKind.ACTIVITY).select("page", "referrer", "channel", "screen", "is_entry").rows()
    assert raw == [(f"{ORIGIN}/pricing", "google.com", "Organic search", "1920x1080", True)]
    columns = "dimension, value, pageview_count, visit_count"
    values = f"SELECT {columns} FROM dimension_roll_ups WHERE grain = %s AND dimension IN ('channel', 'referrer')"
    assert sorted(rows_of(services, values, "day")) == [
        ("channel", "Organic search", 1, 1),
        ("referrer", "google.com", 1, 1),
    ]
    with beacons_client(services) as client:
        assert backlog.waiting_count(client) == 0
        assert int(client.get(backlog.COUNT_KEY) or -1) == 0


def test_the_same_id_counts_once(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    beacon = make_beacon(site.site_key)
    post(services, beacon, beacon, beacon, make_beacon(site.site_key))
    count_all(app, services)
    post(services, {**beacon, "visitedAt": (utc_now() - timedelta(hours=5)).isoformat()}, make_beacon(site.site_key))
    count_all(app, services)
    assert counted(services) == (3, 3, 3)


def test_the_same_id_of_two_organisations_counts_for_each(
    app: APIFlask, alice: Person, charlie: Person, services: Settings
) -> None:
    sites = [add_site(app, person.organisation_id) for person in (alice, charlie)]
    row_id = uuid7().bytes
    add_rows(services, [make_row(site, id=row_id) for site in sites])
    count_all(app, services)
    assert counted(services) == (2, 2, 2)


def test_entries_that_were_counted_but_not_trimmed_are_not_counted_again(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash between commit and trim."""
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site) for _ in range(95)])
    with monkeypatch.context() as patch, app.app_context(), beacons_client(services) as client:
        patch.setattr("webapp.visits.tasks.backlog.trim", lambda *_: None)
        assert roll_up_once(client, 20)
        assert backlog.waiting_count(client) == 10
    count_all(app, services, batch=30)
    assert counted(services) == (95, 95, 95)
    with beacons_client(services) as client:
        assert (backlog.waiting_count(client), int(client.get(backlog.COUNT_KEY) or -1)) == (0, 0)


def test_while_one_counts_another_leaves_the_stream_alone(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site)])
    with app.app_context(), beacons_client(services) as client:
        with db.engine.connect() as other:
            driver = other.connection.driver_connection
            assert driver is not None
            assert statements.try_lock(driver)
            assert not roll_up_once(client, 10)
        roll_up_once(client, 10)
    assert counted(services) == (1, 1, 1)


@pytest.mark.parametrize(
    "poison",
    [
        {"visitor": "a\x00b"},
        {"page_url": "https://shop.example/\x00"},
        {"visited_ms": 10**18},
        {"visited_ms": -(10**18)},
        {"site_id": b"short"},
    ],
)
def test_a_poisonous_row_is_laid_aside_and_the_rest_is_counted(
    app: APIFlask, alice: Person, services: Settings, poison: dict[str, object]
) -> None:
    site = add_site(app, alice.organisation_id)
    rows = [make_row(site) for _ in range(60)]
    for name, value in poison.items():
        setattr(rows[37], name, value)
    add_rows(services, rows)
    count_all(app, services)
    assert counted(services) == (59, 59, 59)
    ((organisation_id, content),) = rows_of(services, "SELECT organisation_id, content FROM dead_beacons")
    assert organisation_id == alice.organisation_id
    assert rows[37].id in content


def test_an_entry_that_cannot_be_read_is_laid_aside(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site)])
    with beacons_client(services) as client:
        client.xadd(backlog.STREAM, {"n": 1, "rows": b"\xff\xff"})
        client.xadd(backlog.STREAM, {"nothing": 1})
    add_rows(services, [make_row(site)])
    count_all(app, services)
    assert counted(services) == (2, 2, 2)
    assert scalar(services, "SELECT count(*) FROM dead_beacons WHERE organisation_id = %s", SYSTEM_ORGANISATION_ID) == 2


def test_ids_from_outside_every_partition_are_kept_and_move_when_theirs_is_made(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    times = [utc("2019-03-02T10:00:00"), utc("2019-03-03T10:00:00")]
    add_rows(services, [make_row(site, at, id=uuid7(at).bytes) for at in times])
    count_all(app, services)
    assert scalar(services, "SELECT count(*) FROM seen_default") == 2
    assert scalar(services, "SELECT footfall_make_partitions('2019-03-02', '2019-03-02')") == 1
    assert scalar(services, "SELECT count(*) FROM seen_20190302") == 1
    assert scalar(services, "SELECT count(*) FROM seen_default") == 1
    assert counted(services) == (2, 2, 2)
    with owner_connection(services) as connection:
        connection.execute("DROP TABLE seen_20190302")


def test_partitions_are_made_ahead_by_the_apps_role(app_context: APIFlask, services: Settings) -> None:
    make_partitions.fn()
    today = utc_now().date()
    name = f"seen_{today + timedelta(days=7):%Y%m%d}"
    assert scalar(services, "SELECT to_regclass(%s)::text", name) == name


def test_rows_are_where_their_tenant_alone_sees_them(
    app: APIFlask, alice: Person, charlie: Person, services: Settings
) -> None:
    for person, count in ((alice, 3), (charlie, 2)):
        site = add_site(app, person.organisation_id)
        add_rows(services, [make_row(site) for _ in range(count)])
    count_all(app, services)
    roll_ups = ("page_roll_ups", "site_roll_ups", "dimension_roll_ups", "known_visitors", "known_visitor_counts")
    for table in ("raw_chunks", "visits", "seen", "pages", "sites", *roll_ups):
        found = rows_of(services, f"SELECT organisation_id, count(*) FROM {table} GROUP BY 1")
        assert {row[0] for row in found} == {alice.organisation_id, charlie.organisation_id}, table
    with app.app_context(), db.engine.connect() as connection:
        statement = "SELECT sum(row_count) FROM raw_chunks WHERE kind = 'activity'"
        assert connection.exec_driver_sql(statement).scalar_one() is None
        connection.exec_driver_sql(
            "SELECT set_config('footfall.organisation_id', %s, true)", (str(charlie.organisation_id),)
        )
        assert connection.exec_driver_sql(statement).scalar_one() == 2


def test_many_pages_of_a_day_become_other(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capping, "PAGE_LIMIT_A_DAY", 5)
    site = add_site(app, alice.organisation_id)
    now = utc("2026-11-20T10:00:00")
    add_rows(services, [make_row(site, now, page_url=f"{ORIGIN}/{number}") for number in range(4)])
    count_all(app, services)
    add_rows(services, [make_row(site, now, page_url=f"{ORIGIN}/{number}") for number in range(2, 9)])
    count_all(app, services)
    assert counted(services) == (11, 11, 11)
    found = rows_of(
        services,
        "SELECT coalesce(p.url, 'other'), r.pageview_count FROM page_roll_ups r"
        " LEFT JOIN pages p ON p.id = r.page_id WHERE grain = 'day' ORDER BY 1",
    )
    assert found == [
        *[(f"{ORIGIN}/{number}", 2 if number in {2, 3} else 1) for number in range(5)],
        ("other", 4),
    ]
    assert scalar(services, "SELECT page_count FROM site_roll_ups WHERE grain = 'day'") == 5


def test_the_pages_are_told(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site) for _ in range(4)])
    count_all(app, services)
    with broker_client(services) as broker:
        state = broker.get(state_key(visits_channel(alice.organisation_id)))
    assert state is not None
    assert b'"pageview_count":4' in state


def test_an_organisation_that_is_gone_stops_nobody(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    stray = make_row(site)
    stray.organisation_id = UUID(int=77).bytes
    add_rows(services, [stray, make_row(site)])
    count_all(app, services)
    assert counted(services) == (1, 1, 1), "nobody would ever see, or remove, what is counted for a site that is gone"
    assert scalar(services, "SELECT count(*) FROM dead_beacons") == 0
    assert add_organisation(app, "third", "Third")
