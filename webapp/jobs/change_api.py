"""`/api/v1/jobs`: cancel, retry and discard jobs with an API key: one, several, or all that match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from apiflask import Schema, fields
from apiflask.validators import Length
from flask.typing import ResponseReturnValue
from marshmallow import ValidationError, validates_schema

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.jobs.announcing import announce_several
from webapp.jobs.api import bp, filter_in, found, kept, location_of
from webapp.jobs.api_schemas import STATES_DOC, TIME_DOC, JobShown
from webapp.jobs.models import JobState
from webapp.jobs.queries import get_job_for_update
from webapp.jobs.verbs import Verb, change_job, change_jobs, start_change, why_not
from webapp.problems import Problem
from webapp.schemas import Text

DONE = {Verb.CANCEL: "cancelled", Verb.RETRY: "tried again", Verb.DISCARD: "discarded"}
MAX_IDS = 500
EXAMPLE = {"filter": {"state": ["dead"], "kind": "rehearsal", "since": "2026-01-31"}}


class FilterIn(Schema):
    """Which jobs are meant; all of it must hold. Left empty it means every job."""

    state = fields.List(Text(), metadata={"description": STATES_DOC})
    kind = Text()
    queue = Text()
    text = Text()
    since = Text(metadata={"description": TIME_DOC})
    until = Text(metadata={"description": TIME_DOC})
    recurring_job_id = Text()


class ChangeIn(Schema):
    """Which jobs to change: some by their ids, or all that match a filter and exist by now."""

    ids = fields.List(fields.UUID(), validate=Length(1, MAX_IDS))
    filter = fields.Nested(FilterIn)

    @validates_schema
    def wants_one_of_both(self, data: dict[str, Any], **kwargs: Any) -> None:
        if ("ids" in data) == ("filter" in data):
            raise ValidationError("Give either `ids` or a `filter`.")


class Changes(Schema):
    """What became of it: with ids at once, with a filter by a job that goes through all that match."""

    changed_count = fields.Integer(allow_none=True)
    skipped_count = fields.Integer(allow_none=True, metadata={"description": "Jobs whose state does not allow it."})
    job = fields.Nested(JobShown, allow_none=True)


@bp.post("/jobs/<uuid:job_id>/cancel")
@bp.auth_required(api_auth)
@bp.output(JobShown)
@bp.doc(responses={202: "It stops at its next safe point", 409: "The job is over"})
def cancel(job_id: UUID) -> ResponseReturnValue:
    """Cancel a job

    At once if it waits (200); if it runs, it stops at its next safe point (202).
    """
    shown = _change_one(Verb.CANCEL, job_id)
    return shown, 200 if shown["state"] == JobState.CANCELLED.value else 202


@bp.post("/jobs/<uuid:job_id>/retry")
@bp.auth_required(api_auth)
@bp.output(JobShown, status_code=202)
@bp.doc(responses={409: "The job did not end without success"})
def retry(job_id: UUID) -> ResponseReturnValue:
    """Try a job again

    Only what failed, is dead, was cancelled or was discarded.
    """
    return _change_one(Verb.RETRY, job_id)


@bp.post("/jobs/<uuid:job_id>/discard")
@bp.auth_required(api_auth)
@bp.output(JobShown)
@bp.doc(responses={409: "The job did not fail"})
def discard(job_id: UUID) -> ResponseReturnValue:
    """Put a failed job away

    Only what failed or is dead. It is kept for some time yet, and can still be tried again.
    """
    return _change_one(Verb.DISCARD, job_id)


@bp.post("/jobs/cancel")
@bp.auth_required(api_auth)
@bp.input(ChangeIn, example=EXAMPLE)
@bp.output(Changes)
@bp.doc(responses={202: "A job goes through all that match"})
def cancel_many(json_data: dict[str, Any]) -> ResponseReturnValue:
    """Cancel several jobs

    By `ids` at once (200), or all that match a `filter` and exist by now, in a job that goes through them (202).
    """
    return _change_many(Verb.CANCEL, json_data)


@bp.post("/jobs/retry")
@bp.auth_required(api_auth)
@bp.input(ChangeIn, example=EXAMPLE)
@bp.output(Changes)
@bp.doc(responses={202: "A job goes through all that match"})
def retry_many(json_data: dict[str, Any]) -> ResponseReturnValue:
    """Try several jobs again

    By `ids` at once (200), or all that match a `filter` and exist by now, in a job that goes through them (202).
    """
    return _change_many(Verb.RETRY, json_data)


@bp.post("/jobs/discard")
@bp.auth_required(api_auth)
@bp.input(ChangeIn, example=EXAMPLE)
@bp.output(Changes)
@bp.doc(responses={202: "A job goes through all that match"})
def discard_many(json_data: dict[str, Any]) -> ResponseReturnValue:
    """Put several failed jobs away

    By `ids` at once (200), or all that match a `filter` and exist by now, in a job that goes through them (202).
    """
    return _change_many(Verb.DISCARD, json_data)


def _change_one(verb: Verb, job_id: UUID) -> dict[str, Any]:
    job = found(get_job_for_update(current_organisation().id, job_id))
    if reason := why_not(verb, job):
        raise Problem(409, f"The job cannot be {DONE[verb]}", reason)
    change_job(verb, job)
    return kept(job)


def _change_many(verb: Verb, wanted: Mapping[str, Any]) -> ResponseReturnValue:
    organisation_id, zone = current_organisation().id, ZoneInfo(current_organisation().time_zone)
    if "filter" in wanted:
        job = start_change(organisation_id, verb, filter_in(wanted["filter"], "body"), zone)
        shown = kept(job)
        return {"changed_count": None, "skipped_count": None, "job": shown}, 202, location_of(shown)
    done = change_jobs(organisation_id, verb, wanted["ids"])
    changed = [job.id for job in done.changed]
    db.session.commit()
    announce_several(organisation_id, changed)
    return {"changed_count": len(changed), "skipped_count": done.skipped_count, "job": None}
