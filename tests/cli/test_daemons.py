import os
import sys

import pytest


class Replaced(BaseException):
    """The process would be another one now."""


@pytest.fixture
def become(monkeypatch, flowbind):
    """Run a command that replaces the process; return the daemon's arguments."""

    def run(*arguments):
        commands = []

        def execv(path, command):
            commands.append((path, command))
            raise Replaced

        monkeypatch.setattr(os, "execv", execv)
        with pytest.raises(Replaced):
            flowbind(*arguments)
        ((path, command),) = commands
        assert path == sys.executable
        assert command[:4] == [sys.executable, "-P", "-m", "flowbind.daemon"]
        return command[4:]

    return run


@pytest.mark.parametrize("role", ["home-agent", "mobile-node"])
def test_run_becomes_the_daemon_of_the_role(become, role):
    assert become(role, "run", "-c", "a.toml") == [role, "-c", "a.toml"]


@pytest.mark.parametrize("role", ["home-agent", "mobile-node"])
def test_cleanup_becomes_the_daemon_s_own(become, role):
    assert become(role, "cleanup", "--config", "a.toml") == [role, "cleanup", "-c", "a.toml"]


def test_check_hands_its_file_on(become):
    assert become("check", "a.toml") == ["check", "a.toml"]
    assert become("check", "a.toml", "--json") == ["check", "a.toml", "--json"]
    assert become("check", "--machine") == ["check", "--machine"]


def test_the_rotation_of_a_key_hands_its_file_and_the_node_on(become):
    assert become("key", "rotate", "a.toml") == ["rotate-key", "--", "a.toml"]
    assert become("key", "rotate", "a.toml", "--nai", "node5@fleet.example") == [
        "rotate-key", "--nai=node5@fleet.example", "--", "a.toml",
    ]  # fmt: skip
    assert become("key", "rotate", "a.toml", "--home-address", "10.9.0.5") == [
        "rotate-key", "--home-address=10.9.0.5", "--", "a.toml",
    ]  # fmt: skip
