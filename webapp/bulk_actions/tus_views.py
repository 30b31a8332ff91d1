"""Resumable uploads by tus 1.0.0, the same for pages and for the API: who may ask is settled before.

Core protocol, with the extensions creation, creation-with-upload, expiration and termination. An upload that is
whole becomes a draft in the request that brings its last byte, or in the next that asks for it if that one died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import IO
from uuid import UUID

from flask import Response, current_app, request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.http import http_date

from webapp.bulk_actions import resumable
from webapp.bulk_actions.files import UploadTooLargeError
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.resumable import BrokenOffError, BusyError, MetadataError, WrongOffsetError
from webapp.bulk_actions.upload_models import ResumableUpload
from webapp.bulk_actions.upload_queries import get_upload, lock_upload
from webapp.config import Settings
from webapp.extensions import db
from webapp.lib.multipart import plain_name
from webapp.lib.storage import Storage, storage_at
from webapp.problems import Problem
from webapp.records.entities import find_entity, list_entities

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,termination"
BYTES = "application/offset+octet-stream"
READ_BYTES = 64 * 1024
RETRY_SECONDS = "2"
LOCK_TRIES, LOCK_SECONDS = 20, 0.1
DEFAULT_ENTITY = "contacts"

Address = Callable[[UUID], str]
"""The address of an upload, or of what became of it."""


def add_protocol_headers(response: Response) -> Response:
    """Every answer names the version; OPTIONS says what this server can do."""
    response.headers["Tus-Resumable"] = VERSION
    response.headers.setdefault("Cache-Control", "no-store")
    if request.method == "OPTIONS":
        response.headers["Tus-Version"] = VERSION
        response.headers["Tus-Extension"] = EXTENSIONS
        response.headers["Tus-Max-Size"] = str(_settings().upload_limit_bytes)
    return response


def new_upload(organisation_id: UUID, user_id: UUID | None) -> ResumableUpload:
    """The upload that the request's headers describe, neither added to the session nor committed."""
    require_version()
    byte_count = _number("Upload-Length")
    limit_bytes = _settings().upload_limit_bytes
    if byte_count > limit_bytes:
        raise Problem(413, "This file is too large", str(UploadTooLargeError(limit_bytes)))
    if byte_count == 0:
        raise Problem(422, "This file can't be imported", "The file is empty.")
    try:
        metadata = resumable.read_metadata(request.headers.get("Upload-Metadata", ""))
    except MetadataError as error:
        raise Problem(400, "Malformed Upload-Metadata", str(error)) from error
    entity = checked_entity(metadata.get("entity", ""))
    name = plain_name(metadata.get("filename", "").replace("\\", "/").rsplit("/", 1)[-1])
    return ResumableUpload(
        organisation_id=organisation_id,
        entity=entity,
        file_name=name or f"{entity}.csv",
        byte_count=byte_count,
        created_by=user_id,
    )


def created(organisation_id: UUID, upload_id: UUID, upload_url: Address, result_url: Address) -> Response:
    """Answer a creation, after its commit; bytes that came with it are received first."""
    if request.mimetype == BYTES and request.content_length:
        answer = receive(organisation_id, upload_id, result_url)
        answer.status_code = 201
    else:
        answer = _answer(get_or_404(organisation_id, upload_id), 201, result_url)
    answer.headers["Location"] = upload_url(upload_id)
    return answer


def stand(organisation_id: UUID, upload_id: UUID, result_url: Address) -> Response:
    """Answer HEAD: how many bytes are kept, and what became of them."""
    upload = get_or_404(organisation_id, upload_id)
    require_version()
    finish_if_whole(upload)
    answer = _answer(upload, 200, result_url)
    answer.headers["Upload-Length"] = str(upload.byte_count)
    return answer


def receive(organisation_id: UUID, upload_id: UUID, result_url: Address) -> Response:
    """Answer PATCH: keep what the body brings, also when it breaks off."""
    upload = get_or_404(organisation_id, upload_id)
    require_version()
    offset = _checked_offset(upload)
    if not upload.is_whole or offset != upload.byte_count:
        _receive_bytes(upload, offset)
        upload = get_or_404(organisation_id, upload_id)
    finish_if_whole(upload)
    return _answer(upload, 204, result_url)


def remove(organisation_id: UUID, upload_id: UUID) -> Response:
    """Answer DELETE: forget the upload and its pieces. A draft that it became stays."""
    get_or_404(organisation_id, upload_id)
    require_version()
    _remove(_lock_soon(organisation_id, upload_id))
    return Response(status=204)


def finish_if_whole(upload: ResumableUpload) -> UUID | None:
    """The draft that a whole upload became, made now if that was not done; None while bytes are missing."""
    if upload.bulk_action_id or not upload.is_whole:
        return upload.bulk_action_id
    locked = _lock(upload.organisation_id, upload.id)
    if locked.bulk_action_id is None:
        _finish(locked)
    return locked.bulk_action_id


def checked_entity(name: str) -> str:
    """The kind of records that a file holds: contacts if it does not say."""
    name = name or DEFAULT_ENTITY
    if find_entity(name) is None:
        known = ", ".join(f"`{entity.name}`" for entity in list_entities())
        raise Problem(422, "Unknown entity", f"There is nothing called “{name[:40]}” to import; there are {known}.")
    return name


def require_version() -> None:
    """Refuse another version of the protocol, as it says."""
    if request.headers.get("Tus-Resumable") != VERSION:
        detail = f"Uploads go by tus {VERSION}; send the header `Tus-Resumable: {VERSION}`."
        raise Problem(412, "Another version of the protocol", detail, headers={"Tus-Version": VERSION})


def _receive_bytes(upload: ResumableUpload, offset: int) -> None:
    """Piece by piece: into the store, then into the row. No transaction is open while bytes arrive."""
    organisation_id, upload_id, store = upload.organisation_id, upload.id, storage()
    request.max_content_length = upload.byte_count + 1  # as many as this, and Werkzeug says they are too many
    writer_id = _claim(organisation_id, upload_id, offset)
    try:
        for piece in resumable.cut(_blocks(request.stream)):
            key = resumable.piece_key(organisation_id, upload_id, offset, writer_id)
            byte_count = store.write(key, piece)
            resumable.count_piece(organisation_id, upload_id, offset, byte_count, writer_id)
            db.session.commit()
            offset += byte_count
    except BrokenOffError as error:
        raise Problem(400, "The upload broke off", "Go on with it: what has arrived is kept.") from error
    except BusyError as error:
        db.session.rollback()
        store.delete(key)
        raise _busy() from error
    finally:
        db.session.rollback()
        resumable.release(organisation_id, upload_id, writer_id)
        db.session.commit()


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    try:
        while block := stream.read(READ_BYTES):
            yield block
    except (ClientDisconnected, OSError) as error:
        raise BrokenOffError from error


def _claim(organisation_id: UUID, upload_id: UUID, offset: int) -> UUID:
    try:
        writer_id = resumable.claim(_lock(organisation_id, upload_id), offset)
    except BusyError as error:
        raise _busy() from error
    except WrongOffsetError as error:
        detail = "The bytes do not begin where the last ones ended; a HEAD request says where that is."
        raise Problem(409, "Wrong offset", detail) from error
    db.session.commit()
    return writer_id


def _checked_offset(upload: ResumableUpload) -> int:
    """Where the body's bytes belong, if they may come at all."""
    if request.mimetype != BYTES:
        raise Problem(415, "Wrong content type", f"Send the bytes as `{BYTES}`.")
    if request.headers.get("Transfer-Encoding"):
        raise Problem(411, "Length required", "Send the header `Content-Length`.")
    offset = _number("Upload-Offset") if request.method == "PATCH" else 0
    if offset + (request.content_length or 0) > upload.byte_count:
        raise Problem(413, "Too many bytes", f"The upload was announced with {upload.byte_count} bytes.")
    return offset


def _finish(upload: ResumableUpload) -> None:
    keys = resumable.list_piece_keys(upload)
    try:
        resumable.finish(upload, storage())
    except UnreadableFileError as error:
        _remove(upload)
        raise Problem(422, "This file can't be imported", str(error)) from error
    db.session.commit()
    resumable.delete_pieces(storage(), keys)


def _remove(upload: ResumableUpload) -> None:
    keys = resumable.list_piece_keys(upload)
    db.session.delete(upload)
    db.session.commit()
    resumable.delete_pieces(storage(), keys)


def get_or_404(organisation_id: UUID, upload_id: UUID) -> ResumableUpload:
    """The upload, as it is now."""
    upload = get_upload(organisation_id, upload_id)
    if upload is None:
        raise Problem(404, "There is no such upload", "It was cancelled, or nothing came for a week. Begin anew.")
    return upload


def _lock(organisation_id: UUID, upload_id: UUID) -> ResumableUpload:
    upload = lock_upload(organisation_id, upload_id)
    if upload is None:
        raise _busy()
    return upload


def _lock_soon(organisation_id: UUID, upload_id: UUID) -> ResumableUpload:
    """The same, for somebody who cancels: whoever counts a piece holds it for a moment only."""
    for _ in range(LOCK_TRIES):
        if upload := lock_upload(organisation_id, upload_id):
            return upload
        db.session.rollback()
        time.sleep(LOCK_SECONDS)
    return _lock(organisation_id, upload_id)


def _busy() -> Problem:
    detail = "Another request is at work on this upload. Try again in a moment."
    return Problem(423, "Locked", detail, headers={"Retry-After": RETRY_SECONDS})


def _answer(upload: ResumableUpload, status: int, result_url: Address) -> Response:
    answer = Response(status=status)
    answer.headers["Upload-Offset"] = str(upload.received_byte_count)
    if upload.bulk_action_id:
        answer.headers["Upload-Result"] = result_url(upload.bulk_action_id)
    else:
        answer.headers["Upload-Expires"] = http_date(resumable.expires_at(upload))
    return answer


def _number(header: str) -> int:
    value = request.headers.get(header, "")
    if not (value.isascii() and value.isdecimal() and len(value) <= 18):
        raise Problem(400, f"No {header}", f"Send the header `{header}` with a whole number of bytes.")
    return int(value)


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def storage() -> Storage:
    """Where uploads are kept."""
    return storage_at(_settings().uploads_url)
