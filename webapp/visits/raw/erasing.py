"""Erasing visitors from raw rows: the files and chunks that hold their rows are replaced by files that do not.

Roll-ups stay as they are: they are counts and sketches of everybody together and name nobody, and taking a person out
of a sketch is impossible. Counting a site again from its raw rows leaves the erased out, too.

What goes is added up by quarter of an hour in the transaction that takes it away, so that whoever compares roll-ups
with raw rows knows by how much they differ.

The old files are no longer read from the moment of the commit, are removed from the store by the sweep an hour later,
and from the caches of other machines a day after they were last read there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import polars as pl
from sqlalchemy import ARRAY, BigInteger, any_, delete, literal, update

from webapp.extensions import db, driver_connection
from webapp.lib.clock import utc_now
from webapp.visits.buckets import QUARTER_MS
from webapp.visits.counting.models import Visit
from webapp.visits.counting.statements import wait_for_lock
from webapp.visits.counting.tallying import SITE_COUNTS, tally_quarters
from webapp.visits.models import RawKind, Site
from webapp.visits.raw.frames import TIME_COLUMNS
from webapp.visits.raw.sealing import Owner, RowsMovedError, Sealer, announce, list_files
from webapp.visits.raw.sources import list_pieces

TRIES = 10
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def erase_visitors(
    sealer: Sealer, organisation_id: UUID, site_ids: Sequence[UUID], visitors: Sequence[int], commit: Callable[[], None]
) -> None:
    """Erase all that raw rows and recent visits know of visitors, by their numbers.

    One pass over the rows of each site, however many visitors: erasing many at once costs little more than one.

    `commit` commits: the caller is an entry point, and each piece is done for good as it is done. Doing it all again
    after it died does no harm. Raises RowsMovedError when counting and sealing were faster every time.
    """
    for site_id in site_ids:
        _forget_recent_visits(organisation_id, site_id, visitors)
        commit()
        for kind in RawKind:
            _erase_until_done(sealer, Owner(organisation_id, site_id, kind), visitors, commit)


def _raise_revision(owner: Owner) -> None:
    own = update(Site).where(Site.organisation_id == owner.organisation_id, Site.id == owner.site_id)
    db.session.execute(own.values(revision=Site.revision + 1))


def _forget_recent_visits(organisation_id: UUID, site_id: UUID, visitors: Sequence[int]) -> None:
    """Whatever is counted now is counted before, or knows nothing of these visits."""
    wait_for_lock(driver_connection())
    theirs = Visit.visitor == any_(literal(list(visitors), ARRAY(BigInteger())))
    db.session.execute(delete(Visit).where(Visit.organisation_id == organisation_id, Visit.site_id == site_id, theirs))


def _erase_until_done(sealer: Sealer, owner: Owner, visitors: Sequence[int], commit: Callable[[], None]) -> None:
    """What is counted or sealed meanwhile is looked at again."""
    for _ in range(TRIES):
        try:
            if not _erase_once(sealer, owner, visitors, commit):
                return
        except RowsMovedError:
            db.session.rollback()
    raise RowsMovedError


def _erase_once(sealer: Sealer, owner: Owner, visitors: Sequence[int], commit: Callable[[], None]) -> bool:
    """Replace what holds their rows. Whether anything did.

    Not while a site is counted again: that would count these rows still, and forget that they were erased.
    """
    pieces = list_pieces(owner.organisation_id, [owner.site_id], {owner.kind: ALWAYS})
    holding = sealer.list_holding(owner, pieces, visitors)
    if not holding:
        return False
    erased = sealer.rows_of(owner, holding, visitors)
    with sealer.prepare(owner, holding, visitors) as replacement:
        announce(replacement)
        commit()
        sealer.store(replacement)
        wait_for_lock(driver_connection())
        list_files(replacement, utc_now())
        note_erased(owner, erased)
        _raise_revision(owner)
        commit()
    return True


def note_erased(owner: Owner, rows: pl.DataFrame) -> None:
    """Add to what was erased of each quarter of an hour."""
    time = pl.col(TIME_COLUMNS[owner.kind])
    counts = tally_quarters(owner.kind, rows.with_columns(quarter=time - time % QUARTER_MS))
    if counts.is_empty():
        return
    empty = pl.DataFrame(schema=dict.fromkeys(("quarter", *SITE_COUNTS), pl.Int64))
    counts = pl.concat([empty, counts], how="diagonal_relaxed").fill_null(0).sort("quarter")
    columns = [counts.get_column(name).to_list() for name in ("quarter", *SITE_COUNTS)]
    driver_connection().execute(NOTE_ERASED, [owner.organisation_id, owner.site_id, *columns])


NOTE_ERASED = f"""
    INSERT INTO erased_counts AS e (organisation_id, site_id, bucket_at, {", ".join(SITE_COUNTS)})
    SELECT %s, %s, to_timestamp(w.quarter / 1000.0), {", ".join(f"w.{name}" for name in SITE_COUNTS)}
    FROM unnest({", ".join(["%s::bigint[]"] * (1 + len(SITE_COUNTS)))}) AS w (quarter, {", ".join(SITE_COUNTS)})
    ON CONFLICT (organisation_id, site_id, bucket_at) DO UPDATE SET
        {", ".join(f"{name} = e.{name} + excluded.{name}" for name in SITE_COUNTS)}
"""
