"""RFC 6098 between a home agent and a co-located mobile node, both of them real."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise
from typing import Any

import pytest
from msgspec import structs

from flowbind.auth.association import Replay, SecurityAssociation
from flowbind.auth.authenticator import protect, verify
from flowbind.auth.replay import to_ntp
from flowbind.effects import Effect, Log, SaveNode, SendDatagram
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.mobile_node import MobileNode
from flowbind.engine.notifications import TRIES
from flowbind.events import (
    DeregisterRequested,
    EffectFailed,
    InterfaceUp,
    NotifyRequested,
    Received,
    Restored,
    TimerExpired,
)
from flowbind.model.binding import NodeRecord
from flowbind.model.config import (
    HomeAgentConfig,
    InterfaceConfig,
    MobileNodeConfig,
    MobileNodeEntry,
)
from flowbind.model.encoding import from_msgpack, to_msgpack
from flowbind.wire.authentication import Authentication
from flowbind.wire.extension import UnknownExtension
from flowbind.wire.iana import ExtensionType, MessageStringSubtype
from flowbind.wire.message import decode, encode, first, split_at_authentication
from flowbind.wire.notification import GenericNotification, NotificationAcknowledgment
from flowbind.wire.revocation_support import RevocationSupport
from flowbind.wire.strings import MessageString

AGENT = IPv4Address("198.51.100.1")
HOME = IPv4Address("10.9.0.5")
ELSEWHERE = IPv4Address("192.0.2.66")
ASSOCIATION = SecurityAssociation(256, bytes(range(16)))
FORGED = SecurityAssociation(256, b"some other key!!")
KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION
START = 1_800_000_000.0
ADDRESSES = {"wlan0": IPv4Address("10.1.0.2"), "wwan0": IPv4Address("10.2.0.2")}
TEXT = "the home agent goes down at noon"
PORTS = {"wlan0": 40001, "wwan0": 40002}
ENDS = ["agent", "node"]


class Ends:
    """Both engines. `last` are the effects of the last event at either; `sent` waits to arrive."""

    def __init__(self, association: SecurityAssociation = ASSOCIATION, **changes: Any) -> None:
        entry = MobileNodeEntry(HOME, (association,))
        networks = (IPv4Network("10.9.0.0/24"),)
        changes = {"notifications": True} | changes
        self.nonces: Callable[[], int] = iter(range(1, 1 << 20)).__next__
        self.agent_config = HomeAgentConfig(AGENT, networks, (entry,), **changes)
        interfaces = tuple(
            InterfaceConfig(name, bid, bid, 4) for bid, name in enumerate(ADDRESSES, start=1)
        )
        self.node_config = MobileNodeConfig(
            HOME, AGENT, (association,), interfaces, probe_interval_s=1e6, **changes
        )
        self.engines: dict[str, Any] = {
            "agent": HomeAgent(self.agent_config, self.nonces),
            "node": MobileNode(self.node_config, self.nonces),
        }
        self.now = START
        self.clock_s = {"agent": 0.0, "node": 0.0}
        self.last: list[Effect] = []
        self.sent: list[SendDatagram] = []

    def up(self, *names: str) -> None:
        for name in names:
            self.happens("node", InterfaceUp(name, ADDRESSES[name]))
            self.carry()

    def happens(self, who: str, event: Any) -> list[Effect]:
        self.last = self.engines[who].handle(event, self.now + self.clock_s[who])
        self.sent = [each for each in self.last if isinstance(each, SendDatagram)]
        return self.last

    def carry(self) -> None:
        """Let everything arrive, and the answers to it."""
        while self.sent:
            (datagram, *self.sent) = self.sent
            self.happens(*self.arrival(datagram))

    def arrival(self, datagram: SendDatagram) -> tuple[str, Received]:
        who = "agent" if datagram.destination == AGENT else "node"
        here = {address: name for name, address in ADDRESSES.items()}
        name = datagram.interface or here.get(datagram.destination)
        source_port = datagram.source_port or PORTS[name or "wlan0"]
        return who, Received(
            datagram.payload, datagram.source, source_port, datagram.destination,
            datagram.destination_port, None if who == "agent" else name,
        )  # fmt: skip

    def say(self, who: str, text: str = TEXT, **fields: Any) -> SendDatagram:
        self.happens(who, NotifyRequested(HOME, text, **fields))
        (datagram,) = self.sent
        return datagram

    def wake(self, who: str) -> None:
        """Let time pass until an engine says something, to its peer or its operator."""
        self.last, self.sent = [], []
        while not (self.sent or self.logged):
            self.now = self.engines[who].deadline() - self.clock_s[who]
            self.happens(who, TimerExpired())

    def said(self, who: str) -> list[tuple[bool, str, str]]:
        engine = self.engines[who]
        return [(each.sent, each.text, each.state) for each in engine.notices]

    def counted(self, who: str, name: str) -> int:
        count: int = self.engines[who].statistics[name]
        return count

    def record(self, who: str) -> NodeRecord:
        engine = self.engines[who]
        record: NodeRecord = engine.records[HOME] if who == "agent" else engine.record
        return record

    def restart(self, who: str) -> None:
        record = from_msgpack(to_msgpack(self.record(who)), NodeRecord)
        made: dict[str, Any] = {"agent": HomeAgent, "node": MobileNode}
        config: Any = self.agent_config if who == "agent" else self.node_config
        self.engines[who] = made[who](config, self.nonces)
        self.happens(who, Restored((record,)))

    @property
    def logged(self) -> list[str]:
        return [each.text for each in self.last if isinstance(each, Log)]


def other(who: str) -> str:
    return "node" if who == "agent" else "agent"


def notification(datagram: SendDatagram) -> GenericNotification:
    message = decode(datagram.payload)
    assert isinstance(message, GenericNotification)
    return message


def acknowledgment(ends: Ends) -> NotificationAcknowledgment:
    (datagram,) = ends.sent
    verify(datagram.payload, KIND, ASSOCIATION)
    message = decode(datagram.payload)
    assert isinstance(message, NotificationAcknowledgment)
    return message


def changed(datagram: SendDatagram, association: SecurityAssociation = ASSOCIATION, **fields: Any):
    """The notification with other fields, authenticated anew."""
    message = notification(datagram)
    inside, _authentication, _behind = split_at_authentication(message, KIND)
    message = structs.replace(message, **({"extensions": inside} | fields))
    return structs.replace(datagram, payload=protect(message, KIND, association))


@pytest.fixture
def ends() -> Ends:
    both = Ends()
    both.up("wlan0", "wwan0")
    both.now += 10
    return both


# ---- there and back


@pytest.mark.rfc("6098", "4.5.3", "GN-MN-1")
@pytest.mark.rfc("6098", "4.7.1", "GN-HA-1")
@pytest.mark.rfc("6098", "4.1", "GN-E-1", "GN-E-2")
@pytest.mark.rfc("6098", "7.1.1", "GN-E-9")
@pytest.mark.parametrize("who", ENDS)
def test_a_notification_says_who_it_is_about_and_what(ends, who):
    datagram = ends.say(who)
    verify(datagram.payload, KIND, ASSOCIATION)
    message = notification(datagram)
    assert message.direction == (0 if who == "agent" else 2)
    assert message.acknowledge
    assert (message.home_address, message.home_agent) == (HOME, AGENT)
    assert message.care_of_address == ADDRESSES["wlan0"]
    assert message.identification == to_ntp(ends.now)
    string, authentication = message.extensions
    assert string == MessageString(MessageStringSubtype.HOME_AGENT, TEXT.encode())
    assert isinstance(authentication, Authentication)


@pytest.mark.rfc("6098", "4", "GN-E-3")
def test_it_takes_the_way_of_the_last_request_back(ends):
    datagram = ends.say("agent", bid=2)
    assert (datagram.source, datagram.source_port) == (AGENT, 434)
    assert (datagram.destination, datagram.destination_port) == (ADDRESSES["wwan0"], 40002)


@pytest.mark.rfc("6098", "4.2", "GN-E-4", "GN-E-5")
@pytest.mark.rfc("6098", "4.7.4", "GN-HA-6")
@pytest.mark.parametrize("who", ENDS)
def test_it_is_heard_logged_and_acknowledged(ends, who):
    datagram = ends.say(who)
    ends.carry()
    assert ends.said(who) == [(True, TEXT, "acknowledged")]
    assert ends.said(other(who)) == [(False, TEXT, "received")]
    assert ends.counted(who, "notification_acknowledged") == 1
    assert ends.counted(other(who), "notification_heard") == 1
    assert ends.engines[who].notices[0].home_address == HOME
    ends.now += 5
    again = ends.say(who)
    ends.happens(*ends.arrival(again))
    assert any(TEXT in each for each in ends.logged)
    answer = acknowledgment(ends)
    assert answer.code == 0
    assert answer.direction == (2 if who == "agent" else 0)
    assert answer.identification == notification(again).identification
    assert (ends.sent[0].destination, ends.sent[0].source) == (again.source, again.destination)
    assert ends.sent[0].destination_port == ends.arrival(again)[1].source_port
    assert notification(datagram).identification < notification(again).identification


@pytest.mark.parametrize("who", ENDS)
def test_one_that_is_not_to_be_acknowledged_is_sent_once(ends, who):
    datagram = ends.say(who, acknowledge=False)
    assert not notification(datagram).acknowledge
    assert ends.said(who) == [(True, TEXT, "sent")]
    ends.happens(*ends.arrival(datagram))
    assert ends.sent == []
    assert ends.said(other(who)) == [(False, TEXT, "received")]


def test_what_a_terminal_would_obey_is_not_shown(ends):
    ends.say("node", "\x1b[2Jgone\n")
    ends.carry()
    ((_sent, text, _state),) = ends.said("agent")
    assert text.isprintable()


# ---- again and again


@pytest.mark.rfc("6098", "4.3", "GN-E-6", "GN-E-7", "GN-E-8")
@pytest.mark.parametrize("who", ENDS)
def test_it_is_repeated_ever_more_seldom_and_each_time_as_another_one(ends, who):
    seen = [notification(ends.say(who)).identification]
    moments = [ends.now]
    while ends.said(who)[0][2] == "waiting":
        ends.wake(who)
        for datagram in ends.sent:
            seen.append(notification(datagram).identification)
            moments.append(ends.now)
    assert [round(b - a) for a, b in pairwise(moments)] == [1, 2, 4, 8, 16]
    assert len(seen) == TRIES
    assert seen == sorted(set(seen))
    assert ends.said(who) == [(True, TEXT, "unanswered")]
    assert ends.counted(who, "notification_unanswered") == 1


@pytest.mark.parametrize("who", ENDS)
def test_an_acknowledgment_ends_it(ends, who):
    ends.say(who)
    ends.wake(who)
    ends.carry()
    assert ends.said(who) == [(True, TEXT, "acknowledged")]
    assert ends.counted(other(who), "notification_heard") == 1


@pytest.mark.rfc("6098", "4.3", "GN-E-7")
def test_there_is_one_at_a_time_and_none_too_soon(ends):
    ends.say("agent")
    ends.happens("agent", NotifyRequested(HOME, "another"))
    assert ends.sent == []
    assert any("under way" in each for each in ends.logged)
    assert len(ends.said("agent")) == 1
    ends.wake("agent")
    ends.carry()
    done_at = ends.now
    assert ends.happens("agent", NotifyRequested(HOME, "another")) == []
    ends.wake("agent")
    assert ends.now == done_at + 1
    assert len(ends.sent) == 1


def test_without_a_binding_left_it_is_given_up(ends):
    ends.say("agent", bid=2)
    ends.engines["agent"].records[HOME] = structs.replace(ends.record("agent"), bindings=())
    ends.wake("agent")
    assert ends.said("agent") == [(True, TEXT, "unanswered")]


def test_without_a_path_a_node_says_so():
    ends = Ends()
    ends.happens("node", NotifyRequested(HOME, TEXT))
    assert ends.sent == []
    assert any("no such binding" in each for each in ends.logged)


# ---- what is not right


@pytest.mark.rfc("6098", "4.5.1", "GN-MN-2", "GN-MN-4")
@pytest.mark.rfc("6098", "4.7.3", "GN-HA-2", "GN-HA-4")
@pytest.mark.parametrize("who", ENDS)
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"association": FORGED}, "authenticator-wrong"),
        ({"direction": 1}, "notification-direction"),
        ({"direction": "own"}, "notification-direction"),
        ({"home_agent": ELSEWHERE}, "home-agent-unknown"),
        ({"care_of_address": ELSEWHERE}, "notification-without-binding"),
        ({"extensions": (RevocationSupport(1),)}, "notification-extension"),
        ({"extensions": (UnknownExtension(200, b"x"),)}, "notification-extension"),
    ],
)
def test_what_is_wrong_is_passed_over_in_silence(ends, who, fields, reason):
    datagram = ends.say(who)
    receiver = other(who)
    if fields.get("direction") == "own":
        fields = {"direction": 0 if receiver == "agent" else 2}
    record = ends.record(receiver)
    assert ends.happens(*ends.arrival(changed(datagram, **fields))) == []
    assert ends.counted(receiver, f"discarded_{reason}") == 1
    assert ends.record(receiver) == record
    assert ends.said(receiver) == []


@pytest.mark.parametrize("who", ENDS)
def test_a_home_address_that_is_not_known_is_passed_over(ends, who):
    datagram = changed(ends.say(who), home_address=ELSEWHERE)
    assert ends.happens(*ends.arrival(datagram)) == []
    assert ends.said(other(who)) == []


@pytest.mark.rfc("6098", "4.5.1", "GN-MN-2")
@pytest.mark.rfc("6098", "4.7.3", "GN-HA-2")
@pytest.mark.parametrize("who", ENDS)
@pytest.mark.parametrize("kind", ["absent", "repeated", "behind"])
def test_there_is_exactly_one_authenticator_and_it_is_the_last_extension(ends, who, kind):
    datagram = ends.say(who)
    message = notification(datagram)
    if kind == "absent":
        payload = encode(structs.replace(message, extensions=message.extensions[:1]))
    elif kind == "repeated":
        payload = datagram.payload + message.extensions[1].encode()
    else:
        payload = datagram.payload + message.extensions[0].encode()
    assert ends.happens(*ends.arrival(structs.replace(datagram, payload=payload))) == []
    assert ends.said(other(who)) == []


@pytest.mark.parametrize("who", ENDS)
@pytest.mark.parametrize("count", [0, 2])
def test_there_is_one_text(ends, who, count):
    datagram = ends.say(who)
    string = first(notification(datagram), MessageString)
    ends.happens(*ends.arrival(changed(datagram, extensions=(string,) * count)))
    assert acknowledgment(ends).code == (192 if who == "agent" else 128)
    assert ends.said(other(who)) == []


@pytest.mark.rfc("6098", "7.1.1", "GN-E-10", "GN-E-11")
@pytest.mark.rfc("6098", "4.5.1", "GN-MN-3")
@pytest.mark.rfc("6098", "4.7.3", "GN-HA-3")
@pytest.mark.parametrize("who", ENDS)
def test_a_replay_is_denied_by_our_clock_and_seldom(ends, who):
    datagram = ends.say(who)
    ends.happens(*ends.arrival(datagram))
    ends.now += 2
    record = ends.record(other(who))
    ends.happens(*ends.arrival(datagram))
    answer = acknowledgment(ends)
    assert answer.code == (197 if who == "agent" else 133)
    low = 0xFFFFFFFF
    assert answer.identification & low == notification(datagram).identification & low
    assert answer.identification >> 32 == to_ntp(ends.now) >> 32
    for _ in range(50):
        assert ends.happens(*ends.arrival(datagram)) == []
    assert ends.counted(other(who), "discarded_timestamp-not-later") == 51
    assert ends.record(other(who)) == record
    assert len(ends.said(other(who))) == 1


@pytest.mark.rfc("6098", "7.1.1", "GN-E-10")
@pytest.mark.parametrize("who", ENDS)
@pytest.mark.parametrize("ahead_s", [-8, 8])
def test_a_timestamp_of_another_time_is_denied(ends, who, ahead_s):
    datagram = changed(ends.say(who), identification=to_ntp(ends.now + ahead_s))
    ends.happens(*ends.arrival(datagram))
    assert acknowledgment(ends).code == (197 if who == "agent" else 133)
    assert ends.said(other(who)) == []


@pytest.mark.parametrize("who", ENDS)
def test_an_accepted_identification_outlasts_a_restart(ends, who):
    datagram = ends.say(who)
    ends.happens(*ends.arrival(datagram))
    kinds = [type(each) for each in ends.last]
    assert kinds.index(SaveNode) < kinds.index(SendDatagram)
    ends.restart(other(who))
    ends.happens(*ends.arrival(datagram))
    assert ends.counted(other(who), "discarded_timestamp-not-later") == 1


def test_a_registration_counts_apart(ends):
    before = ends.record("agent").identification
    ends.say("node")
    ends.carry()
    assert ends.record("agent").identification == before


@pytest.mark.parametrize("who", ENDS)
def test_more_than_an_end_may_send_is_denied(ends, who):
    datagram = ends.say(who)
    ends.happens(*ends.arrival(datagram))
    quick = changed(datagram, identification=notification(datagram).identification + (1 << 12))
    ends.happens(*ends.arrival(quick))
    assert acknowledgment(ends).code == (194 if who == "agent" else 130)
    assert len(ends.said(other(who))) == 1


@pytest.mark.rfc("6098", "7.1.1", "GN-E-12")
def test_a_home_agent_goes_by_the_clock_of_a_node_that_is_wrong(ends):
    ends.clock_s["node"] = 100.0
    ends.say("agent")
    ends.carry()
    assert ends.said("node") == []
    ends.wake("agent")
    ends.carry()
    assert ends.said("node") == [(False, TEXT, "received")]
    assert ends.said("agent") == [(True, TEXT, "acknowledged")]


def test_a_clock_is_corrected_once(ends):
    datagram = ends.say("agent")
    for _ in range(2):
        message = NotificationAcknowledgment(
            2, 197, HOME, AGENT, ADDRESSES["wlan0"],
            notification(datagram).identification ^ (7 << 40),
        )  # fmt: skip
        payload = protect(message, KIND, ASSOCIATION)
        ends.happens("agent", Received(payload, ADDRESSES["wlan0"], 40001, AGENT, 434))
        if ends.said("agent")[0][2] == "waiting":
            ends.wake("agent")
            (datagram,) = ends.sent
    assert ends.said("agent") == [(True, TEXT, "denied 197")]
    assert ends.counted("agent", "notification_denied") == 1


@pytest.mark.rfc("6098", "4.7.2", "GN-HA-5")
@pytest.mark.rfc("6098", "4.5.4", "GN-MN-5")
@pytest.mark.rfc("6098", "7.1", "GN-E-13")
@pytest.mark.parametrize("who", ENDS)
def test_an_acknowledgment_that_is_wrong_is_passed_over(ends, who):
    datagram = ends.say(who)
    said = notification(datagram)
    answer = NotificationAcknowledgment(
        2 if who == "agent" else 0, 0, HOME, AGENT, ADDRESSES["wlan0"], said.identification
    )

    def arrives(message, association=ASSOCIATION, behind=b""):
        payload = protect(message, KIND, association) + behind
        return ends.happens(who, Received(payload, AGENT, 434, ADDRESSES["wlan0"], 40001, "wlan0"))

    repeated = decode(protect(answer, KIND, ASSOCIATION)).extensions[0].encode()
    assert arrives(answer, FORGED) == []
    assert arrives(answer, behind=repeated) == []
    assert arrives(structs.replace(answer, direction=said.direction)) == []
    assert arrives(structs.replace(answer, home_agent=ELSEWHERE)) == []
    assert arrives(structs.replace(answer, identification=said.identification ^ (1 << 20))) == []
    assert ends.said(who) == [(True, TEXT, "waiting")]
    arrives(answer)
    assert ends.said(who) == [(True, TEXT, "acknowledged")]
    assert arrives(answer) == []
    assert ends.counted(who, "discarded_notification-not-sent") == 2


def test_another_code_ends_it(ends):
    datagram = ends.say("agent")
    message = NotificationAcknowledgment(
        2, 193, HOME, AGENT, ADDRESSES["wlan0"], notification(datagram).identification
    )
    payload = protect(message, KIND, ASSOCIATION)
    ends.happens("agent", Received(payload, ADDRESSES["wlan0"], 40001, AGENT, 434))
    assert ends.said("agent") == [(True, TEXT, "denied 193")]


# ---- who does without


@pytest.mark.parametrize("who", ENDS)
def test_an_end_that_is_not_to_hears_nothing(ends, who):
    datagram = ends.say(who)
    deaf = Ends(notifications=False)
    deaf.up("wlan0")
    deaf.now = ends.now
    assert deaf.happens(*deaf.arrival(datagram)) == []
    reason = "not-a-request" if who == "node" else "not-a-reply"
    assert deaf.counted(other(who), f"discarded_{reason}") == 1
    assert deaf.record("agent").contact is None


@pytest.mark.parametrize("who", ENDS)
def test_nonces_carry_no_notifications(who):
    association = structs.replace(ASSOCIATION, replay=Replay.NONCES)
    ends = Ends(association)
    ends.up("wlan0")
    message = GenericNotification(
        2 if who == "agent" else 0, True, HOME, AGENT, ADDRESSES["wlan0"], to_ntp(ends.now),
        (MessageString.of(MessageStringSubtype.HOME_AGENT, TEXT),),
    )  # fmt: skip
    payload = protect(message, KIND, association)
    event = Received(payload, AGENT, 434, ADDRESSES["wlan0"], 40001, "wlan0")
    assert ends.happens(who, event) == []
    assert ends.counted(who, "discarded_notification-nonces") == 1


def test_a_record_that_cannot_be_saved_acknowledges_nothing(ends):
    datagram = ends.say("node")
    ends.happens(*ends.arrival(datagram))
    failed = EffectFailed(ends.last[0], tuple(ends.last[1:]), "the disk is full")
    ends.happens("agent", failed)
    assert ends.sent == []
    ends.wake("node")
    ends.carry()
    assert ends.said("node") == [(True, TEXT, "acknowledged")]


@pytest.mark.parametrize("who", ENDS)
def test_a_node_that_knows_how_wrong_its_clock_is_corrects_it(who):
    ends = Ends()
    ends.clock_s["node"] = 100.0
    ends.up("wlan0")
    ends.now += 10
    ends.say(who)
    ends.carry()
    assert ends.said(who) == [(True, TEXT, "acknowledged")]
    assert ends.counted(who, "notification_sent") == 1


def test_a_node_without_a_binding_keeps_what_it_has_accepted(ends):
    ends.say("agent")
    ends.carry()
    accepted = ends.record("node").contact
    ends.happens("node", DeregisterRequested())
    ends.carry()
    assert ends.record("node").bindings == ()
    (saved,) = [each for each in ends.last if isinstance(each, SaveNode)]
    assert saved.record.contact == accepted
