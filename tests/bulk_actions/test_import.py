"""Whole imports, from the file's bytes to the contacts, with exact counts."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import (
    HEADER,
    contacts,
    count_rows,
    counts_of,
    csv_of,
    import_file,
    read,
    rejections,
    start,
    upload,
    uploads,
    work_off,
)
from tests.conftest import Person, owner_connection
from tests.jobs.support import list_attempts
from webapp.bulk_actions import work
from webapp.bulk_actions.drafts import start_upload
from webapp.bulk_actions.files import file_key
from webapp.bulk_actions.models import BulkActionState
from webapp.bulk_actions.queries import each_rejected_row, list_replaced_rows
from webapp.bulk_actions.records import UnreadableFileError
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.models import JobState
from webapp.jobs.queries import get_job
from webapp.lib.storage import StorageMissingError


def test_every_row_of_a_new_file_becomes_a_contact(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    rows = [[f"person{n}@example.com", f"First{n}", f"Last{n}", "", "Company", "", "Köln"] for n in range(5_000)]
    bulk_action = import_file(app, organisation_id, csv_of(rows))
    assert bulk_action.state is BulkActionState.COMPLETED
    assert counts_of(bulk_action) == {"row": 5_000, "created": 5_000}
    expected = sorted((row[0], row[1], row[2], None, "Company", None, "Köln", None) for row in rows)
    assert contacts(services, organisation_id) == expected


def test_what_an_import_leaves_behind_is_its_reports_alone(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    bulk_action = import_file(app, organisation_id, csv_of([["a@example.com"], ["nobody"]]))
    assert count_rows(services, "staged_contacts") == 0
    assert count_rows(services, "rejected_rows") == 1
    assert bulk_action.cleaned_at is not None
    with pytest.raises(StorageMissingError):
        uploads(app).size(file_key(organisation_id, bulk_action.id))


def test_the_same_file_again_changes_nothing(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    content = csv_of([[f"person{n}@example.com", f"First{n}"] for n in range(3_000)])
    import_file(app, organisation_id, content)
    before = updated_times(services)
    assert counts_of(import_file(app, organisation_id, content)) == {"row": 3_000, "unchanged": 3_000}
    assert updated_times(services) == before


def test_created_updated_and_unchanged_are_told_apart(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    import_file(app, organisation_id, csv_of([["a@example.com", "Ada"], ["b@example.com", "Bea"]]))
    second = csv_of([["A@EXAMPLE.com", "Adele"], ["b@example.com", "Bea"], ["c@example.com", "Cleo"]])
    assert counts_of(import_file(app, organisation_id, second)) == {
        "row": 3,
        "created": 1,
        "updated": 1,
        "unchanged": 1,
    }
    names = [(row[0], row[1]) for row in contacts(services, organisation_id)]
    assert names == [("A@EXAMPLE.com", "Adele"), ("b@example.com", "Bea"), ("c@example.com", "Cleo")]


def test_a_blank_cell_leaves_what_is_there(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    import_file(app, organisation_id, csv_of([["a@example.com", "Ada", "Byron", "", "Engines"]]))
    import_file(app, organisation_id, csv_of([["a@example.com", "", "Lovelace"]]))
    assert contacts(services, organisation_id)[0][:5] == ("a@example.com", "Ada", "Lovelace", None, "Engines")


def test_of_two_rows_with_one_key_the_later_wins_cell_by_cell(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    rows = [
        ["a@example.com", "Ada", "Byron", "+4930123451"],
        ["b@example.com", "Bea"],
        ["A@example.com", "", "King", "+4930123452"],
        ["a@Example.com", "", "Lovelace", ""],
    ]
    bulk_action = import_file(app, organisation_id, csv_of(rows))
    assert counts_of(bulk_action) == {"row": 4, "created": 2, "duplicate": 2}
    assert contacts(services, organisation_id)[0][:4] == ("a@Example.com", "Ada", "Lovelace", "+4930123452")
    with app.app_context(), tenant(organisation_id):
        replaced = list_replaced_rows(organisation_id, bulk_action.id)
        assert [(row.row_number, row.replaced_by_row_number) for row in replaced] == [(2, 4), (4, 5)]


def test_duplicates_across_chunks_are_folded_in_file_order(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "MIN_CHUNK_BYTES", 500)
    choices = random.Random(3)
    rows: list[list[str]] = []
    expected: dict[str, tuple[str, str]] = {}
    for n in range(3_000):
        email, name, city = f"p{choices.randrange(700)}@example.com", choices.choice(["", f"N{n}"]), f"C{n % 7}"
        rows.append([email, name, "", "", "", "", city])
        expected[email] = (name or expected.get(email, ("",))[0], city)
    bulk_action = import_file(app, organisation_id, csv_of(rows))
    assert bulk_action.chunk_count > 10
    assert counts_of(bulk_action) == {"row": 3_000, "created": len(expected), "duplicate": 3_000 - len(expected)}
    found = {row[0]: (row[1] or "", row[6]) for row in contacts(services, organisation_id)}
    assert found == expected


@pytest.mark.parametrize("chunk_bytes", [1, 60, 1_000])
def test_chunks_of_any_size_import_the_same(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(work, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(work, "MIN_CHUNK_BYTES", 1)
    content = TRICKY_FILE.encode()
    bulk_action = import_file(app, organisation_id, content)
    assert counts_of(bulk_action) == {"row": 9, "created": 4, "rejected": 3, "blank": 2}
    assert rejections(app, organisation_id, bulk_action.id) == {
        5: "Too few cells: the row has 2 cells, the file 3 columns.",
        6: "Too many cells: the row has 4 cells, the file 3 columns.",
        9: "“nobody” is not an e-mail address.",
    }
    assert [row[:2] for row in contacts(services, organisation_id)] == [
        ("a@example.com", "two\nlines"),
        ("b@example.com", 'say "hi"'),
        ("c@example.com", "back\\slash\tand tab"),
        ("d@example.com", '5" pipe'),
    ]


TRICKY_FILE = (
    "Email,First name,City\n"
    'a@example.com,"two\nlines",x\n'
    'b@example.com,"say ""hi""",x\n'
    "\n"
    "short,row\n"
    "one,cell,too,many\n"
    "c@example.com,back\\slash\tand tab,x\r\n"
    ",,\n"
    "nobody,x,y\n"
    'd@example.com,5" pipe,x'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_a_file_in_any_encoding_arrives_as_it_was_meant(
    app: APIFlask, services: Settings, organisation_id: UUID, encoding: str
) -> None:
    content = csv_of([["zoe@example.com", "Zoë", "Müller"], ["jose@example.com", "José", "Núñez"]]).decode()
    bulk_action = import_file(app, organisation_id, content.encode(encoding))
    assert (bulk_action.error, counts_of(bulk_action)) == (None, {"row": 2, "created": 2})
    assert [row[1] for row in contacts(services, organisation_id)] == ["José", "Zoë"]


def test_carriage_returns_alone_end_rows_too(app: APIFlask, organisation_id: UUID) -> None:
    content = csv_of([["a@example.com"], ["b@example.com"]]).replace(b"\n", b"\r")
    assert counts_of(import_file(app, organisation_id, content)) == {"row": 2, "created": 2}


def test_a_file_without_a_header_counts_its_first_row(app: APIFlask, organisation_id: UUID) -> None:
    bulk_action = import_file(app, organisation_id, b"a@example.com,Ada\nnobody,Bea\nc@example.com,Cleo\n")
    assert counts_of(bulk_action) == {"row": 3, "created": 2, "rejected": 1}
    assert list(rejections(app, organisation_id, bulk_action.id)) == [2]


def test_bytes_that_are_no_text_reject_their_row_alone(app: APIFlask, organisation_id: UUID) -> None:
    rows = [[f"p{n}@example.com", "Zoë"] for n in range(50)]
    content = csv_of(rows) + b"broken@example.com,\xff\xfe,,,,,,\n"
    bulk_action = import_file(app, organisation_id, content)
    assert counts_of(bulk_action) == {"row": 51, "created": 50, "rejected": 1}
    assert rejections(app, organisation_id, bulk_action.id) == {
        52: "First name holds bytes that are not text in the file's encoding (utf-8)."
    }


def test_a_megabyte_in_a_cell_and_the_character_zero_reject_their_rows(app: APIFlask, organisation_id: UUID) -> None:
    rows = [["a@example.com", "x" * 1_000_000], ["b@example.com", "nul\x00"], ["c@example.com", "Cleo"]]
    bulk_action = import_file(app, organisation_id, csv_of(rows))
    assert counts_of(bulk_action) == {"row": 3, "created": 1, "rejected": 2}
    assert rejections(app, organisation_id, bulk_action.id) == {
        2: "First name has 1,000,000 characters; at most 200 fit.",
        3: "First name contains the character U+0000, which no text may hold.",
    }


def test_a_megabyte_in_a_column_that_nobody_maps_is_ignored(app: APIFlask, organisation_id: UUID) -> None:
    content = csv_of([["a@example.com", "x" * 1_000_000]], ["Email", "Shoe size"])
    assert counts_of(import_file(app, organisation_id, content)) == {"row": 1, "created": 1}


def test_an_unclosed_quote_stops_the_import_and_changes_nothing(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    rows = [[f"p{n}@example.com", "x" * 150] for n in range(3_000)]
    lines = csv_of(rows).split(b"\n")
    lines[1_500] = b'broken@example.com,"never closed,,,,,,'
    bulk_action = import_file(app, organisation_id, b"\n".join(lines))
    assert bulk_action.state is BulkActionState.FAILED
    assert (bulk_action.error or "").startswith("Row 1,501 does not end before the file does: most likely it opens a")
    assert contacts(services, organisation_id) == []
    assert count_rows(services, "staged_contacts") == 0


def test_rejected_rows_mended_and_dropped_again_complete_the_import(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    bulk_action = import_file(app, organisation_id, csv_of([["a@example.com", "Ada"], ["b.example.com", '=1+1 "x"']]))
    with app.app_context(), tenant(organisation_id):
        cells = [row.cells for row in each_rejected_row(organisation_id, bulk_action.id)]
    assert cells == [["b.example.com", '=1+1 "x"', *[""] * 6]]
    cells[0][0] = "b@example.com"
    assert counts_of(import_file(app, organisation_id, csv_of(cells))) == {"row": 1, "created": 1}
    assert contacts(services, organisation_id)[1][1] == '=1+1 "x"'


def test_a_refused_file_leaves_nothing_behind(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    before = stored_files(services)
    for content in (b"", b"Email,Name\n", b"%PDF-1.7 ..."):
        with pytest.raises(UnreadableFileError):
            upload(app, organisation_id, content)
    assert count_rows(services, "bulk_actions") == 0
    assert stored_files(services) == before


def test_a_file_whose_row_cannot_be_written_is_not_kept(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ConnectionError("The database is away.")

    before = stored_files(services)
    with app.app_context():
        monkeypatch.setattr(db.session, "flush", fail)
    with pytest.raises(ConnectionError):
        upload(app, organisation_id, csv_of([["a@example.com"]]))
    assert stored_files(services) == before


def test_the_character_zero_in_the_header_stops_nothing(app: APIFlask, organisation_id: UUID) -> None:
    rows = [[f"p{n}@example.com", "Ada"] for n in range(20)]
    bulk_action = import_file(app, organisation_id, csv_of(rows, ["Email", "First\x00 name"]))
    assert bulk_action.format["header"] == ["Email", "First name"]
    assert counts_of(bulk_action) == {"row": 20, "created": 20}


def test_a_file_over_the_limit_is_refused_before_its_end_is_read(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    before = stored_files(services)
    blocks = iter([b"Email\n", *[b"a@example.com\n" * 100] * 1_000])
    with app.app_context(), tenant(organisation_id), pytest.raises(UnreadableFileError, match="larger than 2 KB"):
        start_upload(organisation_id, None, "big.csv", blocks, storage=uploads(app), limit_bytes=2 * 1024)
    assert len(list(blocks)) > 900
    assert stored_files(services) == before


def test_the_mapping_of_a_header_is_remembered(app: APIFlask, organisation_id: UUID) -> None:
    header = ["Login", "Nickname"]
    content = csv_of([["a@example.com", "Ada"]], header)
    import_file(app, organisation_id, content, {"0": "email", "1": "first_name"})
    draft = read(app, organisation_id, upload(app, organisation_id, content.upper()))
    assert draft.mapping == {"0": "email", "1": "first_name"}


def test_only_mapped_columns_are_imported(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    content = csv_of([["a@example.com", "Ada", "Byron"]], HEADER[:3])
    import_file(app, organisation_id, content, {"0": "email", "2": "first_name"})
    assert contacts(services, organisation_id)[0][:3] == ("a@example.com", "Byron", None)


def test_the_job_tells_the_same_story(app: APIFlask, organisation_id: UUID) -> None:
    bulk_action = import_file(app, organisation_id, csv_of([["a@example.com"], ["nobody"]]))
    with app.app_context(), tenant(organisation_id):
        assert bulk_action.job_id is not None
        job = get_job(organisation_id, bulk_action.job_id)
        assert job is not None
        assert (job.title, job.state, job.progress_count, job.total_count) == (
            "Import contacts.csv",
            JobState.COMPLETED,
            2,
            2,
        )
        assert job.result is not None
        assert (job.result["created"], job.result["rejected"]) == (1, 1)
        attempts = list_attempts(organisation_id, job.id)
        assert [(attempt.number, attempt.error, attempt.ended_at is None) for attempt in attempts] == [(1, None, False)]


def test_two_organisations_import_the_same_people_apart(
    app: APIFlask, services: Settings, organisation_id: UUID, charlie: Person
) -> None:
    other_id = charlie.organisation_id
    content = csv_of([[f"p{n}@example.com", "Ada"] for n in range(500)])
    start(app, organisation_id, content)
    start(app, other_id, content.replace(b"Ada", b"Bea"))
    work_off(app)
    assert {row[1] for row in contacts(services, organisation_id)} == {"Ada"}
    assert {row[1] for row in contacts(services, other_id)} == {"Bea"}
    assert len(contacts(services, other_id)) == 500


def test_a_large_random_file_arrives_exactly(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    choices = random.Random(5)
    texts = ["", "plain", 'quo"te', "com,ma", "line\nbreak", "\\N", "tab\there", "Zoë", "\u2028", "é" * 50, "=1+1"]
    names, rest = ([choices.choices(texts, k=count) for _ in range(4_000)] for count in (2, 4))
    rows = [[f"p{n}@example.com", *names[n], f"+4930{n:07d}", *rest[n]] for n in range(4_000)]
    bulk_action = import_file(app, organisation_id, csv_of(rows))
    assert counts_of(bulk_action) == {"row": 4_000, "created": 4_000}
    expected = sorted((tuple(cell.strip() or None for cell in row) for row in rows), key=lambda row: str(row[0]))
    assert contacts(services, organisation_id) == expected


def updated_times(settings: Settings) -> list[tuple[object, ...]]:
    with owner_connection(settings) as connection:
        return connection.execute("SELECT id, updated_at FROM contacts ORDER BY id").fetchall()


def stored_files(settings: Settings) -> list[str]:
    folder = settings.data_dir / "uploads"
    return [path.name for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
