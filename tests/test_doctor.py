"""`footfall doctor`: what it finds right, what it finds wrong, and that it says what to do."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from rich.console import Console

from tests.conftest import owner_connection
from webapp import doctor
from webapp.cli_serve import ROOT
from webapp.config import Settings
from webapp.doctor import access, machine, servers
from webapp.doctor.finding import Finding, State, ok, problem
from webapp.health import migration_heads
from webapp.jobs.queue_names import QUEUES
from webapp.jobs.workers import Worker, tell
from webapp.lib.redis import beacons_client, broker_client

PUBLIC: dict[str, Any] = {
    "public_url": "https://desk.example.com",
    "edge_url": "https://desk.example.com",
    "google_client_id": "id",
    "google_client_secret": "secret",
}


@pytest.fixture
def worker(app: APIFlask, services: Settings) -> None:
    """One that takes from every queue."""
    tell(broker_client(services), Worker(queues=QUEUES, threads=2).state())


def states(findings: list[Finding]) -> list[State]:
    """How each is; what is not right has a remedy."""
    assert all(bool(finding.remedy) is (finding.state is not State.OK) for finding in findings)
    return [finding.state for finding in findings]


@pytest.mark.usefixtures("worker")
def test_a_good_set_up_has_no_problem(services: Settings) -> None:
    findings = doctor.examine(services)
    assert {finding.name for finding in findings} == set(doctor.CHECKS)
    assert [finding for finding in findings if finding.state is State.PROBLEM] == []


# Servers -------------------------------------------------------------------------------------------


def test_a_server_that_is_away_is_a_problem_and_the_rest_is_still_looked_at(app: APIFlask, services: Settings) -> None:
    findings = doctor.examine(replace(services, database_url="postgresql://owner:hush@127.0.0.1:1/x"))
    by_name = {finding.name: finding for finding in findings}
    for name in ("PostgreSQL", "Role", "Tables"):
        assert by_name[name].state is State.PROBLEM
        assert by_name[name].remedy
    assert by_name["Redis, broker"].state is State.OK
    assert "hush" not in str(findings)


def test_a_role_that_sees_every_organisation_is_a_problem(app: APIFlask, services: Settings) -> None:
    assert states(servers.check_role(services)) == [State.OK]
    with owner_connection(services) as connection:
        connection.execute("ALTER ROLE footfall_app BYPASSRLS")
        try:
            assert states(servers.check_role(services)) == [State.PROBLEM]
        finally:
            connection.execute("ALTER ROLE footfall_app NOBYPASSRLS")


def test_a_user_that_may_not_take_the_role_is_told_so(app: APIFlask, services: Settings) -> None:
    with owner_connection(services) as connection:
        connection.execute("CREATE ROLE stranger LOGIN")
        try:
            stranger = replace(services, database_url=services.database_url.replace("//footfall@", "//stranger@"))
            (finding,) = servers.check_role(stranger)
        finally:
            connection.execute("DROP ROLE stranger")
    assert (finding.state, finding.remedy) == (State.PROBLEM, "GRANT footfall_app TO that user;")


def test_old_tables_are_a_problem(app: APIFlask, services: Settings) -> None:
    heads = migration_heads()
    with owner_connection(services) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        try:
            (finding,) = servers.check_tables(services)
        finally:
            connection.execute("UPDATE alembic_version SET version_num = %s", list(heads))
    assert finding.state is State.PROBLEM
    assert "footfall migrate" in finding.words


@pytest.mark.parametrize(
    ("name", "value", "broker", "beacons"),
    [
        ("appendonly", "no", State.PROBLEM, State.PROBLEM),
        ("appendfsync", "everysec", State.OK, State.WARNING),
        ("appendfsync", "no", State.WARNING, State.WARNING),
        ("maxmemory-policy", "allkeys-lru", State.PROBLEM, State.PROBLEM),
        ("maxmemory-policy", "noeviction", State.OK, State.OK),
    ],
)
def test_a_redis_that_may_lose_something_is_named(
    app: APIFlask, services: Settings, name: str, value: str, broker: State, beacons: State
) -> None:
    clients = {broker_client(services): servers.check_broker, beacons_client(services): servers.check_beacons}
    found = []
    for client, check in clients.items():
        before = client.config_get(name)[name]
        client.config_set(name, value)
        try:
            found += states(check(services))
        finally:
            client.config_set(name, str(before))
    assert found == [broker, beacons]


def test_one_redis_for_both_is_a_warning(app: APIFlask, services: Settings) -> None:
    findings = servers.check_beacons(replace(services, redis_url=services.beacons_redis_url))
    assert states(findings) == [State.OK, State.WARNING]


@pytest.mark.parametrize(
    ("seconds", "state", "words"),
    [
        (0, State.OK, "They agree"),
        (10, State.WARNING, "is 10 s ahead of this machine's."),
        (-10, State.WARNING, "is 10 s behind this machine's."),
        (120, State.PROBLEM, "is 120 s ahead of this machine's."),
    ],
)
def test_a_clock_that_is_wrong_is_named(
    app: APIFlask, services: Settings, monkeypatch: pytest.MonkeyPatch, seconds: int, state: State, words: str
) -> None:
    true_seconds = servers._redis_seconds
    monkeypatch.setattr(servers, "_redis_seconds", lambda url: true_seconds(url) + seconds)
    (finding,) = servers.check_clocks(services)
    assert finding.state is state
    assert words in finding.words


def test_a_queue_without_a_worker_is_a_problem(app: APIFlask, services: Settings) -> None:
    elsewhere = replace(services, embedded_postgres=False, embedded_broker=False, embedded_beacons=False)
    assert states(servers.check_workers(services)) == [State.WARNING]  # nothing runs here at all
    assert states(servers.check_workers(elsewhere)) == [State.PROBLEM]
    tell(broker_client(services), Worker(queues=("jobs", "imports"), threads=2).state())
    (finding,) = servers.check_workers(elsewhere)
    assert finding.state is State.PROBLEM
    assert "dead_letters, default, results, visits" in finding.words


# The machine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "state"), [(50 * 1024**3, State.OK), (2 * 1024**3, State.WARNING), (1024**2, State.PROBLEM)]
)
def test_a_full_disk_is_seen_before_it_is_full(
    services: Settings, monkeypatch: pytest.MonkeyPatch, free: int, state: State
) -> None:
    usage = type("Usage", (), {"free": free, "total": 100 * 1024**3})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    assert states(machine.check_disk(services)) == [state]


def test_a_store_that_cannot_be_written_is_a_problem(services: Settings, tmp_path: Path) -> None:
    assert states(machine.check_uploads(services)) == [State.OK]
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (uploads / "doctor").write_text("in the way")
    assert states(machine.check_uploads(replace(services, uploads_url=f"file://{uploads}"))) == [State.PROBLEM]


def test_a_check_of_the_store_leaves_nothing_there(services: Settings, tmp_path: Path) -> None:
    machine.check_uploads(replace(services, uploads_url=f"file://{tmp_path}"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_of_metrics_that_cannot_be_is_a_problem(services: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert states(machine.check_metrics(replace(services, metrics_dir=tmp_path / "file" / "metrics"))) == [
        State.PROBLEM
    ]
    assert states(machine.check_metrics(replace(services, metrics_dir=tmp_path / "metrics"))) == [State.OK]


@pytest.fixture
def mail_port() -> Iterator[int]:
    """A mail server that greets and says goodbye."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=be_polite, args=(server,), daemon=True).start()
        yield int(server.getsockname()[1])


def be_polite(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection, connection.makefile("rw", newline="") as lines:
        lines.write("220 here\r\n")
        lines.flush()
        for line in lines:
            lines.write("221 bye\r\n" if line.lower().startswith("quit") else "250 well\r\n")
            lines.flush()


def test_countries_are_those_of_a_file(services: Settings, tmp_path: Path) -> None:
    (found,) = machine.check_countries(services)
    assert (found.state, "as of 20" in found.words) == (State.OK, True)
    (missing,) = machine.check_countries(replace(services, countries_path=tmp_path / "none.mmdb"))
    assert missing.state is State.WARNING
    assert "make setup" in missing.remedy


def test_mail_is_not_needed_but_must_answer_where_it_is_set(services: Settings, mail_port: int) -> None:
    (unset,) = machine.check_mail(services)
    assert (unset.state, unset.words) == (State.OK, "Not set up (SMTP_URL): weekly reports are in the app alone.")
    assert states(machine.check_mail(replace(services, smtp_url=f"smtp://127.0.0.1:{mail_port}"))) == [State.OK]
    for url in ("smtp://127.0.0.1:1", "http://127.0.0.1", "smtp:127.0.0.1"):
        assert states(machine.check_mail(replace(services, smtp_url=url))) == [State.PROBLEM]


# Access --------------------------------------------------------------------------------------------


class Issuer(BaseHTTPRequestHandler):
    """Describes itself below /good, and talks of something else below /odd."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path.startswith("/none") else 200)
        self.end_headers()
        about = {"authorization_endpoint": "/authorize"} if self.path.startswith("/good") else {"weather": "fine"}
        self.wfile.write(json.dumps(about).encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Not on the tests' output."""


@pytest.fixture
def issuer() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("path", "state"), [("/good", State.OK), ("/odd", State.PROBLEM), ("/none", State.PROBLEM)])
def test_the_provider_must_describe_itself(services: Settings, issuer: str, path: str, state: State) -> None:
    settings = replace(services, **PUBLIC, oidc_issuer=f"{issuer}{path}")
    assert states(access.check_sign_in(settings)) == [state]


def test_a_provider_that_is_away_is_a_problem(services: Settings) -> None:
    settings = replace(services, **PUBLIC, oidc_issuer="http://127.0.0.1:1")
    assert states(access.check_sign_in(settings)) == [State.PROBLEM]


def test_nobody_signs_in_without_id_and_secret(services: Settings) -> None:
    for missing in ({"google_client_id": ""}, {"google_client_secret": ""}):
        (finding,) = access.check_sign_in(replace(services, **{**PUBLIC, **missing}))
        assert finding.state is State.PROBLEM
        assert next(iter(missing)).upper() in finding.words


Check = Callable[[Settings], list[Finding]]


@pytest.mark.parametrize(
    ("check", "changes", "state"),
    [
        (access.check_addresses, {}, State.OK),
        (access.check_addresses, PUBLIC, State.OK),
        (access.check_addresses, {**PUBLIC, "public_url": "http://desk.example.com"}, State.PROBLEM),
        (access.check_addresses, {**PUBLIC, "edge_url": "http://desk.example.com:8001"}, State.PROBLEM),
        (access.check_sign_in, {}, State.OK),
        (access.check_sign_in, {"demo": False}, State.PROBLEM),
        (access.check_secret, {}, State.OK),
        (access.check_secret, PUBLIC, State.WARNING),
        (access.check_secret, {**PUBLIC, "secret_key": "x" * 48}, State.OK),
        (access.check_secret, {"secret_key": "easy"}, State.PROBLEM),
        (access.check_proxies, {}, State.OK),
        (access.check_proxies, PUBLIC, State.WARNING),
        (access.check_proxies, {**PUBLIC, "trusted_proxies": ("10.0.0.0/8",)}, State.OK),
        (access.check_proxies, {**PUBLIC, "trusted_proxies": ("0.0.0.0/0",)}, State.PROBLEM),
        (access.check_proxies, {**PUBLIC, "trusted_proxies": ("caddy",)}, State.PROBLEM),
        (access.check_pictures, {"unsplash_access_key": ""}, State.OK),
        (access.check_pictures, {"unsplash_access_key": "key"}, State.OK),
    ],
)
def test_settings_of_access(services: Settings, check: Check, changes: dict[str, Any], state: State) -> None:
    assert states(check(replace(services, **changes))) == [state]


# The command ---------------------------------------------------------------------------------------


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "webapp.cli", "doctor", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_says_by_its_exit_code_whether_there_is_a_problem(
    app: APIFlask, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = run("--json")
    assert good.returncode == 0, good.stderr
    assert {finding["state"] for finding in json.loads(good.stdout)} == {"ok", "warning"}
    monkeypatch.setenv("TRUSTED_PROXIES", "0.0.0.0/0")
    bad = run()
    assert bad.returncode == 1
    assert "problem  Proxies" in bad.stdout
    assert "Name only your own reverse proxies." in bad.stdout


def test_the_table_shows_what_was_found_and_no_markup_of_others() -> None:
    output = StringIO()
    doctor.show(
        [ok("One", "fine [red]really[/red]"), problem("Two", "bad", "do [this]")], Console(file=output, width=80)
    )
    assert "fine [red]really[/red]" in output.getvalue()
    assert "do [this]" in output.getvalue()


def test_a_check_that_fails_of_itself_is_a_finding(services: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: Settings) -> list[Finding]:
        raise RuntimeError("no\nidea")

    monkeypatch.setattr(doctor, "CHECKS", {"Odd": fail})
    assert doctor.examine(services) == [problem("Odd", "no idea", servers.REACH)]
