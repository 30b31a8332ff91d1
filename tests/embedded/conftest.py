"""A data folder of its own for every test, removed with all its servers at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from webapp.config import Settings, settings_from
from webapp.embedded.servers import stop_servers

FIRST_PORT = "21040"


@pytest.fixture
def settings() -> Iterator[Settings]:
    folder = Path(tempfile.mkdtemp(prefix="ff-embedded-"))
    folder.chmod(0o755)
    settings = settings_from({"DATA_DIR": str(folder / "var"), "PORT": FIRST_PORT})
    yield settings
    stop_servers(settings)
    shutil.rmtree(folder)
    shutil.rmtree(settings.runtime_dir, ignore_errors=True)
