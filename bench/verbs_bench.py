"""How many records a second do deleting, undoing, tagging, updating and exporting take, with two workers?

Each is a bulk action over all of an organisation's contacts, which an import has just made. The reference is one
plain statement of `psql` that does the same to a table with the same columns and indexes: nothing is kept for undo.
"""

from __future__ import annotations

import argparse
import time
from uuid import UUID

import psycopg
from flask import Flask

from bench.import_bench import (
    POLL_SECONDS,
    SUBJECTS,
    PeakMemory,
    _organisation,
    changed_file,
    file_of,
    import_once,
    workers,
)
from bench.support import empty_app, print_figures
from webapp.config import Settings

REFERENCES = {
    "add a tag": "UPDATE plain SET tags = tags || '{vip}', updated_at = now()",
    "update a field": "UPDATE plain SET city = 'Bonn', updated_at = now()",
    "delete": "WITH gone AS (DELETE FROM plain RETURNING *) INSERT INTO plain_trash SELECT * FROM gone",
    "undo the deletion": "WITH gone AS (DELETE FROM plain_trash RETURNING *) INSERT INTO plain ({columns})"
    " SELECT {columns} FROM gone",
    "undo a fresh import": "WITH gone AS (DELETE FROM plain RETURNING *) INSERT INTO plain_trash SELECT * FROM gone",
    "export": "COPY (SELECT email, first_name, last_name, phone, company, city, country, tags FROM plain) TO STDOUT"
    " WITH (FORMAT csv)",
}


def run_verb(app: Flask, organisation_id: UUID, verb: str, parameters: dict[str, object]) -> tuple[float, UUID]:
    """Seconds from the start of a verb over all contacts to its end, and its id."""
    from webapp.bulk_actions.models import Verb
    from webapp.bulk_actions.tasks import send_work
    from webapp.bulk_actions.verbs.selection import Selection
    from webapp.bulk_actions.verbs.service import Order, start_verb
    from webapp.contacts.models import CONTACTS
    from webapp.extensions import db, tenant

    with app.app_context(), tenant(organisation_id):
        began = time.perf_counter()
        order = Order(Verb(verb), CONTACTS, Selection(arguments={}), parameters)
        bulk_action = start_verb(organisation_id, None, order, most_per_hour=10**6)
        db.session.commit()
        send_work()
        return _wait(bulk_action, began), bulk_action.id


def undo(app: Flask, organisation_id: UUID, source_id: UUID) -> float:
    """Seconds from the start of the undoing to its end."""
    from webapp.bulk_actions.queries import lock_bulk_action
    from webapp.bulk_actions.tasks import send_work
    from webapp.bulk_actions.verbs.service import start_undo
    from webapp.extensions import db, tenant

    with app.app_context(), tenant(organisation_id):
        began = time.perf_counter()
        source = lock_bulk_action(organisation_id, source_id)
        if source is None:
            raise RuntimeError("There is nothing to undo.")
        bulk_action = start_undo(source, None, most_per_hour=10**6)
        db.session.commit()
        send_work()
        return _wait(bulk_action, began)


def _wait(bulk_action, began: float) -> float:  # type: ignore[no-untyped-def]
    from webapp.extensions import db

    while not bulk_action.state.is_final:
        db.session.rollback()
        time.sleep(POLL_SECONDS)
        db.session.refresh(bulk_action)
    if bulk_action.state.value != "completed" or bulk_action.failed_count or bulk_action.skipped_count:
        raise RuntimeError(f"It ended as {bulk_action.state.value}, {bulk_action.failed_count} failed.")
    return time.perf_counter() - began


def newest_import(settings: Settings) -> UUID:
    with psycopg.connect(settings.database_url) as connection:
        row = connection.execute(
            "SELECT id FROM bulk_actions WHERE verb = 'import' ORDER BY id DESC LIMIT 1"
        ).fetchone()
    if row is None:
        raise RuntimeError("There is no import.")
    return UUID(str(row[0]))


def ours(app: Flask, settings: Settings, organisation_id: UUID, row_count: int) -> dict[str, float]:
    """Seconds of each verb; the contacts are there again before each.

    Deleting comes first, as the reference's does from a table that is new: after every row was rewritten five
    times it takes three times as long.
    """
    subject = SUBJECTS["contacts"]
    path = file_of(subject, row_count)
    seconds: dict[str, float] = {}
    import_once(app, organisation_id, path, "contacts")
    seconds["undo a fresh import"] = undo(app, organisation_id, newest_import(settings))
    import_once(app, organisation_id, path, "contacts")
    seconds["delete"], deletion = run_verb(app, organisation_id, "delete", {})
    seconds["undo the deletion"] = undo(app, organisation_id, deletion)
    columns = ["email", "first_name", "last_name", "phone", "company", "city", "country", "tags"]
    seconds["export"], _ = run_verb(app, organisation_id, "export", {"columns": columns})
    seconds["add a tag"], _ = run_verb(app, organisation_id, "add_tags", {"tags": ["vip"]})
    seconds["update a field"], _ = run_verb(app, organisation_id, "update", {"values": {"city": "Bonn"}})
    import_once(app, organisation_id, changed_file(subject, path), "contacts")
    seconds["undo an import that changed all"] = undo(app, organisation_id, newest_import(settings))
    return seconds


def theirs(settings: Settings) -> dict[str, float]:
    """Seconds of each plain statement, over a copy of the contacts."""
    seconds: dict[str, float] = {}
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE plain (LIKE contacts INCLUDING GENERATED INCLUDING DEFAULTS INCLUDING INDEXES)"
        )
        query = (
            "SELECT string_agg(column_name, ', ') FROM information_schema.columns"
            " WHERE table_name = 'contacts' AND is_generated = 'NEVER'"
        )
        columns = connection.execute(query).fetchone()[0]  # type: ignore[index]
        connection.execute(f"INSERT INTO plain ({columns}) SELECT {columns} FROM contacts")  # type: ignore[arg-type]
        connection.execute("CREATE TABLE plain_trash AS SELECT * FROM plain WHERE false")
        for name in ("export", "add a tag", "update a field", "delete", "undo the deletion", "undo a fresh import"):
            began = time.perf_counter()
            statement = REFERENCES[name].replace("{columns}", columns)
            if statement.startswith("COPY"):
                with connection.cursor().copy(statement) as copy:  # type: ignore[arg-type]
                    for _ in copy:
                        pass
            else:
                connection.execute(statement)  # type: ignore[arg-type]
            seconds[name] = time.perf_counter() - began
    return seconds


def measure(row_count: int) -> None:
    with empty_app() as (app, settings, environment):
        organisation_id = _organisation(app)
        with workers(settings, environment) as pid:
            memory = PeakMemory(pid)
            memory.start()
            seconds = ours(app, settings, organisation_id, row_count)
            peak_bytes = memory.stop()
        plain = theirs(settings)
    figures: dict[str, object] = {"records": row_count}
    for name, taken in seconds.items():
        figures[f"{name} /s"] = round(row_count / taken)
        if name in plain:
            figures[f"plain {name} /s"] = round(row_count / plain[name])
    print_figures("verbs", {**figures, "worker peak MB": round(peak_bytes / 1024**2)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    measure(arguments.rows)


if __name__ == "__main__":
    main()
