"""Which raw rows there are now, and a local file of each piece of them.

One statement lists the sealed files and the chunks, so it sees a moment in which every row lies in exactly one of
them. What it lists never changes; what is sealed or merged meanwhile is read from where it was, or listed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from webapp.config import Settings
from webapp.extensions import db
from webapp.lib.storage import StorageMissingError, storage_at
from webapp.visits.models import RawKind, Site
from webapp.visits.raw.cache import RawCache
from webapp.visits.raw.models import sealed_key

TRIES = 5
PIECES_AT_ONCE = 20


class RawRowsGoneError(RuntimeError):
    """Files are listed that the store has not, or chunks vanished as often as they were listed."""


@dataclass(frozen=True)
class Piece:
    """A chunk or a sealed file: rows of one site and kind between two moments."""

    site_id: UUID
    kind: RawKind
    row_count: int
    from_at: datetime
    to_at: datetime
    chunk: int | None
    file_id: UUID | None
    file_key: str
    name: str


@dataclass(frozen=True)
class LocalFile:
    """A piece and where it lies on this machine."""

    path: str
    piece: Piece


@dataclass(frozen=True)
class LocalRows:
    """Files to be read as one table."""

    files: tuple[LocalFile, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(file.path for file in self.files)

    @property
    def row_count(self) -> int:
        return sum(file.piece.row_count for file in self.files)


class RawSources:
    """Raw rows of an installation, with the cache of this machine."""

    def __init__(self, settings: Settings) -> None:
        self.storage = storage_at(settings.uploads_url)
        self._cache = RawCache(settings.raw_cache_dir, settings.raw_cache_bytes)
        local = self.storage.local_path("")
        self.folders = (settings.raw_cache_dir, *([local] if local else []))

    def read(
        self, organisation_id: UUID, site_ids: Sequence[UUID], spans: dict[RawKind, tuple[datetime, datetime]]
    ) -> dict[RawKind, LocalRows]:
        """Local files with all rows of each kind in its span, and some around it."""
        for _ in range(TRIES):
            pieces = list_pieces(organisation_id, site_ids, spans)
            paths = self.paths(organisation_id, pieces)
            if paths is not None:
                return {kind: _of_kind(kind, pieces, paths) for kind in spans}
        raise RawRowsGoneError("Raw rows were moved as often as they were listed.")

    def paths(self, organisation_id: UUID, pieces: Sequence[Piece]) -> dict[str, Path] | None:
        """Where each piece lies, by name; None when one of them is gone."""
        paths = {piece.name: path for piece in pieces if (path := self._find(piece))}
        missing = [piece for piece in pieces if piece.name not in paths]
        for start in range(0, len(missing), PIECES_AT_ONCE):
            some = missing[start : start + PIECES_AT_ONCE]
            contents = _read_chunks(organisation_id, [piece for piece in some if piece.chunk is not None])
            for piece in some:
                try:
                    blocks = self.storage.stream(piece.file_key) if piece.chunk is None else [contents[piece.chunk]]
                    paths[piece.name] = self._cache.keep(piece.name, blocks)
                except (KeyError, StorageMissingError):
                    return None
        return paths

    def _find(self, piece: Piece) -> Path | None:
        local = self.storage.local_path(piece.file_key) if piece.chunk is None else None
        if local and local.exists():
            return local
        return self._cache.find(piece.name)


def list_pieces(
    organisation_id: UUID, site_ids: Sequence[UUID], spans: dict[RawKind, tuple[datetime, datetime]]
) -> list[Piece]:
    """Chunks and sealed files that may hold rows of the spans, as they are in one moment."""
    starts, ends = zip(*spans.values(), strict=True)
    parameters = {
        "organisation_id": organisation_id,
        "site_ids": list(site_ids),
        "kinds": [kind.value for kind in spans],
        "starts": list(starts),
        "ends": list(ends),
    }
    found = db.session.execute(text(PIECES), parameters)
    return [(piece_of_chunk if row.id is None else piece_of_file)(organisation_id, row) for row in found]


def list_complete_from(organisation_id: UUID, site_ids: Sequence[UUID]) -> dict[UUID, datetime]:
    """From when on retention took no raw rows of a site, of those of which it took any.

    Asked for after the pieces were listed: what went meanwhile is listed still, and only passes for missing.
    """
    wanted = select(Site.id, Site.raw_complete_from).where(
        Site.organisation_id == organisation_id, Site.id.in_(site_ids), Site.raw_complete_from.is_not(None)
    )
    return {row.id: row.raw_complete_from for row in db.session.execute(wanted)}


def piece_of_file(organisation_id: UUID, row: Any) -> Piece:
    """A sealed file by its row."""
    key = sealed_key(organisation_id, row.site_id, row.month, row.id)
    name = f"{row.id}.parquet"
    return Piece(row.site_id, RawKind(row.kind), row.row_count, row.from_at, row.to_at, None, row.id, key, name)


def piece_of_chunk(organisation_id: UUID, row: Any) -> Piece:
    """A chunk by its row. Its name tells more than its number: a restored database gives the same numbers again."""
    kind = RawKind(row.kind)
    marks = (row.chunk, int(row.from_at.timestamp() * 1000), int(row.to_at.timestamp() * 1000), row.byte_count)
    name = f"{organisation_id}-{kind.value}-{'-'.join(map(str, marks))}.parquet"
    return Piece(row.site_id, kind, row.row_count, row.from_at, row.to_at, row.chunk, None, "", name)


def _read_chunks(organisation_id: UUID, pieces: list[Piece]) -> dict[int, bytes]:
    if not pieces:
        return {}
    parameters = {"organisation_id": organisation_id, "chunks": [piece.chunk for piece in pieces]}
    parameters["site_ids"] = list({piece.site_id for piece in pieces})
    return {row.chunk: row.content for row in db.session.execute(text(CONTENTS), parameters)}


def _of_kind(kind: RawKind, pieces: list[Piece], paths: dict[str, Path]) -> LocalRows:
    return LocalRows(tuple(LocalFile(str(paths[piece.name]), piece) for piece in pieces if piece.kind is kind))


PIECES = """
    WITH wanted AS (
        SELECT * FROM unnest(
            CAST(:kinds AS text[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[])
        ) AS w (kind, start_at, end_at)
    )
    SELECT c.site_id, c.kind, c.row_count, CAST(NULL AS uuid) AS id, CAST(NULL AS date) AS month,
        c.chunk, c.from_at, c.to_at, octet_length(c.content) AS byte_count
    FROM raw_chunks c JOIN wanted w ON w.kind = c.kind AND c.to_at >= w.start_at AND c.from_at < w.end_at
    WHERE c.organisation_id = :organisation_id AND c.site_id = ANY(CAST(:site_ids AS uuid[]))
    UNION ALL
    SELECT f.site_id, f.kind, f.row_count, f.id, f.month, 0, f.from_at, f.to_at, f.byte_count
    FROM sealed_files f JOIN wanted w ON w.kind = f.kind AND f.to_at >= w.start_at AND f.from_at < w.end_at
    WHERE f.organisation_id = :organisation_id AND f.site_id = ANY(CAST(:site_ids AS uuid[])) AND f.state = 'sealed'
    ORDER BY 2, 7, 6, 4
"""
CONTENTS = """
    SELECT chunk, content FROM raw_chunks
    WHERE organisation_id = :organisation_id AND site_id = ANY(CAST(:site_ids AS uuid[]))
        AND chunk = ANY(CAST(:chunks AS bigint[]))
"""
