"""Workbooks and wide files, from the store into the copy that is cut into chunks."""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import pytest

from tests.bulk_actions.workbooks import open_document, rewritten, workbook_of
from webapp.bulk_actions import sheets, sources, workbooks, xlsx
from webapp.bulk_actions.copies import convert
from webapp.bulk_actions.detect import Detected, FileFormat
from webapp.bulk_actions.files import file_key
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.sources import look_again, look_at, source_of
from webapp.contacts.models import CONTACTS
from webapp.lib.storage import Storage, storage_at

Rows = list[list[Any]]
PEOPLE = [["Email", "Name"], ["a@example.com", "Ada"], ["b@example.com", "Bea"]]


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return storage_at(f"file://{tmp_path}/store")


def draft(storage: Storage, content: bytes) -> BulkAction:
    organisation_id, bulk_action_id = uuid4(), uuid4()
    key = file_key(organisation_id, bulk_action_id)
    storage.write(key, [content])
    return BulkAction(
        organisation_id=organisation_id,
        id=bulk_action_id,
        entity=CONTACTS.name,
        file_name="people",
        file_key=key,
        file_byte_count=len(content),
    )


def look(bulk_action: BulkAction, storage: Storage) -> Detected:
    detected = look_at(bulk_action, storage, is_utf8=True, odd_sample=b"")
    bulk_action.format = detected.format.as_json()
    return detected


def converted(storage: Storage, content: bytes, **changes: Any) -> list[list[str]]:
    """Every record of the copy, those before the table too."""
    bulk_action = draft(storage, content)
    found = look(bulk_action, storage).format
    bulk_action.format = replace(found, **changes).as_json()
    convert(storage, bulk_action)
    source = source_of(bulk_action)
    text = b"".join(storage.stream(source.key)).decode(source.encoding)
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=found.delimiter))


# Workbooks ----------------------------------------------------------------------------------------


def test_a_workbook_is_read_as_a_csv_is(storage: Storage) -> None:
    bulk_action = draft(storage, workbook_of({"People": PEOPLE}))
    detected = look(bulk_action, storage)
    assert detected.format == FileFormat(
        "utf-8", ",", True, ["Email", "Name"], kind="workbook", sheet="People", sheets=["People"]
    )
    assert detected.rows == PEOPLE[1:]
    convert(storage, bulk_action)
    assert b"".join(storage.stream(source_of(bulk_action).key)) == (
        b"Email,Name\r\na@example.com,Ada\r\nb@example.com,Bea\r\n"
    )


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ('  Zoë, “the” "one"\r\nof\rtwo\n ', '  Zoë, “the” "one"\r\nof\rtwo\n '),
        ('<c t="s"><v>0</v></c> & </row>', '<c t="s"><v>0</v></c> & </row>'),
        (12, "12"),
        (-7.0, "-7"),
        (1.5, "1.5"),
        (0.1 + 0.2, "0.3"),
        (4006381333931, "4006381333931"),
        (12345678901234567890, "12345678901234600000"),
        (1e300, "1e+300"),
        (True, "true"),
        (False, "false"),
        (date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 2, 29, 13, 14, 15), "2024-02-29T13:14:15"),  # noqa: DTZ001  (spreadsheets know no zones)
        (time(9, 30), "09:30:00"),
        (timedelta(hours=36, minutes=30), "PT36H30M0S"),
        ("=#N/A", "#N/A"),
        ("=#DIV/0!", "#DIV/0!"),
    ],
)
def test_a_cell_becomes_text_that_means_the_same(storage: Storage, cell: Any, text: str) -> None:
    assert converted(storage, workbook_of({"A": [["Email", "Cell"], ["a@example.com", cell]]}))[1][1] == text


def test_texts_inside_the_sheet_are_read_like_shared_ones(storage: Storage) -> None:
    rows: Rows = [["Email", "Name"], *([f"p{n}@example.com", f" <{n}> "] for n in range(50))]
    inside = workbook_of({"A": rows}, constant_memory=True, in_memory=False)
    assert converted(storage, inside) == converted(storage, workbook_of({"A": rows})) == rows


def test_people_find_a_row_by_the_number_that_their_spreadsheet_shows(storage: Storage) -> None:
    rows: Rows = [
        [],
        [],
        [None, None],
        ["Email", "Name"],
        ["a@example.com", "Ada"],
        [],
        ["", None],
        ["b@example.com", "Bea"],
    ]
    bulk_action = draft(storage, workbook_of({"A": rows}))
    found = look(bulk_action, storage).format
    assert (found.header, found.leading_row_count) == (["Email", "Name"], 3)
    records = converted(storage, workbook_of({"A": rows}))
    assert records == [[], [], [], ["Email", "Name"], ["a@example.com", "Ada"], [], [], ["b@example.com", "Bea"]]
    convert(storage, bulk_action)
    source = source_of(bulk_action)
    assert storage.read(source.key, source.start, source.start + 10) == b"Email,Name"


def test_rows_are_filled_up_to_the_width_of_the_table_and_longer_ones_stay_longer(storage: Storage) -> None:
    rows: Rows = [
        ["Email", "Name", "City"],
        ["a@example.com"],
        *[["b@example.com", None, "Rome"]] * 300,
        ["", "", "", "x"],
    ]
    records = converted(storage, workbook_of({"A": rows}))
    assert records[1] == ["a@example.com", "", ""]
    assert records[2] == ["b@example.com", "", "Rome"]
    assert records[-1] == ["", "", "", "x"]


def test_columns_keep_their_places_when_the_first_is_empty(storage: Storage) -> None:
    rows: Rows = [[None, "Email"], [None, "a@example.com"]]
    detected = look(draft(storage, workbook_of({"A": rows})), storage)
    assert (detected.format.header, detected.rows) == (["Column 1", "Email"], [["", "a@example.com"]])


def test_the_first_sheet_that_people_see_with_rows_is_chosen_and_hidden_ones_come_last(storage: Storage) -> None:
    content = workbook_of({"Secret": PEOPLE, "Empty": [], "Übersicht": PEOPLE, "More": PEOPLE}, hidden=["Secret"])
    found = look(draft(storage, content), storage).format
    assert (found.sheet, found.sheets) == ("Übersicht", ["Empty", "Übersicht", "More", "Secret"])


def test_another_sheet_may_be_chosen_and_is_what_goes_in(storage: Storage) -> None:
    content = workbook_of({"A": PEOPLE, "B & <C>": [["c@example.com", "Cleo"]], "Empty": []})
    bulk_action = draft(storage, content)
    found = look(bulk_action, storage).format
    for _ in range(2):
        detected = look_again(bulk_action, storage, replace(found, sheet="B & <C>"), has_header=None)
        assert (detected.format.sheet, detected.format.has_header) == ("B & <C>", False)
        assert look_again(bulk_action, storage, found, has_header=True).rows == PEOPLE[1:]
    bulk_action.format = detected.format.as_json()
    convert(storage, bulk_action)
    assert b"".join(storage.stream(source_of(bulk_action).key)) == b"c@example.com,Cleo\r\n"
    with pytest.raises(UnreadableFileError, match=r"^The sheet “Empty” is empty\."):
        look_again(bulk_action, storage, replace(found, sheet="Empty"), has_header=None)


def test_looking_again_asks_the_workbook_only_once(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    bulk_action = draft(storage, workbook_of({"A": PEOPLE}))
    found = look(bulk_action, storage).format
    monkeypatch.setattr(sources, "head_of", lambda *_: pytest.fail("It was asked again."))
    assert look_again(bulk_action, storage, found, has_header=False).rows == PEOPLE


def test_any_size_of_the_pieces_gives_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = random.Random(4)
    cells = ["Ada", "", None, 1, 2.5, True, "=#N/A", "x" * 300, 'a "b" </row> &lt;', date(2020, 1, 1), "Zoë"]
    rows: Rows = [choices.choices(cells, k=choices.randint(0, 6)) for _ in range(200)]
    path = tmp_path / "people.xlsx"
    path.write_bytes(workbook_of({"A": rows}))
    whole = list(sheets.filled_rows(str(path), "A"))
    assert len(whole) > 150
    for size in (1, 50, 700, 5_000):
        monkeypatch.setattr(xlsx, "FIRST_BLOCK_BYTES", 700)
        monkeypatch.setattr(xlsx, "BLOCK_BYTES", size)
        assert list(sheets.filled_rows(str(path), "A")) == whole


@pytest.mark.parametrize("size", [60, 10_000])
def test_other_writers_number_no_rows_or_put_a_prefix_before_every_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    content = workbook_of({"A": PEOPLE * 40})

    def without_numbers(name: str, part: bytes) -> bytes:
        return re.sub(rb' r="[A-Z]*\d+"', b"", part) if "sheet1" in name else part

    def with_prefix(name: str, part: bytes) -> bytes:
        if "sheet1" not in name:
            return part
        part = re.sub(rb"<(/?)(\w)", rb"<\1x:\2", part)
        return part.replace(b'xmlns="', b'xmlns:x="')

    monkeypatch.setattr(xlsx, "FIRST_BLOCK_BYTES", 700)
    monkeypatch.setattr(xlsx, "BLOCK_BYTES", size)
    path = tmp_path / "people.xlsx"
    for change in (without_numbers, with_prefix):
        path.write_bytes(rewritten(content, change))
        assert list(sheets.filled_rows(str(path), "A")) == list(enumerate(PEOPLE * 40))


@pytest.mark.parametrize("block_bytes", [1_000, 4_000_000])
def test_shared_texts_may_be_rich_empty_or_far_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    """Texts of several formats, none at all, and readings above Japanese characters, which are no text of the cell."""
    texts = b"".join(b"<si><t>%d</t></si>" % number for number in range(1_000))
    texts += b"<si><r><t>A</t></r><r><rPr/><t xml:space='preserve'>da </t></r></si><si/>"
    texts += "<si><t>東京</t><rPh sb='0' eb='2'><t>とうきょう</t></rPh></si>".encode()
    cells = "".join(
        f'<c r="{name}1" t="s"><v>{index}</v></c>' for name, index in zip("ABCD", (1000, 1001, 1002, 7), strict=True)
    )

    def change(name: str, part: bytes) -> bytes:
        if name.endswith("sharedStrings.xml"):
            return b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">' + texts + b"</sst>"
        return re.sub(rb"(<row[^>]*>).*</row>", rb"\1" + cells.encode() + b"</row>", part) if "sheet1" in name else part

    monkeypatch.setattr(xlsx, "BLOCK_BYTES", block_bytes)
    path = tmp_path / "people.xlsx"
    path.write_bytes(rewritten(workbook_of({"A": [["x"]]}), change))
    assert list(sheets.filled_rows(str(path), "A")) == [(0, ["Ada ", "", "東京", "7"])]


def test_an_open_document_is_read_too(storage: Storage) -> None:
    assert converted(storage, open_document(PEOPLE)) == PEOPLE


def zip_of(**parts: str) -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def with_cells(xml: str) -> bytes:
    """A workbook whose rows are this XML."""
    rows = re.compile(rb"<sheetData>.*</sheetData>")
    return rewritten(
        workbook_of({"A": PEOPLE}),
        lambda name, part: (
            rows.sub(b"<sheetData>" + xml.encode() + b"</sheetData>", part) if "sheet1" in name else part
        ),
    )


def bomb() -> bytes:
    """A workbook that says of one part that it is larger than all that may be unpacked."""
    parts = re.split(rb"(?=PK\x01\x02)", workbook_of({"A": PEOPLE}))  # what stands before the directory, its entries
    size = (0xFFFFFFFE).to_bytes(4, "little")
    return parts[0] + b"".join(entry[:24] + size + entry[28:] for entry in parts[1:])


def without(part: str) -> bytes:
    return rewritten(workbook_of({"A": PEOPLE}), lambda name, content: None if part in name else content)


def broken(part: str) -> bytes:
    """A workbook with half of one part."""
    half = lambda name, content: content[: len(content) // 2] if part in name else content  # noqa: E731
    return rewritten(workbook_of({"A": PEOPLE}), half)


UNREADABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "no rows at all": (lambda: workbook_of({"A": [], "B": []}), "No sheet of this workbook has any rows"),
    "only a header": (lambda: workbook_of({"A": [["Email"]]}), "a header and no rows"),
    "another zip": (lambda: zip_of(letter="Dear Ada"), "no rows can be read from it"),
    "the beginning of a zip": (lambda: b"PK\x03\x04 and more", "no rows can be read from it"),
    "cut off": (lambda: workbook_of({"A": PEOPLE})[:-200], "no rows can be read from it"),
    "no sheet": (lambda: without("sheet1"), "no rows can be read from it"),
    "no texts": (lambda: without("sharedStrings"), "no rows can be read from it"),
    "a broken sheet": (lambda: broken("sheet1"), "no rows can be read from it"),
    "a broken list of sheets": (lambda: broken("xl/workbook.xml"), "no rows can be read from it"),
    "an old container": (lambda: b"\xd0\xcf\x11\xe0" + bytes(2_000), "no rows can be read from it"),
    "a password": (
        lambda: b"\xd0\xcf\x11\xe0" + bytes(999) + "EncryptedPackage".encode("utf-16-le"),
        "protected by a password",
    ),
    "a part of gigabytes": (bomb, "unpacks to more than can be read"),
    "a row that no spreadsheet has": (
        lambda: with_cells('<row r="9000000"><c r="A9000000"><v>1</v></c></row>'),
        "unpacks to more than can be read",
    ),
    "two cells far apart": (
        lambda: with_cells('<row r="1"><c r="A1"><v>1</v></c></row><row r="90000"><c r="XFD90000"><v>1</v></c></row>'),
        "unpacks to more than can be read",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_as_a_workbook_is_refused_with_the_reason(storage: Storage, name: str) -> None:
    make, words = UNREADABLE[name]
    with pytest.raises(UnreadableFileError, match=words):
        look(draft(storage, make()), storage)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGXCPU)", "unpacks to more than can be read"),
        ("os.abort()", "unpacks to more than can be read"),
        ("raise RuntimeError", "no rows can be read from it"),
    ],
)
def test_a_process_that_ends_before_its_time_takes_nobody_with_it(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, words: str
) -> None:
    bulk_action = draft(storage, workbook_of({"A": PEOPLE}))
    look(bulk_action, storage)
    package = tmp_path / "webapp" / "bulk_actions"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    (package / "sheets.py").write_text(f"import os, signal\nprint('Email,Name', flush=True)\n{end}\n")
    monkeypatch.setattr(workbooks, "ROOT", tmp_path)
    with pytest.raises(UnreadableFileError, match=words):
        convert(storage, bulk_action)
    assert not [path for path in tmp_path.rglob("*.copies/*") if path.is_file()]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_machine_that_shuts_down_says_nothing_of_the_workbook(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bulk_action = draft(storage, workbook_of({"A": PEOPLE}))
    look(bulk_action, storage)
    package = tmp_path / "webapp" / "bulk_actions"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    end = f"signal.signal(signal.{name}, signal.SIG_DFL)\nos.kill(os.getpid(), signal.{name})"
    (package / "sheets.py").write_text(f"import os, signal\n{end}\n")
    monkeypatch.setattr(workbooks, "ROOT", tmp_path)
    with pytest.raises(ChildProcessError):
        convert(storage, bulk_action)


def test_a_workbook_that_breaks_off_behind_its_first_rows_ends_in_a_reason_and_leaves_no_copy(
    storage: Storage, tmp_path: Path
) -> None:
    rows: Rows = [["Email", "Name"], *([f"p{n}@example.com", "x" * 500] for n in range(2_000))]
    content = workbook_of({"A": rows}, constant_memory=True, in_memory=False)
    broken = rewritten(content, lambda name, part: part[:900_000] if "sheet1" in name else part)
    bulk_action = draft(storage, broken)
    look(bulk_action, storage)
    with pytest.raises(UnreadableFileError, match="no rows can be read from it"):
        convert(storage, bulk_action)
    assert not [path for path in tmp_path.rglob("*.copies/*") if path.is_file()]


# Files of wide characters -------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_blank_rows_before_a_table_of_wide_characters_are_left_out_of_the_copy(storage: Storage, encoding: str) -> None:
    bulk_action = draft(storage, "\r\n,,\r\nEmail,Name\r\na@example.com,Zoë\r\n".encode(encoding))
    assert look(bulk_action, storage).format.leading_row_count == 2
    convert(storage, bulk_action)
    source = source_of(bulk_action)
    content = b"".join(storage.stream(source.key, source.start))
    assert content == "Email,Name\r\na@example.com,Zoë\r\n".encode()
