"""A local Unsplash for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pictures.unsplash_server import Unsplash, serving_unsplash


@pytest.fixture
def unsplash() -> Iterator[Unsplash]:
    with serving_unsplash() as served:
        yield served
