"""A picture's page, and its files for browsers."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from flask import Blueprint, Response, abort

from webapp.accounts.current import current_organisation
from webapp.jobs.queries import get_job
from webapp.lib.storage import StorageMissingError
from webapp.pages import render_page
from webapp.pictures.models import Picture
from webapp.pictures.queries import get_picture
from webapp.pictures.serving import picture_answer, thumbnail_answer

blueprint = Blueprint("pictures", __name__, url_prefix="/pictures")


@blueprint.get("/<uuid:picture_id>")
def show(picture_id: UUID) -> Response:
    """One picture with its credit."""
    picture = _picture_or_404(picture_id)
    job = get_job(picture.organisation_id, picture.job_id) if picture.job_id else None
    return render_page("pictures/show.html", picture=picture, job=job)


@blueprint.get("/<uuid:picture_id>/image")
def image(picture_id: UUID) -> Response:
    """The whole picture."""
    return _file_or_404(picture_answer, picture_id)


@blueprint.get("/<uuid:picture_id>/thumbnail")
def thumbnail(picture_id: UUID) -> Response:
    """A small one, for lists."""
    return _file_or_404(thumbnail_answer, picture_id)


def _file_or_404(answer: Callable[[Picture], Response], picture_id: UUID) -> Response:
    try:
        return answer(_picture_or_404(picture_id))
    except StorageMissingError:
        abort(404, "The file of this picture is no longer kept. Look for another picture.")


def _picture_or_404(picture_id: UUID) -> Picture:
    return get_picture(current_organisation().id, picture_id) or abort(404)
