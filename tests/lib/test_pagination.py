"""Cursors survive the journey through a URL, and damaged ones are refused."""

from __future__ import annotations

import pytest

from webapp.lib.ids import uuid7
from webapp.lib.pagination import BadCursorError, decode_cursor, encode_cursor


@pytest.mark.parametrize("sort_key", ["", "smith, ada", "Ωμέγα \U0001f600", '"quoted"\n'])
def test_a_cursor_is_read_as_it_was_written(sort_key: str) -> None:
    row_id = uuid7()
    cursor = encode_cursor(sort_key, row_id)
    assert decode_cursor(cursor) == (sort_key, row_id)
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize("cursor", ["", "x", "!!!!", "bm90IGpzb24", "WzEsMl0", "WyJhIiwiYiJd", "ÿ"])
def test_a_damaged_cursor_is_refused_with_the_remedy(cursor: str) -> None:
    with pytest.raises(BadCursorError, match="Start again from the first page"):
        decode_cursor(cursor)
