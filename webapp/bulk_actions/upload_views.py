"""Uploads from the pages: by script, piece by piece, so that they survive a broken line; without one, as a form."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, current_app, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.access import check_token
from webapp.accounts.current import current_organisation
from webapp.bulk_actions import tus_views as tus
from webapp.bulk_actions.drafts import start_upload
from webapp.bulk_actions.files import UploadTooLargeError
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.records import UnreadableFileError
from webapp.config import Settings
from webapp.extensions import csrf, db
from webapp.lib.multipart import BodyTooLargeError, MultipartError, UploadedFile, read_file
from webapp.lib.storage import storage_at
from webapp.problems import Problem

blueprint = Blueprint("uploads", __name__, url_prefix="/bulk-actions")

FORM_OVERHEAD_BYTES = 64 * 1024
"""What the form around a file may add to its length."""


@blueprint.post("")
def create() -> BaseResponse:
    """Take a file into the store as it arrives, then show how its columns are matched."""
    organisation_id, user_id = current_organisation().id, current_user.id
    upload = _incoming_file()
    db.session.rollback()  # an upload may take minutes: no transaction waits for it
    bulk_action = _store(organisation_id, user_id, upload)
    db.session.commit()
    return redirect(url_for("bulk_actions.edit", bulk_action_id=bulk_action.id), 303)


@blueprint.post("/uploads")
def create_resumable() -> Response:
    """Begin an upload that can be gone on with."""
    check_token()
    upload = tus.new_upload(current_organisation().id, current_user.id)
    db.session.add(upload)
    db.session.commit()
    return tus.created(upload.organisation_id, upload.id, _upload_url, _mapping_url)


@blueprint.get("/uploads/<uuid:upload_id>")
def show_resumable(upload_id: UUID) -> Response:
    """How far it is: what a browser asks by HEAD before it goes on."""
    return tus.stand(current_organisation().id, upload_id, _mapping_url)


@blueprint.patch("/uploads/<uuid:upload_id>")
def update_resumable(upload_id: UUID) -> Response:
    """Take bytes; with the last one comes the address of the draft's columns."""
    check_token()
    return tus.receive(current_organisation().id, upload_id, _mapping_url)


@blueprint.delete("/uploads/<uuid:upload_id>")
def destroy_resumable(upload_id: UUID) -> Response:
    """Cancel it."""
    check_token()
    return tus.remove(current_organisation().id, upload_id)


# The form's token stands in its body, which can be read only once; the others' is a header, and their bodies may be
# of any length. So each checks it itself.
for view in (create, create_resumable, update_resumable, destroy_resumable):
    csrf.exempt(view)

blueprint.after_request(tus.add_protocol_headers)


def _upload_url(upload_id: UUID) -> str:
    return url_for("uploads.show_resumable", upload_id=upload_id)


def _mapping_url(bulk_action_id: UUID) -> str:
    return url_for("bulk_actions.edit", bulk_action_id=bulk_action_id)


def _incoming_file() -> UploadedFile:
    """The file in the request, of which nothing is read yet, from a form of ours."""
    limit = _settings().upload_limit_bytes
    request.max_content_length = limit + FORM_OVERHEAD_BYTES
    if (request.content_length or 0) > limit + FORM_OVERHEAD_BYTES:
        raise _too_large(UploadTooLargeError(limit))
    try:
        upload = read_file(request.stream, request.content_type or "")
    except MultipartError as error:
        raise Problem(400, "No file arrived", str(error)) from error
    check_token(upload.fields.get("csrf_token", ""))
    return upload


def _store(organisation_id: UUID, user_id: UUID, upload: UploadedFile) -> BulkAction:
    try:
        return start_upload(
            organisation_id,
            user_id,
            upload.name,
            upload.blocks,
            storage=storage_at(_settings().uploads_url),
            limit_bytes=_settings().upload_limit_bytes,
            entity=tus.checked_entity(upload.fields.get("entity", "")),
        )
    except UploadTooLargeError as error:
        raise _too_large(error) from error
    except UnreadableFileError as error:
        raise Problem(422, "This file can't be imported", str(error)) from error
    except BodyTooLargeError as error:
        raise _too_large(UploadTooLargeError(_settings().upload_limit_bytes)) from error
    except MultipartError as error:
        raise Problem(400, "The upload broke off", str(error)) from error


def _too_large(error: UploadTooLargeError) -> Problem:
    return Problem(413, "This file is too large", str(error))


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings
