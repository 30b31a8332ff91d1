"""The tables that every kind of record has beside its own, and what people keep about their lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    FromClause,
    Index,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.columns import CreatedAt, NewId, TenantKey
from webapp.records.fields import Field

SQL_TYPES: dict[str, Any] = {
    "text": Text(),
    "text[]": ARRAY(Text()),
    "uuid": Uuid(),
    "boolean": Boolean(),
    "numeric": Numeric(19, 4),
}
TAG = Text(collation="C")


def staging_table(name: str, fields: Sequence[Field]) -> Table:
    """Checked rows of a file, waiting for the merge of their keys' bucket.

    No policy binds it, because PostgreSQL refuses COPY under one; every statement on it names the organisation and
    the import. It is logged: an unlogged table is emptied when any backend is killed. `cells` are the row's
    own, kept where the merge may reject it.
    """
    key = next(field for field in fields if field.is_key)
    return Table(
        f"staged_{name}",
        Model.metadata,
        Column("organisation_id", Uuid, nullable=False),
        Column("bulk_action_id", Uuid, nullable=False),
        Column("bucket", SmallInteger, nullable=False),
        Column("row_number", BigInteger, nullable=False),
        Column(f"{key.name}_key", Text(collation="C"), nullable=False),
        *(Column(field.name, SQL_TYPES[field.sql_type], nullable=not field.is_key) for field in fields),
        Column("attributes", JSONB),
        Column("cells", JSONB),
        Index(None, "organisation_id", "bulk_action_id", "bucket"),
    )


def trash_table(name: str, record: FromClause, *found_by: str) -> Table:
    """Deleted records as they were. A deletion moves its rows here, so that no list ever reads a deleted one.

    `found_by` are columns by which they are looked up, besides their ids.
    """
    return Table(
        f"deleted_{name}",
        Model.metadata,
        *(
            Column(column.name, column.type, primary_key=column.primary_key, nullable=column.nullable)
            for column in record.columns
            if isinstance(column, Column) and column.computed is None
        ),
        Column("deletion_id", Uuid),
        Column("deleted_by", Uuid),
        Column("deleted_at", DateTime(timezone=True), nullable=False),
        Index(None, "organisation_id", "deleted_at", "id"),
        Index(None, "organisation_id", "deletion_id", "id"),
        *(Index(None, "organisation_id", column) for column in found_by),
    )


def tag_table(singular: str) -> Table:
    """Which records bear a tag, in the order of their ids; triggers keep it equal to the records' own tags."""
    return Table(
        f"{singular}_tags",
        Model.metadata,
        Column("organisation_id", Uuid, primary_key=True),
        Column("tag", TAG, primary_key=True),
        Column("record_id", Uuid, primary_key=True),
    )


def former_key_table(singular: str) -> Table:
    """Keys that records had before, each with the last that had it; triggers keep it when a key changes or goes."""
    return Table(
        f"former_{singular}_keys",
        Model.metadata,
        Column("organisation_id", Uuid, primary_key=True),
        Column("key", Text(collation="C"), primary_key=True),
        Column("record_id", Uuid, nullable=False),
        Column("left_at", DateTime(timezone=True), nullable=False),
        Index(None, "organisation_id", "record_id"),
    )


class AttributeName(Model):
    """The name of an own attribute that records of the organisation have."""

    __tablename__ = "attribute_names"

    organisation_id: Mapped[TenantKey]
    entity: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[CreatedAt]


class SavedFilter(Model):
    """A list's filter, order and columns under a name that the whole organisation uses."""

    __tablename__ = "saved_filters"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        UniqueConstraint("organisation_id", "entity", "name"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    entity: Mapped[str]
    name: Mapped[str]
    arguments: Mapped[dict[str, Any]]
    created_by: Mapped[UUID | None]
    created_at: Mapped[CreatedAt]


class BehaviourSet(Model):
    """The contacts who did something on the organisation's websites, as it was known when the set was made.

    `fingerprint` tells what was asked: the behaviour and its two moments. Nothing of a set ever changes.
    """

    __tablename__ = "behaviour_sets"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        Index(None, "organisation_id", "fingerprint", "made_at"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    fingerprint: Mapped[str]
    made_at: Mapped[datetime]
    member_count: Mapped[int] = mapped_column(BigInteger, default=0)


class BehaviourMembers(Model):
    """Some members of a set, in the order of their ids: all from `first_id` up to the next row's.

    A row holds many: a row for each would take eight times the time to write, and six times the room.
    """

    __tablename__ = "behaviour_members"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organisation_id", "set_id"],
            ["behaviour_sets.organisation_id", "behaviour_sets.id"],
            ondelete="CASCADE",
        ),
    )

    organisation_id: Mapped[TenantKey]
    set_id: Mapped[UUID] = mapped_column(primary_key=True)
    first_id: Mapped[UUID] = mapped_column(primary_key=True)
    ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()))


class ListColumns(Model):
    """The columns that a person chose for a list."""

    __tablename__ = "list_columns"

    organisation_id: Mapped[TenantKey]
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    entity: Mapped[str] = mapped_column(primary_key=True)
    names: Mapped[list[Any]]
    updated_at: Mapped[datetime]
