"""The actor that forgets what is long over."""

from __future__ import annotations

from datetime import timedelta

from flask import current_app
from sqlalchemy import text

from webapp.extensions import db
from webapp.jobs.broker import actor
from webapp.lib.clock import utc_now

STEP = 5_000
"""So many jobs go in one transaction, which takes well under a second and keeps nobody waiting."""
RESERVATIONS_KEPT = timedelta(days=2)
PRUNE = text("SELECT footfall_prune_jobs(:finished_before, :failed_before, :most)")
FORGET_RESERVATIONS = text("SELECT footfall_prune_rate_reservations(:before)")


@actor("default")
def prune_jobs() -> None:
    """Delete jobs that ended long ago, with their attempts and log lines, and old places in rate limits."""
    settings, now = current_app.extensions["settings"], utc_now()
    given = {
        "finished_before": now - timedelta(days=settings.jobs_kept_days),
        "failed_before": now - timedelta(days=settings.failed_jobs_kept_days),
        "most": STEP,
    }
    pruned_count = STEP
    while pruned_count == STEP:
        pruned_count = db.session.execute(PRUNE, given).scalar_one()
        db.session.commit()
    db.session.execute(FORGET_RESERVATIONS, {"before": now - RESERVATIONS_KEPT})
    db.session.commit()
