"""Workers, Redis and PostgreSQL die again and again in the middle of an export, a deletion and its undoing, and of
undoing an import that created and changed contacts, at moments that a seed chooses.

What is there at the end is what the same leaves undisturbed: every contact, count, outcome and reason, and the file.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.bulk_actions.support import csv_of
from tests.bulk_actions.test_outages import ImportOutfit, kill_workers, restart_postgres, restart_redis
from tests.outfit import running_outfit
from webapp.lib.storage import storage_at

KNOWN_COUNT = 3_000
ROW_COUNT = 9_000
KILLS_PER_VERB = 2
HEADER = ["Email", "First name", "City", "Tags", "Shoe size"]
MOMENTS_SEED = 29
Disturb = Callable[[str, UUID], None]


class VerbOutfit(ImportOutfit):
    """An installation that cuts verbs into many chunks, and what they come to."""

    actors = "tests.bulk_actions.verbs.outage_worker"

    def start_verb(self, organisation_id: UUID, verb: str, source_id: UUID | None = None) -> UUID:
        source = [str(source_id)] if source_id else []
        return self.run("tests.bulk_actions.verbs.outage_verb", str(organisation_id), verb, *source)

    def fraction(self, bulk_action_id: UUID) -> float:
        query = "SELECT merged_count / greatest(row_count, 1)::float FROM bulk_actions WHERE id = %s"
        return float(self.rows(query, bulk_action_id)[0][0])

    def touch(self, organisation_id: UUID) -> None:
        """Change some contacts and remove others, as people do after an import."""
        by_number = "organisation_id = %s AND substr(email_key, 2, 4)::int %% 100 = %s"
        with self.connect() as connection:
            touched = f"UPDATE contacts SET first_name = 'Mine', updated_at = now() WHERE {by_number}"
            connection.execute(touched, [organisation_id, 7])
            connection.execute(f"DELETE FROM contacts WHERE {by_number}", [organisation_id, 9])

    def emails(self, organisation_id: UUID) -> dict[UUID, str]:
        return dict(self.rows("SELECT id, email_key FROM contacts WHERE organisation_id = %s", organisation_id))

    def records(self, organisation_id: UUID) -> list[list[tuple[Any, ...]]]:
        """The contacts, the trash and the tags."""
        columns = "email, first_name, city, tags, attributes"
        return [
            self.rows(f"SELECT {columns} FROM contacts WHERE organisation_id = %s ORDER BY email_key", organisation_id),
            self.rows(
                f"SELECT {columns}, deletion_id IS NULL FROM deleted_contacts WHERE organisation_id = %s"
                " ORDER BY email_key",
                organisation_id,
            ),
            self.rows(
                "SELECT tag, count(*) FROM contact_tags WHERE organisation_id = %s GROUP BY 1 ORDER BY 1",
                organisation_id,
            ),
        ]

    def report(self, bulk_action_id: UUID, emails: dict[UUID, str]) -> list[Any]:
        """Its state and counts, the outcome of each contact, and how many images it keeps."""
        outcomes = self.rows(
            "SELECT record_id, outcome, reasons[place] FROM bulk_action_outcomes,"
            " unnest(record_ids) WITH ORDINALITY AS record (record_id, place) WHERE bulk_action_id = %s",
            bulk_action_id,
        )
        counts = "state, error, row_count, merged_count, succeeded_count, skipped_count, failed_count"
        return [
            self.rows(f"SELECT {counts} FROM bulk_actions WHERE id = %s", bulk_action_id),
            sorted((emails[record_id], outcome, reason or "") for record_id, outcome, reason in outcomes),
            self.rows("SELECT count(*) FROM before_images WHERE bulk_action_id = %s", bulk_action_id),
        ]

    def exported(self, organisation_id: UUID, bulk_action_id: UUID) -> list[str]:
        """The lines of the file; ids, and so their order, are different each time."""
        storage = storage_at(self.settings.uploads_url)
        part_count = self.rows("SELECT partition_count FROM bulk_actions WHERE id = %s", bulk_action_id)[0][0]
        keys = [f"{organisation_id}/exports/{bulk_action_id}/{index:06d}.csv" for index in range(part_count)]
        return sorted(b"".join(block for key in keys for block in storage.stream(key)).decode().splitlines())


@pytest.fixture(scope="module")
def outfit() -> Iterator[VerbOutfit]:
    with running_outfit(VerbOutfit) as made:
        made.start_all()
        yield made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Contacts that are there before, and a file that changes them and adds more."""
    folder = tmp_path_factory.mktemp("files")
    known, more = folder / "known.csv", folder / "more.csv"
    known.write_bytes(csv_of([[f"p{n:04}@example.com", "Ada", "Rome", "old"] for n in range(KNOWN_COUNT)], HEADER))
    rows = [[f"p{n:04}@example.com", f"N{n}", "Köln", f"t{n % 7}", str(n % 50)] for n in range(ROW_COUNT)]
    more.write_bytes(csv_of(rows, HEADER))
    return known, more


@pytest.fixture(scope="module")
def undisturbed(outfit: VerbOutfit, files: tuple[Path, Path]) -> dict[str, Any]:
    return run_verbs(outfit, files, lambda name, bulk_action_id: None)


def run_verbs(outfit: VerbOutfit, files: tuple[Path, Path], disturb: Disturb) -> dict[str, Any]:
    """Import twice, then export, delete, undo that and undo the second import; what is there after each."""
    organisation_id = outfit.add_organisation()
    imports = [outfit.import_file(organisation_id, path) for path in files[:1]]
    outfit.wait(lambda: outfit.is_over(imports[0]))
    imports.append(outfit.import_file(organisation_id, files[1]))
    outfit.wait(lambda: outfit.is_over(imports[1]))
    emails = outfit.emails(organisation_id)
    found: dict[str, Any] = {}

    def finish(name: str, verb: str, source_id: UUID | None = None) -> UUID:
        bulk_action_id = outfit.start_verb(organisation_id, verb, source_id)
        disturb(name, bulk_action_id)
        outfit.wait(lambda: outfit.is_over(bulk_action_id))
        found[name] = [outfit.report(bulk_action_id, emails), outfit.records(organisation_id)]
        return bulk_action_id

    export = finish("export", "export")
    found["file"] = outfit.exported(organisation_id, export)
    deletion = finish("delete", "delete")
    finish("undo the deletion", "undo", deletion)
    outfit.touch(organisation_id)
    finish("undo the import", "undo", imports[1])
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kill", [kill_workers, restart_postgres, restart_redis])
def test_verbs_whose_machinery_dies_again_and_again_end_as_undisturbed_ones(
    outfit: VerbOutfit,
    files: tuple[Path, Path],
    undisturbed: dict[str, Any],
    kill: Callable[[ImportOutfit], None],
) -> None:
    choices = random.Random(f"{MOMENTS_SEED} {kill.__name__}")
    killed_at: dict[str, float] = {}

    def disturb(name: str, bulk_action_id: UUID) -> None:
        # The first at once: a fast machine is through with a verb before anybody has looked twice.
        for moment in (0.0, *sorted(choices.uniform(0, 0.9) for _ in range(KILLS_PER_VERB - 1))):
            outfit.wait(lambda: outfit.fraction(bulk_action_id) >= moment)  # noqa: B023
            killed_at.setdefault(name, outfit.fraction(bulk_action_id))
            kill(outfit)

    disturbed = run_verbs(outfit, files, disturb)
    assert len(killed_at) == 4
    assert sum(fraction < 1 for fraction in killed_at.values()) >= 2, "They were over before anything could be killed."
    assert disturbed == undisturbed


def test_the_undisturbed_verbs_do_what_they_shall(undisturbed: dict[str, Any]) -> None:
    done = ("completed", None, ROW_COUNT, ROW_COUNT)
    for name in ("export", "delete", "undo the deletion"):
        assert undisturbed[name][0][0] == [(*done, ROW_COUNT, 0, 0)]
    touched = ROW_COUNT // 100
    gone, gone_known = touched, KNOWN_COUNT // 100
    counts = (ROW_COUNT - touched - gone, gone - gone_known, touched + gone_known)
    assert undisturbed["undo the import"][0][0] == [(*done, *counts)]
    assert len(undisturbed["file"]) == ROW_COUNT
    assert [len(rows) for rows in undisturbed["delete"][1]] == [0, ROW_COUNT, 0]
    contacts, _, _ = undisturbed["undo the import"][1]
    assert len(contacts) == KNOWN_COUNT - gone_known + touched - gone_known
