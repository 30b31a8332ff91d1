"""Every address is behind the sign-in or a key, and no tenant's row opens to another tenant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from tests.conftest import Person, owner_connection
from webapp.accounts import service
from webapp.accounts.access import PUBLIC_ENDPOINTS
from webapp.app import create_app
from webapp.config import Settings, get_settings
from webapp.extensions import db
from webapp.lib.ids import uuid7
from webapp.visits.site_page.kept_schemas import GOAL_EXAMPLE, LINK_EXAMPLE, NOTE_EXAMPLE, SEGMENT_EXAMPLE

API = "/api/"
PUBLIC = {
    "static": "styles, scripts and pictures",
    "healthz": "whether the server is up",
    "readyz": "whether what it needs answers, in words that tell no secrets",
    "metrics": "asks for its own token, or to be asked from the machine itself",
    "openapi.spec": "the API's description names no organisation",
    "api_docs": "the page of that description",
    "accounts.sign_in": "the door itself",
    "accounts.sign_in_start": "the way to the provider",
    "accounts.callback": "the way back",
    "shared_visits.index": "whoever has a link's secret may look at its site",
    "shared_visits.show_list": "the same",
    "shared_visits.suggest_values": "the same",
    "shared_visits.list_csv": "the same",
    "shared_visits.list_json": "the same",
    "shared_visits.numbers_csv": "the same",
    "shared_visits.numbers_json": "the same",
    "shared_visits.show_journeys": "the same",
    "shared_visits.journeys_csv": "the same",
    "shared_visits.journeys_json": "the same",
    "shared_visits.goals_file": "the same",
    "unsubscribe.show": "whoever has a mail's token may end that mail",
    "unsubscribe.destroy": "the same",
}
"""Every endpoint that answers strangers, and why it may."""

BODIES: dict[str, dict[str, Any]] = {
    "/goals": GOAL_EXAMPLE,
    "/segments": SEGMENT_EXAMPLE,
    "/notes": NOTE_EXAMPLE,
    "/shared-links": LINK_EXAMPLE,
}
FILE_KIND = "kind"
"""The argument that says in which format a table is wanted."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Address:
    """One method of one rule."""

    method: str
    rule: Rule

    @property
    def is_api(self) -> bool:
        return self.rule.rule.startswith(API)

    @property
    def body(self) -> dict[str, Any]:
        """What the address takes, so that it is not refused before anybody asks whose it is."""
        return next((body for end, body in BODIES.items() if self.rule.rule.endswith(end)), {})

    def path(self, app: APIFlask, row_id: UUID) -> str:
        with app.test_request_context():
            arguments: dict[str, Any] = {name: "json" if name == FILE_KIND else row_id for name in self.rule.arguments}
            return str(app.url_for(self.rule.endpoint, **arguments))

    def __str__(self) -> str:
        return f"{self.method} {self.rule.rule}"


def addresses() -> Iterator[Address]:
    """All of them, read from an app that needs no database."""
    for rule in create_app(get_settings()).url_map.iter_rules():
        yield from (Address(method, rule) for method in METHODS if method in (rule.methods or ()))


ADDRESSES = list(addresses())
WITH_IDS = [address for address in ADDRESSES if address.rule.arguments - {"filename", FILE_KIND}]


def test_the_public_list_is_this_and_no_longer() -> None:
    assert set(PUBLIC) == PUBLIC_ENDPOINTS
    assert {address.rule.endpoint for address in ADDRESSES} >= PUBLIC_ENDPOINTS


@pytest.mark.parametrize("address", [address for address in ADDRESSES if address.rule.endpoint not in PUBLIC], ids=str)
def test_a_stranger_is_sent_away(app: APIFlask, client: FlaskClient, address: Address) -> None:
    answer = client.open(address.path(app, uuid7()), method=address.method)
    if address.is_api:
        assert answer.status_code == 401
        assert answer.content_type == "application/problem+json"
    else:
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/sign-in")


@dataclass(frozen=True)
class Stranger:
    """Charlie, who knows an id of alice's, with a browser and with a key."""

    browser: FlaskClient
    key: str

    def ask(self, address: Address, path: str) -> int:
        headers = {"Authorization": f"Bearer {self.key}"} if address.is_api else {}
        body = address.body if address.is_api and address.method in {"POST", "PATCH", "PUT"} else None
        return self.browser.open(path, method=address.method, headers=headers, json=body).status_code


@pytest.fixture
def stranger(app: APIFlask, charlie: Person) -> Stranger:
    with app.app_context():
        _, secret = service.create_api_key(charlie.organisation_id, "charlie's")
        db.session.commit()
    return Stranger(charlie.client, secret)


@pytest.fixture
def ids_of_alice(app: APIFlask, alice: Person, bob: Person, services: Settings) -> list[UUID]:
    """One row's id of every tenant's table that has ids, and those of the organisation and its people."""
    tables = fill_every_table(services, alice.organisation_id)
    with owner_connection(services) as connection:
        rows = [
            connection.execute(f"SELECT id FROM {table} WHERE organisation_id = %s", [alice.organisation_id]).fetchone()
            for table in tables
        ]
    assert {"contacts", "jobs", "bulk_actions", "sites", "api_keys", "invitations"} <= set(tables)
    assert all(rows)
    return [alice.organisation_id, alice.user_id, bob.user_id, *(row[0] for row in rows if row)]


@pytest.mark.parametrize("address", WITH_IDS, ids=str)
def test_another_tenants_row_is_not_there(
    app: APIFlask, stranger: Stranger, ids_of_alice: list[UUID], address: Address, services: Settings
) -> None:
    before = everything_of_alice(services, ids_of_alice[0])
    for row_id in ids_of_alice:
        assert stranger.ask(address, address.path(app, row_id)) == 404, row_id
    assert everything_of_alice(services, ids_of_alice[0]) == before


TENANT_TABLES_WITH_IDS = """
    SELECT c.relname FROM pg_class c
    JOIN pg_attribute o ON o.attrelid = c.oid AND o.attname = 'organisation_id'
    JOIN pg_attribute i ON i.attrelid = c.oid AND i.attname = 'id' AND i.atttypid = 'uuid'::regtype
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY c.relname
"""
REQUIRED_COLUMNS = """
    SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef
      AND a.attgenerated = '' AND a.attname NOT IN ('organisation_id', 'id')
"""
SAMPLES = {
    "uuid": "gen_random_uuid()",
    "timestamptz": "now()",
    "date": "current_date",
    "bytea": "'\\x00'",
    "jsonb": "'{}'",
    "bool": "false",
}


def fill_every_table(settings: Settings, organisation_id: UUID) -> list[str]:
    """A row in each tenant's table, whatever its columns, so that a new table is covered by being there."""
    with owner_connection(settings) as connection:
        connection.execute("SET session_replication_role = replica")  # no foreign keys for what is made up
        tables = [row[0] for row in connection.execute(TENANT_TABLES_WITH_IDS)]
        for table in tables:
            columns = connection.execute(REQUIRED_COLUMNS, [table]).fetchall()
            names = ", ".join(["organisation_id", "id", *(f'"{name}"' for name, _ in columns)])
            values = ", ".join(["%s", "%s", *(sample(table, name, kind) for name, kind in columns)])
            connection.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", [organisation_id, uuid7()])
    return tables


def sample(table: str, column: str, kind: str) -> str:
    if kind in SAMPLES:
        return SAMPLES[kind]
    if kind.startswith("_"):
        return "'{}'"
    return "'1'"


def everything_of_alice(settings: Settings, organisation_id: UUID) -> list[object]:
    """All rows of the tenant, to see that none of the refused requests changed one."""
    with owner_connection(settings) as connection:
        tables = [row[0] for row in connection.execute(TENANT_TABLES_WITH_IDS)]
        return [
            connection.execute(
                f"SELECT t::text FROM {table} t WHERE organisation_id = %s ORDER BY 1", [organisation_id]
            ).fetchall()
            for table in (*tables, "memberships")
        ]


def test_every_view_has_a_name_for_the_check_of_forms(app: APIFlask) -> None:
    nameless = [endpoint for endpoint, view in app.view_functions.items() if not hasattr(view, "__name__")]
    assert nameless == []
