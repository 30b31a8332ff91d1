"""Who uses the embedded servers, and who stops them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from webapp.config import Settings
from webapp.embedded import ServerError, running_servers
from webapp.embedded.locks import FileLock
from webapp.embedded.ports import check_ports
from webapp.embedded.postgres import find_cluster, is_accepting
from webapp.embedded.redis import find_redis, is_answering
from webapp.embedded.servers import owned_servers, start_servers

BUSY_PORT = 21_050


def all_run(settings: Settings) -> bool:
    names = ("broker", "beacons")
    return is_accepting(find_cluster(settings)) and all(is_answering(find_redis(settings, name)) for name in names)


def none_runs(settings: Settings) -> bool:
    names = ("broker", "beacons")
    is_any = is_accepting(find_cluster(settings)) or any(is_answering(find_redis(settings, name)) for name in names)
    return not is_any


def test_the_servers_run_inside_and_not_after(settings: Settings) -> None:
    with running_servers(settings):
        assert all_run(settings)
    assert none_runs(settings)


def test_the_last_user_stops_the_servers(settings: Settings) -> None:
    with running_servers(settings):
        with running_servers(settings):
            assert all_run(settings)
        assert all_run(settings)
    assert none_runs(settings)


def test_a_user_beside_up_leaves_its_servers_alone(settings: Settings) -> None:
    with owned_servers(settings, print):
        start_servers(settings)
        with running_servers(settings):
            assert all_run(settings)
        assert all_run(settings)


def test_up_stops_servers_that_a_killed_command_left_behind(settings: Settings) -> None:
    start_servers(settings)
    with owned_servers(settings, print):
        assert none_runs(settings)


def test_a_lock_is_held_alone_or_shared(settings: Settings) -> None:
    path = settings.data_dir / "some.lock"
    with closing(FileLock(path)) as first, closing(FileLock(path)) as second:
        assert first.try_share()
        assert second.try_share()
        assert not first.try_alone()


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", BUSY_PORT)):
        yield BUSY_PORT


def test_a_port_in_use_is_refused_with_the_remedy(busy_port: int) -> None:
    with pytest.raises(ServerError, match=rf"Port {busy_port} is already in use. Choose another: PORT=\d+ make run"):
        check_ports({"PORT": busy_port})


def test_two_settings_with_the_same_port_are_refused() -> None:
    with pytest.raises(ServerError, match="PORT and EDGE_PORT are both 21060"):
        check_ports({"PORT": 21_060, "EDGE_PORT": 21_060})


def test_free_ports_are_accepted() -> None:
    check_ports({"PORT": 21_061, "EDGE_PORT": 21_062})
