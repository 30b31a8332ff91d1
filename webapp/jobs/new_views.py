"""Starting a job by hand: which kinds there are, and the form of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Response, abort, current_app, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation, is_owner
from webapp.extensions import db
from webapp.jobs.announcing import announce, watch_job
from webapp.jobs.kinds import Kind, MayStart, list_kinds
from webapp.jobs.parameters import ParametersError
from webapp.jobs.queries import get_job
from webapp.jobs.service import create_job
from webapp.jobs.views import blueprint
from webapp.lib.run_times import RunAtError, read_run_at
from webapp.pages import render_page

PREFIX = "parameter-"


def may_start(kind: Kind) -> bool:
    """Whether who asks finds this kind under "New job"."""
    return kind.may_start is MayStart.MEMBER or (kind.may_start is MayStart.OWNER and is_owner())


@blueprint.get("/new")
def new() -> Response:
    """Every kind that this person may start, those that are not set up with what to do about it."""
    settings = current_app.extensions["settings"]
    kinds = [(kind, kind.why_unavailable(settings)) for kind in list_kinds() if may_start(kind)]
    return render_page("jobs/new.html", kinds=sorted(kinds, key=lambda pair: pair[1] is not None))


@blueprint.get("/new/<kind_name>")
def new_of_kind(kind_name: str) -> Response:
    """The form of a kind, empty or as for a job that is to run again (`from`)."""
    kind = _kind_or_404(kind_name)
    return _form(kind, _values_of_earlier(kind), {})


@blueprint.post("/new/<kind_name>")
def create(kind_name: str) -> BaseResponse:
    """Start it, or show the form with what is wrong."""
    kind = _kind_or_404(kind_name)
    if kind.why_unavailable(current_app.extensions["settings"]):
        return _form(kind, {}, {}, 422)
    given = {parameter.name: request.form.get(PREFIX + parameter.name) for parameter in kind.parameters}
    try:
        run_at = read_run_at(request.form.get("run_at", ""), ZoneInfo(current_organisation().time_zone))
        job = create_job(current_organisation().id, kind, given, run_at=run_at, created_by=current_user.id)
    except ParametersError as error:
        return _form(kind, given, error.errors, 422)
    except RunAtError as error:
        return _form(kind, given, {"run_at": str(error)}, 422)
    job_id = job.id
    watch_job(job.organisation_id, job_id)
    db.session.commit()
    announce(job)
    return redirect(url_for(".show", job_id=job_id), 303)


def _kind_or_404(name: str) -> Kind:
    kind = next((kind for kind in list_kinds() if kind.name == name), None)
    if kind is None or kind.may_start is MayStart.NOBODY:
        abort(404)
    if not may_start(kind):
        abort(403, "Only an owner of your organisation may start jobs of this kind.")
    return kind


def _values_of_earlier(kind: Kind) -> dict[str, Any]:
    """What an earlier job of the same kind was given, without its secrets."""
    try:
        job = get_job(current_organisation().id, UUID(request.args["from"])) if "from" in request.args else None
    except ValueError:
        job = None
    if job is None or job.kind != kind.name:
        return {}
    shown = [parameter.name for parameter in kind.parameters if not parameter.is_secret]
    return {name: job.parameters[name] for name in shown if job.parameters.get(name) is not None}


def _form(kind: Kind, values: Mapping[str, Any], errors: Mapping[str, str], status: int = 200) -> Response:
    organisation = current_organisation()
    return render_page(
        "jobs/new_of_kind.html",
        status=status,
        kind=kind,
        prefix=PREFIX,
        values={name: value for name, value in values.items() if value is not None},
        errors=errors,
        run_at=request.form.get("run_at", ""),
        time_zone=organisation.time_zone,
        why_unavailable=kind.why_unavailable(current_app.extensions["settings"]),
    )
