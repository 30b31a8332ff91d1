"""`/api/v1/products/<id>/picture`: have a product's picture found, send one, or take it away."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import Schema
from flask import current_app, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import RequestEntityTooLarge

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.jobs.api import kept, location_of
from webapp.jobs.api_schemas import JobShown
from webapp.jobs.parameters import ParametersError
from webapp.lib.storage import storage_at
from webapp.pictures.images import UnusableImageError
from webapp.pictures.kinds import QUERY_LIMIT, why_unavailable
from webapp.pictures.queries import get_picture
from webapp.pictures.service import keep_upload, store_files
from webapp.problems import Problem
from webapp.products import service
from webapp.products.api import CALLS, bp
from webapp.products.models import PRODUCTS, Product
from webapp.products.uploads import MAX_PICTURE_BYTES, TOO_LARGE, is_too_large, read_upload
from webapp.records.queries import get_record
from webapp.records.refusals import refused
from webapp.records.shared_api import locked, not_found
from webapp.schemas import Text


class PictureSearch(Schema):
    """What a picture of a product should show."""

    query = Text(load_default="", metadata={"description": "Left out: the product's name.", "maxLength": QUERY_LIMIT})


@bp.post("/<uuid:product_id>/picture")
@bp.auth_required(api_auth)
@bp.input(PictureSearch, example={"query": "espresso cup"})
@bp.output(JobShown, status_code=202)
@bp.doc(responses={404: "No such product", 409: "Searching is not set up in this installation"})
def find_picture(product_id: UUID, json_data: dict[str, Any]) -> ResponseReturnValue:
    """Find a picture for a product

    A job asks Unsplash. What it finds comes in place of the picture that the product has now, if it has one.
    """
    product = _locked(product_id)
    if reason := why_unavailable(current_app.extensions["settings"]):
        raise Problem(409, "This kind of job is not set up", reason)
    try:
        job = service.look_for_picture(product, json_data["query"].strip(), None)
    except ParametersError as error:
        raise refused(error.errors) from error
    shown = kept(job)
    return shown, 202, location_of(shown)


@bp.put("/<uuid:product_id>/picture")
@bp.auth_required(api_auth)
@bp.output(CALLS.schemas.shown)
@bp.doc(
    description="The body is the file itself: a JPEG, PNG or WebP of up to 20 MB.",
    responses={404: "No such product", 413: TOO_LARGE, 422: "It is not a picture of these kinds, or it is broken"},
)
def upload_picture(product_id: UUID) -> ResponseReturnValue:
    """Send a product's picture"""
    content = _sent_picture()
    product: Product | None = get_record(PRODUCTS, current_organisation().id, product_id)
    if product is None:
        raise not_found(PRODUCTS)
    organisation_id, label = product.organisation_id, product.label
    db.session.rollback()  # pictures are slow to read, and stores slow to write: no transaction waits for them
    try:
        uploaded = read_upload(organisation_id, label, content)
    except UnusableImageError as error:
        raise Problem(422, "Not a picture", str(error)) from error
    store_files(storage_at(current_app.extensions["settings"].uploads_url), uploaded)
    product = _locked(product_id)
    service.show_picture(product, keep_upload(uploaded).id)
    db.session.commit()
    return CALLS.as_json(product)


# Only described: a schema would look for a form.
vars(upload_picture)["_spec"] |= {"body": {"type": "string", "format": "binary"}, "content_type": "image/*"}


@bp.put("/<uuid:product_id>/picture/<uuid:picture_id>")
@bp.auth_required(api_auth)
@bp.output(CALLS.schemas.shown)
@bp.doc(responses={404: "No such product, or no such picture"})
def show_picture(product_id: UUID, picture_id: UUID) -> ResponseReturnValue:
    """Show a picture that is kept already

    One that any job found, or that the product had before.
    """
    product = _locked(product_id)
    picture = get_picture(product.organisation_id, picture_id)
    if picture is None:
        raise Problem(404, "Picture not found", "This organisation has no picture with that id.")
    service.show_picture(product, picture.id)
    db.session.commit()
    return CALLS.as_json(product)


@bp.delete("/<uuid:product_id>/picture")
@bp.auth_required(api_auth)
@bp.output({}, status_code=204)
def destroy_picture(product_id: UUID) -> ResponseReturnValue:
    """Take a product's picture away"""
    service.show_picture(_locked(product_id), None)
    db.session.commit()
    return ""


def _sent_picture() -> bytes:
    if is_too_large(MAX_PICTURE_BYTES):
        raise Problem(413, "The picture is too large", TOO_LARGE)
    request.max_content_length = MAX_PICTURE_BYTES
    try:
        return request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise Problem(413, "The picture is too large", TOO_LARGE) from error


def _locked(product_id: UUID) -> Product:
    product: Product = locked(PRODUCTS, product_id)
    return product
