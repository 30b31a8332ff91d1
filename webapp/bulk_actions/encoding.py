"""The encoding of a file, by its first bytes."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from webapp.bulk_actions.records import UnreadableFileError

ENCODING_SAMPLE_BYTES = 64 * 1024
MAX_CONTROL_SHARE = 0.02
MIN_ZERO_SHARE = 0.1
SAVE_AS_CSV = "Open it in a spreadsheet, choose “Save as” or “Download”, and save it as CSV (UTF-8)."
SINGLE_BYTE_ENCODINGS = ("cp1252", "latin-1", "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r", "mac_roman")
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


def _refuse_binary(sample: bytes) -> None:
    controls = sum(sample.count(byte) for byte in CONTROL_BYTES)
    if controls > 1 and controls / len(sample) > MAX_CONTROL_SHARE:
        raise UnreadableFileError(f"This file holds bytes that are not text, so it is not a CSV. {SAVE_AS_CSV}")


def _utf16_without_mark(sample: bytes) -> str | None:
    """In UTF-16, digits, delimiters and addresses have a zero in their second byte, always on the same side."""
    pairs = len(sample) // 2
    if pairs < 2:
        return None
    high, low = sample[0::2].count(0) / pairs, sample[1::2].count(0) / pairs
    if low > MIN_ZERO_SHARE and high < low / 20:
        return "utf-16-le"
    if high > MIN_ZERO_SHARE and low < high / 20:
        return "utf-16-be"
    return None


def _is_utf8(sample: bytes, *, is_whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=is_whole)
    except UnicodeDecodeError:
        return False
    return True


def _guess_encoding(sample: bytes) -> str:
    """The likeliest of the encodings whose alphabet fits. Western Europe's wins unless another is clearly better.

    Of its two it is always Windows-1252, as in browsers: that has all the letters of Latin-1, and more.
    """
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


HIGH_RUN = re.compile(rb"[\x80-\xff]+")
CONTROL_BYTES = tuple(bytes([byte]) for byte in range(32) if byte not in b"\t\n\x0b\x0c\r\x1b")
