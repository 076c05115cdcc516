"""What the maps hold for IPv6: which prefix is whose, and the rules of that format.

Few nodes have prefixes or such rules, so it is kept in mind what the maps hold, and no other node
costs a call of the kernel.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from flowbind.dataplane.base import NOBODY
from flowbind.dataplane.ebpf import layout, layout6
from flowbind.dataplane.ebpf.libbpf import BpfMap
from flowbind.model.flow import FlowRule
from flowbind.model.tunnel import NodeForwarding


class Prefixes:
    """The tables of IPv6 beside those of the nodes. Every method raises DataPlaneError."""

    def __init__(self, maps: Mapping[str, BpfMap]) -> None:
        self._trie = maps["prefixes_map"]
        self._policies = maps["policies6_map"]
        self._owners = {
            layout6.prefix_of(key): IPv4Address(value) for key, value in self._trie.items()
        }
        self._held: dict[IPv4Address, tuple[IPv6Network, ...]] = {}
        for prefix, home_address in self._owners.items():
            self._held[home_address] = tuple(sorted((*self.of(home_address), prefix)))
        self._with_rules = {key for key, _value in self._policies.items()}

    def of(self, home_address: IPv4Address) -> tuple[IPv6Network, ...]:
        """Return the prefixes of a node."""
        return self._held.get(home_address, ())

    def owner_of(self, address: IPv6Address) -> IPv4Address:
        """Return the home address of the node that an address belongs to, or NOBODY."""
        value = self._trie.lookup(layout6.prefix_key(IPv6Network(address)))
        return IPv4Address(value) if value else NOBODY

    def write_rules(self, node: NodeForwarding, slot: int) -> None:
        """Write the rules for IPv6 into the policy that is not in force yet."""
        key = layout.policy_key(node.home_address, slot)
        if any(map(layout6.concerns_ipv6, node.rules)):
            self._policies.update(key, layout6.pack_policy6(node))
            self._with_rules.add(key)
        else:
            self._forget_rules(key)

    def rules(self, home_address: IPv4Address, slot: int, count: int) -> dict[int, FlowRule]:
        """Return the rules for IPv6 by their places among all `count` of them."""
        key = layout.policy_key(home_address, slot)
        policy = self._policies.lookup(key) if key in self._with_rules else None
        return dict(layout6.unpack_policy6(policy, count)) if policy else {}

    def lead(self, home_address: IPv4Address, wanted: tuple[IPv6Network, ...]) -> None:
        """Lead exactly these prefixes to a node."""
        before = self.of(home_address)
        if wanted == before:
            return
        for prefix in wanted:
            self._trie.update(layout6.prefix_key(prefix), home_address.packed)
            self._owners[prefix] = home_address
        for prefix in set(before) - set(wanted):
            # It may have become another node's meanwhile.
            if self._owners.get(prefix) == home_address:
                self._trie.delete(layout6.prefix_key(prefix))
                del self._owners[prefix]
        self._held[home_address] = wanted
        if not wanted:
            del self._held[home_address]

    def remove(self, home_address: IPv4Address) -> None:
        """Forget a node."""
        self.lead(home_address, ())
        for slot in (0, 1):
            self._forget_rules(layout.policy_key(home_address, slot))

    def _forget_rules(self, key: bytes) -> None:
        if key in self._with_rules:
            self._policies.delete(key)
            self._with_rules.discard(key)
