"""A form's file is read as it arrives, and whatever is wrong with the form is said."""

from __future__ import annotations

import io
from typing import IO, cast

import pytest
from werkzeug.wsgi import LimitedStream

from webapp.lib.multipart import MAX_FIELDS_BYTES, BodyTooLargeError, MultipartError, plain_name, read_file

TYPE = "multipart/form-data; boundary=cut"


def field(name: str, value: str) -> bytes:
    return f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def file_part(content: bytes, file_name: str = "people.csv", name: str = "file") -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"; filename="{file_name}"'
    return f"--cut\r\n{disposition}\r\nContent-Type: text/csv\r\n\r\n".encode() + content + b"\r\n"


END = b"--cut--\r\n"


def test_a_file_comes_out_as_it_was_with_the_fields_before_it() -> None:
    content = bytes(range(256)) * 4000 + b"\r\n--cu\r\n"
    upload = read_file(io.BytesIO(field("entity", "contacts") + file_part(content) + END), TYPE)
    assert (upload.name, upload.fields) == ("people.csv", {"entity": "contacts"})
    assert b"".join(upload.blocks) == content


def test_nothing_of_the_file_is_read_before_it_is_asked_for() -> None:
    stream = io.BytesIO(file_part(b"x" * 5_000_000) + END)
    read_file(stream, TYPE)
    assert stream.tell() < 1_000_000


def test_an_empty_file_has_no_bytes() -> None:
    assert b"".join(read_file(io.BytesIO(file_part(b"") + END), TYPE).blocks) == b""


def test_a_path_in_the_file_name_is_cut_off() -> None:
    upload = read_file(io.BytesIO(file_part(b"a", "C:/Users/alice/people.csv") + END), TYPE)
    assert upload.name == "people.csv"


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("a%0D%0AX-Evil%3A1.csv", "aX-Evil:1.csv"),
        ("a%00b%09c%1B%7F%C2%85d.csv", "abcd.csv"),
        ("%E2%80%A8Zo%C3%AB%20%E2%82%AC.csv", "Zoë €.csv"),
        ("%0D%0A", ""),
    ],
)
def test_a_file_name_is_one_line_without_control_characters(sent: str, name: str) -> None:
    disposition = f"Content-Disposition: form-data; name=\"file\"; filename*=utf-8''{sent}"
    upload = read_file(io.BytesIO(f"--cut\r\n{disposition}\r\n\r\na".encode() + b"\r\n" + END), TYPE)
    assert upload.name == name


def test_half_a_letter_is_no_part_of_a_name() -> None:
    assert plain_name("a\ud83d\u2029 \U0001f600.csv ") == "a \U0001f600.csv"


def test_a_body_over_the_apps_limit_is_called_too_large_and_nothing_else() -> None:
    body = io.BytesIO(file_part(b"x" * 100_000) + END)
    stream = cast("IO[bytes]", LimitedStream(body, 50_000, is_max=True))
    with pytest.raises(BodyTooLargeError, match="larger than what is accepted"):
        b"".join(read_file(stream, TYPE).blocks)


def test_fields_after_the_file_are_left_out() -> None:
    upload = read_file(io.BytesIO(file_part(b"a,b") + field("late", "1") + END), TYPE)
    assert b"".join(upload.blocks) == b"a,b"
    assert upload.fields == {}


def test_an_upload_that_breaks_off_is_an_error_and_not_a_short_file() -> None:
    upload = read_file(io.BytesIO(file_part(b"x" * 100_000)[:50_000]), TYPE)
    with pytest.raises(MultipartError, match="broke off"):
        b"".join(upload.blocks)


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"a,b", "text/csv", "multipart/form-data"),
        (b"", TYPE, "broke off"),
        (b"nonsense", TYPE, "broke off"),
        (field("entity", "contacts") + END, TYPE, "no file"),
        (b"--cut\r\nContent-Type: text/csv\r\n\r\nx\r\n" + END, TYPE, "broke off"),
        (field("entity", "x" * (MAX_FIELDS_BYTES + 1)) + END, TYPE, "too long"),
        (field("entity", "x") * 30 + END, TYPE, "parts"),
    ],
)
def test_what_is_no_form_with_a_file_is_refused(body: bytes, content_type: str, words: str) -> None:
    with pytest.raises(MultipartError, match=words):
        read_file(io.BytesIO(body), content_type)
