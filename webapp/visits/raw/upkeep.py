"""What is to be done with raw rows, across organisations, and removing what nobody reads any more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select, text, update

from webapp.extensions import db
from webapp.visits.models import RawChunk, RawKind, Site
from webapp.visits.raw.chunks import SMALL_CHUNK_ROWS
from webapp.visits.raw.models import SealedFile, SealedState
from webapp.visits.raw.sealing import Owner

ENOUGH_ROWS = 200_000
ENOUGH_CHUNKS = 40
OLD_AFTER = timedelta(days=1)
"""Chunks are sealed when they are so many, or hold what is so old."""
ENOUGH_FILES = 8
LARGE_FILE_ROWS = 8_000_000
LATE_FOR = timedelta(days=3)
"""Files of a month are merged when they are so many, and once more when no beacon can come for it any more."""
WRITING_FOR = timedelta(days=1)
ROW_STEP = timedelta(milliseconds=1)
"""Raw rows tell milliseconds."""
HELD_FOR = timedelta(hours=1)
"""A reader may still hold a file that was retired a moment ago."""


def find_chunks_to_seal(now: datetime) -> list[Owner]:
    """Whose chunks are enough, or old enough, to become a file."""
    asked = {"small": SMALL_CHUNK_ROWS, "rows": ENOUGH_ROWS, "chunks": ENOUGH_CHUNKS, "before": now - OLD_AFTER}
    found = db.session.execute(text("SELECT * FROM footfall_chunks_to_seal(:small, :rows, :chunks, :before)"), asked)
    return [Owner(row.organisation_id, row.site_id, RawKind(row.kind)) for row in found]


def find_files_to_merge(now: datetime) -> list[tuple[Owner, date]]:
    """Whose files of which month are too many."""
    asked = {"files": ENOUGH_FILES, "rows": LARGE_FILE_ROWS, "before": (now - LATE_FOR).date().replace(day=1)}
    found = db.session.execute(text("SELECT * FROM footfall_files_to_merge(:files, :rows, :before)"), asked)
    return [(Owner(row.organisation_id, row.site_id, RawKind(row.kind)), row.month) for row in found]


def find_files_to_sweep(now: datetime) -> list[tuple[UUID, UUID, UUID, SealedState]]:
    """(organisation, site, file, state) of files that were never finished, and of those that were replaced."""
    asked = {"written_before": now - WRITING_FOR, "retired_before": now - HELD_FOR}
    found = db.session.execute(text("SELECT * FROM footfall_files_to_sweep(:written_before, :retired_before)"), asked)
    return [(row.organisation_id, row.site_id, row.id, SealedState(row.state)) for row in found]


def find_sites_with_retention() -> list[tuple[UUID, UUID, int]]:
    """(organisation, site, days) of sites that keep raw rows for some time only."""
    found = db.session.execute(text("SELECT * FROM footfall_sites_with_retention()"))
    return [(row.organisation_id, row.id, row.retention_days) for row in found]


def get_file(organisation_id: UUID, site_id: UUID, file_id: UUID) -> SealedFile | None:
    """One file's row, locked."""
    return db.session.scalars(
        select(SealedFile)
        .where(SealedFile.organisation_id == organisation_id, SealedFile.site_id == site_id, SealedFile.id == file_id)
        .with_for_update()
    ).first()


def give_up(file: SealedFile, now: datetime) -> None:
    """Let a file that was never finished not be listed any more by whoever wrote it."""
    file.state, file.retired_at = SealedState.RETIRED, now


def expire(organisation_id: UUID, site_id: UUID, before: datetime, now: datetime) -> None:
    """Take away the files and chunks whose rows are all older: a file goes when its youngest row is too old.

    Roll-ups stay. What is older than any row that went is incomplete from now on, and the site says so: files hold
    spans that overlap, and late beacons come for days of which everything else is gone.
    """
    taken = [*_retire_files(organisation_id, site_id, before, now), *_delete_chunks(organisation_id, site_id, before)]
    if not taken:
        return
    moved = update(Site).where(Site.organisation_id == organisation_id, Site.id == site_id)
    complete_from = db.func.greatest(Site.raw_complete_from, max(taken) + ROW_STEP)
    db.session.execute(moved.values(raw_complete_from=complete_from, revision=Site.revision + 1))


def _retire_files(organisation_id: UUID, site_id: UUID, before: datetime, now: datetime) -> Sequence[datetime]:
    """When the youngest row of each file was that is not read any more."""
    own = (SealedFile.organisation_id == organisation_id, SealedFile.site_id == site_id)
    old = update(SealedFile).where(*own, SealedFile.state == SealedState.SEALED, SealedFile.to_at < before)
    retired = old.values(state=SealedState.RETIRED, retired_at=now).returning(SealedFile.to_at)
    return db.session.scalars(retired, execution_options={"synchronize_session": False}).all()


def _delete_chunks(organisation_id: UUID, site_id: UUID, before: datetime) -> Sequence[datetime]:
    """When the youngest row of each chunk was that is gone."""
    own = (RawChunk.organisation_id == organisation_id, RawChunk.site_id == site_id)
    gone = delete(RawChunk).where(*own, RawChunk.to_at < before).returning(RawChunk.to_at)
    return db.session.scalars(gone, execution_options={"synchronize_session": False}).all()
