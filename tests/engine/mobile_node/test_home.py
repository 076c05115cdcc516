"""A mobile node that leaves home and returns to it (RFC 5944 2.4, 3.1, 4.6)."""

import itertools
from ipaddress import IPv4Address, IPv4Network

import pytest
from msgspec import structs

from flowbind.effects import (
    AnnounceAddress,
    DeleteNode,
    ProgramForwarding,
    ProgramHomeLink,
    SaveNode,
    SendDatagram,
    SendIcmp,
)
from flowbind.engine.announcements import TIMES
from flowbind.engine.mobile_node import MobileNode
from flowbind.engine.mobile_node.home import (
    DISBELIEF_S,
    LONGEST_SOLICITATION_INTERVAL_S,
    RESTORED_S,
    TRIES,
)
from flowbind.events import (
    EffectFailed,
    IcmpReceived,
    InterfaceDown,
    InterfaceUp,
    LinkDown,
    LinkUp,
    RegisterRequested,
    Restored,
)
from flowbind.model.config import HomeDetection
from flowbind.model.encoding import from_msgpack, to_msgpack
from flowbind.model.home_link import HomeLink
from flowbind.wire.agent_discovery import (
    NEVER_A_DEFAULT,
    AgentAdvertisement,
    AgentSolicitation,
    Router,
    decode_discovery,
)
from flowbind.wire.iana import ALL_ROUTERS, AgentFlag

LINK = "wlan0"
NETWORK = IPv4Network("10.9.0.0/24")
ROUTER = IPv4Address("10.9.0.1")
FOREIGN = IPv4Address("192.0.2.1")
AT_HOME = HomeLink(LINK, NETWORK, ROUTER, settled=True)
COMING = structs.replace(AT_HOME, settled=False)


@pytest.fixture
def trip(make_trip):
    return make_trip(home_network=NETWORK)


def advertisement(lifetime_s=1800, **changes) -> AgentAdvertisement:
    plain = AgentAdvertisement(7, lifetime_s, 1800, AgentFlag.HOME_AGENT, (Router(ROUTER, 0, 24),))
    return structs.replace(plain, **changes)


def heard(trip, message=None, source=None, link=LINK) -> IcmpReceived:
    octets = message if isinstance(message, bytes) else (message or advertisement()).encode()
    return IcmpReceived(octets, source or trip.agent, link)


def return_home(trip) -> None:
    """The link comes up, the home agent is heard and accepts."""
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip))
    trip.answer()


def links(effects) -> list[HomeLink | None]:
    return [each.link for each in effects if isinstance(each, ProgramHomeLink)]


def kind(effects, wanted):
    return [each for each in effects if isinstance(each, wanted)]


# ---- returning


@pytest.mark.rfc("5944", "2.4.3", "ADV-7", "ADV-8")
@pytest.mark.rfc("5944", "4.6", "ARP-3", "ARP-8")
@pytest.mark.rfc("5944", "3.1", "REG-4")
def test_a_node_that_hears_its_home_agent_deregisters_in_the_order_of_the_rfc(trip):
    trip.up("wwan0")
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip))
    # It answers ARP again, tells the link, asks the home agent: nothing else, tunnels stay.
    assert trip.kinds == ["ProgramHomeLink", "AnnounceAddress", "Log", "SendDatagram"]
    assert links(trip.last) == [COMING]
    assert kind(trip.last, AnnounceAddress) == [AnnounceAddress(trip.home, LINK)]
    assert (trip.sent.source, trip.sent.interface) == (trip.home, LINK)
    asked = trip.asked
    assert (asked.lifetime_s, asked.care_of_address) == (0, trip.home)
    assert [type(each).__name__ for each in asked.extensions] == ["Authentication"]
    assert int(asked.flags) == 0
    assert trip.state("wwan0") == "up"


def test_once_the_home_agent_agrees_the_node_is_an_ordinary_host(trip):
    trip.up("wwan0")
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip))
    trip.answer()
    assert links(trip.last) == [AT_HOME]
    assert trip.bids == []
    assert trip.state(LINK) == "home"
    assert trip.paths == [(2, False)]
    effects = trip.wait(1700)
    assert "RemoveForwarding" in [type(each).__name__ for each in effects]
    assert kind(effects, SendDatagram) == []


def test_at_home_nothing_is_registered(trip):
    return_home(trip)
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    trip.hear(InterfaceUp(LINK, IPv4Address("10.9.0.77")))
    trip.hear(RegisterRequested())
    trip.hear(RegisterRequested("wwan0"))
    assert kind(trip.wait(600), SendDatagram) == []
    assert not trip.asks
    assert (trip.state(LINK), trip.state("wwan0")) == ("home", "down")
    trip.hear(InterfaceDown(LINK))
    assert trip.state(LINK) == "home"


@pytest.mark.rfc("5944", "4.6", "ARP-3")
def test_the_return_is_announced_a_few_times_while_the_home_agent_is_asked(trip):
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip))
    said = kind(trip.last, AnnounceAddress)
    trip.answer()
    said += kind(trip.wait(60), AnnounceAddress)
    assert said == [AnnounceAddress(trip.home, LINK)] * TIMES


def test_what_was_under_way_when_the_node_came_home_is_forgotten(trip):
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    first = trip.reply()
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip))
    trip.wait(1)
    trip.answer()
    assert trip.state(LINK) == "home"
    trip.hear(first)
    assert trip.bids == []
    assert kind(trip.wait(60), SendDatagram) == []


def test_with_nonces_too(make_trip):
    association = structs.replace(make_trip.association, replay="nonces")
    trip = make_trip(home_network=NETWORK, associations=(association,))
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip))
    trip.answer(133)
    assert trip.asked.lifetime_s == 0
    trip.answer()
    assert trip.state(LINK) == "home"


# ---- leaving


@pytest.mark.rfc("5944", "4.6", "ARP-8")
def test_a_node_that_leaves_answers_no_arp_before_it_registers(trip):
    trip.up("wwan0")
    return_home(trip)
    trip.wait(60)
    trip.hear(LinkDown(LINK))
    kinds = [each for each in trip.kinds if each in {"ProgramHomeLink", "SendDatagram"}]
    assert kinds == ["ProgramHomeLink", "SendDatagram"]
    assert links(trip.last) == [None]
    assert trip.asked.care_of_address == trip.address_of("wwan0")
    trip.answer()
    assert (trip.state(LINK), trip.bids) == ("down", [2])


@pytest.mark.rfc("5944", "2.4.2.2", "ADV-6")
def test_an_advertisement_holds_as_long_as_it_says(trip):
    trip.up("wwan0")
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip, advertisement(30)))
    trip.answer()
    trip.wait(29)
    assert trip.state(LINK) == "home"
    trip.hear(heard(trip, advertisement(30)))
    trip.wait(29)
    assert trip.state(LINK) == "home"
    effects = trip.wait(2)
    assert links(effects) == [None]
    assert trip.state(LINK) == "down"
    assert trip.asked.care_of_address == trip.address_of("wwan0")


@pytest.mark.rfc("5944", "2.4.2.2", "ADV-6")
def test_nothing_is_done_by_an_advertisement_that_has_expired(trip):
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip, advertisement(0)))
    assert links(trip.wait(600)) == []
    trip.hear(heard(trip, advertisement(2)))
    assert trip.asks
    # Not answered in time: the try ends with what it was based on.
    effects = trip.wait(10)
    assert links(effects) == [None]
    assert len(kind(effects, SendDatagram)) <= 1


def test_a_short_advertisement_does_not_end_a_longer_one(trip):
    return_home(trip)
    trip.hear(heard(trip, advertisement(1)))
    trip.wait(60)
    assert trip.state(LINK) == "home"


def test_an_address_of_another_network_has_the_node_ask_again(trip):
    trip.up("wwan0")
    return_home(trip)
    trip.wait(60)
    elsewhere = IPv4Address("192.0.2.7")
    trip.hear(InterfaceUp(LINK, elsewhere))
    assert len(kind([*trip.last, *trip.wait(1)], SendIcmp)) >= 1
    trip.hear(heard(trip))
    trip.wait(60)
    assert trip.state(LINK) == "home"
    trip.hear(InterfaceDown(LINK))
    trip.hear(InterfaceUp(LINK, elsewhere))
    trip.wait(10)
    assert trip.state(LINK) != "home"


# ---- forged advertisements


@pytest.mark.rfc("5944", "2.4.3", "ADV-7")
def test_a_forged_advertisement_gets_no_more_than_a_try(trip):
    trip.up("wlan0", "wwan0")
    before = trip.record.bindings
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip))
    effects = [*trip.last, *trip.wait(DISBELIEF_S - 1)]
    tries = [each for each in kind(effects, SendDatagram) if each.source == trip.home]
    assert len(tries) == TRIES
    assert links(effects) == [COMING, None]
    assert kind(effects, ProgramForwarding) == []
    assert trip.record.bindings == before
    assert (trip.state("wlan0"), trip.state("wwan0")) == ("up", "up")
    assert trip.engine.statistics["home_not_confirmed"] == 1


def test_a_forger_who_goes_on_is_not_believed_for_a_while(trip):
    trip.up("wwan0")
    trip.hear(LinkUp(LINK))
    effects = []
    for _ in range(400):
        trip.hear(heard(trip))
        effects += [*trip.last, *trip.wait(1)]
    tries = [each for each in kind(effects, SendDatagram) if each.source == trip.home]
    assert len(tries) <= TRIES * (400 // DISBELIEF_S)
    assert trip.state("wwan0") == "up"
    assert trip.bids == [2]


@pytest.mark.rfc("5944", "4.6", "ARP-4")
def test_a_return_that_is_denied_changes_nothing(trip):
    trip.up("wwan0")
    before = trip.record.bindings
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip))
    trip.answer(129)
    assert trip.record.bindings == before
    trip.wait(300)
    assert trip.state("wwan0") == "up"


def test_a_reply_that_is_not_authentic_is_none(trip):
    trip.up("wwan0")
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip))
    trip.answer(association=structs.replace(trip.association, key=bytes(16)))
    assert (trip.state(LINK), trip.state("wwan0")) == ("down", "up")
    assert trip.bids == [2]


# ---- what is heard


@pytest.mark.rfc("5944", "2.4", "ADV-5")
@pytest.mark.parametrize(
    ("change", "source"),
    [
        ({}, FOREIGN),
        ({"flags": AgentFlag.FOREIGN_AGENT, "care_of_addresses": (FOREIGN,)}, FOREIGN),
        ({"flags": sum(AgentFlag), "care_of_addresses": (FOREIGN,)}, FOREIGN),
        ({"flags": AgentFlag.FOREIGN_AGENT}, None),
    ],
    ids=["another home agent", "foreign agent", "every flag", "no home agent here"],
)
def test_other_agents_are_counted_and_passed_over(trip, change, source):
    trip.up("wwan0")
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip, advertisement(**change), source))
    assert trip.last == []
    assert trip.engine.statistics["advertised_others"] == 1
    assert links(trip.wait(60)) == []


def test_the_home_agent_may_name_itself_among_the_routers(trip):
    trip.hear(LinkUp(LINK))
    routers = (Router(ROUTER, 0, 24), Router(trip.agent, NEVER_A_DEFAULT, 32))
    trip.hear(heard(trip, advertisement(routers=routers), ROUTER))
    assert links(trip.last) == [COMING]


@pytest.mark.rfc("5944", "4.2.1")
@pytest.mark.parametrize(
    ("routers", "expected"),
    [
        ((), None),
        ((Router(FOREIGN),), None),
        ((Router(ROUTER, NEVER_A_DEFAULT),), None),
        ((Router(IPv4Address("10.9.0.2"), 1), Router(ROUTER, 5)), ROUTER),
        ((Router(ROUTER), Router(IPv4Address("10.9.0.2"))), ROUTER),
    ],
)
def test_the_router_is_the_most_preferable_one_on_the_home_network(trip, routers, expected):
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip, advertisement(routers=routers)))
    assert links(trip.last) == [structs.replace(COMING, router=expected)]


def test_another_router_is_taken_at_once(trip):
    return_home(trip)
    other = IPv4Address("10.9.0.9")
    trip.hear(heard(trip, advertisement(routers=(Router(other),))))
    assert links(trip.last) == [structs.replace(AT_HOME, router=other)]


@pytest.mark.parametrize(
    ("message", "link", "reason"),
    [
        (b"", LINK, "truncated"),
        (advertisement().encode()[:-1] + b"\x01", LINK, "icmp-checksum"),
        (AgentSolicitation().encode(), LINK, "not-an-advertisement"),
        (advertisement().encode(), "eth9", "not-an-advertisement"),
    ],
)
def test_what_is_no_advertisement_is_counted(trip, message, link, reason):
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip, message, link=link))
    assert trip.last == []
    assert trip.engine.statistics == {f"discarded_{reason}": 1}


# ---- solicitations


def solicitations(trip, seconds: float) -> list[float]:
    """When solicitations leave in the next so many seconds."""
    start, found = trip.now, []
    while trip.now < start + seconds:
        deadline = trip.engine.deadline()
        step = min(seconds, (deadline or start + seconds) - trip.now)
        found += [trip.now - start for _ in kind(trip.wait(max(step, 0.001)), SendIcmp)]
    return found


@pytest.mark.rfc("5944", "2.4", "ADV-3")
@pytest.mark.rfc("5944", "2.2")
def test_a_link_that_comes_up_is_solicited_on(trip):
    trip.hear(LinkUp(LINK))
    (sent,) = kind(trip.wait(1), SendIcmp)
    assert decode_discovery(sent.message) == AgentSolicitation()
    assert (str(sent.source), sent.destination, sent.interface) == ("0.0.0.0", ALL_ROUTERS, LINK)  # noqa: S104


@pytest.mark.rfc("5944", "2.4", "ADV-4")
@pytest.mark.parametrize("chance", [0.001, 0.5, 0.999])
def test_solicitations_back_off_in_powers_of_two(make_trip, chance):
    trip = make_trip(home_network=NETWORK)
    trip.engine = MobileNode(trip.config, trip.nonces, lambda: chance)
    trip.hear(LinkUp(LINK))
    moments = solicitations(trip, 1000)
    gaps = [late - early for early, late in itertools.pairwise(moments)]
    nominal = [1, 1, 2, 4, 8, 16, 32, 64, 64, 64]
    assert len(gaps) >= len(nominal)
    for gap, wanted in zip(gaps, nominal, strict=False):
        assert wanted - 0.01 <= gap <= wanted * 1.25 + 0.01
    assert LONGEST_SOLICITATION_INTERVAL_S >= 60


@pytest.mark.rfc("5944", "2.4", "ADV-4")
def test_a_link_that_flaps_is_solicited_on_once_a_second(trip):
    sent = 0
    for _ in range(100):
        trip.hear(LinkUp(LINK))
        sent += len(kind(trip.wait(0.1), SendIcmp))
        trip.hear(LinkDown(LINK))
    assert sent <= 11


@pytest.mark.rfc("5944", "2.4", "ADV-4")
def test_solicitations_end_when_the_home_agent_is_heard(trip):
    return_home(trip)
    assert kind(trip.wait(1000), SendIcmp) == []


def test_a_visited_link_with_a_care_of_address_is_left_in_peace(trip):
    trip.hear(LinkUp(LINK))
    trip.up(LINK)
    assert len(kind(trip.wait(1000), SendIcmp)) == 3
    trip.down(LINK)
    assert len(kind(trip.wait(1000), SendIcmp)) > 3


def test_a_visited_link_with_an_agent_is_left_in_peace(trip):
    trip.hear(LinkUp(LINK))
    trip.wait(1)
    trip.hear(heard(trip, advertisement(60), FOREIGN))
    assert len(kind(trip.wait(60), SendIcmp)) == 2
    assert len(kind(trip.wait(600), SendIcmp)) > 3


# ---- configuration


def test_without_a_home_network_nothing_is_different(make_trip):
    trip = make_trip()
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip))
    assert trip.last == []
    assert trip.engine.deadline() is None


def test_an_interface_that_is_never_at_home(make_trip):
    trip = make_trip(home_network=NETWORK)
    interfaces = tuple(
        structs.replace(each, home=HomeDetection.NEVER) for each in trip.config.interfaces
    )
    trip.engine = MobileNode(structs.replace(trip.config, interfaces=interfaces), trip.nonces)
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip))
    assert links(trip.last) == []
    assert kind(trip.wait(60), SendIcmp) == []


# ---- restart, and what fails


def restart(trip) -> None:
    record = from_msgpack(to_msgpack(trip.record), type(trip.record))
    trip.engine = MobileNode(trip.config, trip.nonces)
    trip.hear(Restored((record,)))


def test_a_restart_finds_the_node_where_it_was(trip):
    return_home(trip)
    assert isinstance(trip.last[-1], SaveNode) or any(kind(trip.last, SaveNode))
    restart(trip)
    assert links(trip.last) == [AT_HOME]
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    assert not trip.asks
    trip.hear(LinkUp(LINK))
    assert len(kind(trip.wait(2), SendIcmp)) >= 1
    trip.hear(heard(trip))
    trip.wait(600)
    assert (trip.state(LINK), trip.bids) == ("home", [])


@pytest.mark.parametrize("link_up", [True, False])
def test_a_node_that_was_carried_away_meanwhile_registers(trip, link_up):
    return_home(trip)
    restart(trip)
    if link_up:
        trip.hear(LinkUp(LINK))
    trip.hear(InterfaceUp("wwan0", trip.address_of("wwan0")))
    effects = trip.wait(RESTORED_S + 1)
    assert links(effects) == [None]
    assert trip.asked.care_of_address == trip.address_of("wwan0")


def test_the_first_thing_said_to_the_data_plane_is_where_the_node_is(trip):
    trip.hear(Restored())
    assert links(trip.last) == [None]
    trip.hear(Restored())
    assert links(trip.last) == []


def test_a_record_is_forgotten_when_the_node_leaves_home_and_has_no_path(trip):
    return_home(trip)
    trip.hear(LinkDown(LINK))
    assert kind(trip.last, DeleteNode) != []


def test_a_home_link_that_cannot_be_programmed_is_asked_for_again(trip):
    trip.hear(Restored())
    trip.hear(LinkUp(LINK))
    trip.hear(heard(trip))
    failed = trip.last[0]
    assert isinstance(failed, ProgramHomeLink)
    trip.hear(EffectFailed(failed, tuple(trip.last[1:]), "no"))
    assert links(trip.last) == []
    assert links(trip.wait(6)) == [COMING]
