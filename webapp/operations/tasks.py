"""The actor that notes every few seconds how the queues stand, and tells the operators' pages."""

from __future__ import annotations

from flask import current_app

from webapp.extensions import db
from webapp.jobs.broker import actor
from webapp.lib.clock import utc_now
from webapp.live.channels import operations_channel
from webapp.live.publish import publish
from webapp.operations.queries import get_waiting_jobs
from webapp.operations.readings import read_done_counts, read_messages, sample_now
from webapp.operations.sampling import add_sample


@actor("default")
def sample_queues() -> None:
    """Add a sample, and hint to the pages that there is one."""
    broker = current_app.extensions["broker"]
    jobs = get_waiting_jobs()
    db.session.rollback()
    add_sample(broker, sample_now(read_messages(broker), jobs, read_done_counts(broker), utc_now()))
    publish(broker, operations_channel(), {})
