"""Reading an uploaded file out of a form as it arrives: neither into memory nor onto this machine's disk."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

READ_BLOCK_BYTES = 256 * 1024
MAX_FIELDS_BYTES = 64 * 1024
MAX_PARTS = 20
MAX_NAME_LENGTH = 255
# Control characters, halves of letters, and the separators of lines and paragraphs.
NOT_IN_A_NAME = frozenset({"Cc", "Cs", "Zl", "Zp"})


class MultipartError(ValueError):
    """The body is not a form with a file in it, or it broke off; the message says which."""


class BodyTooLargeError(MultipartError):
    """The request goes on beyond the most that the app reads of one."""

    def __init__(self) -> None:
        super().__init__("The upload is larger than what is accepted here.")


@dataclass(frozen=True)
class UploadedFile:
    """The file in a form, and the fields that stood before it."""

    name: str
    fields: dict[str, str]
    blocks: Iterator[bytes]
    """The file's bytes, read from the network as they are asked for; raises MultipartError when it breaks off."""


def read_file(stream: IO[bytes], content_type: str, file_field: str = "file") -> UploadedFile:
    """Read the form's fields up to the beginning of its file; raises MultipartError."""
    events = _events(stream, _boundary(content_type))
    fields: dict[str, str] = {}
    for event in events:
        if isinstance(event, File) and event.name == file_field:
            return UploadedFile(_base_name(event.filename), fields, _blocks(events))
        if isinstance(event, Field | File):
            fields[event.name or ""] = _text(events, MAX_FIELDS_BYTES - sum(map(len, fields.values())))
    raise MultipartError(f"The form holds no file called “{file_field}”.")


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if kind != "multipart/form-data" or not boundary:
        raise MultipartError("Send the file as a form: multipart/form-data.")
    return boundary.encode("latin-1", "replace")


def _base_name(file_name: str) -> str:
    """Some browsers send a whole path; only its last part is the file's name."""
    return plain_name(file_name.replace("\\", "/").rsplit("/", 1)[-1])


def plain_name(file_name: str) -> str:
    """A file's name on one line, without control characters: it goes into pages, titles and headers."""
    letters = (letter for letter in file_name if unicodedata.category(letter) not in NOT_IN_A_NAME)
    return "".join(letters).strip()[:MAX_NAME_LENGTH]


def _events(stream: IO[bytes], boundary: bytes) -> Iterator[Event]:
    decoder = MultipartDecoder(boundary, max_parts=MAX_PARTS)
    try:
        while True:
            event = decoder.next_event()
            if isinstance(event, NeedData):
                decoder.receive_data(_read(stream) or None)
                continue
            yield event
            if isinstance(event, Epilogue):
                return
    except MultipartError:
        raise
    except RequestEntityTooLarge as error:  # of the decoder, which was given no other limit
        raise MultipartError(f"The form has more than {MAX_PARTS} parts.") from error
    except (ValueError, AttributeError) as error:  # the decoder's own words for a body that is cut or malformed
        raise MultipartError("The upload broke off or is damaged. Send the file again.") from error


def _read(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(READ_BLOCK_BYTES)
    except RequestEntityTooLarge as error:
        raise BodyTooLargeError from error


def _blocks(events: Iterator[Event]) -> Iterator[bytes]:
    for event in events:
        if isinstance(event, Data):
            if event.data:
                yield event.data
            if not event.more_data:
                break
    for _ in events:  # what follows the file is read and dropped, so that the connection stays usable
        pass


def _text(events: Iterator[Event], limit: int) -> str:
    """A field's value; a file before the wanted one counts as a field and is held to the same bound."""
    value = bytearray()
    for event in events:
        if isinstance(event, Data):
            value += event.data
            if len(value) > limit:
                raise MultipartError("The form's fields are too long.")
            if not event.more_data:
                break
    return value.decode("utf-8", "replace")
