"""Every id counts once: ids of counted beacons are kept in packs, those of one second and one batch in one row.

An id is a UUIDv7, so it says when it was made, and a retry lies in the same second. Only the packs of a batch's own
seconds are read, and one row holds thousands of ids: a row and an index entry for each took a seventh of all the
time. Nothing but the lock keeps two from adding the same id at once: there is one writer.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy
import polars as pl
import psycopg

from webapp.lib.ids import uuid7

Connection = psycopg.Connection[Any]
ID_BYTES = 16
_ID = ["high", "low"]
_SECOND = pl.col("high") // (1000 << 16)


def keep_unseen(connection: Connection, tenant: UUID, rows: pl.DataFrame) -> pl.DataFrame:
    """Enter the rows' ids, each of which they have once, as seen, and return the rows whose ids were not."""
    ids = _ids_of(b"".join(rows.get_column("id"))).with_row_index("row").with_columns(second=_SECOND.cast(pl.Int64))
    fresh = ids.join(_known(connection, tenant, ids), on=_ID, how="anti", maintain_order="left")
    if fresh.is_empty():
        return rows.clear()
    _keep(connection, tenant, fresh)
    return rows if fresh.height == rows.height else rows[fresh.get_column("row")]


def list_seen(connection: Connection, tenant: UUID, ids: list[bytes]) -> list[bytes]:
    """Those of the ids that were counted."""
    if not ids:
        return []
    wanted = _ids_of(b"".join(ids)).with_columns(second=_SECOND.cast(pl.Int64), id=pl.Series(ids, dtype=pl.Binary))
    return wanted.join(_known(connection, tenant, wanted), on=_ID, how="semi").get_column("id").to_list()


def _ids_of(content: bytes) -> pl.DataFrame:
    """Ids that lie one behind the other, each as two numbers."""
    halves = numpy.frombuffer(content, ">u8").reshape(-1, 2).astype("u8")
    return pl.DataFrame({"high": halves[:, 0], "low": halves[:, 1]}, schema={"high": pl.UInt64, "low": pl.UInt64})


def _known(connection: Connection, tenant: UUID, ids: pl.DataFrame) -> pl.DataFrame:
    """All ids of these ids' seconds."""
    seconds = ids.get_column("second").unique().to_list()
    with connection.cursor(binary=True) as cursor:
        cursor.execute(PACKS, [seconds, tenant], prepare=False)
        return _ids_of(b"".join(content for (content,) in cursor))


def _keep(connection: Connection, tenant: UUID, fresh: pl.DataFrame) -> None:
    """Sorted, so that a second's ids lie together."""
    fresh = fresh.sort(_ID)
    halves = numpy.column_stack([fresh.get_column(name).to_numpy() for name in _ID])
    content = halves.astype(">u8").tobytes()
    counts = fresh.group_by("second", maintain_order=True).len()
    ends = counts.get_column("len").cum_sum().to_list()
    packs = [content[ID_BYTES * begin : ID_BYTES * end] for begin, end in zip([0, *ends], ends, strict=False)]
    connection.execute(KEEP, [tenant, uuid7(), counts.get_column("second").to_list(), packs], binary=True)


# One index look-up for each second, whatever the planner thinks of the sizes.
PACKS = """
    SELECT s.ids FROM unnest(%s::bigint[]) AS w (second)
    CROSS JOIN LATERAL (SELECT ids FROM seen WHERE organisation_id = %s AND second = w.second OFFSET 0) AS s
"""
KEEP = """
    INSERT INTO seen (organisation_id, part, second, ids)
    SELECT %s, %s, w.second, w.ids FROM unnest(%s::bigint[], %s::bytea[]) AS w (second, ids)
"""
