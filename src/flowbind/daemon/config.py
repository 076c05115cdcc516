"""The settings of a daemon, from one TOML file (docs/configuration.md documents every key).

A path in a setting stays a string here: nothing is opened but the configuration and the key files.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from flowbind.daemon import config_values as values
from flowbind.daemon.config_flows import (
    Labels,
    bids_by_label,
    read_policy_rules,
    read_static_flows,
    warn_of_fragments,
)
from flowbind.daemon.config_foreign_agents import read_foreign_agents
from flowbind.daemon.config_keys import (
    AAA_KEYS,
    ASSOCIATION_KEYS,
    FURTHER_KEY,
    OTHERS,
    Keys,
)
from flowbind.daemon.config_nodes import read_nodes
from flowbind.daemon.config_reader import Findings, Found, Key, read_array, read_table, unknown
from flowbind.dataplane.base import Attach
from flowbind.model.binding import Encapsulation
from flowbind.model.config import (
    HomeAgentConfig,
    HomeDetection,
    InterfaceConfig,
    MobileNodeConfig,
    NatTraversal,
    OverwriteScope,
    UnknownBid,
)
from flowbind.model.flow import PolicyRule
from flowbind.model.tunnel import (
    LARGEST_LINK_MTU,
    LINK_MTU,
    MAX_PATHS,
    PLAIN_BID,
    SMALLEST_LINK_MTU,
    Balance,
)

DEFAULT_DEVICE: Final = "mip0"

_LIFETIME: Final = values.whole_seconds("1s", "65534s")
_HIGHEST_BID: Final = 254
_MOST_PROBES: Final = 100
_MOST_NODES: Final = 1 << 24

_HOME_AGENT_TABLES: Final = ("home-agent", "mobile-node", "foreign-agent", "flow")
_MOBILE_NODE_TABLES: Final = ("mobile-node", "interface", "flow")
_ALL_TABLES: Final = (*_HOME_AGENT_TABLES, "interface")

_HOST_KEYS: Final = (
    Key("socket", "socket", values.socket_path),
    Key("store", "store", values.store_url),
    Key("device", "device", values.device),
    Key("pin-path", "pin_path", values.absolute_path),
    Key("attach", "attach", values.member_of(Attach)),
    Key("log-level", "log_level", values.one_of("error", "warning", "info", "debug")),
    Key("mss-clamping", "mss_clamping", values.switch),
    Key("mtu", "mtu", values.number(SMALLEST_LINK_MTU, LARGEST_LINK_MTU)),
)
_ENCAPSULATIONS: Final = values.list_of(values.member_of(Encapsulation), "encapsulations")
_HOME_AGENT_KEYS: Final = (
    Key("address", "address", values.address, required=True),
    Key("home-networks", "home_networks", values.networks, required=True),
    Key("max-lifetime", "max_lifetime_s", _LIFETIME),
    Key("max-bindings", "max_bindings", values.number(1, MAX_PATHS)),
    Key("overwrite-scope", "overwrite_scope", values.member_of(OverwriteScope)),
    Key("unknown-bid", "unknown_bid", values.member_of(UnknownBid)),
    Key("policy-in-reply", "policy_in_reply", values.switch),
    Key("strict-reserved", "strict_reserved", values.switch),
    Key("revocation", "revocation", values.switch),
    Key("notifications", "notifications", values.switch),
    Key("require-aaa", "require_aaa", values.switch),
    Key("interfaces", "interfaces", values.list_of(values.device, "network devices")),
    Key("shortcut", "shortcut", values.switch),
    Key("shortcut-out", "shortcut_out", values.switch),
    Key("home-link", "home_link", values.device),
    Key("advertisement-interval", "advertisement_interval_s", values.duration("4s", "30m")),
    Key("address-pool", "address_pool", values.pool),
    Key("encapsulations", "encapsulations", _ENCAPSULATIONS),
    Key("gre-sequence", "gre_sequence", values.switch),
    Key("nat-traversal", "nat_traversal", values.switch),
    Key("udp-forced", "udp_forced", values.switch),
    Key("keepalive-interval", "keepalive_interval_s", values.whole_seconds("10s", "110s")),
    Key("deny-source-mismatch", "deny_source_mismatch", values.switch),
    Key("discovery", "discovery", values.switch),
    Key("message-strings", "message_strings", values.switch),
    Key("max-nodes", "max_nodes", values.number(0, _MOST_NODES)),
    Key("redirect-to", "redirect_to", values.address),
    Key("balance", "balance", values.member_of(Balance)),
    *_HOST_KEYS,
)
_MOBILE_NODE_KEYS: Final = (
    Key("home-address", "home_address", values.address),
    Key("nai", "nai", values.nai),
    Key("service", "service", values.service),
    Key("home-agent", "home_agent", values.address),
    Key(
        "assigning-home-agents",
        "assigning_home_agents",
        values.list_of(values.address, "addresses"),
    ),
    *ASSOCIATION_KEYS,
    FURTHER_KEY,
    *AAA_KEYS,
    Key("multipath", "multipath", values.one_of("require", "prefer", "off")),
    Key("simultaneous", "simultaneous", values.switch),
    Key("broadcast-datagrams", "broadcast_datagrams", values.switch),
    Key("ipv6-prefixes", "ipv6_prefixes", values.ipv6_prefixes),
    Key("lifetime", "lifetime_s", _LIFETIME),
    Key("exchange-policy", "exchange_policy", values.switch),
    Key("accept-policy", "accept_policy", values.switch),
    Key("revocation", "revocation", values.switch),
    Key("notifications", "notifications", values.switch),
    Key("default-route", "default_route", values.switch),
    Key("probe-interval", "probe_interval_s", values.duration("10ms", "1m")),
    Key("probe-dead-after", "probe_dead_after", values.number(1, _MOST_PROBES)),
    Key("home-network", "home_network", values.network),
    Key("balance", "balance", values.member_of(Balance)),
    *_HOST_KEYS,
)
_INTERFACE_KEYS: Final = (
    Key("name", "name", values.device, required=True),
    Key("bid", "bid", values.number(1, _HIGHEST_BID), required=True),
    Key("label", "label", values.number(1, values.HIGHEST_LABEL)),
    Key("access", "access_technology", values.access, required=True),
    Key("weight", "weight", values.weight),
    Key("encapsulation", "encapsulation", values.member_of(Encapsulation)),
    Key("gre-key", "gre_key", values.switch),
    Key("gre-sequence", "gre_sequence", values.switch),
    Key("home", "home", values.member_of(HomeDetection)),
    Key("nat-traversal", "nat_traversal", values.member_of(NatTraversal)),
)


class HomeAgentSettings(Struct, frozen=True):
    """All that `flowbind home-agent run` needs: the engine's part, and what is about this host.

    `interfaces` None stands for every interface that is up at the start. `warnings` are lines for
    the operator about a file that was accepted.
    """

    engine: HomeAgentConfig
    socket: str = "/run/flowbind/home-agent.sock"
    store: str = "sqlite:///var/lib/flowbind/home-agent.db"
    device: str = DEFAULT_DEVICE
    pin_path: str = "/sys/fs/bpf/flowbind/home-agent"
    interfaces: tuple[str, ...] | None = None
    shortcut: bool = True
    shortcut_out: bool = False
    attach: Attach = Attach.AUTO
    log_level: str = "info"
    mtu: int = LINK_MTU
    mss_clamping: bool = True
    warnings: tuple[str, ...] = ()


class MobileNodeSettings(Struct, frozen=True):
    """All that `flowbind mobile-node run` needs: the engine's part, and what is about this host."""

    engine: MobileNodeConfig
    socket: str = "/run/flowbind/mobile-node.sock"
    store: str = "sqlite:///var/lib/flowbind/mobile-node.db"
    device: str = DEFAULT_DEVICE
    pin_path: str = "/sys/fs/bpf/flowbind/mobile-node"
    default_route: bool = True
    attach: Attach = Attach.AUTO
    log_level: str = "info"
    mtu: int = LINK_MTU
    mss_clamping: bool = True
    warnings: tuple[str, ...] = ()


Settings = HomeAgentSettings | MobileNodeSettings


class ConfigError(Exception):
    """A configuration that cannot be used: one line for each thing that is wrong with it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_settings(path: Path) -> Settings:
    """Read a configuration of either role. Raises ConfigError with all that is wrong with it."""
    findings = Findings(str(path))
    settings = _read(findings, path)
    if findings.problems or settings is None:
        raise ConfigError(tuple(findings.problems))
    return settings


def read_policy(
    tables: Sequence[dict[str, object]],
    source: str,
    interfaces: Mapping[str, int],
    labels: Labels,
    *,
    ipv6: bool = False,
) -> tuple[PolicyRule, ...]:
    """Read the [[flow]] tables of a mobile node whose interfaces have these BIDs, by If-Label too.

    Raises ConfigError with all that is wrong with them.
    """
    findings = Findings(source)
    rules = read_policy_rules(findings, {"flow": list(tables)}, interfaces, labels, ipv6=ipv6)
    if findings.problems:
        raise ConfigError(tuple(findings.problems))
    return rules


def _read(findings: Findings, path: Path) -> Settings | None:
    loaded = _load(findings, path)
    if loaded is None:
        return None
    document, mode = loaded
    keys = Keys(findings, path.parent, exposed=bool(mode & OTHERS))
    reader = _Reader(findings, keys, document)
    home_agent = values.as_table(document.get("home-agent"))
    mobile_node = values.as_table(document.get("mobile-node"))
    if home_agent is not None and mobile_node is None:
        return reader.home_agent(home_agent)
    if mobile_node is not None and home_agent is None:
        return reader.mobile_node(mobile_node)
    found = "neither" if home_agent is None else "both"
    findings.problem("", f"expected either [home-agent] or [mobile-node], found {found}")
    unknown(findings, "", "table", document, _ALL_TABLES)
    return None


def _load(findings: Findings, path: Path) -> tuple[dict[str, object], int] | None:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            return tomllib.load(file), mode
    except OSError as error:
        findings.problem("", error.strerror or "cannot be read")
    except UnicodeDecodeError:
        findings.problem("", "this is not UTF-8")
    except RecursionError:
        findings.problem("", "tables or arrays are nested too deeply")
    except ValueError as error:
        what, _, at = str(error).partition(" (at ")
        findings.problem(at.removesuffix(")"), what)
    return None


class _Reader:
    """Reads the tables of one document. What is returned counts only if no problem was noted."""

    def __init__(self, findings: Findings, keys: Keys, document: Mapping[str, object]) -> None:
        self._findings = findings
        self._keys = keys
        self._document = document

    def home_agent(self, table: Mapping[str, object]) -> HomeAgentSettings | None:
        where = "[home-agent]"
        unknown(self._findings, "", "table", self._document, _HOME_AGENT_TABLES)
        found = read_table(self._findings, where, table, _HOME_AGENT_KEYS)
        if found.get("device", DEFAULT_DEVICE) in found.get("interfaces", ()):
            self._findings.problem(where, "interfaces: the daemon's own device is among them")
        if found.get("device", DEFAULT_DEVICE) == found.get("home_link"):
            self._findings.problem(where, "home-link: this is the daemon's own device")
        if Encapsulation.IP_IN_IP not in found.get("encapsulations", (Encapsulation.IP_IN_IP,)):
            self._findings.problem(where, 'encapsulations: every home agent has "ipip"')
        if found.get("udp_forced") and not found.get("nat_traversal"):
            self._findings.problem(where, "udp-forced: only with nat-traversal")
        engine = _part(found, HomeAgentConfig)
        if ("max-nodes" in table) != ("redirect-to" in table):
            what = "max-nodes, redirect-to: one says nothing without the other"
            self._findings.problem(where, what)
        if engine.get("redirect_to") == engine.get("address", ""):
            self._findings.problem(where, "redirect-to: this is the home agent's own address")
        engine["mobile_nodes"] = read_nodes(self._findings, self._keys, self._document, engine)
        engine["foreign_agents"] = read_foreign_agents(self._findings, self._keys, self._document)
        engine["static_flows"] = read_static_flows(self._findings, self._document)
        if self._findings.problems:
            return None
        warnings = tuple(self._findings.warnings)
        return HomeAgentSettings(HomeAgentConfig(**engine), warnings=warnings, **found)

    def mobile_node(self, table: Mapping[str, object]) -> MobileNodeSettings | None:
        where = "[mobile-node]"
        unknown(self._findings, "", "table", self._document, _MOBILE_NODE_TABLES)
        found = read_table(self._findings, where, table, _MOBILE_NODE_KEYS)
        associations = self._keys.associations(where, table, found, ASSOCIATION_KEYS)
        found["aaa"] = self._keys.aaa(where, table, found)
        engine = _part(found, MobileNodeConfig)
        if "home-address" not in table and "nai" not in table:
            self._findings.problem(where, "home-address: missing, and there is no nai instead")
        for problem in _home_agent_problems(table):
            self._findings.problem(where, problem)
        if engine.get("home_agent") == engine.get("home_address", ""):
            self._findings.problem(where, "home-address: this is the home agent's address")
        if engine.get("simultaneous") and engine.get("multipath") != "off":
            what = 'simultaneous: RFC 7629 needs no copies: set multipath to "off"'
            self._findings.problem(where, what)
        for problem in _home_network_problems(engine):
            self._findings.problem(where, f"home-network: {problem}")
        if engine.get("accept_policy") and engine.get("exchange_policy", True):
            what = "accept-policy: only one policy can hold: set exchange-policy to false"
            self._findings.problem(where, what)
        interfaces = self._interfaces(found.get("device", DEFAULT_DEVICE))
        # An interface with problems may be named all the same.
        bids = {each["name"]: each.get("bid", PLAIN_BID) for each in interfaces if "name" in each}
        labels = bids_by_label(
            (each.get("label"), each.get("bid", PLAIN_BID)) for each in interfaces
        )
        ipv6 = "ipv6-prefixes" in table
        engine["policy"] = read_policy_rules(
            self._findings, self._document, bids, labels, ipv6=ipv6
        )
        if self._findings.problems:
            return None
        engine["interfaces"] = tuple(InterfaceConfig(**each) for each in interfaces)
        home_address = engine.pop("home_address", None)
        home_agent = engine.pop("home_agent", None)
        config = MobileNodeConfig(home_address, home_agent, associations=associations, **engine)
        if config.exchange_policy:
            warn_of_fragments(self._findings, config.policy)
        warnings = tuple(self._findings.warnings)
        return MobileNodeSettings(config, warnings=warnings, **found)

    def _interfaces(self, device: str) -> list[Found]:
        interfaces: list[Found] = []
        for where, table in self._array("interface", "name"):
            found = read_table(self._findings, where, table, _INTERFACE_KEYS)
            for key, field in (("name", "name"), ("bid", "bid")):
                if field in found and any(found[field] == each.get(field) for each in interfaces):
                    what = f"{key}: an interface before has {values.shown(found[field])} already"
                    self._findings.problem(where, what)
            if found.get("name") == device:
                self._findings.problem(where, "name: this is the daemon's own device")
            by_gre = found.get("encapsulation") is Encapsulation.GRE
            for key, field in (("gre-key", "gre_key"), ("gre-sequence", "gre_sequence")):
                if found.get(field) and not by_gre:
                    self._findings.problem(where, f'{key}: only with encapsulation = "gre"')
            found.setdefault("label", found.get("bid"))
            interfaces.append(found)
        if not 1 <= len(interfaces) <= MAX_PATHS:
            what = f"expected 1 to {MAX_PATHS} interfaces, found {len(interfaces)}"
            self._findings.problem("[[interface]]", what)
        return interfaces

    def _array(self, name: str, names: str) -> Iterator[tuple[str, Mapping[str, object]]]:
        return read_array(self._findings, self._document, name, names)


def _home_agent_problems(table: Mapping[str, object]) -> Iterator[str]:
    if "assigning-home-agents" in table:
        for other in ("home-agent", "home-address", "home-network"):
            if other in table:
                yield f"assigning-home-agents: they say what {other} would"
        if "nai" not in table:
            yield "assigning-home-agents: only a node with a nai is assigned a home agent"
    elif "home-agent" not in table and "home-network" not in table:
        yield "home-agent: missing, and there is no home-network to look for it in"


def _home_network_problems(engine: Found) -> Iterator[str]:
    network, home_address = engine.get("home_network"), engine.get("home_address")
    if network is None:
        return
    if home_address is None:
        yield "only a node with a home-address of its own is anywhere at home"
        return
    if home_address not in network:
        yield f"{home_address} is not in it"
    ends = {network.network_address, network.broadcast_address}
    if home_address in ends and network.num_addresses > len(ends):
        yield f"{home_address} is the address of a whole network"


def _part(found: Found, kind: type[HomeAgentConfig | MobileNodeConfig]) -> Found:
    """Take the fields of the engine's part out of what a table said."""
    return {name: found.pop(name) for name in kind.__struct_fields__ if name in found}
