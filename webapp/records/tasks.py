"""The actor that empties the trash, has erased what visits know of people who are gone, and forgets old sets."""

from __future__ import annotations

from sqlalchemy import text

from webapp.extensions import db
from webapp.jobs.broker import actor
from webapp.lib.clock import utc_now
from webapp.records import behaviour_sets
from webapp.records.trash import KEPT_FOR
from webapp.visits.people.erasing_tasks import start_waiting_erasures

STEP = 20_000
"""So many records go in one transaction."""
EMPTY = text("SELECT footfall_empty_trash(:before, :most)")
SETS_STEP = 10
"""A set may have millions of members."""
FORGET = text("SELECT footfall_forget_behaviour_sets(:before, :most)")


@actor("default")
def empty_trash() -> None:
    """Remove for good what was deleted more than thirty days ago, in every organisation.

    Each step notes people whose visits are to be erased; the jobs that do so are started here, also for who was noted
    by somebody that died before it could.
    """
    removed_count = STEP
    while removed_count >= STEP:
        given = {"before": utc_now() - KEPT_FOR, "most": STEP}
        removed_count = db.session.execute(EMPTY, given).scalar_one()
        db.session.commit()
    start_waiting_erasures()
    forget_behaviour_sets()


def forget_behaviour_sets() -> None:
    """Forget old sets of those who did something on a website, but those in use, in every organisation."""
    removed_count = SETS_STEP
    while removed_count >= SETS_STEP:
        given = {"before": utc_now() - behaviour_sets.KEPT_FOR, "most": SETS_STEP}
        removed_count = db.session.execute(FORGET, given).scalar_one()
        db.session.commit()
