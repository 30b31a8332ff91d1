"""Answers with a picture's bytes. A picture never changes, so a browser asks once and keeps it."""

from __future__ import annotations

from flask import Response, current_app, request
from werkzeug.datastructures import ETags

from webapp.lib.storage import Storage, storage_at
from webapp.pictures.models import Picture

FOR_GOOD = "private, max-age=31536000, immutable"
NO_RIGHTS = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
"""Opened by itself, the file of a stranger may do nothing in our name, whatever it turns out to be.

A browser lays out a lone picture by styles of its own making.
"""


def picture_answer(picture: Picture) -> Response:
    """The whole picture; raises StorageMissingError when its file is gone."""
    return _answer(picture.file_key, picture.content_type, picture.sha256)


def thumbnail_answer(picture: Picture) -> Response:
    """Its thumbnail; raises StorageMissingError when its file is gone."""
    return _answer(picture.thumbnail_key, picture.thumbnail_content_type, f"{picture.sha256}-thumbnail")


def _answer(key: str, content_type: str, etag: str) -> Response:
    known: ETags = request.if_none_match
    response = Response(status=304) if known.contains_weak(etag) else _whole(key, content_type)
    response.set_etag(etag)
    response.headers["Cache-Control"] = FOR_GOOD
    response.headers["Content-Security-Policy"] = NO_RIGHTS
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def _whole(key: str, content_type: str) -> Response:
    storage: Storage = storage_at(current_app.extensions["settings"].uploads_url)
    size = storage.size(key)
    response = Response(storage.stream(key), content_type=content_type)
    response.content_length = size
    return response
