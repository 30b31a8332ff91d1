"""Product views SKU by SKU: exact against plain counting, whatever comes late, leaves, is rebuilt or is crowded."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.visits.counting.test_rebuilding import check_counts, rebuild_site
from tests.visits.support import add_rows, add_site, count_all, make_row, rows_of, utc
from webapp.config import Settings
from webapp.extensions import db, driver_connection, tenant
from webapp.lib.keys import fold_key
from webapp.visits.backlog import Kind, Row
from webapp.visits.counting import product_windows
from webapp.visits.counting.product_views import leave_totals
from webapp.visits.models import Site
from webapp.visits.product_views.tasks import move_product_views

NOW = utc("2026-11-20T12:00:00")
SKUS = ["CUP-1", "cup-1", "CUP-2", "Tasse-\u00c4", "tasse-a\u0308", "POT 7", 'LID,"9"']
DAYS = "SELECT site_id, day, sku_key, view_count FROM product_view_days"
TOTALS = "SELECT sku_key, view_count FROM product_view_totals WHERE organisation_id = %s"
WINDOWS = "SELECT first_day FROM product_view_windows"


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    set_now(monkeypatch, NOW)


def set_now(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    for module in ("counting.product_views", "product_views.tasks"):
        monkeypatch.setattr(f"webapp.visits.{module}.utc_now", lambda: moment)


def make_views(site: Site, seed: int, count: int = 400) -> list[Row]:
    """Views of some weeks up to now in no order, among pageviews."""
    chance = random.Random(seed)
    return [
        make_row(
            site,
            NOW - timedelta(minutes=chance.randrange(45 * 24 * 60)),
            visitor=f"visitor-{chance.randrange(30)}",
            kind=int(chance.choice([Kind.PRODUCT, Kind.PRODUCT, Kind.PAGEVIEW])),
            name=chance.choice(SKUS),
        )
        for _ in range(count)
    ]


def plain_days(rows: list[Row], zones: dict[bytes, str]) -> Counter[tuple[bytes, date, str]]:
    """Every view, one by one."""
    counts: Counter[tuple[bytes, date, str]] = Counter()
    for row in rows:
        if row.kind == Kind.PRODUCT:
            at = datetime.fromtimestamp(row.visited_ms / 1000, ZoneInfo(zones[row.site_id]))
            counts[row.site_id, at.date(), fold_key(row.name)] += 1
    return counts


def plain_totals(
    days: Counter[tuple[bytes, date, str]], zones: dict[bytes, str], moment: datetime = NOW
) -> Counter[str]:
    """The last thirty days of each site, today being one."""
    totals: Counter[str] = Counter()
    for (site_id, day, sku_key), count in days.items():
        if day > moment.astimezone(ZoneInfo(zones[site_id])).date() - timedelta(days=30):
            totals[sku_key] += count
    return totals


def counted_days(settings: Settings) -> dict[tuple[bytes, date, str], int]:
    return {(site_id.bytes, day, sku_key): count for site_id, day, sku_key, count in rows_of(settings, DAYS)}


def totals_of(settings: Settings, person: Person) -> dict[str, int]:
    return dict(rows_of(settings, TOTALS, person.organisation_id))


def count_rows(app: APIFlask, settings: Settings, rows: list[Row], batch: int = 20_000) -> None:
    add_rows(settings, rows, group=7)
    count_all(app, settings, batch)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_views_in_any_order_are_those_that_plain_counting_finds(
    app: APIFlask, alice: Person, charlie: Person, services: Settings, seed: int
) -> None:
    zones = {}
    rows: list[Row] = []
    for number, (person, zone) in enumerate([(alice, "Asia/Kathmandu"), (alice, "America/New_York"), (charlie, "UTC")]):
        site = add_site(app, person.organisation_id, f"https://shop-{number}.example", zone)
        zones[site.id.bytes] = zone
        rows += make_views(site, seed * 10 + number)
    random.Random(seed).shuffle(rows)
    count_rows(app, services, rows, batch=50)
    days = plain_days(rows, zones)
    assert counted_days(services) == dict(days)
    for person in (alice, charlie):
        own = {row.site_id for row in rows if row.organisation_id == person.organisation_id.bytes}
        mine = Counter({key: count for key, count in days.items() if key[0] in own})
        assert totals_of(services, person) == dict(plain_totals(mine, zones))
        assert check_counts(app, person, services)["difference_count"] == 0


def test_a_beacon_that_was_counted_is_not_counted_again(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    rows = make_views(site, 4)
    count_rows(app, services, rows)
    before = counted_days(services), totals_of(services, alice)
    count_rows(app, services, rows)
    assert (counted_days(services), totals_of(services, alice)) == before


def test_days_leave_the_totals_exactly_and_late_beacons_go_where_they_belong(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = [
        add_site(app, alice.organisation_id, f"https://{n}.example", zone)
        for n, zone in enumerate(["UTC", "Pacific/Auckland"])
    ]
    zones = {site.id.bytes: site.time_zone for site in sites}
    rows = [row for number, site in enumerate(sites) for row in make_views(site, number)]
    count_rows(app, services, rows)
    for days_later in (1, 4, 20, 50):
        later = NOW + timedelta(days=days_later)
        set_now(monkeypatch, later)
        late = [make_row(site, later - timedelta(hours=47), kind=int(Kind.PRODUCT), name="LATE") for site in sites]
        rows += late
        count_rows(app, services, late)
        for _ in range(2):  # the second time there is nothing to do
            move(app)
            expected = plain_totals(plain_days(rows, zones), zones, later)
            assert totals_of(services, alice) == dict(expected)
        assert check_counts(app, alice, services)["difference_count"] == 0
    assert counted_days(services) == dict(plain_days(rows, zones))


def move(app: APIFlask) -> None:
    with app.app_context():
        move_product_views.fn()


def test_moving_on_that_dies_anywhere_goes_on_where_it_was(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = add_site(app, alice.organisation_id)
    rows = make_views(site, 5)
    count_rows(app, services, rows)
    later = NOW + timedelta(days=12)
    set_now(monkeypatch, later)
    real_step = product_windows.step
    chance = random.Random(6)

    def die_sometimes(*given: object) -> bool:
        done = real_step(*given)  # type: ignore[arg-type]
        if chance.random() < 0.5:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(product_windows, "step", die_sometimes)
    deaths = 0
    while rows_of(services, WINDOWS) != [(date(2026, 11, 3),)]:
        try:
            move(app)
        except KeyboardInterrupt:
            deaths += 1
            with app.app_context():
                db.session.rollback()
    assert deaths > 3
    zones = {site.id.bytes: "UTC"}
    assert totals_of(services, alice) == dict(plain_totals(plain_days(rows, zones), zones, later))


def test_a_rebuild_counts_the_same_and_heals_what_is_wrong(app: APIFlask, alice: Person, services: Settings) -> None:
    sites = [add_site(app, alice.organisation_id, f"https://{n}.example") for n in range(2)]
    count_rows(app, services, [row for number, site in enumerate(sites) for row in make_views(site, 30 + number)])
    before = counted_days(services), totals_of(services, alice)
    rebuild_site(app, sites[0])
    assert (counted_days(services), totals_of(services, alice)) == before
    with owner_connection(services) as connection:
        connection.execute("UPDATE product_view_days SET view_count = view_count + 3 WHERE sku_key = 'cup-2'")
    assert check_counts(app, alice, services)["difference_count"] > 0
    with owner_connection(services) as connection:  # totals as they would be, had they been counted so
        connection.execute(
            "UPDATE product_view_totals t SET view_count = (SELECT sum(d.view_count) FROM product_view_days d"
            " JOIN product_view_windows w USING (organisation_id, site_id)"
            " WHERE d.sku_key = t.sku_key AND d.day >= w.first_day)"
        )
    for site in sites:
        rebuild_site(app, site)
    assert (counted_days(services), totals_of(services, alice)) == before
    assert check_counts(app, alice, services)["difference_count"] == 0


def test_the_nightly_check_names_a_total_that_differs(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    count_rows(app, services, make_views(site, 7))
    with owner_connection(services) as connection:
        connection.execute("UPDATE product_view_totals SET view_count = view_count + 1 WHERE sku_key = 'cup-1'")
    result = check_counts(app, alice, services)
    assert result["difference_count"] == 1
    assert "cup-1" in result["differences"][0]


def test_another_time_zone_cuts_the_days_anew(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    rows = make_views(site, 8)
    count_rows(app, services, rows)
    with app.app_context(), tenant(alice.organisation_id):
        db.session.get_one(Site, (alice.organisation_id, site.id)).time_zone = "Pacific/Auckland"
        db.session.commit()
    rebuild_site(app, site)
    zones = {site.id.bytes: "Pacific/Auckland"}
    assert counted_days(services) == dict(plain_days(rows, zones))
    assert totals_of(services, alice) == dict(plain_totals(plain_days(rows, zones), zones))


def test_beyond_the_limit_a_day_counts_skus_together_and_loses_none(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.visits.counting.product_views.SKU_LIMIT_A_DAY", 3)
    site = add_site(app, alice.organisation_id)
    views = [("A", 1), ("B", 2), ("C", 1), ("D", 5), ("A", 2), ("E", 1), ("D", 1)]
    for sku, count in views:  # a batch each
        rows = [make_row(site, NOW, kind=int(Kind.PRODUCT), name=sku) for _ in range(count)]
        count_rows(app, services, rows)
    found = {sku_key: count for (_, _, sku_key), count in counted_days(services).items()}
    assert found == {"a": 3, "b": 2, "c": 1, "": 7}
    assert totals_of(services, alice) == {"a": 3, "b": 2, "c": 1}
    assert check_counts(app, alice, services)["difference_count"] == 0


def test_a_deleted_sites_views_leave_the_totals(app: APIFlask, alice: Person, services: Settings) -> None:
    sites = [add_site(app, alice.organisation_id, f"https://{n}.example") for n in range(2)]
    rows = {site.id: make_views(site, 40 + number) for number, site in enumerate(sites)}
    count_rows(app, services, [row for some in rows.values() for row in some])
    with app.app_context(), tenant(alice.organisation_id):
        leave_totals(driver_connection(), alice.organisation_id, sites[0].id)
        db.session.commit()
    zones = {sites[1].id.bytes: "UTC"}
    days = plain_days(rows[sites[1].id], zones)
    assert totals_of(services, alice) == dict(plain_totals(days, zones))
    assert len(rows_of(services, WINDOWS)) == 1
