"""A home agent's socket and loop on loopback, in the midst of a flood."""

import socket
from ipaddress import IPv4Address, IPv4Network

import pytest
from msgspec import structs

from flowbind.auth.association import SecurityAssociation
from flowbind.auth.authenticator import protect
from flowbind.auth.replay import next_identification
from flowbind.daemon import clock
from flowbind.daemon.loop import EngineLoop
from flowbind.daemon.perform import Outlets, Performer
from flowbind.daemon.sockets import Port
from flowbind.dataplane.memory import MemoryDataPlane
from flowbind.engine.home_agent import HomeAgent
from flowbind.model.config import HomeAgentConfig, MobileNodeEntry
from flowbind.store.memory import MemoryStore
from flowbind.wire.iana import ExtensionType, RequestFlag
from flowbind.wire.message import decode
from flowbind.wire.registration import RegistrationReply, RegistrationRequest

LOOPBACK = IPv4Address("127.0.0.1")
HOME = IPv4Address("10.9.0.5")
ASSOCIATION = SecurityAssociation(256, bytes(range(16)))
FORGED = structs.replace(ASSOCIATION, key=b"some other key!!")
KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION


class Untimed(EngineLoop):
    def arm(self):
        pass


class Agent:
    """All of a home agent but its event loop."""

    def __init__(self):
        entry = MobileNodeEntry(HOME, (ASSOCIATION,))
        config = HomeAgentConfig(LOOPBACK, (IPv4Network("10.9.0.0/24"),), (entry,))
        self.port = Port(LOOPBACK, 0)
        self.engine = HomeAgent(config)
        outlets = Outlets(self.port.send, lambda _probe: None)
        performer = Performer(MemoryDataPlane(), MemoryStore(), outlets)
        self.loop = Untimed(self.engine, performer)

    def serve(self):
        while events := self.port.receive():
            self.loop.submit(*events)


@pytest.fixture
def agent():
    agent = Agent()
    yield agent
    agent.port.close()


@pytest.fixture
def client(agent):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((str(LOOPBACK), agent.port.port))
        client.setblocking(False)
        yield client


def request(association=ASSOCIATION):
    message = RegistrationRequest(
        flags=RequestFlag(0),
        lifetime_s=600,
        home_address=HOME,
        home_agent=LOOPBACK,
        care_of_address=IPv4Address("10.1.0.2"),
        identification=next_identification(None, clock.now()),
    )
    return protect(message, KIND, association)


def codes(client):
    """The codes of the replies that are there."""
    found: list[int] = []
    while True:
        try:
            reply = decode(client.recv(65535))
        except BlockingIOError:
            return found
        assert isinstance(reply, RegistrationReply)
        found.append(reply.code)


def test_the_largest_datagram_is_read_whole_and_the_next_one_served(agent, client):
    for largest in (b"\x01" + bytes(65_506), b"\xff" * 65_507, b"", b"\x01"):
        client.send(largest)
        agent.serve()
    client.send(request())
    agent.serve()
    assert codes(client) == [0]
    assert agent.engine.statistics["discarded_empty-datagram"] == 1


def test_a_node_is_served_between_forgeries_and_replays(agent, client):
    old = request()
    client.send(old)
    agent.serve()
    for _ in range(300):
        client.send(request(FORGED))
        client.send(old)
        agent.serve()
    client.send(request())
    agent.serve()
    answers = codes(client)
    assert answers.count(0) == 2
    # One a second of each, and this takes less than a few.
    assert answers.count(131) + answers.count(133) <= 20
