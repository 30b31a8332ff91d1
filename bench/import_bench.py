"""How many rows a second does an import take in, from upload to finished: fresh, again, and with every row changed?

Two `footfall worker` processes work on embedded servers of this bench's own. The reference is `psql` in
the same run: COPY of the same rows into a staging table, and one `INSERT … ON CONFLICT DO UPDATE` into
a table with the same columns and indexes. The records at the end must be exactly those of the file.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from uuid import UUID

import psutil
import psycopg
from flask import Flask

from bench.support import RESULTS, ROOT, empty_app, print_figures
from webapp.config import Settings
from webapp.embedded.postgres import find_cluster
from webapp.generate.contacts import write as write_contacts
from webapp.generate.products import write as write_products

BLOCK_BYTES = 256 * 1024
POLL_SECONDS = 0.02
CHANGED = "changed"


@dataclass(frozen=True)
class Subject:
    """A kind of record to import: its file, its columns in the file's order, its key, and a column that changes."""

    entity: str
    write: Callable[[TextIO, int], None]
    key: str
    columns: dict[str, str]
    """The name of each column, and the expression that reads it from what `psql` staged as text."""
    changing: str

    @property
    def names(self) -> str:
        return ", ".join(self.columns)


SUBJECTS = {
    "contacts": Subject(
        "contacts",
        write_contacts,
        "email",
        {
            **{name: name for name in ("email", "first_name", "last_name")},
            "phone": "replace(phone, ' ', '')",
            **{name: name for name in ("company", "job_title", "city", "country")},
        },
        "job_title",
    ),
    "products": Subject(
        "products",
        write_products,
        "sku",
        {
            **{name: name for name in ("sku", "name", "description")},
            "price": "price::numeric",
            "currency": "currency",
            "is_active": "is_active::boolean",
        },
        "description",
    ),
}


class PeakMemory(threading.Thread):
    """The most that any one of some processes held, by what the kernel keeps of it."""

    def __init__(self, parent: int) -> None:
        super().__init__(daemon=True)
        self._parent = psutil.Process(parent)
        self._over = threading.Event()
        self.peak_bytes = 0

    def run(self) -> None:
        while not self._over.wait(0.1):
            for process in self._parent.children(recursive=True):
                self.peak_bytes = max(self.peak_bytes, _high_water_mark(process.pid))

    def stop(self) -> int:
        self._over.set()
        self.join()
        return self.peak_bytes


def _high_water_mark(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in status.split("\n") if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


@contextmanager
def workers(settings: Settings, environment: dict[str, str]) -> Iterator[int]:
    """`footfall worker`, with as many processes as the settings say."""
    command = [sys.executable, "-m", "webapp.cli", "worker", "--queues", "default,imports"]
    with (settings.data_dir / "worker.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        _wait_for_workers()
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait_for_workers() -> None:
    from webapp.jobs.broker import broker

    deadline = time.monotonic() + 60
    while not broker.client.exists(f"{broker.namespace}:__heartbeats__"):
        if time.monotonic() > deadline:
            raise RuntimeError("The workers did not start; see worker.log in the data folder.")
        time.sleep(0.1)
    time.sleep(2)


def import_once(app: Flask, organisation_id: UUID, path: Path, entity: str) -> tuple[float, dict[str, int]]:
    """Seconds from the first byte uploaded to the finished import, and its counts."""
    from webapp.bulk_actions.drafts import start_upload
    from webapp.bulk_actions.importing import start_import
    from webapp.bulk_actions.service import OUTCOMES
    from webapp.bulk_actions.tasks import send_work
    from webapp.extensions import db, tenant
    from webapp.lib.storage import storage_at

    with app.app_context(), tenant(organisation_id), path.open("rb") as file:
        settings: Settings = app.extensions["settings"]
        began = time.perf_counter()
        bulk_action = start_upload(
            organisation_id,
            None,
            path.name,
            iter(lambda: file.read(BLOCK_BYTES), b""),
            storage=storage_at(settings.uploads_url),
            limit_bytes=settings.upload_limit_bytes,
            entity=entity,
        )
        start_import(bulk_action)
        db.session.commit()
        send_work()
        while not bulk_action.state.is_final:
            db.session.rollback()
            time.sleep(POLL_SECONDS)
            db.session.refresh(bulk_action)
        seconds = time.perf_counter() - began
        if bulk_action.error or bulk_action.state.value != "completed":
            raise RuntimeError(f"The import ended as {bulk_action.state.value}: {bulk_action.error}")
        counts = {outcome: getattr(bulk_action, f"{outcome}_count") for outcome in OUTCOMES}
        _wait_until_clean(bulk_action)
        return seconds, counts


def _wait_until_clean(bulk_action) -> None:  # type: ignore[no-untyped-def]
    from webapp.extensions import db

    deadline = time.monotonic() + 60
    while bulk_action.cleaned_at is None and time.monotonic() < deadline:
        db.session.rollback()
        time.sleep(POLL_SECONDS)
        db.session.refresh(bulk_action)


class Reference:
    """The same rows by `psql`."""

    def __init__(self, settings: Settings, subject: Subject) -> None:
        cluster = find_cluster(settings)
        self._psql = [str(cluster.programs / "psql"), "-qAt", "-v", "ON_ERROR_STOP=1", settings.database_url]
        self._subject = subject
        texts = ", ".join(f"{name} text" for name in subject.columns)
        self._run(
            f"CREATE TABLE reference_{subject.entity}"
            f" (LIKE {subject.entity} INCLUDING GENERATED INCLUDING DEFAULTS INCLUDING INDEXES)",
            f"CREATE TABLE reference_staging_{subject.entity} ({texts})",
        )

    def seconds(self, path: Path) -> float:
        subject, table = self._subject, f"reference_{self._subject.entity}"
        staging = f"reference_staging_{subject.entity}"
        update = ", ".join(f"{name} = coalesce(excluded.{name}, {table}.{name})" for name in subject.columns)
        began = time.perf_counter()
        self._run(
            f"TRUNCATE {staging}",
            rf"\copy {staging} FROM '{path}' WITH (FORMAT csv, HEADER)",
            f"""
            INSERT INTO {table} (organisation_id, id, {subject.key}_key, {subject.names}, created_at, updated_at)
            SELECT '00000000-0000-0000-0000-000000000001', md5({subject.key})::uuid, lower({subject.key}),
                {", ".join(subject.columns.values())}, now(), now()
            FROM {staging}
            ON CONFLICT (organisation_id, {subject.key}_key) DO UPDATE SET {update}, updated_at = excluded.updated_at
            """.replace("\n", " "),
        )
        return time.perf_counter() - began

    def _run(self, *commands: str) -> None:
        arguments = [argument for command in commands for argument in ("-c", command)]
        subprocess.run([*self._psql, *arguments], check=True, env={**os.environ, "PGOPTIONS": ""})


def check_records(settings: Settings, organisation_id: UUID, subject: Subject) -> None:
    """The import's records and the reference's rows are the same, field by field."""
    both = (
        f"SELECT {subject.names} FROM {subject.entity} WHERE organisation_id = '{organisation_id}'",
        f"SELECT {subject.names} FROM reference_{subject.entity}",
    )
    with psycopg.connect(settings.database_url) as connection:
        for one, other in (both, both[::-1]):
            row = connection.execute(f"SELECT count(*) FROM ({one} EXCEPT ALL {other}) AS difference").fetchone()
            if row is None or row[0]:
                raise RuntimeError(f"Import and reference differ in {row and row[0]} rows.")


def file_of(subject: Subject, row_count: int) -> Path:
    """The subject's file, made once."""
    path = RESULTS / f"{subject.entity}-{row_count}.csv"
    if not path.exists():
        RESULTS.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            subject.write(file, row_count)
    return path


def changed_file(subject: Subject, path: Path) -> Path:
    """The same rows, each with another text in one column."""
    changed = path.with_name(f"{path.stem}-{CHANGED}.csv")
    if not changed.exists():
        place = list(subject.columns).index(subject.changing)
        with path.open(encoding="utf-8", newline="") as source, changed.open("w", encoding="utf-8", newline="") as file:
            rows, writer = csv.reader(source), csv.writer(file, lineterminator="\n")
            writer.writerow(next(rows))
            writer.writerows([*row[:place], f"{row[place]} 2".strip(), *row[place + 1 :]] for row in rows)
    return changed


def measure(row_count: int, names: list[str]) -> None:
    with empty_app() as (app, settings, environment):
        organisation_id = _organisation(app)
        for name in names:
            measure_subject(app, settings, environment, organisation_id, SUBJECTS[name], row_count)


def measure_subject(
    app: Flask, settings: Settings, environment: dict[str, str], organisation_id: UUID, subject: Subject, row_count: int
) -> None:
    """Fresh, again and changed, by Footfall and then by `psql`."""
    path = file_of(subject, row_count)
    rounds = {"fresh": path, "again": path, CHANGED: changed_file(subject, path)}
    with workers(settings, environment) as pid:
        memory = PeakMemory(pid)
        memory.start()
        ours = {name: import_once(app, organisation_id, file, subject.entity) for name, file in rounds.items()}
        peak_bytes = memory.stop()
    reference = Reference(settings, subject)
    theirs = {name: reference.seconds(file) for name, file in rounds.items()}
    check_records(settings, organisation_id, subject)
    figures: dict[str, object] = {"entity": subject.entity, "rows": row_count}
    for name, (seconds, counts) in ours.items():
        figures |= {
            f"{name} rows/s": round(row_count / seconds),
            f"psql {name} rows/s": round(row_count / theirs[name]),
            f"{name} ratio": round(theirs[name] / seconds, 2),
            f"{name} counts": counts,
        }
    print_figures("import", {**figures, "worker peak MB": round(peak_bytes / 1024**2)})


def _organisation(app: Flask) -> UUID:
    from webapp.accounts.models import Organisation
    from webapp.extensions import db

    with app.app_context():
        organisation = Organisation(slug="bench", name="Bench")
        db.session.add(organisation)
        db.session.commit()
        return organisation.id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--entity", choices=SUBJECTS, action="append")
    arguments = parser.parse_args()
    measure(arguments.rows, arguments.entity or list(SUBJECTS))


if __name__ == "__main__":
    main()
