"""A form's file is read as it arrives, and whatever is wrong with the form is said."""

from __future__ import annotations

import io

import pytest

from webapp.lib.multipart import MAX_FIELDS_BYTES, MultipartError, read_file

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
