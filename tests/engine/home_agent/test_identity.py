"""Mobile nodes known by their NAI, and the home addresses that they are given (RFC 2794)."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from msgspec import structs

from flowbind.auth.association import Replay, SecurityAssociation
from flowbind.effects import DeleteNode, SaveNode
from flowbind.engine.home_agent import HomeAgent
from flowbind.events import EffectFailed, Restored
from flowbind.model.config import MobileNodeEntry
from flowbind.wire.message import first
from flowbind.wire.nai import NetworkAccessIdentifier

NOWHERE = IPv4Address(0)
FIRST = IPv4Address("10.9.0.128")
KEYS = {
    name: SecurityAssociation(256, bytes([number]) * 16)
    for number, name in enumerate(("a@x", "b@x", "c@x", "fixed@x"), start=1)
}
FIXED = IPv4Address("10.9.0.7")


def nai(name):
    return NetworkAccessIdentifier(name)


class Named:
    """A desk whose home agent also serves a@x, b@x and c@x from a pool, and fixed@x."""

    def __init__(self, desk, pool="10.9.0.128/31", replay=Replay.TIMESTAMPS):
        self.desk = desk
        self.keys = {name: structs.replace(key, replay=replay) for name, key in KEYS.items()}
        entries = [MobileNodeEntry(None, (self.keys[n],), nai=n) for n in ("a@x", "b@x", "c@x")]
        entries.append(MobileNodeEntry(FIXED, (self.keys["fixed@x"],), nai="fixed@x"))
        self.config = structs.replace(
            desk.config,
            mobile_nodes=(*desk.config.mobile_nodes, *entries),
            address_pool=(IPv4Network(pool),),
        )
        self.restart()

    def restart(self, *records, config=None):
        self.desk.engine = HomeAgent(config or self.config, self.desk.nonces)
        self.desk.hear(Restored(records))

    def ask(self, name, home_address=NOWHERE, key=None, **fields):
        """Send a request of this node; returns the code and the home address of the reply."""
        extensions = fields.pop("extensions", ())
        code = self.desk.ask(
            nai(name), *extensions, home_address=home_address,
            association=self.keys[key or name], **fields,
        )  # fmt: skip
        return code, (None if code is None else self.desk.reply.home_address)

    @property
    def engine(self):
        return self.desk.engine

    @property
    def saved(self):
        return [each.record for each in self.desk.last if isinstance(each, SaveNode)]


@pytest.fixture
def named(desk):
    return Named(desk)


@pytest.mark.rfc("5944", "3.8.3.2", "HA-38")
@pytest.mark.rfc("2794", "2", "NAI-1")
@pytest.mark.rfc("2794", "3", "NAI-3", "NAI-4")
def test_a_node_without_a_home_address_is_given_one(named):
    assert named.ask("a@x") == (0, FIRST)
    reply = named.desk.reply
    assert first(reply, NetworkAccessIdentifier) == nai("a@x")
    assert reply.home_agent == named.desk.address
    (record,) = named.saved
    assert (record.home_address, record.nai) == (FIRST, "a@x")
    assert [each.care_of_address for each in record.bindings] == [named.desk.care_of_address(1)]


def test_each_node_has_an_address_of_its_own_and_keeps_it(named):
    assert named.ask("a@x") == (0, FIRST)
    assert named.ask("b@x") == (0, FIRST + 1)
    assert named.ask("a@x") == (0, FIRST)
    assert named.ask("a@x", lifetime_s=0) == (0, FIRST)
    assert named.ask("a@x") == (0, FIRST)


@pytest.mark.rfc("2794", "2")
def test_further_interfaces_register_with_the_address_given_first(named):
    multipath = named.desk.multipath
    assert named.ask("a@x", extensions=(multipath(1),)) == (0, FIRST)
    assert named.ask("a@x", FIRST, extensions=(multipath(2),)) == (0, FIRST)
    assert [each.bid for each in named.engine.records[FIRST].bindings] == [1, 2]
    # RFC 2794 only lets a node leave the address away; by the address alone it is known too.
    request = named.desk.request(multipath(3), home_address=FIRST, association=named.keys["a@x"])
    assert named.desk.hear(request) == 0
    assert [each.bid for each in named.engine.records[FIRST].bindings] == [1, 2, 3]


def test_the_ends_of_a_home_network_are_given_to_nobody(desk):
    named = Named(desk, "10.9.0.254/31")
    assert named.ask("a@x") == (0, IPv4Address("10.9.0.254"))
    assert named.ask("b@x") == (130, NOWHERE)
    assert named.ask("b@x", IPv4Address("10.9.0.255"))[0] == 129


def test_an_address_survives_a_restart(named):
    named.ask("a@x")
    named.ask("b@x")
    records = tuple(named.engine.records.values())
    named.restart(*records)
    assert named.engine.records[FIRST + 1].nai == "b@x"
    assert named.ask("b@x", FIRST + 1) == (0, FIRST + 1)
    assert named.ask("a@x") == (0, FIRST)


@pytest.mark.parametrize(
    "change",
    [
        {"mobile_nodes": ()},
        {"address_pool": (IPv4Network("10.9.0.64/26"),)},
        {"mobile_nodes": (MobileNodeEntry(FIXED, (KEYS["a@x"],), nai="a@x"),)},
    ],
)
def test_an_address_that_may_not_be_given_any_more_is_forgotten(named, change):
    named.ask("a@x")
    record = named.engine.records[FIRST]
    named.restart(record, config=structs.replace(named.config, **change))
    assert [each for each in named.desk.last if isinstance(each, DeleteNode)] == [
        DeleteNode(FIRST, record)
    ]
    assert FIRST not in named.engine.records


def test_an_exhausted_pool_is_answered_with_130(named):
    named.ask("a@x")
    named.ask("b@x")
    assert named.ask("c@x") == (130, NOWHERE)
    assert named.engine.statistics["refused_address-pool-exhausted"] == 1


def test_the_address_of_the_node_idle_for_longest_is_given_to_another(named):
    named.ask("a@x")
    named.ask("b@x")
    named.ask("b@x", lifetime_s=0)
    named.desk.now += 100.0
    named.ask("a@x", lifetime_s=0)
    # What a@x sent last could still be sent again; b@x is idle for longer.
    assert named.ask("c@x") == (0, FIRST + 1)
    assert named.engine.records[FIRST + 1].nai == "c@x"
    assert named.ask("b@x", FIRST + 1) == (129, FIRST + 1)
    assert named.ask("b@x") == (130, NOWHERE)
    named.desk.now += 8.0
    assert named.ask("b@x") == (0, FIRST)
    assert named.ask("a@x") == (130, NOWHERE)


def test_an_address_stays_while_its_last_request_could_be_replayed(named):
    named.ask("a@x")
    last = named.desk.request(nai("b@x"), home_address=NOWHERE, association=named.keys["b@x"])
    named.desk.hear(last)
    named.ask("b@x", FIRST + 1, lifetime_s=0)
    assert named.ask("c@x") == (130, NOWHERE)
    assert named.desk.hear(last) == 133
    named.desk.now += 7.5
    assert named.ask("c@x") == (0, FIRST + 1)
    assert named.desk.hear(last) == 133


def test_a_node_that_we_have_forgotten_keeps_its_address_if_nobody_has_it(named):
    assert named.ask("a@x", FIRST + 1) == (0, FIRST + 1)
    assert named.ask("b@x", FIRST + 1) == (129, FIRST + 1)
    assert named.ask("b@x") == (0, FIRST)


@pytest.mark.rfc("2794", "2", "NAI-6")
@pytest.mark.parametrize(
    ("name", "home_address"),
    [
        ("a@x", FIXED),
        ("a@x", IPv4Address("10.9.0.5")),
        ("a@x", IPv4Address("10.9.0.77")),
        ("fixed@x", FIRST),
        ("fixed@x", IPv4Address("10.9.0.5")),
    ],
)
def test_an_address_that_is_not_the_node_s_is_refused_with_129(named, name, home_address):
    named.ask("b@x")
    before = dict(named.engine.records)
    assert named.ask(name, home_address) == (129, home_address)
    assert named.engine.statistics["refused_home-address-not-its-own"] == 1
    assert named.engine.records == before


def test_the_address_of_one_node_does_not_go_with_the_name_of_a_stranger(named):
    assert named.ask("d@x", FIXED, key="fixed@x") == (129, FIXED)
    # A node that is configured without a name may call itself as it likes.
    assert named.desk.ask(nai("d@x")) == 0


def test_a_node_with_a_fixed_address_may_leave_it_away(named):
    assert named.ask("fixed@x") == (0, FIXED)
    assert named.ask("fixed@x", FIXED) == (0, FIXED)
    assert named.saved[0].nai is None


def test_nothing_is_given_to_whoever_has_no_key(named):
    assert named.ask("a@x", key="b@x") == (131, NOWHERE)
    assert named.engine.records == {}
    assert named.ask("b@x") == (0, FIRST)


@pytest.mark.rfc("2794", "3", "NAI-5")
def test_a_denied_request_is_given_nothing(named):
    assert named.ask("a@x", home_agent=IPv4Address("192.0.2.1")) == (136, NOWHERE)
    assert named.engine.records == {}
    assert named.ask("b@x") == (0, FIRST)


@pytest.mark.rfc("2794", "2", "NAI-2")
def test_a_name_behind_the_authentication_says_nothing(named):
    request = named.desk.request(
        home_address=NOWHERE, association=named.keys["a@x"], behind=nai("a@x").encode()
    )
    assert named.desk.hear(request) is None
    assert named.engine.statistics["refused_no-security-association"] == 1


def test_a_stranger_s_name_is_met_with_silence(named):
    assert named.ask("d@x", key="a@x") == (None, None)


def test_a_replay_is_known_by_the_node_and_not_by_its_address(named):
    request = named.desk.request(nai("a@x"), home_address=NOWHERE, association=named.keys["a@x"])
    assert named.desk.hear(request) == 0
    assert named.desk.hear(request) == 133
    assert named.desk.reply.home_address == FIRST


def test_a_nonce_is_remembered_before_there_is_an_address(desk):
    named = Named(desk, replay=Replay.NONCES)
    assert named.ask("a@x") == (133, NOWHERE)
    assert named.saved == []
    told = named.desk.reply.identification
    assert named.ask("a@x", identification=told) == (0, FIRST)
    named.desk.now += 2.0  # It was used, and a denial may be told again.
    assert named.ask("a@x", identification=told)[0] == 133
    assert named.saved[0].nai == "a@x"


def test_each_node_hears_its_own_denial(named):
    for name in ("a@x", "b@x"):
        named.desk.now += 0.01
        assert named.ask(name, identification=1)[0] == 133


def test_what_cannot_be_carried_out_is_undone_and_the_address_is_the_same_next_time(named):
    assert named.ask("a@x") == (0, FIRST)
    forward, *behind = named.desk.last
    assert named.desk.hear(EffectFailed(forward, tuple(behind), "the test")) == 130
    assert named.desk.reply.home_address == FIRST
    assert first(named.desk.reply, NetworkAccessIdentifier) == nai("a@x")
    assert named.engine.records[FIRST].bindings == ()
    assert named.ask("a@x") == (0, FIRST)


def test_a_lifetime_that_ends_leaves_the_address(named):
    named.ask("a@x", lifetime_s=10)
    named.desk.wake()
    assert named.engine.records[FIRST].bindings == ()
    assert named.ask("b@x") == (0, FIRST + 1)
    assert named.ask("a@x") == (0, FIRST)


@pytest.mark.parametrize("count", [5000])
def test_many_nodes_are_given_addresses_without_a_search(desk, count):
    names = [f"n{number}@x" for number in range(count)]
    entries = tuple(MobileNodeEntry(None, (KEYS["a@x"],), nai=name) for name in names)
    desk.engine = HomeAgent(
        structs.replace(
            desk.config, mobile_nodes=entries, home_networks=(IPv4Network("10.0.0.0/8"),),
            address_pool=(IPv4Network("10.128.0.0/9"),),
        )
    )  # fmt: skip
    for name in names:
        assert desk.ask(nai(name), home_address=NOWHERE, association=KEYS["a@x"]) == 0
    assert len(desk.engine.records) == count
