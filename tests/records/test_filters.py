"""Filters: what an address means, which records match, and that every way to find them finds the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from webapp.config import Settings
from webapp.contacts.models import CONTACTS
from webapp.extensions import db, tenant
from webapp.products.models import PRODUCTS
from webapp.records import search
from webapp.records.entities import Entity
from webapp.records.filters import FilterError, read_filter, write_filter
from webapp.records.orders import order_of
from webapp.records.queries import count_matching, count_records, list_records
from webapp.records.search import Search
from webapp.records.service import create_record

IMPORT = UUID("0197a000-0000-7000-8000-000000000001")
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2030, 1, 1, tzinfo=UTC)

CONTACT_ROWS = (
    {
        "email": "ada@engine.example",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "company": "Analytical: Engines",
        "city": "London",
        "phone": "+442079460958",
        "tags": "vip; customer",
    },
    {"email": "Zoë@radio.example", "first_name": "Zoë", "company": "Radio Ö", "city": "ÅRHUS", "tags": "customer"},
    {"email": "alan@park.example", "last_name": "Turing", "city": "london", "owner_id": "bob@example.com"},
    {"email": "nobody@example.com"},
)
ATTRIBUTES: tuple[dict[str, str], ...] = ({"Plan": "Pro"}, {"Plan": "free", "A: b": "odd"}, {}, {})
PRODUCT_ROWS = (
    {"sku": "SHOE-1", "name": "Shoe", "price": "49.90", "currency": "EUR", "tags": "new"},
    {"sku": "SHOE-2", "name": "Boot", "price": "120", "currency": "EUR", "is_active": "no"},
    {"sku": "SOCK", "name": "sock"},
)


@pytest.fixture
def here(app_context: APIFlask, alice: Person, bob: Person, services: Settings) -> Iterator[UUID]:
    """Alice's organisation with some contacts and products; the first two contacts came with an import in May."""
    organisation_id = alice.organisation_id
    with tenant(organisation_id):
        for values, attributes in zip(CONTACT_ROWS, ATTRIBUTES, strict=True):
            create_record(CONTACTS, organisation_id, values, attributes)
        for values in PRODUCT_ROWS:
            create_record(PRODUCTS, organisation_id, values)
        db.session.commit()
        with owner_connection(services) as connection:
            _age(connection, "ada@engine.example", "2026-05-01T22:30Z", "2026-06-01T00:00Z")
            _age(connection, "zoë@radio.example", "2026-05-02T22:30Z", "2026-05-31T00:00Z")
            _see(connection, organisation_id, "ada@engine.example")
        yield organisation_id


def _age(connection: psycopg.Connection, email: str, created_at: str, updated_at: str) -> None:
    connection.execute(
        "UPDATE contacts SET id = uuidv7(%(created)s::timestamptz - now()), bulk_action_id = %(import)s,"
        " created_at = %(created)s, updated_at = %(updated)s WHERE email_key = %(email)s",
        {"created": created_at, "updated": updated_at, "import": IMPORT, "email": email},
    )


def _see(connection: psycopg.Connection, organisation_id: UUID, key: str) -> None:
    connection.execute(
        "INSERT INTO known_visitors (organisation_id, visitor_key, first_seen_at, last_seen_at, pageview_count)"
        " VALUES (%s, %s, now(), now(), 1)",
        [organisation_id, key],
    )


Arguments = dict[str, list[str]]
CONTACT_CASES: list[tuple[Arguments, str]] = [
    ({}, "ada alan nobody zoë"),
    ({"tag": ["vip"]}, "ada"),
    ({"tag": ["customer", "vip"]}, "ada"),
    ({"tag": ["VIP"]}, ""),
    ({"where": ["tags:is:customer"]}, "ada zoë"),
    ({"where": ["tags:is_not:vip"]}, "alan nobody zoë"),
    ({"where": ["tags:blank:"]}, "alan nobody"),
    ({"where": ["tags:filled:"]}, "ada zoë"),
    ({"where": ["city:is:LONDON"]}, "ada alan"),
    ({"where": ["city:is_not:London"]}, "nobody zoë"),
    ({"where": ["city:is:århus"]}, "zoë"),
    ({"where": ["city:contains:don"]}, "ada alan"),
    ({"where": ["city:begins:lon"]}, "ada alan"),
    ({"where": ["city:blank:"]}, "nobody"),
    ({"where": ["city:filled:"]}, "ada alan zoë"),
    ({"where": ["company:is:analytical: engines"]}, "ada"),
    ({"where": ["company:begins:RADIO"]}, "zoë"),
    ({"where": ["company:begins:adio"]}, ""),
    ({"where": ["last_name:begins:t"]}, "alan"),
    ({"where": ["last_name:is:Lovelace"]}, "ada"),
    ({"where": ["email:is:ZOË@radio.example"]}, "zoë"),
    ({"where": ["email:begins:ZOË@"]}, "zoë"),
    ({"where": ["email:contains:RADIO"]}, "zoë"),
    ({"where": ["phone:is:+44 20 7946 0958"]}, "ada"),
    ({"where": ["phone:is:nonsense"]}, ""),
    ({"where": ["phone:begins:+4420"]}, "ada"),
    ({"where": ["phone:is_not:+442079460958"]}, "alan nobody zoë"),
    ({"where": ["owner_id:is:bob@example.com"]}, "alan"),
    ({"where": ["owner_id:is_not:bob@example.com"]}, "ada nobody zoë"),
    ({"where": ["owner_id:is:nobody@nowhere.example"]}, ""),
    ({"where": ["owner_id:blank:"]}, "ada nobody zoë"),
    ({"where": ["attributes.Plan:is:pro"]}, "ada"),
    ({"where": ["attributes.Plan:filled:"]}, "ada zoë"),
    ({"where": ["attributes.A: b:is:odd"]}, "zoë"),
    ({"where": ["attributes.Plan:contains:re"]}, "zoë"),
    ({"where": ["city:is:london", "last_name:filled:", "owner_id:blank:"]}, "ada"),
    ({"import": [str(IMPORT)]}, "ada zoë"),
    ({"import": [str(IMPORT)], "where": ["city:is:london"]}, "ada"),
    ({"created_from": ["2026-05-02"], "created_to": ["2026-05-02"]}, "ada"),
    ({"created_to": ["2026-05-02"]}, "ada"),
    ({"created_to": ["2026-05-03"], "tag": ["customer"]}, "ada zoë"),
    ({"created_from": ["2026-05-03"]}, "alan nobody zoë"),
    ({"created_from": ["0001-01-01"], "created_to": ["9998-12-31"]}, "ada alan nobody zoë"),
    ({"import": [str(IMPORT)], "created_from": ["2026-05-03"]}, "zoë"),
    ({"updated_from": ["2026-06-01"], "updated_to": ["2026-06-01"]}, "ada"),
    ({"updated_to": ["2026-06-01"]}, "ada zoë"),
    ({"seen": ["yes"]}, "ada"),
    ({"seen": ["no"]}, "alan nobody zoë"),
    ({"q": ["a"]}, "ada alan"),
    ({"q": ["lov"], "tag": ["vip"], "seen": ["yes"]}, "ada"),
    ({"q": ["+4420"]}, "ada"),
]
PRODUCT_CASES: list[tuple[Arguments, str]] = [
    ({"where": ["price:above:49.90"]}, "SHOE-2"),
    ({"where": ["price:below:50"]}, "SHOE-1"),
    ({"where": ["price:is:49,9"]}, "SHOE-1"),
    ({"where": ["price:is_not:120"]}, "SHOE-1 SOCK"),
    ({"where": ["price:blank:"]}, "SOCK"),
    ({"where": ["price:above:much"]}, ""),
    ({"where": ["is_active:is:no"]}, "SHOE-2"),
    ({"where": ["sku:begins:shoe"]}, "SHOE-1 SHOE-2"),
    ({"where": ["name:is:SOCK"]}, "SOCK"),
    ({"q": ["boo"]}, "SHOE-2"),
    ({"tag": ["new"]}, "SHOE-1"),
]
CASES = [(CONTACTS, *case) for case in CONTACT_CASES] + [(PRODUCTS, *case) for case in PRODUCT_CASES]


def ids_of_case(value: object) -> str | None:
    return str(value) if isinstance(value, dict) else None


def found(entity: Entity, organisation_id: UUID, arguments: Arguments, sort: str) -> str:
    """The names of all that a list shows, read page by page."""
    wanted, names, cursor = read_filter(arguments, entity, BERLIN), [], None
    while True:
        page = list_records(entity, organisation_id, wanted, sort=sort, cursor=cursor, limit=1)
        names += [getattr(record, entity.key.name).split("@")[0] for record in page.records]
        cursor = page.next_cursor
        if cursor is None:
            assert len(names) == len(set(names))
            return " ".join(sorted(name.lower() if entity is CONTACTS else name for name in names))


@pytest.mark.parametrize(("entity", "arguments", "expected"), CASES, ids=ids_of_case)
def test_a_filter_finds_the_same_by_index_and_by_walk_in_every_order(
    here: UUID, monkeypatch: pytest.MonkeyPatch, entity: Entity, arguments: Arguments, expected: str
) -> None:
    for small_set, walk_rows in ((2_000, 20_000), (-1, 20_000), (-1, 1)):
        monkeypatch.setattr(search, "SMALL_SET", small_set)
        monkeypatch.setattr(search, "WALK_ROWS", walk_rows)
        for sort in entity.sorts:
            assert found(entity, here, arguments, sort) == expected, (small_set, walk_rows, sort)


@pytest.mark.parametrize(("entity", "arguments", "expected"), CASES, ids=ids_of_case)
def test_counts_agree_with_lists(
    here: UUID, monkeypatch: pytest.MonkeyPatch, entity: Entity, arguments: Arguments, expected: str
) -> None:
    wanted, number = read_filter(arguments, entity, BERLIN), len(expected.split())
    assert count_records(entity, here, wanted) == search.RecordCount(number, is_exact=True)
    assert count_matching(entity, here, wanted, NOW) == number
    monkeypatch.setattr(search, "SMALL_SET", -1)
    assert count_records(entity, here, wanted).number == number


@pytest.mark.parametrize(("entity", "arguments", "expected"), CASES, ids=ids_of_case)
def test_what_a_filter_writes_is_read_as_the_same(
    app_context: APIFlask, entity: Entity, arguments: Arguments, expected: str
) -> None:
    wanted = read_filter(arguments, entity, BERLIN)
    assert read_filter(write_filter(wanted, BERLIN), entity, BERLIN) == wanted


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"where": ["shoe_size:is:40"]}, "no field called “shoe_size”"),
        ({"where": ["city:is:"]}, "Say what to compare “City” with"),
        ({"where": ["city:above:3"]}, "“City” cannot be compared by “is above”"),
        ({"where": ["city:resembles:London"]}, "not a comparison"),
        ({"where": ["city=London"]}, "“city=London” is not a comparison"),
        ({"where": ["city:is:London", "city"]}, "“city” is not a comparison"),
        ({"q": ["a" * 201]}, "too long"),
        ({"where": [f"city:is:{number}" for number in range(21)]}, "At most 20"),
        ({"created_from": ["yesterday"]}, "“yesterday” is not a day"),
        ({"created_to": ["9999-12-31"]}, "is not a day"),
        ({"import": ["the first one"]}, "no such import"),
        ({"seen": ["perhaps"]}, "yes or no"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_explained(app_context: APIFlask, arguments: Arguments, said: str) -> None:
    with pytest.raises(FilterError, match=said):
        read_filter(arguments, CONTACTS, BERLIN)


def test_blank_arguments_and_odd_characters_count_as_not_given(app_context: APIFlask) -> None:
    arguments = {"q": [" \x00 "], "tag": [""], "created_from": [""], "seen": [""], "where": [""]}
    assert read_filter(arguments, CONTACTS, BERLIN).is_empty


def test_records_of_few_visitors_are_found_by_these(here: UUID) -> None:
    ids = Search(CONTACTS, here, read_filter({"seen": ["yes"]}, CONTACTS, BERLIN)).small_set()
    assert ids is not None
    assert len(ids) == 1


def test_an_import_that_is_not_there_finds_nothing(here: UUID) -> None:
    assert found(CONTACTS, here, {"import": [str(uuid4())]}, "created") == ""


def test_another_organisation_finds_nothing_by_the_same_filter(here: UUID, charlie: Person) -> None:
    with tenant(charlie.organisation_id):
        for arguments, _ in CONTACT_CASES:
            wanted = read_filter(arguments, CONTACTS, BERLIN)
            assert list_records(CONTACTS, charlie.organisation_id, wanted).records == []


def test_orders_have_a_natural_direction() -> None:
    assert order_of(CONTACTS, "name").descends is False
    assert order_of(CONTACTS, "updated").descends is True
    assert order_of(CONTACTS, "created", "asc").descends is False
    with pytest.raises(KeyError):
        order_of(CONTACTS, "shoe_size")


def test_days_are_those_of_the_organisation(app_context: APIFlask) -> None:
    wanted = read_filter({"created_from": ["2026-05-02"], "created_to": ["2026-05-02"]}, CONTACTS, BERLIN)
    assert wanted.created_since == datetime(2026, 5, 1, 22, tzinfo=UTC)
    assert wanted.created_until == datetime(2026, 5, 1, 22, tzinfo=UTC) + timedelta(days=1)
