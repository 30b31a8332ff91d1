"""People who were erased: a beacon of before, counted after, names nobody."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID, uuid4

import polars as pl
import psycopg

from webapp.lib.keys import fold_key
from webapp.visits.counting.enrichment import visitor_number

Connection = psycopg.Connection[Any]


def erased_before(connection: Connection, tenant: UUID, keys: Collection[str]) -> dict[str, int]:
    """Those of the people who are or were erased lately, and when that was asked for, in milliseconds."""
    if not keys:
        return {}
    return dict(connection.execute(ERASED_BEFORE, [tenant, list(keys)]).fetchall())


def without_erased_names(connection: Connection, tenant: UUID, activity: pl.DataFrame) -> pl.DataFrame:
    """The rows, with those of a stranger that an erased person did before under their own address.

    Otherwise they would be theirs again as soon as they come back: the address gives the same number.
    """
    called = activity.filter(pl.col("identifier").str.contains("@", literal=True))
    pairs = called.select("site_id", "identifier").unique().rows()
    keys = {identifier: fold_key(identifier.strip()) for _, identifier in pairs}
    erased = erased_before(connection, tenant, set(keys.values()))
    rows = [
        (site_id, identifier, erased[keys[identifier]], stranger := str(uuid4()), visitor_number(site_id, stranger))
        for site_id, identifier in pairs
        if keys[identifier] in erased
    ]
    return _renamed(activity, pl.DataFrame(rows, schema=STRANGERS, orient="row")) if rows else activity


def _renamed(activity: pl.DataFrame, strangers: pl.DataFrame) -> pl.DataFrame:
    joined = activity.join(strangers, on=["site_id", "identifier"], how="left", maintain_order="left")
    is_before = pl.col("visited_ms") <= pl.col("erased_ms")
    named = [
        pl.when(is_before).then(pl.col(new)).otherwise(pl.col(old)).alias(old)
        for old, new in (("identifier", "stranger"), ("visitor", "number"))
    ]
    return joined.with_columns(named).select(activity.columns)


STRANGERS = pl.Schema(
    {
        "site_id": pl.Binary(),
        "identifier": pl.String(),
        "erased_ms": pl.Int64(),
        "stranger": pl.String(),
        "number": pl.Int64(),
    }
)
# Nearly always nobody was, which is known at once.
ERASED_BEFORE = """
    SELECT identity, (extract(epoch FROM requested_at) * 1000)::bigint FROM erasures
    WHERE organisation_id = %s AND identity = ANY(%s::text[])
"""
