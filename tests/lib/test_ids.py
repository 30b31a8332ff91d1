"""UUIDv7: the right bits, in order of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, uuid4

import pytest

from webapp.lib.ids import uuid7, uuid7_time

MOMENT = datetime(2026, 3, 29, 1, 30, 0, 123_000, UTC)


def test_an_id_carries_its_version_its_variant_and_its_millisecond() -> None:
    value = uuid7(MOMENT)
    assert (value.version, value.variant) == (7, RFC_4122)
    assert uuid7_time(value) == MOMENT


def test_ids_of_later_moments_sort_later() -> None:
    ids = [uuid7(MOMENT + timedelta(milliseconds=n)) for n in range(100)]
    assert ids == sorted(ids)


def test_ids_of_one_moment_differ() -> None:
    assert len({uuid7(MOMENT) for _ in range(10_000)}) == 10_000


def test_other_kinds_of_uuid_carry_no_time() -> None:
    with pytest.raises(ValueError, match="is not a UUIDv7"):
        uuid7_time(uuid4())
