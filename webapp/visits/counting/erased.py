"""People who were erased: a beacon of before, counted after, names nobody."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

import psycopg

Connection = psycopg.Connection[Any]


def erased_before(connection: Connection, tenant: UUID, keys: Collection[str]) -> dict[str, int]:
    """Those of the people who are or were erased lately, and when that was asked for, in milliseconds."""
    if not keys:
        return {}
    return dict(connection.execute(ERASED_BEFORE, [tenant, list(keys)]).fetchall())


# Nearly always nobody was, which is known at once.
ERASED_BEFORE = """
    SELECT identity, (extract(epoch FROM requested_at) * 1000)::bigint FROM erasures
    WHERE organisation_id = %s AND identity = ANY(%s::text[])
"""
