"""What people do with a product's picture on its page: have one found, bring their own, remove it, undo that."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import abort, current_app, flash, redirect, request, url_for
from flask_login import current_user
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.access import check_token
from webapp.accounts.current import current_organisation
from webapp.extensions import csrf, db
from webapp.jobs.announcing import announce, watch_job
from webapp.jobs.parameters import ParametersError
from webapp.lib.storage import storage_at
from webapp.pages import flash_with_undo
from webapp.pictures.images import UnusableImageError
from webapp.pictures.kinds import why_unavailable
from webapp.pictures.queries import get_picture
from webapp.pictures.service import keep_upload, store_files
from webapp.products import service
from webapp.products.models import PRODUCTS, Product
from webapp.products.uploads import MAX_PICTURE_BYTES, TOO_LARGE, is_too_large, read_upload
from webapp.products.views import blueprint
from webapp.records.queries import get_record, get_record_for_update

FORM_OVERHEAD_BYTES = 64 * 1024


@blueprint.post("/<uuid:record_id>/picture/find")
def find_picture(record_id: UUID) -> BaseResponse:
    """Let a job look for a picture."""
    product = _locked_or_404(record_id)
    if reason := why_unavailable(current_app.extensions["settings"]):
        flash(reason, "error")
        return _to_product(record_id)
    try:
        job = service.look_for_picture(product, request.form.get("query", "").strip(), current_user.id)
    except ParametersError as error:
        flash(f"What to look for: {' '.join(error.errors.values())}", "error")
        return _to_product(record_id)
    job_id = job.id
    watch_job(job.organisation_id, job_id)
    db.session.commit()
    announce(job)
    return _to_product(record_id, job=job_id)


@blueprint.post("/<uuid:record_id>/picture")
def upload_picture(record_id: UUID) -> BaseResponse:
    """Show somebody's own picture."""
    if is_too_large(MAX_PICTURE_BYTES + FORM_OVERHEAD_BYTES):
        flash(TOO_LARGE, "error")
        return _to_product(record_id)
    content = _posted_picture()
    product = get_record(PRODUCTS, current_organisation().id, record_id) or abort(404)
    organisation_id, label, user_id = product.organisation_id, product.label, current_user.id
    db.session.rollback()  # pictures are slow to read, and stores slow to write: no transaction waits for them
    try:
        upload = read_upload(organisation_id, label, content, user_id)
    except UnusableImageError as error:
        flash(str(error), "error")
        return _to_product(record_id)
    store_files(storage_at(current_app.extensions["settings"].uploads_url), upload)
    product = _locked_or_404(record_id)
    before = product.image_id
    service.show_picture(product, keep_upload(upload).id)
    db.session.commit()
    return _done(record_id, "The picture is replaced." if before else "The picture is saved.", before)


csrf.exempt(upload_picture)  # its body may be larger than other forms', so it looks for the token itself


@blueprint.post("/<uuid:record_id>/picture/remove")
def remove_picture(record_id: UUID) -> BaseResponse:
    """Show no picture any more."""
    product = _locked_or_404(record_id)
    before = product.image_id
    service.show_picture(product, None)
    db.session.commit()
    return _done(record_id, "The picture is removed.", before)


@blueprint.post("/<uuid:record_id>/picture/restore")
def restore_picture(record_id: UUID) -> BaseResponse:
    """Show an earlier picture again."""
    product = _locked_or_404(record_id)
    try:
        picture = get_picture(product.organisation_id, UUID(request.form.get("undo", "")))
    except ValueError:
        abort(400, "This button is damaged. Load the page again.")
    service.show_picture(product, picture.id if picture else abort(404))
    db.session.commit()
    flash("The picture is back.", "success")
    return _to_product(record_id)


def _posted_picture() -> bytes:
    request.max_content_length = MAX_PICTURE_BYTES + FORM_OVERHEAD_BYTES
    try:
        file, token = request.files.get("file"), request.form.get("csrf_token", "")
    except RequestEntityTooLarge:
        abort(413, TOO_LARGE)
    check_token(token)
    return file.read() if file else b""


def _done(record_id: UUID, words: str, before: UUID | None) -> BaseResponse:
    undo = url_for("products.restore_picture", record_id=record_id)
    flash_with_undo(words, undo, str(before) if before else None)
    return _to_product(record_id)


def _locked_or_404(record_id: UUID) -> Product:
    product: Product = get_record_for_update(PRODUCTS, current_organisation().id, record_id) or abort(404)
    return product


def _to_product(record_id: UUID, **arguments: Any) -> BaseResponse:
    return redirect(url_for("products.show", record_id=record_id, **arguments), 303)
