"""Importing files in tests: into the real store, through real messages, by actors run one after another."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from apiflask import APIFlask
from dramatiq import Message

from tests.conftest import owner_connection
from webapp.bulk_actions import chunks, tasks
from webapp.bulk_actions.chunks import Take
from webapp.bulk_actions.drafts import start_upload
from webapp.bulk_actions.importing import start_import
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.queries import get_bulk_action, list_rejected_rows
from webapp.bulk_actions.tasks import send_work
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.broker import broker
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage, storage_at

HEADER = ["Email", "First name", "Last name", "Phone", "Company", "Job title", "City", "Country"]
FIELDS = ["email", "first_name", "last_name", "phone", "company", "job_title", "city", "country"]
LIMIT_BYTES = 1024**3


def csv_of(rows: Iterable[Sequence[str]], header: Sequence[str] = HEADER) -> bytes:
    """Rows as a CSV, short ones filled up with blanks."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([*row, *[""] * (len(header) - len(row))] for row in rows)
    return file.getvalue().encode()


def people(count: int, name: str = "Ada") -> bytes:
    """A file of so many different contacts, all with one first name."""
    return csv_of([[f"p{n}@example.com", name] for n in range(count)])


def uploads(app: APIFlask) -> Storage:
    return storage_at(app.extensions["settings"].uploads_url)


def upload(
    app: APIFlask, organisation_id: UUID, content: bytes, name: str = "contacts.csv", entity: str = "contacts"
) -> UUID:
    """A draft."""
    with app.app_context(), tenant(organisation_id):
        bulk_action = start_upload(
            organisation_id, None, name, [content], storage=uploads(app), limit_bytes=LIMIT_BYTES, entity=entity
        )
        db.session.commit()
        return bulk_action.id


def start(
    app: APIFlask,
    organisation_id: UUID,
    content: bytes,
    mapping: Mapping[str, str | None] | None = None,
    run_at: datetime | None = None,
    entity: str = "contacts",
) -> UUID:
    """Upload and queue an import."""
    bulk_action_id = upload(app, organisation_id, content, entity=entity)
    with app.app_context(), tenant(organisation_id):
        start_import(_get(organisation_id, bulk_action_id), mapping, run_at=run_at)
        db.session.commit()
    send_work()
    return bulk_action_id


def import_file(
    app: APIFlask,
    organisation_id: UUID,
    content: bytes,
    mapping: Mapping[str, str | None] | None = None,
    entity: str = "contacts",
) -> BulkAction:
    """Import a file from its first message to the last."""
    bulk_action_id = start(app, organisation_id, content, mapping, entity=entity)
    work_off(app)
    return read(app, organisation_id, bulk_action_id)


def read(app: APIFlask, organisation_id: UUID, bulk_action_id: UUID) -> BulkAction:
    with app.app_context(), tenant(organisation_id):
        bulk_action = _get(organisation_id, bulk_action_id)
        db.session.refresh(bulk_action)
        db.session.expunge(bulk_action)
        return bulk_action


def _get(organisation_id: UUID, bulk_action_id: UUID) -> BulkAction:
    bulk_action = get_bulk_action(organisation_id, bulk_action_id)
    assert bulk_action is not None
    return bulk_action


def counts_of(bulk_action: BulkAction) -> dict[str, int]:
    """Every count that is not zero."""
    names = ("row", "created", "updated", "unchanged", "rejected", "duplicate", "blank")
    counts = {name: getattr(bulk_action, f"{name}_count") for name in names}
    return {name: count for name, count in counts.items() if count}


def rejections(app: APIFlask, organisation_id: UUID, bulk_action_id: UUID) -> dict[int, str]:
    """Row number and reason of every rejected row."""
    with app.app_context(), tenant(organisation_id):
        rows = list_rejected_rows(organisation_id, bulk_action_id, limit=100_000)
        return {row.row_number: row.reason for row in rows}


def contacts(settings: Settings, organisation_id: UUID) -> list[tuple[str | None, ...]]:
    """The fields of every contact, by e-mail address."""
    query = f"SELECT {', '.join(FIELDS)} FROM contacts WHERE organisation_id = %s ORDER BY email_key"
    with owner_connection(settings) as connection:
        return connection.execute(query, [organisation_id]).fetchall()


def count_rows(settings: Settings, table: str) -> int:
    with owner_connection(settings) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row is not None
        return int(row[0])


def work_off(app: APIFlask, limit: int = 100_000) -> int:
    """Run messages one after another, here, until there are none or `limit` were run; returns how many."""
    count = 0
    while count < limit and (message := _next_message()):
        with app.app_context():
            broker.get_actor(message.actor_name)(*message.args)
        count += 1
    return count


def _next_message() -> Message[None] | None:
    """Taken off its queue, as a consumer does that acknowledges at once."""
    for queue in ("imports", "default"):
        consumer = broker.consume(queue, prefetch=1, timeout=1)
        try:
            message = next(consumer)
            if message is not None:
                consumer.ack(message)
                return Message.decode(message._message.encode())
        finally:
            consumer.close()
    return None


def take(app: APIFlask) -> Take | None:
    """As the actor begins."""
    with app.app_context():
        found = chunks.take_chunk(utc_now())
        db.session.commit()
        return found


def sweep(app: APIFlask) -> None:
    with app.app_context():
        tasks.sweep()


def sweep_and_work_off(app: APIFlask) -> None:
    sweep(app)
    work_off(app)


def age_everything(settings: Settings) -> None:
    """As if a minute had passed since anything was taken or ended."""
    minute = timedelta(minutes=1)
    with owner_connection(settings) as connection:
        connection.execute("UPDATE bulk_action_chunks SET taken_at = taken_at - %s", [minute])
        connection.execute("UPDATE bulk_actions SET ended_at = ended_at - %s", [minute])
