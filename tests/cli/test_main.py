import os
from importlib.metadata import version

import pytest

from flowbind.auth.association import KEY_OCTETS

COMMANDS = [
    (),
    ("home-agent",),
    ("home-agent", "run"),
    ("home-agent", "cleanup"),
    ("home-agent", "revoke"),
    ("home-agent", "notify"),
    ("mobile-node", "notify"),
    ("notifications",),
    ("mobile-node",),
    ("mobile-node", "run"),
    ("mobile-node", "cleanup"),
    ("mobile-node", "register"),
    ("mobile-node", "deregister"),
    ("check",),
    ("status",),
    ("bindings",),
    ("paths",),
    ("flows",),
    ("policy",),
    ("policy", "set"),
    ("explain",),
    ("decode",),
    ("key",),
    ("key", "new"),
    ("key", "rotate"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(flowbind, command):
    outcome = flowbind(*command, "--help")

    assert outcome.status == 0
    assert f"Usage: {' '.join(('flowbind', *command))}" in outcome.out
    assert outcome.err == ""


def test_the_version_is_that_of_the_package_and_tells_whether_it_is_compiled(flowbind):
    kind = "compiled" if os.environ.get("FLOWBIND_COMPILED") == "1" else "pure Python"

    outcome = flowbind("--version")

    assert outcome.status == 0
    assert outcome.out == f"flowbind {version('flowbind')} ({kind})\n"


def test_no_command_at_all_shows_the_commands(flowbind):
    outcome = flowbind()

    assert outcome.status == 2
    assert "mobile-node" in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("no-such-command",), "no-such-command"),
        (("status", "--no-such-option"), "--no-such-option"),
        (("home-agent", "run"), "--config"),
        (("explain",), "packet"),
        (("policy", "--json", "set", "policy.toml"), "policy set"),
        (("mobile-node", "deregister"), "--all"),
        (("home-agent", "revoke"), "home_address"),
        (("home-agent", "revoke", "10.9.0.5", "--bid", "1", "--care-of", "10.1.0.2"), "--care-of"),
        (("mobile-node", "deregister", "--all", "--interface", "wlan0"), "--all"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(flowbind, arguments, complaint):
    outcome = flowbind(*arguments)

    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.startswith("flowbind: ")
    assert complaint in outcome.err.lower()
    assert outcome.err.count("\n") == 1


def test_a_new_key_is_another_one_each_time(flowbind):
    keys = {flowbind("key", "new").out.strip() for _ in range(3)}

    assert len(keys) == 3
    assert all(len(bytes.fromhex(key)) == KEY_OCTETS for key in keys)
