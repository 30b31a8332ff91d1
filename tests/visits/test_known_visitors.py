"""Visitors that records can ask for by their keys: counted exactly once, bounded, each tenant's own."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from apiflask import APIFlask
from sqlalchemy import Text, column, literal, select, values

from tests.conftest import Person, owner_connection
from tests.visits.support import (
    add_rows,
    add_site,
    count_all,
    counted,
    make_beacon,
    make_row,
    post,
    read_raw,
    rows_of,
    utc,
)
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.redis import beacons_client
from webapp.visits.backlog import Kind, Row
from webapp.visits.collecting.signatures import sign
from webapp.visits.counting.enrichment import visitor_number
from webapp.visits.known_visitors import VISITOR_LIMITS
from webapp.visits.models import RawKind
from webapp.visits.people.identities import visitors_of
from webapp.visits.people.models import KnownVisitor
from webapp.visits.tasks import roll_up_once
from webapp.visits.visitor_keys import KeyKind, kind_of, visitor_key
from webapp.visits.visitor_queries import (
    are_few_visitors,
    get_known_visitor,
    seen_visitor_keys,
    was_seen,
)

ADA = "ada@example.com"
AT = utc("2026-11-20T10:00:00")
VISITORS = """
    SELECT organisation_id, visitor_key, first_seen_at, last_seen_at, pageview_count
    FROM known_visitors ORDER BY organisation_id, visitor_key
"""
COUNTS = "SELECT organisation_id, kind, visitor_count FROM known_visitor_counts ORDER BY organisation_id, kind"


@pytest.mark.parametrize(
    ("identifier", "key"),
    [
        ("Ada@Example.com", ADA),
        (" ada@example.com ", ADA),
        ("JOSE\u0301@example.com", "jos\u00e9@example.com"),
        ("C-10482", "c-10482"),
        ("4006381333931", "4006381333931"),
        ("SKU 17 / blue", "sku 17 / blue"),
        ("customer-2026-000000000017", "customer-2026-000000000017"),
    ],
)
def test_what_can_name_a_record_has_a_key(identifier: str, key: str) -> None:
    assert visitor_key(identifier) == key


@pytest.mark.parametrize(
    "identifier",
    [
        "0190f5a2-1c5f-4f0e-9d5b-6d2f8b6f3a11",  # as the tracker makes them
        "0190F5A2-1C5F-4F0E-9D5B-6D2F8B6F3A11",
        "0190f5a21c5f4f0e9d5b6d2f8b6f3a11",
        "65a1bc90fe12d3a4b5c6d7e8",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "@handle",
        "two@at@signs",
        "ada lovelace@example.com",
        f"{'a' * 190}@{'b' * 64}.example",
        "x" * 65,
        "word " * 21,
        "  ",
    ],
)
def test_what_a_program_made_up_or_nothing_can_be_called_has_none(identifier: str) -> None:
    assert visitor_key(identifier) is None


def test_only_an_address_is_one() -> None:
    assert [kind_of(key) for key in (ADA, "c-10482")] == [KeyKind.EMAIL, KeyKind.OTHER]


def test_what_a_visitor_did_adds_up_over_batches_and_spellings(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    _count(app, services, [make_row(site, AT, visitor="Ada@Example.com"), make_row(site, visitor=str(uuid4()))])
    hours = [timedelta(hours=hour) for hour in (-3, 0, 5, 2)]
    _count(app, services, [make_row(site, AT + hour, visitor=ADA) for hour in hours])
    assert rows_of(services, VISITORS) == [(alice.organisation_id, ADA, AT + hours[0], AT + hours[2], 5)]
    assert rows_of(services, COUNTS) == [(alice.organisation_id, "email", 1)]


def test_a_beacon_that_arrives_again_counts_once(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    first, second = (json.dumps(make_beacon(site.site_key, identifier=ADA)).encode() for _ in range(2))
    for bodies in ((first, first), (first, second)):
        for body in bodies:
            post(services, body, headers={"x-footfall-signature": sign(site.identify_secret, body)})
        count_all(app, services)
    assert _pageview_counts(services) == {ADA: 2}


def test_a_visitor_whom_nobody_vouches_for_counts_and_is_nobody_that_records_know(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    """Anyone can read the site key on its pages and claim to be ada."""
    site = add_site(app, alice.organisation_id)
    own = make_row(site, visitor=ADA)
    claimed = [make_beacon(site.site_key, identifier=text) for text in (ADA, "Ada@Example.com", "C-17")]
    answers = post(services, *claimed)
    _count(app, services, [own])
    assert {answer.status for answer in answers} == {202}
    assert counted(services) == (4, 4, 4)
    assert _pageview_counts(services) == {ADA: 1}
    visitors = read_raw(services, RawKind.ACTIVITY).get_column("visitor").to_list()
    assert len(set(visitors)) == 3
    with app.app_context(), tenant(alice.organisation_id):
        assert [link.visitor for link in visitors_of(alice.organisation_id, [ADA])] == [
            visitor_number(site.id.bytes, ADA)
        ]
        assert not seen_keys_of(alice.organisation_id) - {ADA}


def test_entries_that_are_read_again_count_once(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash between commit and trim, and after the position was lost."""
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, visitor=ADA) for _ in range(30)])
    with monkeypatch.context() as patch, app.app_context(), beacons_client(services) as client:
        patch.setattr("webapp.visits.tasks.backlog.trim", lambda *_: None)
        roll_up_once(client, 20)
        with owner_connection(services) as connection:
            connection.execute("DELETE FROM stream_positions")
    count_all(app, services)
    assert _pageview_counts(services) == {ADA: 30}


def test_a_batch_that_is_rolled_back_leaves_no_visitor_behind(
    app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, visitor=ADA) for _ in range(7)])
    with monkeypatch.context() as patch, app.app_context(), beacons_client(services) as client:
        patch.setattr("webapp.visits.counting.roll_up.statements.set_position", _fail)
        with pytest.raises(OSError, match="The machine is gone"):
            roll_up_once(client, 20)
    assert rows_of(services, VISITORS) == []
    count_all(app, services)
    assert _pageview_counts(services) == {ADA: 7}
    assert rows_of(services, COUNTS) == [(alice.organisation_id, "email", 1)]


def test_a_poisonous_row_counts_for_nobody_and_the_rest_do(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    rows = [make_row(site, visitor=ADA) for _ in range(20)]
    rows[11].page_url = "https://shop.example/\x00"
    _count(app, services, rows)
    assert _pageview_counts(services) == {ADA: 19}


def test_beyond_the_limit_of_its_kind_no_new_visitor_is_kept(
    app: APIFlask, alice: Person, charlie: Person, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VISITOR_LIMITS, KeyKind.OTHER, 3)
    site, other = (add_site(app, person.organisation_id) for person in (alice, charlie))
    _count(app, services, [make_row(site, visitor=name) for name in ("c-1", "c-2")])
    _count(app, services, [make_row(site, visitor=name) for name in ("c-3", "c-4", "c-2", ADA)])
    _count(app, services, [make_row(one, visitor=name) for one in (site, other) for name in ("c-5", "c-1", "c-3")])
    by_tenant = {(tenant_id, key): count for tenant_id, key, *_, count in rows_of(services, VISITORS)}
    mine = {"c-1": 2, "c-2": 2, "c-3": 2, ADA: 1}
    assert by_tenant == {
        **{(alice.organisation_id, key): count for key, count in mine.items()},
        **{(charlie.organisation_id, key): 1 for key in ("c-1", "c-3", "c-5")},
    }
    counts = {(tenant_id, kind): count for tenant_id, kind, count in rows_of(services, COUNTS)}
    assert counts == {
        (alice.organisation_id, "email"): 1,
        (alice.organisation_id, "other"): 3,
        (charlie.organisation_id, "other"): 3,
    }
    assert counted(services) == (12, 12, 12)


def test_records_find_what_they_did_before_they_came(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    _count(app, services, [make_row(site, AT, visitor=name) for name in ("Ada@Example.com", "SKU-17", ADA)])
    with app.app_context(), tenant(alice.organisation_id):
        visitor = get_known_visitor(alice.organisation_id, ADA)
        assert visitor is not None
        assert (visitor.last_seen_at, visitor.pageview_count) == (AT, 2)
        assert get_known_visitor(alice.organisation_id, "bob@example.com") is None
        assert [are_few_visitors(alice.organisation_id, limit) for limit in (1, 2)] == [False, True]
        assert set(db.session.scalars(seen_visitor_keys(alice.organisation_id))) == {ADA, "sku-17"}


def test_who_named_themselves_was_seen_too(app: APIFlask, alice: Person, charlie: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    named = {"kind": int(Kind.IDENTIFY), "name": "Ada@Example.com"}
    _count(app, services, [make_row(site, AT, visitor=f"browser-{n}", **named) for n in range(2)])
    for person, expected in ((alice, True), (charlie, False)):
        with app.app_context(), tenant(person.organisation_id):
            assert db.session.scalar(select(was_seen(person.organisation_id, literal(ADA)))) is expected
            assert list(db.session.scalars(seen_visitor_keys(person.organisation_id))) == [ADA] * expected
    with app.app_context(), tenant(alice.organisation_id):
        assert [are_few_visitors(alice.organisation_id, limit) for limit in (1, 2)] == [False, True]


@pytest.mark.parametrize(("key", "expected"), [(ADA, True), ("bob@example.com", False)])
def test_whether_a_record_was_seen_is_a_condition(
    app: APIFlask, alice: Person, services: Settings, key: str, expected: bool
) -> None:
    site = add_site(app, alice.organisation_id)
    _count(app, services, [make_row(site, AT, visitor=ADA)])
    with app.app_context(), tenant(alice.organisation_id):
        assert db.session.scalar(select(was_seen(alice.organisation_id, literal(key)))) is expected


def test_a_search_that_shows_when_a_record_was_seen_may_ask_whether_it_was(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    """The condition has its own look at the visitors, beside the one that the search joins."""
    site = add_site(app, alice.organisation_id)
    _count(app, services, [make_row(site, AT, visitor=name) for name in (ADA, "c-17")])
    keys = values(column("key", Text), name="records").data([(ADA,), ("bob@example.com",)])
    seen = was_seen(alice.organisation_id, keys.c.key)
    joined = keys.outerjoin(KnownVisitor, KnownVisitor.visitor_key == keys.c.key)
    with app.app_context(), tenant(alice.organisation_id):
        query = select(keys.c.key, KnownVisitor.last_seen_at).select_from(joined)
        assert db.session.execute(query.where(seen)).all() == [(ADA, AT)]
        assert db.session.execute(query.where(~seen)).all() == [("bob@example.com", None)]


def test_another_organisations_visitors_stay_unseen(
    app: APIFlask, alice: Person, charlie: Person, services: Settings
) -> None:
    site = add_site(app, alice.organisation_id)
    _count(app, services, [make_row(site, AT, visitor=ADA)])
    with app.app_context(), tenant(charlie.organisation_id):
        for organisation_id in (alice.organisation_id, charlie.organisation_id):
            assert get_known_visitor(organisation_id, ADA) is None
            assert are_few_visitors(organisation_id, 0)
            assert db.session.scalar(select(was_seen(organisation_id, literal(ADA)))) is False


def seen_keys_of(organisation_id: UUID) -> set[str]:
    return set(db.session.scalars(seen_visitor_keys(organisation_id)))


def _count(app: APIFlask, settings: Settings, rows: list[Row]) -> None:
    add_rows(settings, rows)
    count_all(app, settings)


def _pageview_counts(settings: Settings) -> dict[str, int]:
    return {key: count for _, key, _, _, count in rows_of(settings, VISITORS)}


def _fail(*_: object) -> None:
    raise OSError("The machine is gone.")
