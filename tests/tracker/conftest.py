from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser_support import launch_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser(back_forward_cache=True) as browser:
        yield browser
