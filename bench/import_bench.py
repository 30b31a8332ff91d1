"""How many rows a second does an import take in, from upload to finished, fresh and again?

Two `footfall worker` processes work on embedded servers of this bench's own. The reference is `psql` in
the same run: COPY of the same rows into a staging table, and one `INSERT … ON CONFLICT DO UPDATE` into
a table with the same columns and indexes. The contacts at the end must be exactly those of the file.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psutil
import psycopg
from flask import Flask

from bench.support import RESULTS, ROOT, print_figures
from webapp.config import Settings, settings_from
from webapp.embedded.postgres import find_cluster
from webapp.embedded.servers import running_servers
from webapp.generate.contacts import write as write_contacts

BLOCK_BYTES = 256 * 1024
POLL_SECONDS = 0.02
REFERENCE_FIELDS = "email, first_name, last_name, phone, company, job_title, city, country"

REFERENCE_UPDATE = ", ".join(
    f"{name} = coalesce(excluded.{name}, reference.{name})" for name in REFERENCE_FIELDS.split(", ")
)


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


def import_once(app: Flask, organisation_id: UUID, path: Path) -> tuple[float, dict[str, int]]:
    """Seconds from the first byte uploaded to the finished import, and its counts."""
    from webapp.bulk_actions.service import OUTCOMES, start_import, start_upload
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

    def __init__(self, settings: Settings, path: Path) -> None:
        cluster = find_cluster(settings)
        self._psql = [str(cluster.programs / "psql"), "-qAt", "-v", "ON_ERROR_STOP=1", settings.database_url]
        self._path = path
        self._run(
            "CREATE TABLE reference (LIKE contacts INCLUDING GENERATED INCLUDING INDEXES)",
            f"CREATE TABLE reference_staging AS SELECT {REFERENCE_FIELDS} FROM contacts WHERE false",
        )

    def seconds(self) -> float:
        began = time.perf_counter()
        self._run(
            "TRUNCATE reference_staging",
            rf"\copy reference_staging FROM '{self._path}' WITH (FORMAT csv, HEADER)",
            f"""
            INSERT INTO reference (organisation_id, id, email_key, {REFERENCE_FIELDS}, created_at, updated_at)
            SELECT '00000000-0000-0000-0000-000000000001', md5(email)::uuid, lower(email), {REFERENCE_FIELDS},
                now(), now()
            FROM reference_staging
            ON CONFLICT (organisation_id, email_key) DO UPDATE SET {REFERENCE_UPDATE}, updated_at = excluded.updated_at
            """.replace("\n", " "),
        )
        return time.perf_counter() - began

    def _run(self, *commands: str) -> None:
        arguments = [argument for command in commands for argument in ("-c", command)]
        subprocess.run([*self._psql, *arguments], check=True, env={**os.environ, "PGOPTIONS": ""})


def check_contacts(settings: Settings, organisation_id: UUID) -> None:
    """The import's contacts and the reference's rows are the same, field by field."""
    both = (
        f"SELECT {REFERENCE_FIELDS} FROM contacts WHERE organisation_id = '{organisation_id}'",
        f"SELECT {REFERENCE_FIELDS} FROM reference",
    )
    with psycopg.connect(settings.database_url) as connection:
        for one, other in (both, both[::-1]):
            row = connection.execute(f"SELECT count(*) FROM ({one} EXCEPT ALL {other}) AS difference").fetchone()
            if row is None or row[0]:
                raise RuntimeError(f"Import and reference differ in {row and row[0]} rows.")


def measure(row_count: int, folder: Path) -> None:
    path = RESULTS / f"contacts-{row_count}.csv"
    if not path.exists():
        RESULTS.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            write_contacts(file, row_count)
    os.environ["DATA_DIR"] = str(folder / "var")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    settings = settings_from(os.environ)
    with running_servers(settings):
        subprocess.run([sys.executable, "-m", "webapp.cli", "migrate"], cwd=ROOT, env=environment, check=True)
        from webapp.app import create_app

        app = create_app(settings)
        organisation_id = _organisation(app)
        with workers(settings, environment) as pid:
            memory = PeakMemory(pid)
            memory.start()
            fresh, fresh_counts = import_once(app, organisation_id, path)
            again, again_counts = import_once(app, organisation_id, path)
            peak_bytes = memory.stop()
        reference = Reference(settings, path)
        reference_fresh, reference_again = reference.seconds(), reference.seconds()
        check_contacts(settings, organisation_id)
    print_figures(
        "import",
        {
            "rows": row_count,
            "fresh rows/s": round(row_count / fresh),
            "psql fresh rows/s": round(row_count / reference_fresh),
            "fresh ratio": round(reference_fresh / fresh, 2),
            "again rows/s": round(row_count / again),
            "psql again rows/s": round(row_count / reference_again),
            "again ratio": round(reference_again / again, 2),
            "worker peak MB": round(peak_bytes / 1024**2),
            "fresh counts": fresh_counts,
            "again counts": again_counts,
        },
    )


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
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="footfall-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        measure(arguments.rows, Path(folder))


if __name__ == "__main__":
    main()
