"""What a look at a file's beginning finds, and how it refuses what is no CSV."""

from __future__ import annotations

import gzip

import pytest

from webapp.bulk_actions.detect import Detected, detect, detect_as
from webapp.bulk_actions.records import UnreadableFileError
from webapp.contacts.models import CONTACTS

PEOPLE = (
    "Email,First name,City\nzoe@example.com,Zoë,Köln\njose@example.com,José,Málaga\nsoren@example.com,Søren,Århus\n"
)


def look(content: bytes, *, is_whole: bool = True) -> Detected:
    return detect(content, CONTACTS, is_whole=is_whole)


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
        ("Email,Город\nМария Ивановна,Санкт-Петербург\n".encode("utf-16-le"), "utf-16-le"),
        ("Email,City\na@example.com,Αθήνα\n".encode("utf-16-be"), "utf-16-be"),
        (PEOPLE.encode("utf-32"), "utf-32-le"),
        (PEOPLE.encode("latin-1"), "cp1252"),
        (PEOPLE.encode("mac_roman"), "mac_roman"),
        (b"Email,City\na@example.com,London\n", "utf-8"),
        ("Email,City\na@example.com,Москва\nb@example.com,Санкт-Петербург\n".encode("cp1251"), "cp1251"),
        ("Email,City\na@example.com,東京都\nb@example.com,大阪市北区\n".encode("shift_jis"), "shift_jis"),
    ],
)
def test_the_encoding_is_found(content: bytes, encoding: str) -> None:
    detected = look(content)
    assert detected.format.encoding == encoding
    assert detected.format.header[0] == "Email"
    assert "\ufeff" not in "".join(detected.format.header)


def test_cells_are_read_in_the_encoding_that_was_found() -> None:
    for encoding in ("utf-8", "cp1252", "utf-16", "utf-16-be"):
        assert look(PEOPLE.encode(encoding)).rows[0] == ["zoe@example.com", "Zoë", "Köln"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_with_the_steadiest_width(delimiter: str) -> None:
    rows = [["Email", "Company"], ["a@example.com", "Rope, Sons; and | others\t"], ["b@example.com", "Café, Bar"]]
    content = "".join(delimiter.join(f'"{cell}"' for cell in row) + "\n" for row in rows)
    detected = look(content.encode())
    assert detected.format.delimiter == delimiter
    assert detected.format.column_count == 2


def test_decimal_commas_do_not_hide_a_semicolon() -> None:
    content = "Email;Umsatz\na@example.com;1,5\nb@example.com;22,75\nc@example.com;3\n"
    assert look(content.encode()).format.delimiter == ";"


def test_one_column_needs_no_delimiter() -> None:
    detected = look(b"Email\na@example.com\nb@example.com\n")
    assert (detected.format.column_count, detected.format.has_header) == (1, True)


def test_a_file_without_a_header_is_seen_by_its_first_address() -> None:
    detected = look(b"a@example.com,Ada\nb@example.com,Bea\n")
    assert not detected.format.has_header
    assert detected.format.header == ["Column 1", "Column 2"]
    assert detected.rows[0] == ["a@example.com", "Ada"]


def test_a_column_without_a_name_is_called_by_its_place() -> None:
    assert look(b"Email,,City\na@example.com,x,y\n").format.header == ["Email", "Column 2", "City"]


def test_the_character_zero_is_left_out_of_a_columns_name() -> None:
    content = b"Ema\x00il,\x00,City\n" + b"a@example.com,x,y\n" * 20
    assert look(content).format.header == ["Email", "Column 2", "City"]


@pytest.mark.parametrize(
    ("first", "names"),
    [
        ("Email,Email,Name", ["Email", "Email (2)", "Name"]),
        ("Email,Email (2),Email", ["Email", "Email (2)", "Email (3)"]),
        ("Email,,", ["Email", "Column 2", "Column 3"]),
        ("Email,Column 3,", ["Email", "Column 3", "Column 3 (2)"]),
        ("Email, Name ,\t", ["Email", "Name", "Column 3"]),
    ],
)
def test_every_column_has_a_name_of_its_own(first: str, names: list[str]) -> None:
    assert look(f"{first}\na@example.com,Ada,London\n".encode()).format.header == names


def test_a_name_of_pages_is_cut() -> None:
    assert look(b"Email," + b"x" * 5_000 + b"\na@example.com,Ada\n").format.header[1] == "x" * 200


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("Email,Name\na@example.com,Ada,London\nb@example.com,Bea,Paris\n", ["Email", "Name", "Column 3"]),
        ("Email,Name\na@example.com,Ada\nb@example.com,Bea,Paris\nc@example.com,Cleo\n", ["Email", "Name"]),
        ("Email,Name,,\na@example.com,Ada\nb@example.com,Bea\n", ["Email", "Name"]),
        ("Email,Name,City\na@example.com,Ada\nb@example.com,Bea\n", ["Email", "Name", "City"]),
        ("a@example.com\nb@example.com,Bea\nc@example.com,Cleo\n", ["Column 1", "Column 2"]),
    ],
)
def test_a_file_is_as_wide_as_its_header_says_unless_most_rows_say_otherwise(content: str, names: list[str]) -> None:
    assert look(content.encode()).format.header == names


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
@pytest.mark.parametrize(
    ("leading", "row_count"), [("", 0), ("\n", 1), ("\r\n \r\n", 2), (",,\n,,\r", 2), ("\r\r", 2), (" , \n", 1)]
)
def test_blank_rows_before_the_table_are_counted_and_passed_over(leading: str, row_count: int, encoding: str) -> None:
    content = (leading + PEOPLE).encode(encoding)
    found = look(content).format
    start = found.byte_order_mark + found.leading_byte_count
    assert found.leading_row_count == row_count
    assert content[start:].decode(found.encoding) == PEOPLE
    assert found.header == ["Email", "First name", "City"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_rows_shown_have_the_numbers_that_they_have_in_the_file(encoding: str) -> None:
    detected = look("\n,\nEmail,Name\na@example.com,Ada\n\n , \nb@example.com,Bea\n".encode(encoding))
    assert detected.row_numbers == [4, 7]
    assert look("a@example.com\n\nb@example.com\n".encode(encoding)).row_numbers == [1, 3]


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_any_kind_of_line_break_ends_a_row_and_may_stand_in_quotes(line_break: str) -> None:
    rows = ['Email,"Home\u2028\naddress"', 'a@example.com,"1 High Street\r\nLondon"', "b@example.com,x\x85y"]
    detected = look(line_break.join(rows).encode())
    assert detected.format.header == ["Email", "Home\u2028\naddress"]
    assert detected.rows == [["a@example.com", "1 High Street\r\nLondon"], ["b@example.com", "x\x85y"]]


def test_a_person_may_know_better() -> None:
    content = "Name;E-mail\nZoë;zoe@example.com\n".encode("latin-1")
    found = detect_as(content, CONTACTS, "latin-1", is_whole=True, delimiter=",", has_header=False)
    assert (found.format.encoding, found.format.delimiter, found.format.has_header) == ("latin-1", ",", False)
    assert found.rows == [["Name;E-mail"], ["Zoë;zoe@example.com"]]


@pytest.mark.parametrize("first", ["[Email],[City]", "{Email},{City}", '"{Email}","[""City""]"'])
def test_brackets_around_names_are_no_json(first: str) -> None:
    assert look(f"{first}\na@example.com,x\n".encode()).format.has_header


def test_a_sample_that_is_cut_in_a_character_and_a_row_is_read_up_to_there() -> None:
    content = (PEOPLE * 50).encode()[: len((PEOPLE * 49).encode()) - 15]
    assert all(len(row) == 3 for row in look(content, is_whole=False).rows)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The file is empty"),
        (b"\n\n  \n", "The file is empty"),
        (b"\xef\xbb\xbf", "The file is empty"),
        (b"Email,Name\n", "a header and no rows"),
        (b"Email,Name\n,\n\n", "a header and no rows"),
        (b'Email,"Name\na@example.com,Ada\n', "never closed"),
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
        look(content)
