"""Sealing: chunks become files of a month, and files of a month become one, without a row lost or doubled.

1. *Prepare*: the rows are sorted into new files on this machine.
2. *Announce*: the files get rows of state `writing`, and that is committed.
3. *Store*: the files go to the upload store, and are read back and added up.
4. *List*: one transaction makes them `sealed` and removes the chunks, or retires the files, that they replace.

Whatever dies in between leaves files that nobody reads, and a row of each by which the sweep removes them. Two that
seal the same rows at once do no harm: the second finds them gone, and rolls back.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

import polars as pl
from sqlalchemy import CursorResult, delete, select, update

from webapp.config import Settings
from webapp.extensions import db
from webapp.lib.ids import uuid7
from webapp.lib.storage import READ_BLOCK_BYTES
from webapp.visits.models import RawChunk, RawKind
from webapp.visits.raw.cache import SEALING
from webapp.visits.raw.chunks import SMALL_CHUNK_ROWS
from webapp.visits.raw.duck import duck_cursor
from webapp.visits.raw.layout import Cursor, Written, holds_visitors, list_months, look_at, write_month
from webapp.visits.raw.models import SealedFile, SealedState, sealed_key
from webapp.visits.raw.sources import Piece, RawSources, piece_of_chunk, piece_of_file

SEAL_ROWS = 2_000_000
"""At most about so many rows at once."""


class RowsMovedError(Exception):
    """Somebody else moved these rows meanwhile; whoever does it again finds what is left."""


class WrongSumsError(RuntimeError):
    """A file does not hold what was put into it."""


@dataclass(frozen=True)
class Owner:
    """Whose raw rows, and which kind of them."""

    organisation_id: UUID
    site_id: UUID
    kind: RawKind


@dataclass(frozen=True)
class NewFile:
    """A file on this machine, on its way into the store."""

    id: UUID
    month: date
    key: str
    written: Written


@dataclass(frozen=True)
class Replacement:
    """New files, and what they stand for."""

    owner: Owner
    files: tuple[NewFile, ...]
    chunks: tuple[int, ...] = ()
    old_files: tuple[UUID, ...] = ()


class Sealer:
    """Replaces pieces of raw rows by files. Its caller commits between the steps."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sources = RawSources(settings)

    @contextmanager
    def prepare(self, owner: Owner, pieces: Sequence[Piece], without: Sequence[int] = ()) -> Iterator[Replacement]:
        """Write what the pieces hold, but for some visitors, into files of a month: there until the context ends."""
        paths = self._sources.paths(owner.organisation_id, pieces)
        if paths is None:
            raise RowsMovedError
        db.session.rollback()  # no transaction waits while files are written
        with tempfile.TemporaryDirectory(prefix=SEALING, dir=self._settings.raw_cache_dir) as folder:
            files = self._write(owner, [str(path) for path in paths.values()], Path(folder), without)
            chunks = tuple(piece.chunk for piece in pieces if piece.chunk is not None)
            old_files = tuple(piece.file_id for piece in pieces if piece.file_id is not None)
            yield Replacement(owner, tuple(files), chunks, old_files)

    def list_holding(self, owner: Owner, pieces: Sequence[Piece], visitors: Sequence[int]) -> list[Piece]:
        """Those of the pieces that hold rows of these visitors."""
        paths = self._sources.paths(owner.organisation_id, pieces)
        if paths is None:
            raise RowsMovedError
        db.session.rollback()
        with self._cursor() as cursor:
            return [piece for piece in pieces if holds_visitors(cursor, str(paths[piece.name]), visitors)]

    def rows_of(self, owner: Owner, pieces: Sequence[Piece], visitors: Sequence[int]) -> pl.DataFrame:
        """The rows that these visitors have in the pieces."""
        paths = self._sources.paths(owner.organisation_id, pieces)
        if paths is None:
            raise RowsMovedError
        db.session.rollback()
        theirs = pl.col("visitor").is_in(list(visitors))
        return pl.concat([pl.scan_parquet(path).filter(theirs).collect() for path in paths.values()], how="diagonal")

    def store(self, replacement: Replacement) -> None:
        """Put the files into the upload store, and read them back; raises WrongSumsError."""
        for file in replacement.files:
            self._sources.storage.write(file.key, _blocks(file.written.path))
            found = self._read_back(file, replacement.owner.kind)
            if found is None or (found.row_count, found.sums) != (file.written.row_count, file.written.sums):
                raise WrongSumsError(file.key)

    def _read_back(self, file: NewFile, kind: RawKind) -> Written | None:
        copy = file.written.path.with_suffix(".copy")
        with copy.open("wb") as target:
            for block in self._sources.storage.stream(file.key):
                target.write(block)
        with self._cursor() as cursor:
            return look_at(cursor, kind, copy)

    def _write(self, owner: Owner, paths: list[str], folder: Path, without: Sequence[int]) -> list[NewFile]:
        files = []
        with self._cursor() as cursor:
            for month, sums in list_months(cursor, owner.kind, paths).items():
                file_id = uuid7()
                written = write_month(cursor, owner.kind, paths, month, folder / f"{file_id}.parquet", without)
                if not without and (written.sums if written else tuple(0 for _ in sums)) != sums:
                    raise WrongSumsError(f"{owner} {month}")
                if written:
                    key = sealed_key(owner.organisation_id, owner.site_id, month, file_id)
                    files.append(NewFile(file_id, month, key, written))
        return files

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        with duck_cursor(self._settings, self._sources.folders) as cursor:
            yield cursor


def announce(replacement: Replacement) -> None:
    """Let it be known which files will be written."""
    db.session.add_all(_row_of(file, replacement) for file in replacement.files)
    db.session.flush()


def list_files(replacement: Replacement, now: datetime) -> None:
    """Let the new files be read instead of what they stand for; raises RowsMovedError."""
    owner = replacement.owner
    ids = [file.id for file in replacement.files]
    own = (SealedFile.organisation_id == owner.organisation_id, SealedFile.site_id == owner.site_id)
    sealed = update(SealedFile).where(*own, SealedFile.id.in_(ids), SealedFile.state == SealedState.WRITING)
    retired = update(SealedFile).where(
        *own, SealedFile.id.in_(replacement.old_files), SealedFile.state == SealedState.SEALED
    )
    gone = delete(RawChunk).where(
        RawChunk.organisation_id == owner.organisation_id,
        RawChunk.site_id == owner.site_id,
        RawChunk.kind == owner.kind,
        RawChunk.chunk.in_(replacement.chunks),
    )
    _expect(len(ids), db.session.execute(sealed.values(state=SealedState.SEALED)))
    _expect(
        len(replacement.old_files),
        db.session.execute(retired.values(state=SealedState.RETIRED, retired_at=now)),
    )
    _expect(len(replacement.chunks), db.session.execute(gone))


def list_sealable_chunks(owner: Owner, old_before: datetime) -> list[Piece]:
    """Chunks that no new rows will be joined with any more, oldest first, some million rows of them."""
    wanted = (
        select(RawChunk.site_id, RawChunk.kind, RawChunk.chunk, RawChunk.row_count, RawChunk.from_at, RawChunk.to_at)
        .add_columns(db.func.octet_length(RawChunk.content).label("byte_count"))
        .where(
            RawChunk.organisation_id == owner.organisation_id,
            RawChunk.site_id == owner.site_id,
            RawChunk.kind == owner.kind,
            (RawChunk.row_count >= SMALL_CHUNK_ROWS) | (RawChunk.from_at < old_before),
        )
        .order_by(RawChunk.chunk)
    )
    pieces: list[Piece] = []
    row_count = 0
    for row in db.session.execute(wanted):
        pieces.append(piece_of_chunk(owner.organisation_id, row))
        row_count += row.row_count
        if row_count >= SEAL_ROWS:
            break
    return pieces


def list_mergeable_files(owner: Owner, month: date, most_rows: int) -> list[Piece]:
    """The month's files, but for those that are large enough."""
    found = db.session.scalars(
        select(SealedFile).where(
            SealedFile.organisation_id == owner.organisation_id,
            SealedFile.site_id == owner.site_id,
            SealedFile.kind == owner.kind,
            SealedFile.month == month,
            SealedFile.state == SealedState.SEALED,
            SealedFile.row_count < most_rows,
        )
    )
    return [piece_of_file(owner.organisation_id, file) for file in found]


def _expect(count: int, result: object) -> None:
    if not isinstance(result, CursorResult) or result.rowcount != count:
        raise RowsMovedError


def _row_of(file: NewFile, replacement: Replacement) -> SealedFile:
    owner, written = replacement.owner, file.written
    return SealedFile(
        organisation_id=owner.organisation_id,
        site_id=owner.site_id,
        id=file.id,
        kind=owner.kind,
        state=SealedState.WRITING,
        month=file.month,
        from_chunk=min(replacement.chunks, default=0),
        to_chunk=max(replacement.chunks, default=0),
        from_at=written.from_at,
        to_at=written.to_at,
        row_count=written.row_count,
        byte_count=written.byte_count,
    )


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(READ_BLOCK_BYTES):
            yield block
