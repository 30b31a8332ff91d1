"""Flask extensions, the typed declarative base, and the tenant that row-level security reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from flask_htmx import HTMX
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from sqlalchemy import DateTime, MetaData, Text, Uuid, event, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Session, registry
from sqlalchemy.types import TypeEngine

APP_ROLE = "footfall_app"

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

COLUMN_TYPES: dict[Any, TypeEngine[Any]] = {
    datetime: DateTime(timezone=True),
    UUID: Uuid(),
    str: Text(),
    dict[str, Any]: JSONB(),
    list[Any]: JSONB(),
}


class Base(DeclarativeBase):
    """Maps Python's types onto PostgreSQL's; every table and constraint gets a predictable name."""

    # A registry of our own, since Flask-SQLAlchemy copies this class's body and SQLAlchemy refuses
    # a body that has both a registry and a type map.
    registry = registry(metadata=MetaData(naming_convention=NAMING), type_annotation_map=COLUMN_TYPES)


db = SQLAlchemy(model_class=Base)
if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model

migrate = Migrate()
login_manager = LoginManager()
csrf = CSRFProtect()
htmx = HTMX()

_tenant: ContextVar[UUID | None] = ContextVar("footfall_tenant", default=None)
SET_TENANT = text("SELECT set_config('footfall.organisation_id', :organisation_id, true)")


def current_tenant() -> UUID | None:
    """The organisation whose rows this context may see, or None for none at all."""
    return _tenant.get()


@contextmanager
def tenant(organisation_id: UUID) -> Iterator[None]:
    """Let every transaction inside see and write this organisation's rows and no others.

    An open transaction is told at once, and told back at the end, so that contexts may nest.
    """
    token = _tenant.set(organisation_id)
    _tell_open_transaction(organisation_id)
    try:
        yield
    finally:
        _tenant.reset(token)
        _tell_open_transaction(_tenant.get())


def enter_tenant(organisation_id: UUID | None) -> None:
    """Choose the organisation for the rest of this context: what a web request does once."""
    _tenant.set(organisation_id)
    _tell_open_transaction(organisation_id)


def driver_connection() -> psycopg.Connection[Any]:
    """The psycopg connection under the session's present transaction, for COPY.

    What runs on it is part of that transaction: it commits and rolls back with the session.
    """
    connection = db.session.connection().connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise TypeError("The database driver is not psycopg.")
    return connection


def database_is_away(error: Exception) -> bool:
    """Whether a statement failed because there is no server to answer it, and would do as well later."""
    if not isinstance(error, OperationalError):
        return isinstance(error, PoolTimeoutError)
    state = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or state is None or state.startswith(("08", "57P"))


def _tell_open_transaction(organisation_id: UUID | None) -> None:
    if not db.session.registry.has():
        return
    session = db.session()
    if session.is_active and session.in_transaction() and not _has_failed(session):
        session.execute(SET_TENANT, {"organisation_id": str(organisation_id or "")})


def _has_failed(session: Session) -> bool:
    """Whether the transaction only waits for its rollback: PostgreSQL takes no statement in it."""
    connection = session.connection().connection.driver_connection
    return (
        isinstance(connection, psycopg.Connection)
        and connection.info.transaction_status is psycopg.pq.TransactionStatus.INERROR
    )


@event.listens_for(Session, "after_begin")
def _tell_new_transaction(session: Session, transaction: Any, connection: Connection) -> None:
    organisation_id = _tenant.get()
    if organisation_id is not None:
        connection.execute(SET_TENANT, {"organisation_id": str(organisation_id)})
