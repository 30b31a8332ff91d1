"""Everything held about one person as one JSON file, written piece by piece.

A person may have visited for years, so rows go from DuckDB into a temporary file, some thousand at a time, and from
there to whoever downloads. Between two pieces neither a transaction nor the tenant is held.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any
from uuid import UUID

import msgspec
from flask import current_app
from sqlalchemy import text

from webapp.config import Settings
from webapp.contacts.former import list_former
from webapp.contacts.models import CONTACTS, Contact
from webapp.contacts.timeline import person_of, site_names
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.lib.storage import READ_BLOCK_BYTES
from webapp.records.context import context_of
from webapp.records.imports import find_import
from webapp.visits.backlog import Kind
from webapp.visits.people.reading import Person, own_activity, own_visits
from webapp.visits.people.refused import list_refused_of
from webapp.visits.people.schemas import link_as_json, refused_as_json
from webapp.visits.people.spans import Span
from webapp.visits.queries import get_known_visitor
from webapp.visits.raw.frames import ATTRIBUTES
from webapp.visits.raw.reading import Reading
from webapp.visits.raw.row_conditions import Parameters

ALL_ROWS = 2**62
VISIT_COLUMNS = (
    "started_ms", "visitor", "visit", "duration_ms", "pageview_count", "event_count", "entry_page", "exit_page",
    *ATTRIBUTES,
)  # fmt: skip
ACTIVITY_COLUMNS = (
    "visited_ms", "kind", "visitor", "visit", "page", *ATTRIBUTES, "name", "props", "engaged_ms", "scroll",
)  # fmt: skip
ABOUT = {
    "contact": "The contact as it is kept, with fields of your own, tags and notes.",
    "imported_with": "The file that the contact came with.",
    "earlier_versions": "What imports and bulk actions changed, kept so that it can be undone.",
    "browsers": "Visitors of websites that are linked with this person.",
    "refused_links": "Links that were refused, since the browser was somebody else's, or this person's, before.",
    "former_addresses": "E-mail addresses that the contact had before, unless another contact has them by now.",
    "called_by_address": "What is counted of visitors whom a website calls by one of these addresses itself.",
    "visits": "Every visit of the linked browsers that is still kept, the latest month first.",
    "activity": "Every page, event, product and time of these visits, row by row.",
    "not_included": (
        "Counts of everybody together, which name nobody; rows of imported files that were rejected, which are in the"
        " report of their import; beacons that could not be stored, which are counted later or deleted after 30 days;"
        " backups."
    ),
}


def file_name(contact: Contact) -> str:
    """What the file is called."""
    return f"{contact.email} {utc_now():%Y-%m-%d}.json"


def write_person_file(contact: Contact) -> Iterator[bytes]:
    """The file in pieces. What is not visits is read now, these as the pieces are taken."""
    person = person_of(contact)
    sites = {str(site_id): name for site_id, name in site_names(contact.organisation_id).items()}
    spans = person.spans(most_rows=ALL_ROWS) if person.links else []
    head = {"written_at": utc_now(), "about": ABOUT, "websites": sites, **_head(contact, person)}
    return _pieces(_encode(head), person, spans)


def _pieces(head: bytes, person: Person, spans: list[Span]) -> Iterator[bytes]:
    yield head[:-1]
    for name, columns, rows in (("visits", VISIT_COLUMNS, _visits), ("activity", ACTIVITY_COLUMNS, _activity)):
        yield f',\n"{name}": ['.encode()
        yield from _without_first_comma(_rows(person, spans, columns, rows))
        yield b"\n]"
    yield b"}\n"


def _head(contact: Contact, person: Person) -> dict[str, Any]:
    organisation_id, former = contact.organisation_id, list_former(contact)
    keys = [contact.email_key, *(key for key, _ in former)]
    context, came_with = context_of(organisation_id), find_import(organisation_id, contact.bulk_action_id)
    return {
        "contact": {
            "id": contact.id,
            **{field.name: field.as_json(getattr(contact, field.name)) for field in CONTACTS.fields},
            "owner": context.member_names.get(contact.owner_id) if contact.owner_id else None,
            "attributes": contact.attributes,
            "created_at": contact.created_at,
            "updated_at": contact.updated_at,
        },
        "imported_with": {"file_name": came_with.file_name, "at": came_with.created_at} if came_with else None,
        "earlier_versions": _earlier_versions(organisation_id, contact.id),
        "browsers": [_with_text_number(link_as_json(link)) for link in person.links],
        "refused_links": [_with_text_number(merge) for merge in _refused(organisation_id, keys)],
        "former_addresses": [{"address": key, "left_at": left_at} for key, left_at in former],
        "called_by_address": _called(organisation_id, keys),
    }


def _earlier_versions(organisation_id: UUID, record_id: UUID) -> list[dict[str, Any]]:
    found = db.session.execute(text(IMAGES), {"organisation_id": organisation_id, "record_id": record_id})
    return [dict(row._mapping) for row in found]


def _called(organisation_id: UUID, keys: list[str]) -> list[dict[str, Any]]:
    names = ("first_seen_at", "last_seen_at", "pageview_count")
    found = [(key, get_known_visitor(organisation_id, key)) for key in keys]
    return [{"address": key, **{name: getattr(known, name) for name in names}} for key, known in found if known]


def _refused(organisation_id: UUID, keys: list[str]) -> Iterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        page = list_refused_of(organisation_id, keys, tells_own=True, cursor=cursor or None, limit=500)
        yield from (refused_as_json(merge) for merge in page.merges)
        cursor = page.next_cursor


def _rows(
    person: Person, spans: list[Span], columns: tuple[str, ...], source: Callable[[Person, Reading, Parameters], str]
) -> Iterator[bytes]:
    """Each row with a comma before it, month by month."""
    settings: Settings = current_app.extensions["settings"]
    for span in spans:
        with tempfile.TemporaryFile(dir=settings.raw_cache_dir) as file:
            with tenant(person.organisation_id):
                person.ask(span.start, span.end, partial(_write, file, person, columns, source))
                db.session.rollback()
            file.seek(0)
            while block := file.read(READ_BLOCK_BYTES):
                yield block


def _write(
    file: IO[bytes],
    person: Person,
    columns: tuple[str, ...],
    source: Callable[[Person, Reading, Parameters], str],
    reading: Reading,
) -> None:
    """From the beginning, since reading may be tried again."""
    file.seek(0)
    file.truncate()
    parameters = Parameters()
    rows = source(person, reading, parameters)
    statement = f"SELECT {', '.join(columns)} FROM {rows} ORDER BY 1, 2, 3, 4, 5"  # noqa: S608  (columns are ours)
    for batch in reading.batches(statement, parameters):
        file.writelines(b",\n" + _encode(_told(dict(zip(columns, row, strict=True)))) for row in batch)


def _visits(person: Person, reading: Reading, parameters: Parameters) -> str:
    return own_visits(person, reading, parameters)


def _activity(person: Person, reading: Reading, parameters: Parameters) -> str:
    return own_activity(person, reading, parameters)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """A raw row as people can read it."""
    for name in ("started_ms", "visited_ms"):
        if name in row:
            row = {name.replace("_ms", "_at"): datetime.fromtimestamp(row.pop(name) / 1000, UTC), **row}
    if "kind" in row:
        row["kind"] = Kind(row["kind"]).name.lower()
        row["props"] = msgspec.json.decode(row["props"]) if row["props"] else {}
    return _with_text_number(row)


def _with_text_number(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers of 64 bits as text: JavaScript would round them."""
    return {name: str(value) if name in {"visitor", "visit"} else value for name, value in row.items()}


def _without_first_comma(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for number, block in enumerate(blocks):
        yield block if number else block.removeprefix(b",")


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value)


IMAGES = """
    SELECT a.verb, a.file_name, b.written_at AS changed_at, b.values FROM bulk_actions a
    JOIN before_images b ON b.organisation_id = a.organisation_id AND b.bulk_action_id = a.id
    WHERE a.organisation_id = :organisation_id AND b.organisation_id = :organisation_id AND b.record_id = :record_id
    ORDER BY b.written_at
"""
