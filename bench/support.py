"""What benchmarks share: a whole Footfall of their own, and figures printed beside their reference."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import requests
from flask import Flask

from webapp.config import Settings, settings_from
from webapp.embedded.servers import running_servers
from webapp.generate.contacts import write as write_contacts
from webapp.lib.ids import uuid7

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
START_SECONDS = 120.0
RATE_LIMIT = 1_000_000
USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)


@contextmanager
def empty_app() -> Iterator[tuple[Flask, Settings, dict[str, str]]]:
    """The app on embedded servers of its own, its settings, and its processes' environment; all go afterwards."""
    with TemporaryDirectory(prefix="footfall-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # for root, whose PostgreSQL runs as somebody else
        os.environ["DATA_DIR"] = str(Path(folder) / "var")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        settings = settings_from(os.environ)
        with running_servers(settings):
            subprocess.run([sys.executable, "-m", "webapp.cli", "migrate"], cwd=ROOT, env=environment, check=True)
            from webapp.app import create_app

            yield create_app(settings), settings, environment


class Footfall:
    """`footfall up` on free ports and an empty data folder, with a site and an API key of the demo organisation."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)  # for root, whose PostgreSQL runs as somebody else
        ports = _free_ports(4)
        self.web_url, self.edge_url = (f"http://127.0.0.1:{port}" for port in ports[:2])
        names = ("PORT", "EDGE_PORT", "DEMO_PORT", "ISSUER_PORT")
        self.environment = {
            **os.environ,
            "DATA_DIR": str(folder / "var"),
            **dict(zip(names, map(str, ports), strict=True)),
            "ADDRESS_RATE_LIMIT": str(RATE_LIMIT),  # all of a benchmark's beacons come from one address
        }
        self._log = folder / "up.log"

    def __enter__(self) -> Footfall:
        with self._log.open("w") as output:
            command = [sys.executable, "-m", "webapp.cli", "up"]
            self.process = subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=output, stderr=output)
        self._wait_until_it_serves()
        self.api_key = self.run("api-key", "create", "--organisation", "demo", "--name", "Bench")
        self.site_key = self.run(
            "site", "create", "--organisation", "demo", "--name", "Bench", "--origin", "https://bench.example"
        )
        self._raise_rate_limit()
        return self

    def _raise_rate_limit(self) -> None:
        """Every check stays on, and one site takes what a thousand would."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        url = f"{self.web_url}/api/v1/sites"
        sites = requests.get(url, headers=headers, timeout=30).json()["data"]
        (site_id,) = (site["id"] for site in sites if site["site_key"] == self.site_key)
        answer = requests.patch(f"{url}/{site_id}", json={"rate_limit": RATE_LIMIT}, headers=headers, timeout=30)
        answer.raise_for_status()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "webapp.cli", *arguments]
        done = subprocess.run(command, env=self.environment, cwd=ROOT, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def _wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not (_answers(f"{self.web_url}/healthz") and _answers(f"{self.edge_url}/healthz")):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Footfall did not start:\n{self._log.read_text()}")
            time.sleep(0.2)


def upload_contacts(footfall: Footfall, row_count: int) -> str:
    """Start an import of generated contacts over the API; returns the address of its event stream."""
    path = RESULTS / f"contacts-{row_count}.csv"
    if not path.exists():
        RESULTS.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            write_contacts(file, row_count)
    headers = {"Authorization": f"Bearer {footfall.api_key}"}
    url = f"{footfall.web_url}/api/v1/bulk-actions/upload"
    with path.open("rb") as file:
        answer = requests.post(url, headers=headers, files={"file": file}, data={"entity": "contacts"}, timeout=120)
    answer.raise_for_status()
    events = f"{footfall.web_url}/api/v1/bulk-actions/{answer.json()['id']}/events"
    return requests.get(events, headers=headers, allow_redirects=False, timeout=30).headers["Location"]


def beacon(site_key: str) -> bytes:
    """One beacon as the tracker posts it."""
    now = datetime.now(UTC).isoformat()
    content = {
        "id": str(uuid7()),
        "siteKey": site_key,
        "identifier": f"0c5f4f0e-9d5b-4a10-8b7e-{random.randrange(20_000):012x}",
        "pageUrl": f"https://bench.example/page-{random.randrange(50)}",
        "visitedAt": now,
        "sentAt": now,
        "referrer": "https://search.example/",
        "screen": "1920x1080",
    }
    return json.dumps(content).encode()


def print_figures(name: str, figures: dict[str, Any]) -> None:
    """Print figures for people and append them as one JSON line to `bench/results/NAME.jsonl`."""
    width = max(map(len, figures))
    for key, value in figures.items():
        print(f"{key:<{width}}  {value}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps({"at": datetime.now(UTC).isoformat(), **figures}) + "\n")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
