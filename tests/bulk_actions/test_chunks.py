"""Messages twice, lost or crossed, workers gone, people who cancel: the result is exact all the same."""

from __future__ import annotations

import pytest

from webapp.bulk_actions import chunks, work


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MIN_CHUNK_BYTES", 2_000)
    monkeypatch.setattr(chunks, "MIN_ROWS_PER_PARTITION", 50)
