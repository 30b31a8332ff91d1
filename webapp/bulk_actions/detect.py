"""Looking at the beginning of a file: its encoding, delimiter, header and first rows, or why it is no CSV."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from charset_normalizer import from_bytes

from webapp.bulk_actions.mapping import field_for
from webapp.bulk_actions.records import UnreadableFileError
from webapp.contacts.fields import is_email

SAMPLE_BYTES = 256 * 1024
PREVIEW_ROWS = 10
SCORED_ROWS = 200
MAX_COLUMNS = 1_000
DELIMITERS = (",", ";", "\t", "|")
ENCODING_SAMPLE_BYTES = 64 * 1024
MAX_CONTROL_SHARE = 0.02
SINGLE_BYTE_ENCODINGS = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r", "mac_roman")
LATIN_ENCODINGS = ("cp1252", "cp1250", "cp1254", "mac_roman")
OTHER_ALPHABETS = ("cp1251", "koi8_r", "cp1253", "shift_jis", "gb18030", "big5", "euc_kr")
WIDE_ENCODINGS = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "shift_jis", "gb18030", "big5", "euc_kr")
ENCODINGS = ("utf-8", *SINGLE_BYTE_ENCODINGS, *WIDE_ENCODINGS)
BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

ENDLESS_ROW = (
    'The first row does not end. Most likely it opens a quote (") that is never closed: close it, and drop the file '
    "again."
)
SAVE_AS_CSV = "Open it in a spreadsheet, choose “Save as” or “Download”, and save it as CSV (UTF-8)."
SIGNATURES = (
    (b"PK\x03\x04", "an Excel or OpenDocument file (or a zip archive)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a compressed file (gzip)"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"SQLite format 3", "a database file"),
)
MARKUP = (
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML file"),
)
MARKUP_BYTES = 1024
# An object opens with a name or is empty; an array that is no row of a CSV opens with another, an object or a text.
JSON_START = re.compile(rb'\{\s*["}]|\[\s*[{\["\]]')


@dataclass(frozen=True)
class FileFormat:
    """How to read the file."""

    encoding: str
    delimiter: str
    has_header: bool
    header: list[str]
    byte_order_mark: int = 0
    """Length of the mark at the beginning, which belongs to no cell."""

    @property
    def column_count(self) -> int:
        return len(self.header)

    @property
    def is_wide(self) -> bool:
        """Whether a byte of it may look like a comma or a quote without being one."""
        return self.encoding in WIDE_ENCODINGS

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Detected:
    """The format and the first rows of data, as the mapping page shows them."""

    format: FileFormat
    rows: list[list[str]]


def detect(sample: bytes, *, is_whole: bool, is_utf8: bool | None = None, odd_sample: bytes = b"") -> Detected:
    """Look at the file's first bytes; raises UnreadableFileError.

    `is_utf8` is what a look at the whole file found, and `odd_sample` some bytes from where it was not.
    """
    refuse_other_formats(sample)
    encoding = find_encoding(sample, is_whole=is_whole, is_utf8=is_utf8, odd_sample=odd_sample)
    return detect_as(sample, encoding, is_whole=is_whole)


def detect_as(
    sample: bytes, encoding: str, *, is_whole: bool, delimiter: str | None = None, has_header: bool | None = None
) -> Detected:
    """As `detect`, with what a person already decided."""
    mark = mark_length(sample, encoding)
    text = decode_sample(sample[mark:], encoding, is_whole=is_whole)
    if not text.strip("\ufeff\x00 \t\r\n,;|"):
        raise UnreadableFileError("The file is empty. Choose a CSV file with a header and at least one row.")
    delimiter = delimiter or find_delimiter(text, is_whole=is_whole)
    rows = sample_rows(text, delimiter, SCORED_ROWS, is_whole=is_whole)
    if not rows:
        raise UnreadableFileError(ENDLESS_ROW)
    has_header = looks_like_header(rows) if has_header is None else has_header
    header = name_columns(rows[0], has_header=has_header)
    data = [row for row in rows[1 if has_header else 0 :] if any(cell.strip() for cell in row)]
    _refuse_unusable(header, data, is_whole=is_whole)
    return Detected(FileFormat(encoding, delimiter, has_header, header, mark), data)


def refuse_other_formats(sample: bytes) -> None:
    """Raise for what is plainly something else."""
    if not sample:
        raise UnreadableFileError("The file is empty. Choose a CSV file with a header and at least one row.")
    for signature, name in SIGNATURES:
        if sample.startswith(signature):
            raise UnreadableFileError(f"This is {name}, not a CSV. {SAVE_AS_CSV}")
    start = sample[:MARKUP_BYTES].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    for signature, name in MARKUP:
        if start.startswith(signature):
            raise UnreadableFileError(f"This is {name}, not a CSV. {SAVE_AS_CSV}")
    if JSON_START.match(start):
        raise UnreadableFileError(f"This is a JSON file, not a CSV. {SAVE_AS_CSV}")


def find_encoding(sample: bytes, *, is_whole: bool, is_utf8: bool | None = None, odd_sample: bytes = b"") -> str:
    """The file's encoding: its mark, then UTF-8, then UTF-16 by its zero bytes, then the likeliest."""
    for mark, encoding in BOMS:
        if sample.startswith(mark):
            return encoding
    wide = _utf16_without_mark(sample)
    if wide:
        return wide
    _refuse_binary(sample)
    if is_utf8 or (is_utf8 is None and _is_utf8(sample, is_whole=is_whole)):
        return "utf-8"
    return _guess_encoding(odd_sample or sample)


def mark_length(sample: bytes, encoding: str) -> int:
    """Length of the byte order mark."""
    return next((len(mark) for mark, name in BOMS if name == encoding and sample.startswith(mark)), 0)


def decode_sample(sample: bytes, encoding: str, *, is_whole: bool) -> str:
    """The sample as text; what cannot be read shows as U+FFFD, and a character cut at the end is left out."""
    return codecs.getincrementaldecoder(encoding)("replace").decode(sample, final=is_whole)


def find_delimiter(text: str, *, is_whole: bool) -> str:
    """The delimiter under which most rows have one and the same number of cells, above one."""
    return max(DELIMITERS, key=lambda tried: _score(sample_rows(text, tried, SCORED_ROWS, is_whole=is_whole)))


def sample_rows(text: str, delimiter: str, count: int, *, is_whole: bool) -> list[list[str]]:
    """The first rows; the last is left out when the sample may have cut it, even if none is left."""
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for row in reader:
        rows.append(row)
        if len(rows) > count:
            break
    if len(rows) > count or not is_whole:
        rows.pop()
    return rows


def looks_like_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: it has names that we know, and no address of anybody."""
    first = [cell.strip() for cell in rows[0]]
    if any(is_email(cell) for cell in first):
        return False
    if any(field_for(cell) for cell in first):
        return True
    later = [cell.strip() for row in rows[1:] for cell in row]
    if any(is_email(cell) for cell in later):
        return True
    return all(first) and len(set(first)) == len(first) and not any(cell[0].isdigit() for cell in first)


def name_columns(first: Sequence[str], *, has_header: bool) -> list[str]:
    """The header's names, without U+0000, which PostgreSQL cannot keep; a column without one is called by its place."""
    names = [cell.replace("\x00", "").strip() for cell in first] if has_header else [""] * len(first)
    return [name or f"Column {number}" for number, name in enumerate(names, 1)]


def _refuse_unusable(header: list[str], data: list[list[str]], *, is_whole: bool) -> None:
    if len(header) > MAX_COLUMNS:
        raise UnreadableFileError(
            f"The first row has {len(header):,} columns; at most {MAX_COLUMNS:,} are read. Remove those not needed."
        )
    if not data and is_whole and any("\n" in name for name in header):
        raise UnreadableFileError(ENDLESS_ROW)
    if not data and is_whole:
        raise UnreadableFileError(
            "The file has a header and no rows. Add the rows that should be imported, and drop it again."
        )


def _refuse_binary(sample: bytes) -> None:
    controls = sum(sample.count(byte) for byte in CONTROL_BYTES)
    if controls > 1 and controls / len(sample) > MAX_CONTROL_SHARE:
        raise UnreadableFileError(f"This file holds bytes that are not text, so it is not a CSV. {SAVE_AS_CSV}")


def _utf16_without_mark(sample: bytes) -> str | None:
    """Latin text in UTF-16 has a zero in almost every second byte, always on the same side."""
    pairs = len(sample) // 2
    if pairs < 2:
        return None
    high, low = sample[0::2].count(0) / pairs, sample[1::2].count(0) / pairs
    if low > 0.4 and high < 0.05:
        return "utf-16-le"
    if high > 0.4 and low < 0.05:
        return "utf-16-be"
    return None


def _is_utf8(sample: bytes, *, is_whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=is_whole)
    except UnicodeDecodeError:
        return False
    return True


def _guess_encoding(sample: bytes) -> str:
    """The likeliest of the encodings whose alphabet fits. Western Europe's wins unless another is clearly better."""
    lines = [line for line in sample.split(b"\n") if not line.isascii()]
    tried = b"\n".join(lines)[:ENCODING_SAMPLE_BYTES] or sample[:ENCODING_SAMPLE_BYTES]
    candidates = list(LATIN_ENCODINGS if _is_mostly_ascii_words(tried) else OTHER_ALPHABETS)
    matches = {match.encoding: match for match in from_bytes(tried, cp_isolation=candidates, threshold=0.3)}
    usual = matches.get(candidates[0])
    ranked = [matches[candidate] for candidate in candidates if candidate in matches]
    best = min(ranked, key=lambda match: (match.chaos, -match.coherence), default=None)
    if best is None or (usual and usual.chaos <= best.chaos + 0.05 and usual.coherence >= best.coherence - 0.2):
        return candidates[0] if usual else "cp1252"
    return best.encoding


def _is_mostly_ascii_words(sample: bytes) -> bool:
    """Latin alphabets put single letters beyond ASCII into words; others write whole words there."""
    runs = [len(run) for run in HIGH_RUN.findall(sample)]
    return sum(length for length in runs if length >= 3) < 0.5 * sum(runs)


def _score(rows: Sequence[Sequence[str]]) -> tuple[float, int]:
    """(share of rows with the commonest width, that width); one column says nothing, so it scores nothing."""
    widths = Counter(len(row) for row in rows if row)
    if not widths:
        return (0.0, 0)
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
    return (count / widths.total(), width) if width > 1 else (0.0, 1)


HIGH_RUN = re.compile(rb"[\x80-\xff]+")
CONTROL_BYTES = tuple(bytes([byte]) for byte in range(32) if byte not in b"\t\n\x0b\x0c\r\x1b")
