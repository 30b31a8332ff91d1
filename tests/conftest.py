"""Real servers for every test process, a clean database for every test, and one cast of people.

Alice owns the organisation, bob is a member of it, charlie belongs to another and must see nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

DATA_DIR = Path(tempfile.mkdtemp(prefix="footfall-test-"))
DATA_DIR.chmod(0o755)
for name in ("DATABASE_URL", "REDIS_URL", "BEACONS_REDIS_URL", "PUBLIC_URL", "EDGE_URL", "GOOGLE_CLIENT_ID"):
    os.environ.pop(name, None)
os.environ["DATA_DIR"] = str(DATA_DIR)  # before anything reads the settings

import psycopg  # noqa: E402
import pytest  # noqa: E402
from apiflask import APIFlask  # noqa: E402
from flask.testing import FlaskClient  # noqa: E402

from webapp.accounts.models import SYSTEM_ORGANISATION_ID, Membership, Organisation, Role, User  # noqa: E402
from webapp.config import Settings, get_settings  # noqa: E402
from webapp.embedded.servers import running_servers  # noqa: E402
from webapp.extensions import db, tenant  # noqa: E402
from webapp.lib.redis import beacons_client, broker_client  # noqa: E402


@dataclass(frozen=True)
class Person:
    """Somebody of the cast, with a signed-in client."""

    client: FlaskClient
    user_id: UUID
    email: str
    organisation_id: UUID
    cookie_id: str


@pytest.fixture(scope="session")
def services() -> Iterator[Settings]:
    """PostgreSQL, migrated, and both Redis servers, of this test process alone."""
    settings = get_settings()
    with running_servers(settings):
        _migrate()
        yield settings
    shutil.rmtree(DATA_DIR, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_app(services: Settings) -> APIFlask:
    from webapp.app import create_app

    app = create_app(services)
    app.config.update(TESTING=True, WTF_CSRF_ENABLED=False)
    return app


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come first, so that no process is left alone with one in the end."""
    items.sort(key=lambda item: not any(word in item.path.stem for word in ("outages", "kill", "cli", "restarts")))


@pytest.fixture
def app(shared_app: APIFlask, services: Settings) -> APIFlask:
    """The app, on empty tables and empty Redis servers."""
    empty_everything(services)
    return shared_app


@pytest.fixture
def app_context(app: APIFlask) -> Iterator[APIFlask]:
    """The app, inside an app context, for tests below the HTTP layer."""
    with app.app_context():
        yield app
        db.session.rollback()


@pytest.fixture
def client(app: APIFlask) -> FlaskClient:
    """Nobody in particular."""
    return app.test_client()


@pytest.fixture
def organisation_id(app: APIFlask) -> UUID:
    """Alice's and bob's organisation."""
    return add_organisation(app, "acme", "Acme")


@pytest.fixture
def alice(app: APIFlask, organisation_id: UUID) -> Person:
    return add_person(app, organisation_id, "alice", Role.OWNER)


@pytest.fixture
def bob(app: APIFlask, organisation_id: UUID) -> Person:
    return add_person(app, organisation_id, "bob", Role.MEMBER)


@pytest.fixture
def charlie(app: APIFlask) -> Person:
    return add_person(app, add_organisation(app, "other", "Other"), "charlie", Role.OWNER)


def add_organisation(app: APIFlask, slug: str, name: str, time_zone: str = "UTC") -> UUID:
    with app.app_context():
        organisation = Organisation(slug=slug, name=name, time_zone=time_zone)
        db.session.add(organisation)
        db.session.commit()
        return organisation.id


def add_person(app: APIFlask, organisation_id: UUID, name: str, role: Role) -> Person:
    """A person with a membership and a client whose session is theirs."""
    email = f"{name}@example.com"
    with app.app_context(), tenant(organisation_id):
        user = User(issuer="https://issuer.example", subject=name, email=email, name=name.capitalize())
        db.session.add(user)
        db.session.flush()
        user_id = user.id
        db.session.add(Membership(organisation_id=organisation_id, user_id=user_id, role=role))
        cookie_id = user.get_id()
        db.session.commit()
    client = app.test_client()
    with client.session_transaction() as session:
        session["_user_id"] = cookie_id
        session["_fresh"] = True
    return Person(client, user_id, email, organisation_id, cookie_id)


@contextmanager
def owner_connection(settings: Settings) -> Iterator[psycopg.Connection]:
    """A connection as the owner, whom no policy binds: for setting up and for looking behind the scenes."""
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        yield connection


def empty_everything(settings: Settings) -> None:
    """Leave only what the migrations put in."""
    with owner_connection(settings) as connection:
        empty_tables(connection)
    broker_client(settings).flushall()
    beacons_client(settings).flushall()
    for path in (settings.data_dir / "uploads").rglob("*"):
        if path.is_file():
            path.unlink()


def empty_tables(connection: psycopg.Connection) -> None:
    """Delete the few rows of the few tables that have any: emptying all takes longer than most tests do.

    TRUNCATE makes new files for every table and index. Large tables are worth it, since rows deleted have to be
    skipped by everything that comes after.
    """
    tables = [row[0] for row in connection.execute(TABLES_TO_EMPTY)]
    filled = " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for table in tables)
    large = [row[0] for row in connection.execute(LARGE_TABLES)]
    if large:
        connection.execute(f"TRUNCATE {', '.join(large)} CASCADE")
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")  # no trigger, and rows in any order
        for (table,) in connection.execute(filled).fetchall():
            connection.execute(f"DELETE FROM {table}")
        connection.execute("DELETE FROM organisations WHERE id <> %s", [SYSTEM_ORGANISATION_ID])


LARGE_BYTES = 1 << 20
_TABLES = """
    relnamespace = 'public'::regnamespace AND relname NOT IN ('alembic_version', 'organisations')
"""
TABLES_TO_EMPTY = f"""
    SELECT quote_ident(relname) FROM pg_class WHERE {_TABLES} AND relkind IN ('r', 'p') AND NOT relispartition
"""
LARGE_TABLES = f"""
    SELECT quote_ident(relname) FROM pg_class WHERE {_TABLES} AND relkind = 'r'
      AND pg_relation_size(oid) > {LARGE_BYTES}
"""


def _migrate() -> None:
    from flask_migrate import upgrade

    from webapp.app import create_app

    with create_app().app_context():
        upgrade(directory=str(Path(__file__).parent.parent / "migrations"))
