"""Uploads that go on after a broken connection: kept piece by piece, and joined into an import's file at the end.

A piece is written to the store first and counted in its row afterwards, so what is counted is there. A server that
dies in between leaves bytes that nobody counts: they are sent again, under another writer's name.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, text, update

from webapp.bulk_actions.drafts import start_upload
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.upload_models import ResumableUpload, UploadPiece
from webapp.bulk_actions.upload_queries import list_pieces
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage, StorageMissingError

PIECE_BYTES = 4 * 1024 * 1024
PIECE_SECONDS = 2.0
"""A slow line's piece is closed after so long, so that little is lost when it breaks."""
LEASE = timedelta(seconds=10)
"""So long after its last piece a request counts as being at work; then another may go on in its place."""
LIFETIME = timedelta(days=7)
"""So long after its last byte an upload may be gone on with."""
PIECE_KEY = re.compile(r"([0-9a-f-]{36})/uploads/([0-9a-f-]{36})/\d+-[0-9a-f-]{36}")


class BrokenOffError(Exception):
    """The connection ended before the request's body did."""


class BusyError(Exception):
    """Another request sends bytes of this upload, or joins its pieces, right now."""


class WrongOffsetError(Exception):
    """The bytes do not begin where the last ones ended."""


class MetadataError(ValueError):
    """The header is not made as the protocol says."""


def read_metadata(header: str) -> dict[str, str]:
    """`filename cGVvcGxlLmNzdg==,entity Y29udGFjdHM=` as texts by name; raises MetadataError."""
    pairs = (pair.strip().partition(" ") for pair in header.split(",") if pair.strip())
    try:
        return {name: base64.b64decode(value, validate=True).decode() for name, _, value in pairs}
    except (binascii.Error, UnicodeDecodeError) as error:
        raise MetadataError("Upload-Metadata is a list of names, each with a text in UTF-8 as Base64.") from error


def expires_at(upload: ResumableUpload) -> datetime:
    """Until when the upload may be gone on with, if nothing more arrives."""
    return upload.written_at + LIFETIME


def claim(upload: ResumableUpload, offset: int) -> UUID:
    """Let one request send bytes from `offset` on: its name as the writer.

    Raises BusyError, or WrongOffsetError. The upload must be locked.
    """
    if upload.writer_id and upload.written_at > utc_now() - LEASE:
        raise BusyError
    if offset != upload.received_byte_count:
        raise WrongOffsetError
    upload.writer_id = uuid4()
    upload.written_at = utc_now()
    return upload.writer_id


def cut(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The blocks gathered into pieces. What came before the connection broke is a piece too; then it raises."""
    piece: list[bytes] = []
    byte_count, began_at, error = 0, time.monotonic(), None
    try:
        for block in blocks:
            piece.append(block)
            byte_count += len(block)
            if byte_count >= PIECE_BYTES or time.monotonic() - began_at >= PIECE_SECONDS:
                yield piece
                piece, byte_count, began_at = [], 0, time.monotonic()
    except BrokenOffError as broken:
        error = broken
    if piece:
        yield piece
    if error:
        raise error


def piece_key(organisation_id: UUID, upload_id: UUID, start_offset: int, writer_id: UUID) -> str:
    """Where the store keeps a piece: two writers never have the same one."""
    return f"{organisation_id}/uploads/{upload_id}/{start_offset}-{writer_id}"


def owner_of_piece(key: str) -> tuple[UUID, UUID] | None:
    """(organisation, upload) of a stored piece; None for any other key."""
    found = PIECE_KEY.fullmatch(key)
    return (UUID(found[1]), UUID(found[2])) if found else None


def count_piece(organisation_id: UUID, upload_id: UUID, start_offset: int, byte_count: int, writer_id: UUID) -> None:
    """Count a piece that the store holds. Raises BusyError when another writer went on meanwhile."""
    statement = (
        update(ResumableUpload)
        .where(
            ResumableUpload.organisation_id == organisation_id,
            ResumableUpload.id == upload_id,
            ResumableUpload.writer_id == writer_id,
            ResumableUpload.received_byte_count == start_offset,
        )
        .values(received_byte_count=start_offset + byte_count, written_at=utc_now())
        .returning(ResumableUpload.id)
        .execution_options(synchronize_session=False)
    )
    if db.session.scalar(statement) is None:
        raise BusyError
    piece = UploadPiece(
        organisation_id=organisation_id,
        upload_id=upload_id,
        start_offset=start_offset,
        byte_count=byte_count,
        writer_id=writer_id,
    )
    db.session.add(piece)
    db.session.flush()


def release(organisation_id: UUID, upload_id: UUID, writer_id: UUID) -> None:
    """The request is over: the next one need not wait."""
    statement = update(ResumableUpload).where(
        ResumableUpload.organisation_id == organisation_id,
        ResumableUpload.id == upload_id,
        ResumableUpload.writer_id == writer_id,
    )
    db.session.execute(statement.values(writer_id=None), execution_options={"synchronize_session": False})


def finish(upload: ResumableUpload, storage: Storage) -> BulkAction:
    """Join the pieces of a whole upload into an import's file: a draft.

    The upload must be locked until the commit, so that it becomes one draft however often this begins.
    Raises UnreadableFileError, also when the store lost a piece; then nothing but the upload is left.
    """
    bulk_action = start_upload(
        upload.organisation_id,
        upload.created_by,
        upload.file_name,
        _joined(_sizes(upload), storage),
        storage=storage,
        limit_bytes=upload.byte_count,
        entity=upload.entity,
    )
    upload.bulk_action_id = bulk_action.id
    statement = delete(UploadPiece).where(
        UploadPiece.organisation_id == upload.organisation_id, UploadPiece.upload_id == upload.id
    )
    db.session.execute(statement, execution_options={"synchronize_session": False})
    return bulk_action


def list_piece_keys(upload: ResumableUpload) -> list[str]:
    """Where the store keeps the upload's pieces, in the file's order."""
    return list(_sizes(upload))


def delete_pieces(storage: Storage, keys: Sequence[str]) -> None:
    """Remove what nobody counts any more. What a crash leaves over is swept."""
    for key in keys:
        storage.delete(key)


def prune(before: datetime) -> None:
    """Forget uploads that are older, of every organisation; their pieces are swept."""
    db.session.execute(text("SELECT footfall_prune_uploads(:before)"), {"before": before})


def _sizes(upload: ResumableUpload) -> dict[str, int]:
    """The keys of the pieces, in the file's order, with the bytes of each."""
    pieces = list_pieces(upload.organisation_id, upload.id)
    return {
        piece_key(upload.organisation_id, upload.id, piece.start_offset, piece.writer_id): piece.byte_count
        for piece in pieces
    }


def _joined(sizes: Mapping[str, int], storage: Storage) -> Iterator[bytes]:
    """All bytes, each block read while the one before is written: the store cannot be read by its own writer."""
    blocks = (block for key, byte_count in sizes.items() for block in _whole(storage, key, byte_count))
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(next, blocks, b"")
        while block := coming.result():
            coming = reader.submit(next, blocks, b"")
            yield block


def _whole(storage: Storage, key: str, byte_count: int) -> Iterator[bytes]:
    """A piece as it was counted: a machine without power forgets what its disk had not written."""
    lost = UnreadableFileError("A part of the upload was lost on the server. Upload the file again.")
    try:
        if storage.size(key) != byte_count:
            raise lost
    except StorageMissingError as error:
        raise lost from error
    yield from storage.stream(key)
