"""What counting does beyond adding up: late beacons, caps, drops, identities, chunks."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import polars as pl
import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, read_raw, rows_of, scalar, utc
from webapp.config import Settings
from webapp.extensions import tenant
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.lib.redis import beacons_client
from webapp.visits import backlog, rolled_up
from webapp.visits.backlog import Kind, Row
from webapp.visits.counting import capping
from webapp.visits.models import RawKind
from webapp.visits.questions import Question
from webapp.visits.raw.chunks import SMALL_CHUNK_ROWS
from webapp.visits.tasks import make_partitions

AT = utc("2026-11-20T10:00:00")
VISITS = "SELECT visit_count, bounce_count, visit_ms, pageview_count FROM site_roll_ups WHERE grain = 'day'"
MINUTE = timedelta(minutes=1)


def test_a_late_beacon_joins_two_visits_and_takes_both_back(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    _count(app, services, [make_row(site, AT, referrer="https://news.example/"), make_row(site, AT + 50 * MINUTE)])
    assert rows_of(services, VISITS) == [(2, 2, 0, 2)]
    _count(app, services, [make_row(site, AT + 25 * MINUTE, page_url=f"{ORIGIN}/late")])
    assert rows_of(services, VISITS) == [(1, 0, 50 * 60_000, 3)]
    referrers = "SELECT value, visit_count FROM dimension_roll_ups WHERE dimension = 'referrer' AND grain = 'day'"
    assert sorted(rows_of(services, referrers)) == [("", 0), ("news.example", 1)]
    raw = read_raw(services, RawKind.VISIT).sort("sign", "started_ms")
    assert raw.get_column("sign").to_list() == [-1, -1, 0, 1, 1, 1]
    assert scalar(services, "SELECT count(*) FROM visits") == 1


def test_an_earlier_beacon_is_the_entry_from_then_on(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    _count(app, services, [make_row(site, AT, page_url=f"{ORIGIN}/b")])
    _count(app, services, [make_row(site, AT - 10 * MINUTE, page_url=f"{ORIGIN}/a", country="NP")])
    pages = (
        "SELECT url, entry_count, exit_count, bounce_count FROM page_roll_ups r JOIN pages p ON p.id = r.page_id"
        " WHERE grain = 'day' ORDER BY 1"
    )
    assert rows_of(services, pages) == [(f"{ORIGIN}/a", 1, 0, 0), (f"{ORIGIN}/b", 0, 1, 0)]
    countries = "SELECT value, visit_count FROM dimension_roll_ups WHERE dimension = 'country' AND grain = 'month'"
    assert sorted(rows_of(services, countries)) == [("", 0), ("NP", 1)]


def test_a_value_that_a_late_beacon_took_back_is_listed_no_more(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    news, letter = "https://news.example/", "https://letter.example/"
    _count(app, services, [make_row(site, AT, referrer=news, country="DE")])
    _count(app, services, [make_row(site, AT - 10 * MINUTE, referrer=letter, country="NP")])
    day = AT.replace(hour=0)
    question = Question(alice.organisation_id, (site.id,), day, day + timedelta(days=1))
    with app.app_context(), tenant(alice.organisation_id):
        assert [value.value for value in rolled_up.breakdown(question, "referrer", 10)] == ["letter.example"]
        countries = [(one.value, one.figures.visit_count) for one in rolled_up.breakdown(question, "country", 10)]
    assert countries == [("NP", 1), ("DE", 0)], "its page was seen from there, too"


def test_engagement_prolongs_a_visit_and_makes_none(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    engaged = {"kind": int(Kind.ENGAGEMENT), "engaged_ms": 40_000, "scroll": 80}
    _count(app, services, [make_row(site, AT + 5 * MINUTE, **engaged)])
    assert rows_of(services, VISITS) == [(0, 0, 0, 0)]
    assert scalar(services, "SELECT count(*) FROM raw_chunks WHERE kind = 'visit'") == 0
    _count(app, services, [make_row(site, AT)])
    assert rows_of(services, VISITS) == [(1, 1, 5 * 60_000, 1)]
    page = "SELECT engaged_ms, scroll_sum, scroll_count FROM page_roll_ups WHERE grain = 'month'"
    assert rows_of(services, page) == [(40_000, 80, 1)]


def test_an_event_and_not_a_product_view_is_no_bounce(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    event = {"kind": int(Kind.EVENT), "name": "sign-up", "props": '{"plan":"small"}'}
    product = {"kind": int(Kind.PRODUCT), "name": "sku-1"}
    rows = [
        *[make_row(site, AT, visitor=name) for name in ("alice", "bob", "charlie")],
        make_row(site, AT + MINUTE, visitor="alice", **event),
        make_row(site, AT + MINUTE, visitor="bob", **product),
    ]
    _count(app, services, rows)
    assert rows_of(services, VISITS) == [(3, 2, 2 * 60_000, 3)]
    named = (
        "SELECT dimension, value, event_count FROM dimension_roll_ups"
        " WHERE dimension IN ('event', 'property', 'product') AND grain = 'day' ORDER BY 1"
    )
    assert rows_of(services, named) == [
        ("event", "sign-up", 1),
        ("product", "sku-1", 1),
        ("property", "sign-up\x1fplan\x1fsmall", 1),
    ]


def test_values_beyond_a_days_limit_are_counted_together(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capping, "VALUE_LIMIT_A_DAY", 3)
    site = add_site(app, alice.organisation_id)
    for names in (["a", "b"], ["b", "c", "d", "e"], ["d", "a"]):
        _count(app, services, [make_row(site, AT, visitor=f"in {name}", country=name) for name in names])
    for grain in ("day", "month"):
        found = rows_of(
            services,
            "SELECT value, pageview_count, visit_count FROM dimension_roll_ups"
            " WHERE dimension = 'country' AND grain = %s ORDER BY 1",
            grain,
        )
        assert found == [("(other)", 3, 2), ("a", 2, 1), ("b", 2, 1), ("c", 1, 1)]


def test_drops_are_counted_once_by_site_day_and_reason(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    drops = [
        make_row(site, AT, kind=int(Kind.DROPPED), name=reason, engaged_ms=count)
        for reason, count in (("bot", 3), ("bot", 2), ("too-old", 1))
    ]
    _count(app, services, [*drops, drops[0]])
    _count(app, services, [drops[1]])
    found = rows_of(services, "SELECT reason, drop_count FROM drop_counts ORDER BY 1")
    assert found == [("bot", 5), ("too-old", 1)]
    assert rows_of(services, "SELECT * FROM raw_chunks") == []


def test_the_first_identity_wins_and_another_is_refused(
    app: APIFlask, alice: Person, charlie: Person, services: Settings
) -> None:
    sites = [add_site(app, person.organisation_id) for person in (alice, charlie)]
    said = {"kind": int(Kind.IDENTIFY)}
    _count(app, services, [make_row(sites[0], AT, name="Alice@example.com", **said)])
    _count(app, services, [make_row(sites[0], AT + MINUTE, name="bob@example.com", **said) for _ in range(2)])
    _count(app, services, [make_row(sites[0], AT + MINUTE, name="alice@example.com", **said)])
    _count(app, services, [make_row(sites[1], AT, name="bob@example.com", **said)])
    identities = rows_of(services, "SELECT organisation_id, identity FROM identities")
    assert set(identities) == {
        (alice.organisation_id, "alice@example.com"),
        (charlie.organisation_id, "bob@example.com"),
    }
    refused = rows_of(services, "SELECT organisation_id, identity, at FROM refused_merges")
    assert refused == [(alice.organisation_id, "bob@example.com", AT + MINUTE)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_identities_are_those_named_first_however_late_they_come(
    app: APIFlask, alice: Person, services: Settings, order: tuple[int, ...]
) -> None:
    site = add_site(app, alice.organisation_id)
    said = [
        make_row(site, AT + minutes * MINUTE, name=f"{name}@example.com", kind=int(Kind.IDENTIFY))
        for minutes, name in ((0, "alice"), (1, "bob"), (2, "alice"))
    ]
    for number in order:
        _count(app, services, [said[number]])
    assert rows_of(services, "SELECT identity, first_at FROM identities") == [("alice@example.com", AT)]
    assert rows_of(services, "SELECT identity, at FROM refused_merges") == [("bob@example.com", AT + MINUTE)]


def test_a_quiet_sites_rows_lie_in_few_chunks_and_a_busy_ones_are_left_alone(
    app: APIFlask, alice: Person, charlie: Person, services: Settings
) -> None:
    quiet, busy = (add_site(app, person.organisation_id) for person in (alice, charlie))
    for number in range(6):
        rows = [make_row(busy, AT, visitor=str(uuid7())) for _ in range(SMALL_CHUNK_ROWS if number < 2 else 0)]
        add_rows(services, [*rows, make_row(quiet, AT + number * MINUTE)], group=500)
        count_all(app, services)
    chunks = "SELECT row_count FROM raw_chunks WHERE kind = 'activity' AND organisation_id = %s"
    assert rows_of(services, chunks, alice.organisation_id) == [(6,)]
    assert rows_of(services, chunks, charlie.organisation_id) == [(SMALL_CHUNK_ROWS,)] * 2
    spans = "SELECT from_at, to_at FROM raw_chunks WHERE kind = 'activity' AND organisation_id = %s"
    assert rows_of(services, spans, alice.organisation_id) == [(AT, AT + 5 * MINUTE)]
    net = read_raw(services, RawKind.VISIT).filter(pl.col("site_id") == str(quiet.id))
    assert net.get_column("sign").sum() == 1


def test_visits_are_forgotten_when_no_beacon_can_change_them_any_more(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    _count(app, services, [make_row(site, AT), make_row(site)])
    with owner_connection(services) as connection:
        connection.execute("UPDATE visits SET changed_at = now() - interval '4 days' WHERE started_at = %s", [AT])
    with app.app_context():
        make_partitions.fn()
    assert rows_of(services, "SELECT count(*), min(started_at) > %s FROM visits", AT) == [(1, True)]


def test_old_visits_that_come_in_parts_stay_whole(app: APIFlask, alice: Person, services: Settings) -> None:
    """A server reports last month's, and the visits are cleared up while it does."""
    site = add_site(app, alice.organisation_id)
    _count(app, services, [make_row(site, AT)])
    with app.app_context():
        make_partitions.fn()
    _count(app, services, [make_row(site, AT + 10 * MINUTE)])
    assert rows_of(services, VISITS) == [(1, 0, 10 * 60_000, 2)]


def test_what_waited_for_days_finds_its_ids_and_its_visit(app: APIFlask, alice: Person, services: Settings) -> None:
    """Nothing was counted for nine days, and before it is, what is too old by today's date is cleared up."""
    site = add_site(app, alice.organisation_id)
    came_at = (utc_now() - timedelta(days=9)).replace(hour=10)
    first, later = (make_row(site, at, id=uuid7(at).bytes) for at in (came_at, came_at + 10 * MINUTE))
    with owner_connection(services) as connection:
        connection.execute("SELECT footfall_make_partitions(%s, %s)", [came_at.date(), came_at.date()])
    _count(app, services, [first])
    with owner_connection(services) as connection:
        connection.execute("UPDATE visits SET changed_at = %s", [came_at])
    with beacons_client(services) as client:
        client.delete(backlog.STREAM)
        waiting = {"n": 2, "rows": backlog.encode_rows([first, later])}
        client.xadd(backlog.STREAM, waiting, id=f"{int(came_at.timestamp() * 1000)}-0")
    with app.app_context():
        make_partitions.fn()
    count_all(app, services)
    assert rows_of(services, VISITS) == [(1, 0, 10 * 60_000, 2)]
    with app.app_context():
        make_partitions.fn()
    assert scalar(services, "SELECT to_regclass(%s)::text", f"seen_{came_at:%Y%m%d}") is None


def _count(app: APIFlask, settings: Settings, rows: list[Row]) -> None:
    add_rows(settings, rows)
    count_all(app, settings)
