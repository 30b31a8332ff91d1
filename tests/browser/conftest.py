"""A whole Footfall as `make run` starts it: every process, on ports and data of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser

from tests.browser_support import WatchedPage, launch_browser, new_page

START_SECONDS = 120.0
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Installation:
    """A running `footfall up`."""

    web_url: str
    edge_url: str
    demo_url: str
    issuer_url: str
    data_dir: Path
    environment: dict[str, str]

    @property
    def origins(self) -> list[str]:
        return [self.web_url, self.edge_url, self.demo_url, self.issuer_url]

    def run(self, *arguments: str) -> str:
        """What `footfall ARGUMENTS` prints, called while `up` runs."""
        return self._run("-m", "webapp.cli", *arguments)

    def run_code(self, code: str) -> str:
        """What this code of an installation's own prints, called while `up` runs."""
        return self._run("-c", code)

    def _run(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """Started once for all journeys; each journey signs in as somebody else or makes its own data."""
    data_dir = Path(tempfile.mkdtemp(prefix="footfall-up-"))
    data_dir.chmod(0o755)  # for root, whose PostgreSQL runs as somebody else
    made = _make_installation(data_dir)
    log = data_dir / "up.log"
    with log.open("w") as output:
        command = [sys.executable, "-m", "webapp.cli", "up"]
        process = subprocess.Popen(command, env=made.environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_until_it_serves(made, process, log)
            yield made
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_SECONDS)
    assert process.returncode == 0, log.read_text()
    shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as launched:
        yield launched


@pytest.fixture
def watched(browser: Browser, installation: Installation) -> Iterator[WatchedPage]:
    """A page of the installation, for nobody in particular yet."""
    with new_page(browser, own_origins=installation.origins) as page:
        yield page


def _make_installation(data_dir: Path) -> Installation:
    web, edge, demo, issuer = _free_ports(4)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", str(data_dir)),
        "DATA_DIR": str(data_dir / "var"),
        "PORT": str(web),
        "EDGE_PORT": str(edge),
        "DEMO_PORT": str(demo),
        "ISSUER_PORT": str(issuer),
        "PYTHONUNBUFFERED": "1",
    }
    web_url, edge_url, demo_url, issuer_url = (f"http://localhost:{port}" for port in (web, edge, demo, issuer))
    return Installation(web_url, edge_url, demo_url, issuer_url, data_dir / "var", environment)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait_until_it_serves(made: Installation, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    for url in (made.web_url, made.edge_url):
        while not _answers(f"{url}/healthz"):
            assert process.poll() is None, f"footfall up ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"footfall up does not serve {url}:\n{log.read_text()}"
            time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
