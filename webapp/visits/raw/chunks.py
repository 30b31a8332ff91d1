"""Writing raw rows: one chunk a site and batch, in the transaction that counts them.

Chunks are immutable. A site that sends little would have very many of them, so its small last chunk is joined with
the new rows, under a new number. One that cannot be read stays as it is: whoever reads raw rows reports it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import polars as pl
import psycopg

from webapp.visits.models import RawKind
from webapp.visits.raw.frames import TIME_COLUMNS, decode, encode

SMALL_CHUNK_ROWS = 2_000
"""A last chunk below so many rows is joined with the next."""
logger = logging.getLogger(__name__)
Connection = psycopg.Connection[Any]
Chunk = tuple[UUID, datetime, datetime, int, bytes]
"""Site, first and last moment, number of rows, content."""


def write_chunks(connection: Connection, tenant: UUID, kind: RawKind, frames: Mapping[UUID, pl.DataFrame]) -> None:
    """Add each site's rows; the caller's transaction has named the tenant.

    Whoever takes chunks away locks their rows first, or a chunk could be joined and taken at once.
    """
    if frames:
        insert_chunks(
            connection, tenant, kind, encode_chunks(kind, frames, take_small(connection, tenant, kind, frames))
        )


def take_small(connection: Connection, tenant: UUID, kind: RawKind, site_ids: Iterable[UUID]) -> dict[UUID, Chunk]:
    """Take away the sites' small last chunks, to be written again."""
    small = connection.execute(SMALL_LAST_CHUNKS, [list(site_ids), tenant, kind.value, SMALL_CHUNK_ROWS]).fetchall()
    if small:
        sites, chunks, *_ = zip(*small, strict=True)
        connection.execute(DELETE_CHUNKS, [list(sites), list(chunks), tenant, kind.value])
    return {site_id: (site_id, *taken) for site_id, _, *taken in small}


def encode_chunks(kind: RawKind, frames: Mapping[UUID, pl.DataFrame], small: Mapping[UUID, Chunk]) -> list[Chunk]:
    """Each site's rows behind those that it had."""
    chunks: list[Chunk] = []
    for site_id, frame in sorted(frames.items()):
        former = _rows_of(small[site_id]) if site_id in small else None
        if site_id in small and former is None:
            chunks.append(small[site_id])
        joined = frame if former is None else pl.concat([former, frame])
        chunks.append(_chunk(site_id, joined, TIME_COLUMNS[kind]))
    return chunks


def _rows_of(chunk: Chunk) -> pl.DataFrame | None:
    try:
        return decode(chunk[-1])
    except (pl.exceptions.PolarsError, OSError, ValueError):
        logger.exception("A chunk of raw rows of site %s cannot be read.", chunk[0])
        return None


def insert_chunks(connection: Connection, tenant: UUID, kind: RawKind, chunks: list[Chunk]) -> None:
    """Write them."""
    columns = [list(column) for column in zip(*chunks, strict=True)]
    connection.execute(INSERT_CHUNKS, [tenant, kind.value, *columns], binary=True)


def _chunk(site_id: UUID, frame: pl.DataFrame, time_column: str) -> Chunk:
    times = frame.get_column(time_column)
    return site_id, _moment(times.min()), _moment(times.max()), frame.height, encode(frame)


def _moment(milliseconds: Any) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


SMALL_LAST_CHUNKS = """
    SELECT last.site_id, last.chunk, last.from_at, last.to_at, last.row_count, last.content
    FROM unnest(%s::uuid[]) AS w (site_id)
    CROSS JOIN LATERAL (
        SELECT c.site_id, c.chunk, c.from_at, c.to_at, c.row_count, c.content FROM raw_chunks c
        WHERE c.organisation_id = %s AND c.site_id = w.site_id AND c.kind = %s ORDER BY c.chunk DESC LIMIT 1
        FOR UPDATE
    ) AS last
    WHERE last.row_count < %s
"""
DELETE_CHUNKS = """
    DELETE FROM raw_chunks c USING unnest(%s::uuid[], %s::bigint[]) AS w (site_id, chunk)
    WHERE c.organisation_id = %s AND c.kind = %s AND c.site_id = w.site_id AND c.chunk = w.chunk
"""
INSERT_CHUNKS = """
    INSERT INTO raw_chunks (organisation_id, site_id, kind, from_at, to_at, row_count, content)
    SELECT %s, w.site_id, %s, w.from_at, w.to_at, w.row_count, w.content
    FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::int[], %s::bytea[])
        AS w (site_id, from_at, to_at, row_count, content)
"""
