"""Settings: sensible without any, and a plain word for each that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from webapp.config import ConfigError, runtime_dir_for, settings_from


def test_ports_follow_one_another(tmp_path: Path) -> None:
    settings = settings_from({"DATA_DIR": str(tmp_path), "PORT": "9100"})
    assert (settings.port, settings.edge_port, settings.demo_port, settings.issuer_port) == (9100, 9101, 9102, 9103)
    assert settings.public_url == "http://localhost:9100"
    assert settings.edge_url == "http://localhost:9101"


def test_real_servers_take_the_place_of_embedded_ones(tmp_path: Path) -> None:
    settings = settings_from({"DATA_DIR": str(tmp_path), "DATABASE_URL": "postgresql://db/x", "REDIS_URL": "redis://r"})
    assert (settings.embedded_postgres, settings.embedded_broker, settings.embedded_beacons) == (False, False, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PUBLIC_URL", "localhost"),
        ("EDGE_URL", "ftp://x"),
        ("BEACONS_LIMIT", "-1"),
        ("LOG_LEVEL", "loud"),
        ("UNSPLASH_URL", "api.unsplash.com"),
        ("UNSPLASH_REQUESTS_PER_HOUR", "0"),
    ],
)
def test_an_unusable_setting_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be"):
        settings_from({"DATA_DIR": str(tmp_path), name: value})


def test_the_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    first = settings_from({"DATA_DIR": str(tmp_path)}).secret_key
    assert settings_from({"DATA_DIR": str(tmp_path)}).secret_key == first
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


def test_a_secret_file_left_empty_by_a_crash_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "secret_key").touch(0o600)
    assert len(settings_from({"DATA_DIR": str(tmp_path)}).secret_key) > 40


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, True),
        ({"PUBLIC_URL": "https://desk.example.com"}, False),
        ({"GOOGLE_CLIENT_ID": "x"}, False),
        ({"DEMO": "0"}, False),
    ],
)
def test_the_demo_issuer_is_for_localhost_without_google(
    tmp_path: Path, environment: dict[str, str], expected: bool
) -> None:
    assert settings_from({"DATA_DIR": str(tmp_path), **environment}).uses_demo_issuer is expected


def test_sockets_stay_short_however_deep_the_data_is(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120) / ("y" * 120)
    assert len(str(runtime_dir_for(deep) / ".s.PGSQL.5432")) < 107


def test_the_longest_wait_of_the_roll_up_is_a_number_of_seconds(tmp_path: Path) -> None:
    def wait(text: str) -> float:
        return settings_from({"DATA_DIR": str(tmp_path), "ROLL_UP_SECONDS": text}).roll_up_seconds

    assert (wait(""), wait("0.5"), wait("30")) == (1.0, 0.5, 30.0)
    for wrong in ("soon", "0.1", "86400", "nan"):
        with pytest.raises(ConfigError, match="ROLL_UP_SECONDS"):
            wait(wrong)
