"""The products pages, and what can be done with a product's picture."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import abort, current_app, flash, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.jobs.announcing import announce
from webapp.jobs.models import Job
from webapp.jobs.parameters import ParametersError
from webapp.jobs.queries import get_job
from webapp.lib.storage import storage_at
from webapp.pictures.images import UnusableImageError, read_image
from webapp.pictures.kinds import why_unavailable
from webapp.pictures.queries import get_picture
from webapp.products import service
from webapp.products.models import PRODUCTS, Product
from webapp.records.queries import get_record, get_record_for_update
from webapp.records.views import Pages, make_blueprint

MAX_PICTURE_BYTES = 20 * 1024 * 1024


def _shown_beside(product: Product) -> dict[str, Any]:
    """The picture, the search for one that goes on, and why there may be none."""
    picture = get_picture(product.organisation_id, product.image_id) if product.image_id else None
    job = _job_of(product)
    reason = why_unavailable(current_app.extensions["settings"])
    return {"picture": picture, "job": job, "is_looking": job and not job.state.is_final, "no_search": reason}


def _job_of(product: Product) -> Job | None:
    try:
        job = get_job(product.organisation_id, UUID(request.args.get("job", "")))
    except ValueError:
        return None
    return job if job and job.parameters.get("product_id") == str(product.id) else None


blueprint = make_blueprint(Pages(PRODUCTS, _shown_beside))


@blueprint.post("/<uuid:record_id>/picture/find")
def find_picture(record_id: UUID) -> BaseResponse:
    """Let a job look for a picture."""
    product = _locked_or_404(record_id)
    try:
        job = service.look_for_picture(product, request.form.get("query", "").strip(), current_user.id)
        db.session.commit()
    except ParametersError as error:
        db.session.rollback()
        flash(" ".join(error.errors.values()), "error")
        return _to_product(record_id)
    announce(job)
    return _to_product(record_id, job=job.id)


@blueprint.post("/<uuid:record_id>/picture")
def upload_picture(record_id: UUID) -> BaseResponse:
    """Show somebody's own picture."""
    if get_record(PRODUCTS, current_organisation().id, record_id) is None:
        abort(404)
    content = _posted_picture()
    try:
        image = read_image(content)
    except UnusableImageError as error:
        flash(f"{error} Choose a JPEG, PNG or WebP file.", "error")
        return _to_product(record_id)
    product = _locked_or_404(record_id)
    storage = storage_at(current_app.extensions["settings"].uploads_url)
    service.keep_upload(product, content, image, current_user.id, storage)
    db.session.commit()
    flash("The picture is saved.", "success")
    return _to_product(record_id)


@blueprint.post("/<uuid:record_id>/picture/remove")
def remove_picture(record_id: UUID) -> BaseResponse:
    """Show no picture any more."""
    service.remove_picture(_locked_or_404(record_id))
    db.session.commit()
    flash("The picture is removed.", "success")
    return _to_product(record_id)


def _posted_picture() -> bytes:
    if (request.content_length or 0) > MAX_PICTURE_BYTES:
        abort(413, "A picture has at most 20 MB. Choose a smaller one.")
    request.max_content_length = MAX_PICTURE_BYTES
    file = request.files.get("file")
    return file.read() if file else b""


def _locked_or_404(record_id: UUID) -> Product:
    product: Product = get_record_for_update(PRODUCTS, current_organisation().id, record_id) or abort(404)
    return product


def _to_product(record_id: UUID, **arguments: Any) -> BaseResponse:
    return redirect(url_for("products.show", record_id=record_id, **arguments), 303)
