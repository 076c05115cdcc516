"""The [[foreign-agent]] tables of a home agent."""

from ipaddress import IPv4Address

import pytest

from flowbind.auth.association import Algorithm, SecurityAssociation
from flowbind.daemon.check import as_text, describe
from flowbind.model.config import ForeignAgentEntry

KEY = "00112233445566778899aabbccddeeff"
OTHER_KEY = "ffeeddccbbaa99887766554433221100"
AGENT = {"address": "192.0.2.254", "spi": 300, "key": KEY}


@pytest.fixture
def with_agents(configuration):
    def make(*tables):
        return configuration("home-agent", ["foreign-agent"], list(tables))

    return make


def test_tables_of_one_address_are_associations_of_one_agent(read, with_agents):
    second = {**AGENT, "spi": 301, "key": OTHER_KEY, "algorithm": "hmac-sha256"}
    other = {**AGENT, "address": "192.0.2.253"}
    settings = read(with_agents(AGENT, second, other))
    first = SecurityAssociation(300, bytes.fromhex(KEY))
    assert settings.engine.foreign_agents == (
        ForeignAgentEntry(
            IPv4Address("192.0.2.254"),
            (
                first,
                SecurityAssociation(301, bytes.fromhex(OTHER_KEY), Algorithm.HMAC_SHA256),
            ),
        ),
        ForeignAgentEntry(IPv4Address("192.0.2.253"), (first,)),
    )
    told = as_text(describe(settings))
    assert "2 foreign agents\n  192.0.2.254  SPI 300, 301\n  192.0.2.253  SPI 300\n" in told
    assert KEY not in told


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        (
            (AGENT, AGENT),
            "[[foreign-agent]] 2 (192.0.2.254): "
            "spi: a table before has 300 for 192.0.2.254 already",
        ),
        (({**AGENT, "address": ...},), "[[foreign-agent]] 1: address: missing"),
        (
            ({**AGENT, "key": ...},),
            "[[foreign-agent]] 1 (192.0.2.254): expected either key or key-file, neither is there",
        ),
        (
            ({**AGENT, "replay": "nonces"},),
            '[[foreign-agent]] 1 (192.0.2.254): unknown key "replay"',
        ),
    ],
)
def test_what_is_wrong_is_named(problems, with_agents, tables, problem):
    given = [{name: value for name, value in each.items() if value is not ...} for each in tables]
    assert [each.split(" (did you")[0] for each in problems(with_agents(*given))] == [problem]


def test_a_mobile_node_has_none(problems, configuration):
    (problem,) = problems(configuration("mobile-node", ["foreign-agent"], [AGENT]))
    assert problem.startswith('unknown table "foreign-agent"')
