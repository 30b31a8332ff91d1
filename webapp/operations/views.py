"""The operators' first page: queues, workers, the beacons' backlog, and the latest dead letters."""

from __future__ import annotations

import logging

from apiflask import APIBlueprint
from flask import Response, abort, current_app, flash, redirect, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation, is_operator
from webapp.extensions import db
from webapp.jobs.queries import list_jobs_by_id
from webapp.jobs.queue_names import WORKING_QUEUES
from webapp.jobs.queues import NotPausableError, list_paused_queues, pause_queue, resume_queue
from webapp.lib.clock import utc_now
from webapp.live.channels import operations_channel, stream_url
from webapp.operations.glance import Broker, WorkerLine, ask_backlog, ask_broker, queue_lines, worker_lines
from webapp.operations.hints import hint
from webapp.operations.queries import (
    Wanted,
    capped,
    count_dead_letters,
    get_organisation_names,
    get_waiting_jobs,
    list_dead_letters,
)
from webapp.pages import render_page
from webapp.visits.counting.recount_tasks import list_laid_aside

DEAD_LETTERS_SHOWN = 5

blueprint = APIBlueprint("operations", __name__, url_prefix="/operations", enable_openapi=False)
logger = logging.getLogger(__name__)


@blueprint.before_request
def admit_operators() -> None:
    """To everybody else none of this is there."""
    if not is_operator():
        abort(404)


@blueprint.get("")
def index() -> Response:
    """Everything at a glance, again with each sample."""
    settings, now = current_app.extensions["settings"], utc_now()
    broker = ask_broker(current_app.extensions["broker"], now)
    jobs = get_waiting_jobs()
    dead_count = capped(sum(count_dead_letters(Wanted()).values()))
    return render_page(
        "operations/index.html",
        block="operations",
        now=now,
        broker=broker,
        queues=queue_lines(broker, jobs, list_paused_queues(), now) if broker else [],
        workers=_worker_lines(broker),
        backlog=ask_backlog(settings),
        jobs=jobs,
        dead_count=dead_count,
        laid_aside_count=sum(line.number for line in list_laid_aside()),
        dead_letters=list_dead_letters(Wanted(), limit=DEAD_LETTERS_SHOWN).jobs,
        stream=operations_stream(),
    )


@blueprint.post("/queues/<queue>/pause")
def pause(queue: str) -> BaseResponse:
    """Let the workers take nothing more from a queue."""
    try:
        pause_queue(queue, current_user.id)
    except NotPausableError:
        abort(404)
    db.session.commit()
    logger.info("Operator %s paused the queue %s.", current_user.id, queue)
    hint()
    flash(f"The queue {queue} is paused. What is at work goes on to its end.", "success")
    return redirect(url_for(".index"), 303)


@blueprint.post("/queues/<queue>/resume")
def resume(queue: str) -> BaseResponse:
    """Let it go on."""
    from webapp.jobs.tasks import dispatch

    if queue not in WORKING_QUEUES:
        abort(404)
    resume_queue(queue)
    db.session.commit()
    logger.info("Operator %s resumed the queue %s.", current_user.id, queue)
    dispatch()
    hint()
    flash(f"The queue {queue} goes on.", "success")
    return redirect(url_for(".index"), 303)


def operations_stream() -> str:
    """The address of the operators' live channel."""
    return stream_url(current_app.extensions["settings"], operations_channel())


def _worker_lines(broker: Broker | None) -> list[WorkerLine]:
    """With the titles of the operator's own organisation's jobs, and the names of the others' organisations."""
    workers = broker.workers if broker else ()
    works = [work for worker in workers for work in worker.works if work.job_id and work.organisation_id]
    own_id = current_organisation().id
    own_ids = [work.job_id for work in works if work.job_id and work.organisation_id == own_id]
    names = get_organisation_names(work.organisation_id for work in works if work.organisation_id)
    return worker_lines(workers, {job.id: job for job in list_jobs_by_id(own_id, own_ids)}, names)
