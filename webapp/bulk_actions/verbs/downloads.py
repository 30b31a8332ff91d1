"""Handing out an export's file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from werkzeug.wrappers import Response

from webapp.bulk_actions.models import BulkAction, BulkActionState, Verb
from webapp.bulk_actions.verbs.export import export_of, stream_csv
from webapp.lib.attachments import as_attachment
from webapp.lib.storage import StorageMissingError, storage_at

MIMETYPES = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class MissingFileError(Exception):
    """There is no file to hand out; the message says why."""


@dataclass(frozen=True)
class Download:
    """A file's name, kind and bytes."""

    name: str
    mimetype: str
    blocks: Iterator[bytes]

    def response(self, blocks: Iterator[bytes]) -> Response:
        """The answer that saves it."""
        response = Response(blocks, mimetype=self.mimetype)
        response.headers["Content-Disposition"] = as_attachment(self.name)
        return response


def download_of(bulk_action: BulkAction, uploads_url: str) -> Download:
    """What a bulk action exported; raises MissingFileError."""
    if bulk_action.verb is not Verb.EXPORT or bulk_action.state is not BulkActionState.COMPLETED:
        raise MissingFileError("There is no file to download: it is no export, or it is not over.")
    export, storage, part_count = export_of(bulk_action), storage_at(uploads_url), bulk_action.partition_count
    is_workbook = export.file_format == "xlsx"
    first = [export.workbook_key] if is_workbook else [export.part_key(0)] if part_count else []
    try:
        for key in first:
            storage.size(key)
    except StorageMissingError as error:
        raise MissingFileError("The file is no longer kept. Export once more.") from error
    blocks = storage.stream(export.workbook_key) if is_workbook else stream_csv(export, part_count, storage)
    day = bulk_action.created_at.date().isoformat()
    return Download(f"{bulk_action.entity} {day}.{export.file_format}", MIMETYPES[export.file_format], blocks)
