"""docker-compose.yml, Dockerfile and Caddyfile agree with the code, as far as that shows without an engine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from webapp.cli import main
from webapp.config import settings_from
from webapp.embedded.redis import APPEND_FSYNC
from webapp.jobs.queue_names import QUEUES
from webapp.visits.tracker_script import tracker_script

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "footfall"}


class Recording(Mapping[str, str]):
    """An environment that notes which settings are asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values_given = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self.values_given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_given)

    def __len__(self) -> int:
        return len(self.values_given)


def settings_read(folder: Path) -> set[str]:
    environment = Recording({"DATA_DIR": str(folder)})
    settings_from(environment)
    return environment.asked


def test_every_part_is_a_service_of_its_own() -> None:
    processes = {"web", "edge", "worker", "system", "visits", "scheduler", "migrate"}
    assert set(SERVICES) == processes | {"caddy", "postgres", "broker", "beacons"}


@pytest.mark.parametrize("name", OURS)
def test_every_command_that_a_service_runs_exists_with_its_options(name: str) -> None:
    command, *arguments = OURS[name]["command"]
    found = main.commands[command]
    found.make_context(command, arguments, resilient_parsing=False)


def test_the_workers_together_take_every_queue() -> None:
    taken = [queue for name in ("worker", "system", "visits") for queue in OURS[name]["command"][2].split(",")]
    assert sorted(taken) == sorted(QUEUES)


def test_every_setting_that_is_passed_is_read(tmp_path: Path) -> None:
    passed = {setting for service in OURS.values() for setting in service["environment"]}
    assert passed <= settings_read(tmp_path)


def test_every_setting_that_is_passed_is_explained(tmp_path: Path) -> None:
    explained = set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "docs" / "operating.md").read_text(), re.MULTILINE))
    assert settings_read(tmp_path) <= explained


def test_every_service_waits_for_a_service_that_exists() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", [])) <= set(SERVICES)


@pytest.mark.parametrize("name", ["broker", "beacons"])
def test_each_redis_writes_to_disk_as_its_embedded_twin_does(name: str) -> None:
    command = SERVICES[name]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == APPEND_FSYNC[name]
    assert options["--maxmemory-policy"] == "noeviction"


def test_every_volume_is_declared() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {volume for volume in used if not volume.startswith(".")} == set(COMPOSE["volumes"])


def test_every_value_that_env_must_give_is_in_the_example() -> None:
    needed = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    example = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert needed <= example


def test_caddy_sends_the_edges_paths_to_the_edge_and_the_rest_to_web() -> None:
    text = (ROOT / "Caddyfile").read_text()
    found = re.search(r"@edge path (.+)", text)
    assert found
    paths = SERVICES["caddy"]["environment"]
    sent = [re.sub(r"\{\$(\w+)\}", lambda name: paths[name[1]], path) for path in found[1].split()]
    defaults = [re.sub(r"\$\{\w+:-(.+)\}", r"\1", path) for path in sent]
    assert defaults == ["/collect", "/pixel.gif", "/tracker.js", "/tracker.*.js", "/live/*"]
    targets = re.findall(r"reverse_proxy (\w+):(\d+)", text)
    assert targets == [("edge", "8001"), ("web", "8000")]
    assert text.count("{") == text.count("}")


def test_caddy_waits_for_no_request_forever_and_ends_no_stream() -> None:
    options = (ROOT / "Caddyfile").read_text().split("{$SITE_ADDRESS")[0]
    assert dict(re.findall(r"(read_header|read_body|write) (\w+)", options)) == {
        "read_header": "10s",
        "read_body": "30m",
    }


def test_every_path_that_caddy_sends_to_the_edge_is_served_there() -> None:
    settings = settings_from({"SECRET_KEY": "of a test"})
    script = tracker_script(settings)
    assert (settings.collect_path, settings.pixel_path) == ("/collect", "/pixel.gif")
    assert (script.path, fnmatch(script.versioned_path, "/tracker.*.js")) == ("/tracker.js", True)
    assert '"/live/"' in (ROOT / "webapp" / "edge.py").read_text()


def test_the_image_runs_the_command_and_copies_what_exists() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["footfall"]' in text
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert all((ROOT / path).exists() for line in copied for path in line.split())


def test_the_group_of_commands_is_complete() -> None:
    servers = {"up", "web", "edge", "worker", "scheduler"}
    assert set(main.commands) == servers | {"migrate", "demo", "doctor", "api-key", "site", "generate", "laid-aside"}
    generators = main.commands["generate"]
    assert isinstance(generators, click.Group)
    assert set(generators.commands) == {"contacts", "products", "beacons"}
