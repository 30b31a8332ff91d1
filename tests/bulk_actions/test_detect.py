"""What a look at a file's beginning finds, and how it refuses what is no CSV."""

from __future__ import annotations

import gzip

import pytest

from webapp.bulk_actions.detect import detect
from webapp.bulk_actions.records import UnreadableFileError

PEOPLE = (
    "Email,First name,City\nzoe@example.com,Zoë,Köln\njose@example.com,José,Málaga\nsoren@example.com,Søren,Århus\n"
)


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (PEOPLE.encode(), "utf-8"),
        (PEOPLE.encode("utf-8-sig"), "utf-8"),
        (PEOPLE.encode("cp1252"), "cp1252"),
        (PEOPLE.encode("utf-16"), "utf-16-le"),
        (PEOPLE.encode("utf-16-le"), "utf-16-le"),
        (b"\xfe\xff" + PEOPLE.encode("utf-16-be"), "utf-16-be"),
        (PEOPLE.encode("utf-16-be"), "utf-16-be"),
        (PEOPLE.encode("utf-32"), "utf-32-le"),
        (b"Email,City\na@example.com,London\n", "utf-8"),
        ("Email,City\na@example.com,Москва\nb@example.com,Санкт-Петербург\n".encode("cp1251"), "cp1251"),
        ("Email,City\na@example.com,東京都\nb@example.com,大阪市北区\n".encode("shift_jis"), "shift_jis"),
    ],
)
def test_the_encoding_is_found(content: bytes, encoding: str) -> None:
    detected = detect(content, is_whole=True)
    assert detected.format.encoding == encoding
    assert detected.format.header[0] == "Email"
    assert "\ufeff" not in "".join(detected.format.header)


def test_cells_are_read_in_the_encoding_that_was_found() -> None:
    for encoding in ("utf-8", "cp1252", "utf-16", "utf-16-be"):
        assert detect(PEOPLE.encode(encoding), is_whole=True).rows[0] == ["zoe@example.com", "Zoë", "Köln"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_with_the_steadiest_width(delimiter: str) -> None:
    rows = [["Email", "Company"], ["a@example.com", "Rope, Sons; and | others\t"], ["b@example.com", "Café, Bar"]]
    content = "".join(delimiter.join(f'"{cell}"' for cell in row) + "\n" for row in rows)
    detected = detect(content.encode(), is_whole=True)
    assert detected.format.delimiter == delimiter
    assert detected.format.column_count == 2


def test_decimal_commas_do_not_hide_a_semicolon() -> None:
    content = "Email;Umsatz\na@example.com;1,5\nb@example.com;22,75\nc@example.com;3\n"
    assert detect(content.encode(), is_whole=True).format.delimiter == ";"


def test_one_column_needs_no_delimiter() -> None:
    detected = detect(b"Email\na@example.com\nb@example.com\n", is_whole=True)
    assert (detected.format.column_count, detected.format.has_header) == (1, True)


def test_a_file_without_a_header_is_seen_by_its_first_address() -> None:
    detected = detect(b"a@example.com,Ada\nb@example.com,Bea\n", is_whole=True)
    assert not detected.format.has_header
    assert detected.format.header == ["Column 1", "Column 2"]
    assert detected.rows[0] == ["a@example.com", "Ada"]


def test_a_column_without_a_name_is_called_by_its_place() -> None:
    assert detect(b"Email,,City\na@example.com,x,y\n", is_whole=True).format.header == ["Email", "Column 2", "City"]


def test_the_character_zero_is_left_out_of_a_columns_name() -> None:
    content = b"Ema\x00il,\x00,City\n" + b"a@example.com,x,y\n" * 20
    assert detect(content, is_whole=True).format.header == ["Email", "Column 2", "City"]


@pytest.mark.parametrize("first", ["[Email],[City]", "{Email},{City}", '"{Email}","[""City""]"'])
def test_brackets_around_names_are_no_json(first: str) -> None:
    assert detect(f"{first}\na@example.com,x\n".encode(), is_whole=True).format.has_header


def test_a_sample_that_is_cut_in_a_character_and_a_row_is_read_up_to_there() -> None:
    content = (PEOPLE * 50).encode()[: len((PEOPLE * 49).encode()) - 15]
    assert all(len(row) == 3 for row in detect(content, is_whole=False).rows)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The file is empty"),
        (b"\n\n  \n", "The file is empty"),
        (b"\xef\xbb\xbf", "The file is empty"),
        (b"Email,Name\n", "a header and no rows"),
        (b"Email,Name\n,\n\n", "a header and no rows"),
        (b'Email,"Name\na@example.com,Ada\n', "never closed"),
        (b"PK\x03\x04 and more", "an Excel or OpenDocument file"),
        (b"\xd0\xcf\x11\xe0 and more", "an old Excel file"),
        (b"%PDF-1.7", "a PDF"),
        (gzip.compress(b"Email\na@example.com\n", mtime=0), "compressed"),
        (bytes(range(256)) * 8, "bytes that are not text"),
        (b'{"email": "a@example.com"}', "a JSON file"),
        (b'{ "email": "a@example.com"}', "a JSON file"),
        (b'\xef\xbb\xbf \n{\n\t"email": "a@example.com"\n}\n', "a JSON file"),
        (b'[\r\n  {"email": "a@example.com"}\r\n]', "a JSON file"),
        (b'{"email": "a@example.com"}\n{"email": "b@example.com"}\n', "a JSON file"),
        (b"{}", "a JSON file"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"Email," + b"x," * 1_200 + b"\na@example.com\n", "at most 1,000 are read"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_the_reason(content: bytes, words: str) -> None:
    with pytest.raises(UnreadableFileError, match=words):
        detect(content, is_whole=True)
