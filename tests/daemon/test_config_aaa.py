"""The AAA key of a node, in the configuration of either end."""

import re

import pytest

from flowbind.auth.aaa import AaaAssociation
from flowbind.daemon.config import ConfigError, read_settings
from flowbind.model.config import HomeAgentConfig

KEY = "000102030405060708090a0b0c0d0e0f"
AGENT = """
[home-agent]
address = "198.51.100.1"
home-networks = ["10.9.0.0/24"]
{settings}
[[mobile-node]]
home-address = "10.9.0.5"
spi = 256
key = "{key}"
{aaa}
"""
NODE = """
[mobile-node]
home-address = "10.9.0.5"
home-agent = "198.51.100.1"
spi = 256
key = "{key}"
{aaa}
[[interface]]
name = "wlan0"
bid = 1
access = "wlan"
"""


@pytest.fixture
def aaa_of(tmp_path):
    """Read a configuration of either role with more lines; returns the AAA association."""

    def read(role, aaa, settings=""):
        file = tmp_path / "flowbind.toml"
        file.touch(mode=0o600)
        text = AGENT if role == "home-agent" else NODE
        file.write_text(text.format(key=KEY, aaa=aaa, settings=settings))
        engine = read_settings(file).engine
        return engine.mobile_nodes[0].aaa if isinstance(engine, HomeAgentConfig) else engine.aaa

    return read


@pytest.mark.parametrize("role", ["home-agent", "mobile-node"])
def test_a_key_in_the_file_or_in_another_one(aaa_of, tmp_path, role):
    secret = bytes(range(16, 32))
    (tmp_path / "aaa").touch(mode=0o600)
    (tmp_path / "aaa").write_text(secret.hex())
    assert aaa_of(role, "") is None
    assert aaa_of(role, f'aaa-key = "{secret.hex()}"') == AaaAssociation(2, secret)
    assert aaa_of(role, 'aaa-key-file = "aaa"\naaa-spi = 300') == AaaAssociation(300, secret)


@pytest.mark.parametrize("role", ["home-agent", "mobile-node"])
@pytest.mark.parametrize(
    ("aaa", "complaint"),
    [
        ("aaa-spi = 2", "neither is there"),
        (f'aaa-key = "{KEY}"\naaa-key-file = "aaa"', "both are there"),
        (f'aaa-key = "{KEY}"\naaa-spi = 255', "2, or a number from 256"),
        ('aaa-key = "xyz"', "aaa-key"),
        ('aaa-key-file = "not-there"', "aaa-key-file"),
    ],
)
def test_what_is_wrong_is_named(aaa_of, role, aaa, complaint):
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        aaa_of(role, aaa)


def test_who_requires_it_has_a_key_for_everybody(aaa_of):
    with pytest.raises(ConfigError, match="require-aaa"):
        aaa_of("home-agent", "", "require-aaa = true")
    assert aaa_of("home-agent", f'aaa-key = "{KEY}"', "require-aaa = true") is not None
