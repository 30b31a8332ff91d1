"""`/api/v1/pictures`: read a picture, its credit and its files with an API key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint, Schema
from apiflask.fields import Integer, Nested, String
from apiflask.schemas import FileSchema
from flask import Response, url_for

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.lib.storage import StorageMissingError
from webapp.pictures.models import Picture
from webapp.pictures.queries import get_picture
from webapp.pictures.serving import picture_answer, thumbnail_answer
from webapp.problems import Problem
from webapp.schemas import UtcTime

ID = {"format": "uuid"}
ADDRESS = {"format": "uri-reference"}
FILE = FileSchema(type="string", format="binary")

blueprint = APIBlueprint("api_pictures", __name__, url_prefix="/api/v1/pictures", tag="Pictures")


class PictureCredit(Schema):
    """Whom to name beside the picture, wherever it is shown."""

    text = String(metadata={"description": "The line to show.", "example": "Photo by Ada Byron on Unsplash"})
    author_name = String()
    author_url = String(metadata={"format": "uri", "description": "The author's page; link the name to it."})
    source_name = String()
    source_url = String(metadata={"format": "uri", "description": "The picture's page; link the source to it."})


class PictureShown(Schema):
    """A picture that is kept and served here. Sides are in pixels."""

    id = String(metadata=ID)
    search_word = String()
    description = String(allow_none=True)
    width = Integer()
    height = Integer()
    content_type = String()
    byte_count = Integer()
    image_url = String(metadata=ADDRESS)
    thumbnail_url = String(metadata=ADDRESS)
    thumbnail_width = Integer()
    thumbnail_height = Integer()
    credit = Nested(PictureCredit, allow_none=True, metadata={"description": "Null for a picture of one's own."})
    job_id = String(allow_none=True, metadata=ID)
    created_at = UtcTime()


COPIED = (
    "id",
    "search_word",
    "description",
    "width",
    "height",
    "content_type",
    "byte_count",
    "thumbnail_width",
    "thumbnail_height",
    "job_id",
    "created_at",
)


@blueprint.get("/<uuid:picture_id>")
@blueprint.auth_required(api_auth)
@blueprint.output(PictureShown)
def show(picture_id: UUID) -> dict[str, Any]:
    """Read a picture

    A product and the result of a job of the kind `find_picture` name its id. Show `credit` beside it.
    """
    picture = _picture(picture_id)
    return {
        **{name: getattr(picture, name) for name in COPIED},
        "image_url": url_for(".image", picture_id=picture.id),
        "thumbnail_url": url_for(".thumbnail", picture_id=picture.id),
        "credit": _credit(picture),
    }


@blueprint.get("/<uuid:picture_id>/image")
@blueprint.auth_required(api_auth)
@blueprint.output(FILE, content_type="image/*", description="A JPEG, PNG or WebP")
def image(picture_id: UUID) -> Response:
    """Read a picture's file"""
    return _file(picture_answer, picture_id)


@blueprint.get("/<uuid:picture_id>/thumbnail")
@blueprint.auth_required(api_auth)
@blueprint.output(FILE, content_type="image/webp", description="A WebP of at most 320 × 320 pixels")
def thumbnail(picture_id: UUID) -> Response:
    """Read a picture's thumbnail"""
    return _file(thumbnail_answer, picture_id)


def _credit(picture: Picture) -> dict[str, str] | None:
    if picture.is_own:
        return None
    names = ("author_name", "author_url", "source_name", "source_url")
    return {"text": picture.credit, **{name: getattr(picture, name) for name in names}}


def _file(answer: Callable[[Picture], Response], picture_id: UUID) -> Response:
    try:
        return answer(_picture(picture_id))
    except StorageMissingError as error:
        raise Problem(404, "File not found", "The file of this picture is no longer kept.") from error


def _picture(picture_id: UUID) -> Picture:
    picture = get_picture(current_organisation().id, picture_id)
    if picture is None:
        raise Problem(404, "Picture not found", "This organisation has no picture with that id.")
    return picture
