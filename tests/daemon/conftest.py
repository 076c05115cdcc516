"""Configurations to change and to read."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from flowbind.daemon.config import ConfigError, Settings, read_settings

KEY = "0123456789abcdef0123456789abcdef"

HOME_AGENT = {
    "home-agent": {"address": "198.51.100.1", "home-networks": ["10.9.0.0/24"]},
    "mobile-node": [{"home-address": "10.9.0.5", "spi": 256, "key": KEY}],
    "flow": [{"match": "udp remote port 5060", "labels": [2, 1]}],
}
MOBILE_NODE = {
    "mobile-node": {
        "home-address": "10.9.0.5",
        "home-agent": "198.51.100.1",
        "spi": 256,
        "key": KEY,
    },
    "interface": [
        {"name": "wlan0", "bid": 1, "access": "wlan"},
        {"name": "wwan0", "bid": 2, "access": "lte"},
    ],
    "flow": [{"match": "udp remote port 5060", "interfaces": ["wwan0", "wlan0"]}],
}
ROLES: dict[str, dict] = {"home-agent": HOME_AGENT, "mobile-node": MOBILE_NODE}


def _toml(value) -> str:
    """Write a value as TOML does."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return str(value)
    if type(value) is int and value >= 1 << 64:
        # Python has a limit to what it writes and reads in decimal.
        return hex(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _document(tables) -> str:
    return "".join(f"{_toml(str(name))} = {_toml(value)}\n" for name, value in tables.items())


@pytest.fixture(scope="session")
def configuration():
    """Return a good configuration of a role, with one value put in or, by `...`, taken out."""

    def configuration(role, place=(), value=None):
        tables = deepcopy(ROLES[role])
        if place:
            *parents, last = place
            inside = tables
            for each in parents:
                inside = inside[each]
            if value is ...:
                del inside[last]
            else:
                inside[last] = value
        return tables

    return configuration


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """Return the file that `read` reads, which only its owner can."""
    path: Path = tmp_path_factory.mktemp("config") / "daemon.toml"
    path.touch(mode=0o600)
    return path


@pytest.fixture(scope="module")
def read(file) -> Callable[..., Settings]:
    """Read tables, or a text, from a file."""

    def read(content) -> Settings:
        text = content if isinstance(content, str) else _document(content)
        file.write_text(text, "utf-8", newline="")
        return read_settings(file)

    return read


@pytest.fixture(scope="module")
def problems(read, file) -> Callable[..., list[str]]:
    """Return the problems of what cannot be read, without the name of the file."""

    def problems(content) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(content)
        assert all(line.startswith(f"{file}: ") for line in caught.value.problems)
        assert str(caught.value) == "\n".join(caught.value.problems)
        return [line.removeprefix(f"{file}: ") for line in caught.value.problems]

    return problems


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(KEY + "\n")
    return path
