"""The [[foreign-agent]] tables of a home agent: whose authentication it checks, and gives."""

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Final

from flowbind.auth.association import SecurityAssociation
from flowbind.daemon import config_values as values
from flowbind.daemon.config_keys import ASSOCIATION_KEYS, Keys
from flowbind.daemon.config_reader import Findings, Key, read_array, read_table
from flowbind.model.config import ForeignAgentEntry

_KEYS: Final = (
    Key("address", "address", values.address, required=True),
    # How replays are told is between the mobile node and its home agent.
    *(each for each in ASSOCIATION_KEYS if each.name != "replay"),
)


def read_foreign_agents(
    findings: Findings, keys: Keys, document: Mapping[str, object]
) -> tuple[ForeignAgentEntry, ...]:
    """Read the tables; those with the same address are associations of the same agent."""
    known: dict[IPv4Address, tuple[SecurityAssociation, ...]] = {}
    for where, table in read_array(findings, document, "foreign-agent", "address"):
        found = read_table(findings, where, table, _KEYS)
        associations = keys.associations(where, table, found, _KEYS)
        address: IPv4Address | None = found.get("address")
        if address is None:
            continue
        before = known.get(address, ())
        for each in associations:
            if each.spi in {other.spi for other in before}:
                findings.problem(where, f"spi: a table before has {each.spi} for {address} already")
        known[address] = (*before, *associations)
    return tuple(ForeignAgentEntry(*each) for each in known.items() if each[1])
