"""Beacons that were accepted and could not be stored, of all organisations: how many, why, and counting them again."""

from __future__ import annotations

import logging
from uuid import UUID

from flask import Response, flash, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.extensions import db, tenant
from webapp.jobs.announcing import announce
from webapp.operations.hints import hint
from webapp.operations.job_views import uuid_or_none
from webapp.operations.views import blueprint
from webapp.pages import render_page
from webapp.visits.counting.recount_tasks import (
    KEPT_FOR,
    SHOWN_LIMIT,
    list_laid_aside,
    list_organisations,
    start_recount,
)

logger = logging.getLogger(__name__)


@blueprint.get("/laid-aside")
def laid_aside() -> Response:
    """By organisation, site and kind of error, the most first."""
    lines = list_laid_aside()
    return render_page(
        "operations/laid_aside.html",
        lines=lines,
        is_cut=len(lines) == SHOWN_LIMIT,
        count=sum(line.number for line in lines),
        kept_days=KEPT_FOR.days,
    )


@blueprint.post("/laid-aside/count")
def count_laid_aside() -> BaseResponse:
    """Start a job that counts those of one organisation, or one in each that has some."""
    wanted = uuid_or_none(request.form.get("organisation", ""))
    organisation_ids = [one for one in list_organisations() if wanted in {None, one}]
    for organisation_id in organisation_ids:
        _start(organisation_id)
    hint()
    flash(*_words(len(organisation_ids)))
    return redirect(url_for(".laid_aside"), 303)


def _start(organisation_id: UUID) -> None:
    with tenant(organisation_id):
        job = start_recount(organisation_id)
        db.session.commit()
        logger.info("Operator %s has the beacons of organisation %s counted again.", current_user.id, organisation_id)
        announce(job)


def _words(count: int) -> tuple[str, str]:
    if not count:
        return "Nothing lies aside any more.", "success"
    where = "one organisation" if count == 1 else f"{count:,} organisations"
    return f"A job that counts them is started in {where}. What still cannot be stored stays here.", "success"
