"""Both Redis servers, as they are declared and after a crash."""

from __future__ import annotations

import signal
import stat

import pytest
import redis

from webapp.config import Settings
from webapp.embedded import start_redis, stop_redis
from webapp.embedded.processes import end, processes_in
from webapp.embedded.redis import find_redis

SHARED = {"port": "0", "appendonly": "yes", "maxmemory-policy": "noeviction", "aof-load-truncated": "yes", "save": ""}


def url(settings: Settings, name: str) -> str:
    return settings.redis_url if name == "broker" else settings.beacons_redis_url


def client(settings: Settings, name: str) -> redis.Redis:
    return redis.Redis.from_url(url(settings, name), decode_responses=True)


def kill(settings: Settings, name: str) -> None:
    assert end(processes_in(find_redis(settings, name).folder, "redis-server"), [(signal.SIGKILL, 5.0)])


@pytest.mark.parametrize(("name", "append_fsync"), [("broker", "everysec"), ("beacons", "always")])
def test_each_server_runs_as_declared(settings: Settings, name: str, append_fsync: str) -> None:
    start_redis(settings, name)
    declared = {**SHARED, "appendfsync": append_fsync}
    with client(settings, name) as connection:
        assert {key: connection.config_get(key)[key] for key in declared} == declared
    assert stat.S_IMODE((settings.runtime_dir / f"{name}.sock").stat().st_mode) == 0o700


def test_a_restart_keeps_the_entries(settings: Settings) -> None:
    start_redis(settings, "broker")
    with client(settings, "broker") as connection:
        connection.set("kept", "42")
    stop_redis(settings, "broker")
    start_redis(settings, "broker")
    with client(settings, "broker") as connection:
        assert connection.get("kept") == "42"


def test_a_killed_beacons_server_has_every_entry_that_it_acknowledged(settings: Settings) -> None:
    start_redis(settings, "beacons")
    with client(settings, "beacons") as connection:
        for number in range(200):
            connection.xadd("beacons", {"number": number})
    kill(settings, "beacons")
    start_redis(settings, "beacons")
    with client(settings, "beacons") as connection:
        assert connection.xlen("beacons") == 200


def test_a_file_cut_off_in_the_middle_of_an_entry_is_read_up_to_there(settings: Settings) -> None:
    start_redis(settings, "beacons")
    with client(settings, "beacons") as connection:
        connection.set("first", "1")
        connection.set("second", "2")
    kill(settings, "beacons")
    log = find_redis(settings, "beacons").folder / "appendonly.aof"
    log.write_bytes(log.read_bytes()[:-5])
    start_redis(settings, "beacons")
    with client(settings, "beacons") as connection:
        assert (connection.get("first"), connection.get("second")) == ("1", None)


def test_starting_twice_is_one_server(settings: Settings) -> None:
    start_redis(settings, "broker")
    start_redis(settings, "broker")
    assert len(processes_in(find_redis(settings, "broker").folder, "redis-server")) == 1
