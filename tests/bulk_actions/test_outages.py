"""Workers, Redis and PostgreSQL die again and again in the middle of an import, at moments that a seed chooses.

What is there at the end is what an undisturbed import of the same file into the same contacts leaves, to the row.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.bulk_actions.support import csv_of
from tests.outfit import ROOT, Outfit, kill_family, kill_postgres, kill_redis, running_outfit
from webapp.embedded import postgres, redis
from webapp.lib.ids import uuid7

ROW_COUNT = 30_000
KNOWN_COUNT = 6_000
KILL_COUNT = 3
HEADER = ["Email", "First name", "City", "Tags", "Shoe size"]
MOMENTS_SEED = 23
COUNTS = "row_count, created_count, updated_count, unchanged_count, rejected_count, duplicate_count, blank_count"


class ImportOutfit(Outfit):
    """An installation, and what its imports come to."""

    def import_file(self, organisation_id: UUID, path: Path) -> UUID:
        return self.run("tests.bulk_actions.outage_import", str(organisation_id), str(path))

    def run(self, module: str, *arguments: str) -> UUID:
        """The id that a module prints in the end."""
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, check=True, stdout=subprocess.PIPE, text=True)
        return UUID(done.stdout.split()[-1])

    def add_organisation(self) -> UUID:
        organisation_id = uuid7()
        statement = (
            "INSERT INTO organisations (id, slug, name, time_zone, created_at) VALUES (%s, %s, 'B', 'UTC', now())"
        )
        with self.connect() as connection:
            connection.execute(statement, [organisation_id, organisation_id.hex])
        return organisation_id

    def fraction(self, bulk_action_id: UUID) -> float:
        """How much of the file is done: half of it when it is staged."""
        query = "SELECT (staged_count + merged_count) / 2.0 / %s FROM bulk_actions WHERE id = %s"
        return float(self.rows(query, ROW_COUNT, bulk_action_id)[0][0])

    def is_over(self, bulk_action_id: UUID) -> bool:
        query = "SELECT cleaned_at IS NOT NULL FROM bulk_actions WHERE id = %s"
        return bool(self.rows(query, bulk_action_id)[0][0])

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(query, values).fetchall()

    def result(self, organisation_id: UUID, bulk_action_id: UUID) -> dict[str, Any]:
        """All that an import leaves, but the times and ids that no two have in common."""
        by_organisation, by_import = (organisation_id,), (bulk_action_id,)
        ask = self.rows
        return {
            "counts": ask(f"SELECT state, error, {COUNTS} FROM bulk_actions WHERE id = %s", *by_import),
            "contacts": ask(
                "SELECT email, first_name, city, tags, attributes, bulk_action_id = %s FROM contacts"
                " WHERE organisation_id = %s ORDER BY email_key",
                *by_import,
                *by_organisation,
            ),
            "rejected": ask(
                "SELECT row_number, reason, cells FROM rejected_rows WHERE bulk_action_id = %s ORDER BY 1", *by_import
            ),
            "replaced": ask(
                "SELECT row_number, replaced_by_row_number FROM replaced_rows WHERE bulk_action_id = %s ORDER BY 1",
                *by_import,
            ),
            "outcomes": ask(
                "SELECT outcome, sum(record_count), count(DISTINCT record_id) FROM bulk_action_outcomes,"
                " unnest(record_ids) AS record_id WHERE bulk_action_id = %s GROUP BY outcome ORDER BY 1",
                *by_import,
            ),
            "images": ask(
                "SELECT record.email_key, image.values FROM before_images image"
                " JOIN contacts record ON record.id = image.record_id WHERE image.bulk_action_id = %s ORDER BY 1",
                *by_import,
            ),
            "tags": ask(
                "SELECT tag, count(*) FROM contact_tags WHERE organisation_id = %s GROUP BY 1 ORDER BY 1",
                *by_organisation,
            ),
            "staged": ask("SELECT count(*) FROM staged_contacts WHERE bulk_action_id = %s", *by_import),
        }


@pytest.fixture(scope="module")
def outfit() -> Iterator[ImportOutfit]:
    with running_outfit(ImportOutfit) as made:
        made.start_all()
        yield made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Contacts that are there before; a file with new ones, some of those, duplicates and unreadable rows."""
    folder = tmp_path_factory.mktemp("files")
    known, more = folder / "known.csv", folder / "more.csv"
    known.write_bytes(csv_of([[f"p{n}@example.com", "Ada", "Rome", "old", "38"] for n in range(KNOWN_COUNT)], HEADER))
    rows = [[f"p{n}@example.com", f"N{n}", "Köln", f"t{n % 7}", str(n % 50)] for n in range(ROW_COUNT)]
    rows[100:3_100:10] = [["nobody", str(n)] for n in range(300)]
    rows[20_000:20_500] = [[f"P{n}@example.com", "", "Bonn", "twice"] for n in range(500)]
    rows[200:1_200:10] = [[f"p{n}@example.com", "Ada", "Rome", "old", "38"] for n in range(100)]
    more.write_bytes(csv_of(rows, HEADER))
    return known, more


@pytest.fixture(scope="module")
def undisturbed(outfit: ImportOutfit, files: tuple[Path, Path]) -> dict[str, Any]:
    return run_import(outfit, files, lambda bulk_action_id: None)


def run_import(outfit: ImportOutfit, files: tuple[Path, Path], disturb: Callable[[UUID], None]) -> dict[str, Any]:
    organisation_id = outfit.add_organisation()
    known = outfit.import_file(organisation_id, files[0])
    outfit.wait(lambda: outfit.is_over(known))
    bulk_action_id = outfit.import_file(organisation_id, files[1])
    disturb(bulk_action_id)
    outfit.wait(lambda: outfit.is_over(bulk_action_id))
    return outfit.result(organisation_id, bulk_action_id)


def kill_workers(outfit: ImportOutfit) -> None:
    worker = next(process for process in reversed(outfit.processes) if process.poll() is None)
    kill_family(worker)
    outfit.start("worker")


def restart_postgres(outfit: ImportOutfit) -> None:
    kill_postgres(outfit)
    time.sleep(1)
    postgres.start_postgres(outfit.settings)


def restart_redis(outfit: ImportOutfit) -> None:
    kill_redis(outfit)
    time.sleep(1)
    redis.start_redis(outfit.settings, "broker")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kill", [kill_workers, restart_postgres, restart_redis])
def test_an_import_whose_machinery_dies_again_and_again_ends_as_an_undisturbed_one(
    outfit: ImportOutfit,
    files: tuple[Path, Path],
    undisturbed: dict[str, Any],
    kill: Callable[[ImportOutfit], None],
) -> None:
    choices = random.Random(f"{MOMENTS_SEED} {kill.__name__}")
    moments = sorted(choices.uniform(0.02, 0.95) for _ in range(KILL_COUNT))
    killed_at: list[float] = []

    def disturb(bulk_action_id: UUID) -> None:
        for moment in moments:
            outfit.wait(lambda: outfit.fraction(bulk_action_id) >= moment)  # noqa: B023
            killed_at.append(outfit.fraction(bulk_action_id))
            kill(outfit)

    disturbed = run_import(outfit, files, disturb)
    assert killed_at[0] < 1, "The import was over before anything could be killed."
    assert undisturbed["counts"][0][:4] == ("completed", None, ROW_COUNT, 23_500)
    assert disturbed == undisturbed
