"""Erasing visitors from raw rows: the files and chunks that hold their rows are replaced by files that do not.

Roll-ups stay as they are: they are counts and sketches of everybody together and name nobody, and taking a person out
of a sketch is impossible. Counting a site again from its raw rows leaves the erased out, too.

The old files are no longer read from the moment of the commit, are removed from the store by the sweep an hour later,
and from the caches of other machines a day after they were last read there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import delete, update

from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.visits.models import RawKind, Site, Visit
from webapp.visits.raw.sealing import Owner, RowsMovedError, Sealer, announce, list_files
from webapp.visits.raw.sources import list_pieces

TRIES = 10
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def erase_visitors(
    sealer: Sealer, organisation_id: UUID, site_ids: Sequence[UUID], visitors: Sequence[int], commit: Callable[[], None]
) -> None:
    """Erase all that raw rows and recent visits know of visitors, by their numbers.

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
    db.session.execute(
        delete(Visit).where(
            Visit.organisation_id == organisation_id, Visit.site_id == site_id, Visit.visitor.in_(visitors)
        )
    )


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
    """Replace what holds their rows. Whether anything did."""
    pieces = list_pieces(owner.organisation_id, [owner.site_id], {owner.kind: ALWAYS})
    holding = sealer.list_holding(owner, pieces, visitors)
    if not holding:
        return False
    with sealer.prepare(owner, holding, visitors) as replacement:
        announce(replacement)
        commit()
        sealer.store(replacement)
        list_files(replacement, utc_now())
        _raise_revision(owner)
        commit()
    return True
