"""PostgreSQL from a Python wheel: on a Unix socket, as root and as anyone, after any crash.

Only the wheel's programs are used. Whether the server runs is asked of its socket: a pid file tells
nothing after kill -9, when the number may be a zombie's or belong to another process.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from webapp.config import Settings
from webapp.embedded.errors import ServerError, with_log_tail
from webapp.embedded.places import Owner, cluster_folder, postgres_binaries, private_folder, server_owner
from webapp.embedded.processes import end, is_gone, processes_in, wait_until

ROLE = DATABASE = "footfall"
START_SECONDS = 120.0  # after a crash the log is replayed first, which may take long
SETTLE_SECONDS = 30.0
STOP_SIGNAL = signal.SIGINT  # fast shutdown: does not wait for clients, loses nothing
FAST_SHUTDOWN = ((STOP_SIGNAL, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
ORPHANS = ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))

# For a machine with two cores and some gigabytes, shared with web, edge and workers.
CONFIGURATION = """\
# Written by Footfall at every start; your own settings belong into local.conf beside it, which wins.
listen_addresses = ''
port = 5432
unix_socket_directories = '{socket_folder}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 256MB
work_mem = 16MB
maintenance_work_mem = 128MB
max_wal_size = 4GB
wal_compression = pglz
fsync = on
synchronous_commit = on
random_page_cost = 1.1
jit = off
max_locks_per_transaction = 256
# A killed worker's row locks are free within a second, not when its statement has ended.
client_connection_check_interval = 1s
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
"""


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL server: its files, its socket, its programs, its user."""

    folder: Path
    sockets: Path
    programs: Path
    owner: Owner | None
    log: Path

    @property
    def exists(self) -> bool:
        """Whether the cluster was created already."""
        return (self.folder / "PG_VERSION").exists()

    @property
    def command(self) -> tuple[str, ...]:
        """What runs the server in the foreground."""
        return (str(self.programs / "postgres"), "-D", str(self.folder))

    def run(self, program: str, *arguments: str) -> int:
        """Run one of the programs as the server's user, into the server's log; returns its exit code."""
        owner = self.owner
        with self.log.open("ab") as log:
            return subprocess.run(
                [str(self.programs / program), *arguments],
                stdout=log,
                stderr=log,
                env=_environment(),
                cwd="/",
                check=False,
                user=owner.uid if owner else None,
                group=owner.gid if owner else None,
                extra_groups=[] if owner else None,
            ).returncode


def find_cluster(settings: Settings) -> Cluster:
    """Where this data folder's server lives, whether or not it exists yet."""
    owner = server_owner()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return Cluster(
        folder=cluster_folder(settings.data_dir, owner),
        sockets=settings.runtime_dir,
        programs=postgres_binaries(owner),
        owner=owner,
        log=settings.data_dir / "logs" / "postgres.log",
    )


def start_postgres(settings: Settings) -> None:
    """Start the server, unless it answers already, and make sure of its database."""
    cluster = find_cluster(settings)
    if not is_accepting(cluster):
        prepare(cluster)
        _start_detached(cluster)
    wait_for_postgres(cluster)


def stop_postgres(settings: Settings) -> None:
    """Stop the server, if it runs: open transactions are rolled back, nothing committed is lost."""
    folder = cluster_folder(settings.data_dir, server_owner())
    server = _postmaster(folder)
    if server is None:
        return
    if not end([server], FAST_SHUTDOWN):
        raise ServerError(f"PostgreSQL (process {server.pid}) does not stop. Its files: {folder}")


def prepare(cluster: Cluster) -> None:
    """Everything up to the start: folders, a first `initdb`, the configuration, no remains of a crash."""
    _check_access(cluster)
    private_folder(cluster.sockets, cluster.owner)
    cluster.log.parent.mkdir(parents=True, exist_ok=True)
    if not cluster.exists:
        _create_cluster(cluster)
    _write_configuration(cluster)
    clear_remains(cluster)


def clear_remains(cluster: Cluster) -> None:
    """After a crash: end what is left of the old server and remove its lock files.

    A server that is starting or stopping is waited for; one that lives and cannot be reached is stopped.
    """
    server = _postmaster(cluster.folder)
    if server:
        wait_until(lambda: is_gone(server) or is_accepting(cluster), SETTLE_SECONDS)
        if is_accepting(cluster):
            return
        end([server], FAST_SHUTDOWN)
    if not end(processes_in(cluster.folder, "postgres"), ORPHANS):
        raise ServerError(f"Processes of an earlier PostgreSQL in {cluster.folder} do not end. Restart the machine.")
    for lock in (cluster.folder / "postmaster.pid", *cluster.sockets.glob(".s.PGSQL.5432*")):
        lock.unlink(missing_ok=True)


def wait_for_postgres(cluster: Cluster) -> None:
    """Return when the server accepts connections and has the database."""
    if not wait_until(lambda: is_accepting(cluster) or _postmaster(cluster.folder) is None, START_SECONDS):
        raise with_log_tail(f"PostgreSQL did not answer within {START_SECONDS:.0f} seconds.", cluster.log)
    if not is_accepting(cluster):
        raise with_log_tail("PostgreSQL did not start.", cluster.log)
    ensure_database(cluster)


def ensure_database(cluster: Cluster) -> None:
    """Create the database `footfall` in a new cluster."""
    import psycopg

    address = f"host={cluster.sockets} port=5432 user={ROLE} dbname=postgres connect_timeout=10"
    with psycopg.connect(address, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(f"CREATE DATABASE {DATABASE}")


def is_accepting(cluster: Cluster) -> bool:
    """Whether the server takes connections now."""
    if not (cluster.sockets / ".s.PGSQL.5432").exists():
        return False
    command = [str(cluster.programs / "pg_isready"), "-q", "-t", "3", "-h", str(cluster.sockets), "-p", "5432"]
    return subprocess.run([*command, "-U", ROLE, "-d", "postgres"], env=_environment(), check=False).returncode == 0


def _postmaster(folder: Path) -> psutil.Process | None:
    """The living main process that the pid file names, if it really is this cluster's."""
    try:
        pid = int((folder / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    return next((process for process in processes_in(folder, "postgres") if process.pid == pid), None)


def _check_access(cluster: Cluster) -> None:
    uid = cluster.owner.uid if cluster.owner else os.geteuid()
    if cluster.folder.exists() and cluster.folder.stat().st_uid != uid:
        raise ServerError(
            f"The database in {cluster.folder} belongs to another user (id {cluster.folder.stat().st_uid}). "
            "Start Footfall as the user who created it, or choose another DATA_DIR."
        )


def _create_cluster(cluster: Cluster) -> None:
    """`initdb` into a folder of its own, moved into place when complete: a crash leaves no half cluster."""
    unfinished = private_folder(cluster.folder.with_name(cluster.folder.name + ".new"), cluster.owner)
    _empty(unfinished)
    identity = ("-D", str(unfinished), f"--username={ROLE}", "--auth=trust")
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    if cluster.run("initdb", *identity, *locale):
        raise with_log_tail("PostgreSQL's data folder could not be created.", cluster.log)
    unfinished.rename(cluster.folder)


def _empty(folder: Path) -> None:
    """Remove what an interrupted `initdb` left."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write_configuration(cluster: Cluster) -> None:
    _write(cluster, "footfall.conf", CONFIGURATION.format(socket_folder=cluster.sockets))
    main = (cluster.folder / "postgresql.conf").read_text()
    if "footfall.conf" not in main:
        _write(cluster, "postgresql.conf", f"{main}\ninclude 'footfall.conf'\ninclude_if_exists 'local.conf'\n")


def _write(cluster: Cluster, name: str, text: str) -> None:
    target, new = cluster.folder / name, cluster.folder / f"{name}.new"
    new.write_text(text)
    new.chmod(0o600)
    if cluster.owner:
        os.chown(new, cluster.owner.uid, cluster.owner.gid)
    new.replace(target)


def _start_detached(cluster: Cluster) -> None:
    """Start a server that outlives this process; `stop_postgres` ends it."""
    if is_accepting(cluster):
        return
    if cluster.run("pg_ctl", "start", "-s", "-W", "-D", str(cluster.folder)):
        raise with_log_tail("PostgreSQL could not be started.", cluster.log)
    wait_until(lambda: _postmaster(cluster.folder) is not None, 5.0)


def _environment() -> Mapping[str, str]:
    """Without the caller's PG… variables (PGPORT would move the server) and without translated messages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
