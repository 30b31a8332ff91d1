"""Uploads from the pages: a form with a file in it."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, abort, current_app, redirect, request, url_for
from flask_login import current_user
from flask_wtf.csrf import validate_csrf
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.bulk_actions import service
from webapp.bulk_actions.files import UploadTooLargeError
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.records import UnreadableFileError
from webapp.config import Settings
from webapp.extensions import csrf, db
from webapp.lib.multipart import BodyTooLargeError, MultipartError, UploadedFile, read_file
from webapp.lib.storage import storage_at
from webapp.problems import Problem
from webapp.records.entities import find_entity

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


csrf.exempt(create)  # its token stands in the body, which can be read only once: `create` checks it


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
    _check_csrf(upload.fields.get("csrf_token", ""))
    return upload


def _entity_of(upload: UploadedFile) -> str:
    """What the file's rows are: the form says so in front of the file."""
    entity = find_entity(upload.fields.get("entity", "contacts"))
    return entity.name if entity else abort(400, "There is no such kind of record.")


def _check_csrf(token: str = "") -> None:
    if not current_app.config.get("WTF_CSRF_ENABLED", True):
        return
    try:
        validate_csrf(request.headers.get("X-CSRFToken") or token)
    except ValueError as error:
        raise Problem(400, "This page is out of date", "Load it again, then choose the file once more.") from error


def _store(organisation_id: UUID, user_id: UUID, upload: UploadedFile) -> BulkAction:
    try:
        return service.start_upload(
            organisation_id,
            user_id,
            upload.name,
            upload.blocks,
            storage=storage_at(_settings().uploads_url),
            limit_bytes=_settings().upload_limit_bytes,
            entity=_entity_of(upload),
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
