"""Real servers: fresh, again, and after every kind of crash."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from webapp.config import Settings
from webapp.embedded import ServerError, start_postgres, stop_postgres
from webapp.embedded.places import Owner, private_folder, reachable
from webapp.embedded.postgres import find_cluster, is_accepting
from webapp.embedded.processes import processes_in, wait_until


def ask(settings: Settings, question: str) -> Any:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
    return row and row[0]


def write(settings: Settings, statement: str) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(statement.encode())


def postmaster_id(settings: Settings) -> int:
    return int((find_cluster(settings).folder / "postmaster.pid").read_text().splitlines()[0])


def test_a_fresh_server_is_postgresql_18_on_a_private_socket_and_no_port(settings: Settings) -> None:
    start_postgres(settings)
    assert ask(settings, "SHOW server_version").startswith("18")
    assert ask(settings, "SHOW listen_addresses") == ""
    assert stat.S_IMODE(settings.runtime_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(find_cluster(settings).folder.stat().st_mode) == 0o700


def test_text_is_utf_8_and_sorted_by_code_point(settings: Settings) -> None:
    start_postgres(settings)
    assert ask(settings, "SHOW server_encoding") == "UTF8"
    locale = "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = 'footfall'"
    assert ask(settings, locale) == "bC.UTF-8"


def test_what_is_committed_is_on_disk_and_killed_clients_are_noticed(settings: Settings) -> None:
    start_postgres(settings)
    declared = {"fsync": "on", "synchronous_commit": "on", "client_connection_check_interval": "1s", "jit": "off"}
    assert {name: ask(settings, f"SHOW {name}") for name in declared} == declared


def test_a_restart_keeps_the_rows(settings: Settings) -> None:
    start_postgres(settings)
    write(settings, "CREATE TABLE kept AS SELECT 42 AS answer")
    stop_postgres(settings)
    assert not is_accepting(find_cluster(settings))
    start_postgres(settings)
    assert ask(settings, "SELECT answer FROM kept") == 42


def test_starting_twice_is_one_server(settings: Settings) -> None:
    start_postgres(settings)
    first = postmaster_id(settings)
    start_postgres(settings)
    assert postmaster_id(settings) == first


def test_a_killed_server_starts_again_with_every_committed_row(settings: Settings) -> None:
    start_postgres(settings)
    write(settings, "CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(postmaster_id(settings), signal.SIGKILL)
    start_postgres(settings)
    assert ask(settings, "SELECT answer FROM kept") == 42


def test_backends_that_outlive_a_killed_server_do_not_stop_the_next(settings: Settings) -> None:
    start_postgres(settings)
    folder = find_cluster(settings).folder
    with contextlib.closing(psycopg.connect(settings.database_url)) as busy:
        busy.pgconn.send_query(b"DO $$ BEGIN LOOP END LOOP; END $$")
        os.kill(postmaster_id(settings), signal.SIGKILL)
        assert wait_until(lambda: len(processes_in(folder, "postgres")) >= 1, 5)
        start_postgres(settings)
    assert ask(settings, "SELECT 1") == 1


def test_a_pid_file_that_names_another_living_process_is_no_running_server(settings: Settings) -> None:
    start_postgres(settings)
    os.kill(postmaster_id(settings), signal.SIGKILL)
    pid_file = find_cluster(settings).folder / "postmaster.pid"
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        start_postgres(settings)
        assert ask(settings, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_callers_pgport_does_not_move_the_server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "6000")
    start_postgres(settings)
    assert (settings.runtime_dir / ".s.PGSQL.5432").exists()


def test_an_interrupted_first_start_leaves_no_half_cluster(settings: Settings) -> None:
    cluster = find_cluster(settings)
    unfinished = private_folder(cluster.folder.with_name("postgres.new"), cluster.owner)
    (unfinished / "PG_VERSION").write_text("18\n")
    start_postgres(settings)
    assert ask(settings, "SELECT 1") == 1


def test_a_private_parent_folder_is_not_entered_by_the_server_user(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    assert not reachable(private, Owner(uid=64_999, gid=64_999))
    assert reachable(private, None)


def test_a_private_checkout_stays_private_and_still_gets_its_server(settings: Settings) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    settings.data_dir.parent.chmod(0o700)
    start_postgres(settings)
    folder = find_cluster(settings).folder
    assert folder.parent == (Path("/var/lib/footfall") if os.geteuid() == 0 else settings.data_dir)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(settings.data_dir.parent.stat().st_mode) == 0o700
    assert ask(settings, "SELECT 1") == 1
    stop_postgres(settings)
    shutil.rmtree(folder)


def test_a_strangers_runtime_folder_is_refused(settings: Settings, tmp_path: Path) -> None:
    settings.runtime_dir.symlink_to(tmp_path)
    try:
        with pytest.raises(ServerError, match="Remove it"):
            start_postgres(settings)
    finally:
        settings.runtime_dir.unlink()
