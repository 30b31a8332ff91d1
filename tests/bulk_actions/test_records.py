"""Chunks are cut where records end, whatever their size, exactly as Python's csv module reads the file."""

from __future__ import annotations

import csv
import io
import random
from itertools import pairwise

import pytest

from webapp.bulk_actions.records import RECORD_LIMIT_BYTES, Span, UnclosedQuoteError, cut_records, find_spans

TRICKY = {
    "plain": b"a,b\n1,2\n3,4\n",
    "no break at the end": b"a,b\n1,2\n3,4",
    "carriage returns and line feeds": b"a,b\r\n1,2\r\n3,4\r\n",
    "carriage returns alone": b"a,b\r1,2\r3,4\r",
    "all kinds of breaks": b"a,b\n1,2\r3,4\r\n5,6\n\r7,8",
    "a quoted break": b'a,b\n"one\ntwo",2\n"three\r\nfour\r",4\n',
    "a quoted quote": b'a,b\n"say ""hi""",2\n"""",4\n',
    "a quoted delimiter": b'a,b\n"x,y",",\n,"\n1,2\n',
    "a stray quote in a cell": b'a,b\n5" pipe,2\n6" pipe,"x\ny"\n',
    "text after a closing quote": b'a,b\n"x"y,2\n"x" ,"a\nb"\n3,4\n',
    "a quote after a blank": b'a,b\n "x,2\n1, "y\n3,4\n',
    "blank lines": b"a,b\n\n\n1,2\n\r\n3,4\n\n",
    "empty quoted cells": b'"",""\n"","\n"\n,\n',
    "bytes beyond ASCII": "a,b\nZoë,\u2028x\n\x85,\x0b\n".encode(),
    "a quoted cell at the very end": b'a,b\n1,"x\ny"',
}


def read_spans(content: bytes, size: int, delimiter: str = ",") -> list[Span]:
    return list(find_spans(lambda start, end: content[start:end], len(content), delimiter, size))


def read_records(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("latin-1"), newline="")))


@pytest.mark.parametrize("name", TRICKY)
def test_any_chunk_size_gives_the_records_that_the_whole_file_gives(name: str) -> None:
    content = TRICKY[name]
    for size in range(1, len(content) + 2):
        spans = read_spans(content, size)
        pieces = [read_records(content[span.start_offset : span.end_offset]) for span in spans]
        assert [record for piece in pieces for record in piece] == read_records(content)
        assert [len(piece) for piece in pieces] == [span.record_count for span in spans]


@pytest.mark.parametrize("name", TRICKY)
def test_spans_follow_each_other_without_gaps(name: str) -> None:
    for size in (1, 3, 7):
        spans = read_spans(TRICKY[name], size)
        assert (spans[0].start_offset, spans[-1].end_offset) == (0, len(TRICKY[name]))
        for one, following in pairwise(spans):
            assert one.end_offset == following.start_offset
            assert one.first_record + one.record_count == following.first_record


def test_random_files_are_cut_exactly() -> None:
    choices = random.Random(20)
    for _ in range(1_500):
        letters = choices.choice(['a",\n', 'a",\r\n', 'ab",\n\r', "a,\r", 'a""",\n'])
        content = "".join(choices.choices(letters, k=choices.randint(1, 40))).encode()
        for size in (1, 2, 5, 13):
            try:
                spans = read_spans(content, size)
            except UnclosedQuoteError:
                continue
            pieces = [read_records(content[span.start_offset : span.end_offset]) for span in spans]
            assert [record for piece in pieces for record in piece] == read_records(content)


def test_planning_may_go_on_where_any_span_ended() -> None:
    content = TRICKY["a quoted break"] * 3
    spans = read_spans(content, 5)
    for span in spans:
        first = span.first_record + span.record_count
        rest = find_spans(lambda start, end: content[start:end], len(content), ",", 5, span.end_offset, first)
        assert list(rest) == [later for later in spans if later.first_record >= first]


def test_a_quote_that_is_never_closed_is_refused_with_its_row() -> None:
    content = b'a,b\n1,2\n3,"4\n5,6\n7,8\n'
    for size in range(1, len(content) + 2):
        with pytest.raises(UnclosedQuoteError, match=r"^Row 3 does not end before the file does"):
            read_spans(content, size)


def test_a_record_beyond_the_limit_is_refused_with_its_row() -> None:
    content = b'a,b\n1,2\n3,"' + b"x" * (RECORD_LIMIT_BYTES + 1) + b'"\n5,6\n'
    with pytest.raises(UnclosedQuoteError, match=r"^Row 3 does not end within 8 MB"):
        read_spans(content, 1024)


def test_a_cell_of_megabytes_is_no_reason_to_stop() -> None:
    content = b'a,b\n1,2\n3,"' + b"x" * 5_000_000 + b'"\n5,6\n'
    assert sum(span.record_count for span in read_spans(content, 1024)) == 4


def test_a_block_without_an_end_of_record_is_left_for_a_larger_one() -> None:
    assert cut_records(b'1,"2\n3', ",", is_last=False) is None


def test_other_delimiters_decide_where_a_quote_opens_a_cell() -> None:
    content = b'a;b\n1,"2;3\n4;"5\n6"\n'
    records = list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter=";"))
    assert sum(span.record_count for span in read_spans(content, 1, ";")) == len(records) == 3
