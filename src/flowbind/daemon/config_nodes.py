"""The [[mobile-node]] tables of a home agent, and the addresses that it may give to nodes."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final

from flowbind.daemon import config_values as values
from flowbind.daemon.config_keys import (
    AAA_KEYS,
    ASSOCIATION_KEYS,
    FURTHER_KEY,
    TOLERANCE_KEY,
    Keys,
)
from flowbind.daemon.config_reader import Findings, Found, Key, read_array, read_table
from flowbind.model.config import MobileNodeEntry, unusable_in
from flowbind.model.tunnel import Balance

_ASSOCIATION_KEYS: Final = (*ASSOCIATION_KEYS, TOLERANCE_KEY)
_NODE_KEYS: Final = (
    Key("home-address", "home_address", values.address),
    Key("nai", "nai", values.nai),
    *_ASSOCIATION_KEYS,
    FURTHER_KEY,
    *AAA_KEYS,
    Key("services", "services", values.list_of(values.service, "services")),
    Key("multipath", "multipath", values.switch),
    Key("label-weights", "label_weights", values.label_weights),
    Key("balance", "balance", values.member_of(Balance)),
    Key("simultaneous-bindings", "simultaneous_bindings", values.switch),
    Key("ipv6-prefixes", "ipv6_prefixes", values.ipv6_prefixes),
)


def read_nodes(
    findings: Findings, keys: Keys, document: Mapping[str, object], home_agent: Found
) -> tuple[MobileNodeEntry, ...]:
    """Read the nodes that a home agent serves; `home_agent` is what its own table said."""
    entries: list[MobileNodeEntry] = []
    known: dict[IPv4Address | str, str] = {}
    owned: list[tuple[IPv6Network, str]] = []
    for problem in _pool_problems(home_agent):
        findings.problem("[home-agent]", f"address-pool: {problem}")
    for where, table in read_array(findings, document, "mobile-node", "nai", "home-address"):
        found = read_table(findings, where, table, _NODE_KEYS)
        associations = keys.associations(where, table, found, _ASSOCIATION_KEYS)
        found["aaa"] = keys.aaa(where, table, found)
        if home_agent.get("require_aaa") and not any(each.name in table for each in AAA_KEYS):
            findings.problem(where, "aaa-key: missing, and [home-agent] has require-aaa")
        for problem in _identity_problems(table, found, home_agent, known):
            findings.problem(where, problem)
        for name in (found.get("home_address"), found.get("nai")):
            if name is not None:
                known.setdefault(name, where)
        home_address = found.pop("home_address", None)
        entries.append(MobileNodeEntry(home_address, associations, **found))
        owned += [(prefix, where) for prefix in found.get("ipv6_prefixes", ())]
    if not document.get("mobile-node"):
        findings.warn("", "no [[mobile-node]]: nobody is served")
    for where, problem in _prefix_problems(owned):
        findings.problem(where, f"ipv6-prefixes: {problem}")
    _warn_of_a_small_pool(findings, home_agent, entries)
    return tuple(entries)


def _prefix_problems(owned: list[tuple[IPv6Network, str]]) -> Iterator[tuple[str, str]]:
    """RFC 5454 3.3: every address belongs to one node. In order, what overlaps is side by side."""
    widest: tuple[IPv6Network, str] | None = None
    for prefix, where in sorted(owned, key=lambda each: each[0]):
        if widest and prefix.overlaps(widest[0]):
            yield where, f"{prefix} overlaps with {widest[0]} of {widest[1]}"
        else:
            widest = prefix, where


def _identity_problems(
    table: Mapping[str, object],
    found: Found,
    home_agent: Found,
    known: Mapping[IPv4Address | str, str],
) -> Iterator[str]:
    if "home-address" not in table and "nai" not in table:
        yield "home-address: missing, and there is no nai instead"
    if "home-address" not in table and "nai" in table and "address_pool" not in home_agent:
        yield "home-address: missing, and [home-agent] has no address-pool to give one of"
    home_address: IPv4Address | None = found.get("home_address")
    if home_address is not None:
        for problem in _home_address_problems(home_address, home_agent, known):
            yield f"home-address: {problem}"
    if found.get("nai") in known:
        yield f"nai: {known[found['nai']]} has {found['nai']} already"


def _home_address_problems(
    home_address: IPv4Address, home_agent: Found, known: Mapping[IPv4Address | str, str]
) -> Iterator[str]:
    home_networks: tuple[IPv4Network, ...] | None = home_agent.get("home_networks")
    if home_networks is not None:
        mine = [each for each in home_networks if home_address in each]
        if not mine:
            yield f"{home_address} is in none of the home-networks"
        if any(home_address in unusable_in(each) for each in mine):
            yield f"{home_address} is the address of a whole network"
    if home_address == home_agent.get("address"):
        yield f"{home_address} is the home agent's own address"
    for network in home_agent.get("address_pool", ()):
        if home_address in network:
            yield f"{home_address} is in {network} of the address-pool"
    if home_address in known:
        yield f"{known[home_address]} has {home_address} already"


def _pool_problems(home_agent: Found) -> Iterator[str]:
    pool: tuple[IPv4Network, ...] = home_agent.get("address_pool", ())
    home_networks: tuple[IPv4Network, ...] | None = home_agent.get("home_networks")
    own: IPv4Address | None = home_agent.get("address")
    for network in pool:
        if home_networks is not None and not any(network.subnet_of(n) for n in home_networks):
            yield f"{network} is in none of the home-networks"
        if own is not None and own in network:
            yield f"{network} has the home agent's own address in it"


def _warn_of_a_small_pool(
    findings: Findings, home_agent: Found, entries: list[MobileNodeEntry]
) -> None:
    pool: tuple[IPv4Network, ...] = home_agent.get("address_pool", ())
    home_networks: tuple[IPv4Network, ...] = home_agent.get("home_networks", ())
    ends = frozenset[IPv4Address]().union(*map(unusable_in, home_networks))
    size = sum(each.num_addresses for each in pool)
    size -= sum(end in network for end in ends for network in pool)
    wanting = sum(each.home_address is None for each in entries)
    if wanting > size and pool:
        what = f"address-pool: {size} addresses for {wanting} nodes without a home-address"
        findings.warn("[home-agent]", what)
