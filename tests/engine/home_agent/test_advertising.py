"""Agent Advertisements of a home agent (RFC 5944 2.3, RFC 1256 4)."""

import itertools
from ipaddress import IPv4Address

import pytest

from flowbind.effects import SendIcmp
from flowbind.engine.home_agent import HomeAgent
from flowbind.events import IcmpReceived, LinkAddress, LinkDown, LinkUp, TimerExpired
from flowbind.model.binding import Encapsulation
from flowbind.wire.agent_discovery import (
    AgentAdvertisement,
    AgentSolicitation,
    Router,
    decode_discovery,
)
from flowbind.wire.iana import ALL_SYSTEMS, AgentFlag

LINK = "eth1"
GATEWAY = IPv4Address("10.9.0.1")
UP = LinkUp(LINK, (LinkAddress(GATEWAY, 24), LinkAddress(IPv4Address("192.0.2.1"), 24)))
SOLICITATION = IcmpReceived(AgentSolicitation().encode(), IPv4Address(0), LINK)


class Beacon:
    """A home agent with a home link, and the time. `said` is when what was advertised."""

    def __init__(self, desk, chance) -> None:
        self.engine = HomeAgent(desk.config, desk.nonces, chance)
        self.address = desk.address
        self.now = self.start = desk.now
        self.said: list[tuple[float, AgentAdvertisement]] = []

    def hear(self, event) -> None:
        for each in self.engine.handle(event, self.now):
            if isinstance(each, SendIcmp):
                assert (each.source, each.destination, each.interface) == (
                    self.address, ALL_SYSTEMS, LINK,
                )  # fmt: skip
                message = decode_discovery(each.message)
                assert isinstance(message, AgentAdvertisement)
                self.said.append((self.now - self.start, message))

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (deadline := self.engine.deadline()) is not None and deadline <= until:
            self.now = deadline
            self.hear(TimerExpired())
        self.now = until

    @property
    def moments(self) -> list[float]:
        return [at for at, _ in self.said]


@pytest.fixture
def make_beacon(make_desk):
    def make(*chances: float, **changes) -> Beacon:
        desk = make_desk(home_link=LINK, **changes)
        return Beacon(desk, itertools.cycle(chances or (0.5,)).__next__)

    return make


@pytest.mark.rfc("5944", "2.3", "ADV-1")
@pytest.mark.rfc("5944", "2.1.1")
def test_what_is_advertised(make_beacon):
    beacon = make_beacon(max_lifetime_s=900, advertisement_interval_s=60.0)
    beacon.hear(UP)
    beacon.wait(0)
    ((_, message),) = beacon.said
    assert message == AgentAdvertisement(
        sequence=0,
        lifetime_s=180,
        registration_lifetime_s=900,
        flags=AgentFlag.HOME_AGENT | AgentFlag.GRE_ENCAPSULATION | AgentFlag.MINIMAL_ENCAPSULATION,
        routers=(Router(GATEWAY, 0, 24),),
    )


@pytest.mark.rfc("5944", "2.1.1")
@pytest.mark.parametrize(
    ("encapsulation", "flag"),
    [
        (Encapsulation.GRE, AgentFlag.GRE_ENCAPSULATION),
        (Encapsulation.MINIMAL, AgentFlag.MINIMAL_ENCAPSULATION),
    ],
)
def test_no_tunnel_is_advertised_that_there_is_not(make_beacon, encapsulation, flag):
    beacon = make_beacon(encapsulations=(Encapsulation.IP_IN_IP, encapsulation))
    beacon.hear(UP)
    beacon.wait(0)
    ((_, message),) = beacon.said
    assert message.flags == AgentFlag.HOME_AGENT | flag


@pytest.mark.rfc("5944", "2.3", "ADV-1")
def test_nothing_is_advertised_without_a_home_link(make_desk):
    desk = make_desk()
    desk.hear(UP)
    assert desk.engine.deadline() is None


@pytest.mark.rfc("5944", "2.3", "ADV-1")
def test_the_first_few_come_soon_and_then_one_each_interval(make_beacon):
    beacon = make_beacon(1.0 - 1e-9, advertisement_interval_s=600.0)
    beacon.hear(UP)
    beacon.wait(2000)
    assert [round(each) for each in beacon.moments] == [0, 16, 32, 632, 1232, 1832]
    # 2.1: none is late that keeps two others from being lost.
    assert beacon.said[0][1].lifetime_s >= 3 * 600


def test_the_moments_are_random(make_beacon):
    beacon = make_beacon(0.0, 0.2, 0.999, advertisement_interval_s=8.0)
    beacon.hear(UP)
    beacon.wait(40)
    gaps = [late - early for early, late in itertools.pairwise(beacon.moments)]
    assert len(set(map(round, gaps))) > 1
    assert all(6.0 <= each <= 8.0 for each in gaps)


@pytest.mark.rfc("5944", "2.3.2", "ADV-1")
def test_sequence_numbers_count_on_over_a_link_that_was_down(make_beacon):
    beacon = make_beacon(advertisement_interval_s=4.0)
    beacon.hear(UP)
    beacon.wait(10)
    beacon.hear(LinkDown(LINK))
    known = len(beacon.said)
    beacon.wait(100)
    assert len(beacon.said) == known
    beacon.hear(UP)
    beacon.wait(10)
    assert [each.sequence for _, each in beacon.said] == list(range(len(beacon.said)))
    assert len(beacon.said) > known


@pytest.mark.rfc("5944", "2.3.2", "ADV-1")
def test_sequence_numbers_roll_over(make_beacon):
    beacon = make_beacon(advertisement_interval_s=4.0)
    beacon.hear(UP)
    beacon.wait(4 * 0x10000)
    numbers = [each.sequence for _, each in beacon.said]
    assert 0xFFFF in numbers
    assert numbers[numbers.index(0xFFFF) + 1] == 256


@pytest.mark.rfc("5944", "2.3", "ADV-2")
@pytest.mark.parametrize("source", [0, 0x0A09004D, 0xC00002C8])
def test_a_solicitation_is_answered_whoever_sends_it(make_beacon, source):
    beacon = make_beacon(0.5)
    beacon.hear(UP)
    beacon.wait(100)
    known = len(beacon.said)
    beacon.hear(IcmpReceived(SOLICITATION.message, IPv4Address(source), LINK))
    beacon.wait(2)
    assert len(beacon.said) == known + 1
    assert beacon.engine.statistics["solicited"] == 1


@pytest.mark.rfc("5944", "2.3", "ADV-1")
def test_a_flood_of_solicitations_is_answered_once_a_second(make_beacon):
    beacon = make_beacon(0.0)
    beacon.hear(UP)
    beacon.wait(100)
    known = len(beacon.said)
    for _ in range(1000):
        beacon.hear(SOLICITATION)
        beacon.wait(0.01)
    assert 9 <= len(beacon.said) - known <= 11
    assert beacon.engine.statistics["solicited"] == 1000


def test_solicitations_that_come_together_share_an_answer(make_beacon):
    beacon = make_beacon(0.9, 0.4, 0.5)
    beacon.hear(UP)
    beacon.wait(100)
    known = len(beacon.said)
    for _ in range(3):
        beacon.hear(SOLICITATION)
    beacon.wait(2)
    assert len(beacon.said) == known + 1


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "truncated"),
        (SOLICITATION.message[:-1] + b"\x01", "icmp-checksum"),
        (AgentAdvertisement(0, 1, 1, AgentFlag.HOME_AGENT).encode(), "not-a-solicitation"),
    ],
)
def test_what_is_no_solicitation_is_counted_and_nothing_else(make_beacon, message, reason):
    beacon = make_beacon()
    beacon.hear(UP)
    beacon.wait(100)
    before = beacon.engine.deadline()
    beacon.hear(IcmpReceived(message, IPv4Address(0), LINK))
    assert beacon.engine.statistics == {f"discarded_{reason}": 1}
    assert beacon.engine.deadline() == before
