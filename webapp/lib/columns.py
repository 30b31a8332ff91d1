"""Column shapes that tenants' tables share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import Enum, Text
from sqlalchemy.orm import mapped_column

from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7

TenantKey = Annotated[UUID, mapped_column(primary_key=True)]
"""`organisation_id`: the first column of every tenant's primary key."""

NewId = Annotated[UUID, mapped_column(primary_key=True, default=uuid7)]
"""The row's own UUIDv7."""

CreatedAt = Annotated[datetime, mapped_column(default=utc_now)]

SortKey = Annotated[str, mapped_column(Text(collation="C"))]
"""A text that is compared byte by byte, which PostgreSQL trusts below a row-level policy."""


def text_enum(kind: type) -> Enum:
    """Python's enum kept as its value in a text column: a new member needs no migration of a type."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )
