"""The `footfall` command as people call it: real processes, real servers, ports and data of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil
import psycopg
import pytest

from tests.visits.support import take_beacon
from webapp.config import Settings, settings_from
from webapp.embedded import running_servers
from webapp.embedded.postgres import find_cluster, is_accepting
from webapp.embedded.processes import wait_until
from webapp.embedded.servers import stop_servers

COMMAND = (sys.executable, "-m", "webapp.cli")
START_SECONDS = 90.0
STOP_SECONDS = 60.0
NEW_ORGANISATION = """
INSERT INTO organisations (id, slug, name, time_zone, created_at)
VALUES (gen_random_uuid(), 'harbour', 'Harbour', 'UTC', now())
"""


@dataclass
class Installation:
    """A data folder and four free ports, and how to call commands on them."""

    folder: Path
    environment: Mapping[str, str]

    @property
    def settings(self) -> Settings:
        return settings_from(self.environment)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {**self.environment, **environment}
        return subprocess.run(
            [*COMMAND, *arguments], env=given, capture_output=True, text=True, check=False, timeout=120
        )

    def start_up(self) -> subprocess.Popen[str]:
        with (self.folder / "output").open("w") as output:
            return subprocess.Popen(
                [*COMMAND, "up"], env=self.environment, stdout=output, stderr=subprocess.STDOUT, text=True
            )

    def output(self) -> str:
        return (self.folder / "output").read_text()


def free_ports(count: int) -> list[str]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(one.getsockname()[1]) for one in sockets]


@pytest.fixture
def installation() -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="ff-cli-"))
    folder.chmod(0o755)
    names = ("PORT", "EDGE_PORT", "DEMO_PORT", "ISSUER_PORT")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    basics = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**basics, **ports, "DATA_DIR": str(folder / "var"), "DEMO": "0", "WORKER_PROCESSES": "1"}
    made = Installation(folder, environment)
    yield made
    stop_servers(made.settings)
    shutil.rmtree(folder)


def make_organisation(settings: Settings) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(NEW_ORGANISATION)


def test_help_lists_the_commands_and_loads_nothing_heavy(installation: Installation) -> None:
    code = "import sys; from webapp.cli import main; print([name for name in sys.modules if name == 'flask'])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
    shown = installation.run("--help").stdout
    assert all(f"\n  {name} " in shown for name in ("up", "web", "edge", "worker", "scheduler", "migrate", "demo"))


def test_generated_data_goes_to_standard_output_and_is_the_same_for_the_same_seed(installation: Installation) -> None:
    first, again = (installation.run("generate", "contacts", "5", "--seed", "7").stdout for _ in range(2))
    assert len(first.splitlines()) == 6
    assert first == again


def test_generated_beacons_are_of_the_last_day_unless_another_end_is_given(installation: Installation) -> None:
    command = ("generate", "beacons", "300", "--site-key", "fs_1")
    now_ms = time.time_ns() // 1_000_000
    fresh = installation.run(*command).stdout.splitlines()
    assert len(fresh) == 300
    for line in fresh:
        assert now_ms - 25 * 3_600_000 < take_beacon(line.encode(), now_ms + 60_000).visited_ms
    ends = ("2026-03-01T12:00:00Z", "2026-03-01T12:00", "2026-03-01T14:00:00+02:00")
    once, *others = (installation.run(*command, "--end", end).stdout for end in ends)
    assert once.count('"visitedAt":"2026-0') == 300
    assert others == [once, once]
    for wrong in ("soon", "0001-01-01", "1969-12-31"):
        refused = installation.run(*command, "--end", wrong)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "--end" in refused.stderr


def test_a_reader_that_has_enough_ends_a_generator_quietly(installation: Installation) -> None:
    command = f"{sys.executable} -m webapp.cli generate contacts 1000000 | head -n 1"
    done = subprocess.run(["bash", "-c", command], env=installation.environment, capture_output=True, check=False)
    assert done.stderr == b""


def test_a_wrong_setting_ends_in_one_plain_line(installation: Installation) -> None:
    done = installation.run("migrate", PORT="many")
    assert done.returncode == 1
    assert done.stderr == "Error: PORT must be a whole number, but it is 'many'.\n"


def test_a_database_that_is_away_ends_in_one_plain_line(installation: Installation) -> None:
    done = installation.run("migrate", DATABASE_URL="postgresql://footfall@127.0.0.1:1/footfall")
    assert done.returncode == 1
    assert "Error: The database cannot be used:" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_usage_exits_with_two(installation: Installation) -> None:
    assert installation.run("api-key", "create").returncode == 2


def test_a_command_runs_the_servers_for_its_own_time_and_keeps_what_it_did(installation: Installation) -> None:
    assert installation.run("migrate").returncode == 0
    assert not is_accepting(find_cluster(installation.settings))
    with running_servers(installation.settings):
        make_organisation(installation.settings)
        nameless = installation.run("api-key", "create", "--organisation", "harbour", "--name", " ")
    assert (nameless.returncode, nameless.stderr) == (1, "Error: Name the key in 1 to 100 characters.\n")
    made = installation.run("api-key", "create", "--organisation", "harbour", "--name", "till")
    assert made.returncode == 0, made.stderr
    assert len(made.stdout.split()) == 1
    with running_servers(installation.settings), psycopg.connect(installation.settings.database_url) as connection:
        kept = connection.execute("SELECT name, secret_hash FROM api_keys").fetchall()
    assert [name for name, _ in kept] == ["till"]
    assert made.stdout.strip().encode() not in kept[0][1]


def test_an_unknown_organisation_is_named(installation: Installation) -> None:
    installation.run("migrate")
    done = installation.run(
        "site", "create", "--organisation", "nobody", "--name", "Shop", "--origin", "https://a.test"
    )
    assert (done.returncode, done.stderr) == (1, "Error: There is no organisation 'nobody'.\n")


def test_a_port_in_use_is_refused_before_anything_starts(installation: Installation) -> None:
    port = int(installation.environment["PORT"])
    with socket.create_server(("127.0.0.1", port)):
        done = installation.run("up")
    assert done.returncode == 1
    assert re.fullmatch(rf"Error: Port {port} is already in use\. Choose another: PORT=\d+ make run\n", done.stderr)
    assert not (installation.settings.data_dir / "postgres").exists()


def test_up_serves_beside_other_commands_survives_a_dead_worker_and_stops_cleanly(installation: Installation) -> None:
    up = installation.start_up()
    try:
        assert wait_until(lambda: "Footfall is ready" in installation.output() or up.poll() is not None, START_SECONDS)
        assert up.poll() is None, installation.output()
        _check_health(installation.settings)
        _check_second_up_is_refused(installation, up)
        _check_site_create(installation)
        _check_dead_worker_comes_back(up)
        children = psutil.Process(up.pid).children(recursive=True)
        up.send_signal(signal.SIGTERM)
        assert up.wait(STOP_SECONDS) == 0, installation.output()
    finally:
        if up.poll() is None:
            up.kill()
            up.wait()
    assert installation.output().endswith("Stopped.\n")
    assert "did not stop in time" not in installation.output()
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def _check_health(settings: Settings) -> None:
    for port in (settings.port, settings.edge_port):
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            assert answer.status == 200


def _check_second_up_is_refused(installation: Installation, up: subprocess.Popen[str]) -> None:
    done = installation.run("up")
    assert done.returncode == 1
    assert f"already runs on {installation.settings.data_dir} (process {up.pid})" in done.stderr


def _check_site_create(installation: Installation) -> None:
    make_organisation(installation.settings)
    site = ("site", "create", "--organisation", "harbour", "--name", "Shop", "--origin")
    made = installation.run(*site, "https://shop.test")
    assert made.returncode == 0, made.stderr
    assert len(made.stdout.split()) == 1
    refused = installation.run(*site, "no address")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr


def _check_dead_worker_comes_back(up: subprocess.Popen[str]) -> None:
    (first,) = _import_masters(up)
    assert wait_until(lambda: bool(first.children()), 30)
    first.children()[0].kill()
    assert wait_until(lambda: [one.pid for one in _import_masters(up)] not in ([], [first.pid]), 30)


def _import_masters(up: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(up.pid).children()
    return [child for child in children if "imports" in (child.as_dict(["cmdline"])["cmdline"] or [])]
