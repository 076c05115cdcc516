"""Nonces between the two engines, also where the network loses and repeats (RFC 5944 5.7.2)."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowbind.events import RegisterRequested

NAMES = ["wlan0", "wwan0", "cdma0"]


@pytest.fixture
def world(make_world):
    return make_world(nonces=True)


def lose_once(world, *, reply):
    """Lose the next reply, or the next request."""
    lost = iter([True])
    world.lose = lambda datagram: (datagram.interface is None) is reply and next(lost, False)


@pytest.mark.rfc("5944", "5.7.2", "ID-12")
def test_one_133_at_the_first_meeting_and_none_after(world):
    world.up("wlan0", "wwan0", "cdma0")
    world.run(7200)
    assert world.bids == [1, 2, 3]
    assert world.replies[:2] == [133, 0]
    assert set(world.replies[1:]) == {0}
    assert len(world.replies) > 30


@pytest.mark.rfc("5944", "5.7.2")
@pytest.mark.parametrize("clock_s", [-86400.0, 86400.0])
def test_the_clocks_may_differ(world, clock_s):
    world.node_clock_s = clock_s
    world.up("wlan0")
    world.run(3600)
    assert world.bids == [1]
    assert world.replies.count(133) == 1


@pytest.mark.rfc("5944", "3.6.3", "ID-18")
def test_a_lost_request_costs_no_133(world):
    world.up("wlan0")
    world.replies.clear()
    lose_once(world, reply=False)
    world.run(600)
    assert world.replies == [0]
    *_, lost, repeated = [request for _, request in world.requests]
    assert lost == repeated


@pytest.mark.rfc("5944", "5.7.2", "ID-16")
def test_a_lost_reply_costs_one_133(world):
    world.up("wlan0")
    world.replies.clear()
    lose_once(world, reply=True)
    world.run(600)
    assert world.replies == [0, 133, 0]
    assert world.states["wlan0"] == "up"


@pytest.mark.rfc("5944", "5.7.2", "ID-14")
def test_every_nonce_that_is_told_is_another(world):
    chance = random.Random(1)
    world.lose = lambda _datagram: chance.random() < 0.3
    world.up("wlan0", "wwan0")
    told: list[int] = []
    source = world.agent._nonces

    def tell():
        told.append(source())
        return told[-1]

    world.agent._nonces = tell
    world.run(20_000)
    assert len(set(told)) == len(told) > 50


def test_either_engine_restarts_without_another_133(world):
    world.up("wlan0", "wwan0")
    world.replies.clear()
    world.restart_agent()
    world.restart_node()
    world.up("wlan0", "wwan0")
    world.run(3600)
    assert world.bids == [1, 2]
    assert set(world.replies) == {0}


def test_an_agent_that_lost_its_store_tells_a_nonce_again(world):
    world.up("wlan0")
    world.replies.clear()
    world.stored.clear()
    world.restart_agent()
    world.run(600)
    assert world.replies == [133, 0]
    assert world.bids == [1]


# make_world makes another world each time.
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 1 << 32), loss=st.floats(0.0, 0.6), restarts=st.integers(0, 3))
def test_whatever_is_lost_it_ends_in_agreement_and_nothing_is_accepted_twice(
    make_world, seed, loss, restarts
):
    world, chance = make_world(nonces=True, multipath="require"), random.Random(seed)
    world.lose = lambda _datagram: chance.random() < loss
    accepted: list[bytes] = []
    for _ in range(restarts + 1):
        world.agent = Noting(world.agent, accepted)
        world.up(*NAMES)
        world.run(chance.uniform(0, 900))
        world.restart_agent()
        if chance.random() < 0.5:
            world.restart_node()
    assert len(accepted) == len(set(accepted))
    world.lose = lambda _datagram: False
    world.up(*NAMES)
    for name in NAMES:
        world.at_node(RegisterRequested(name))
    world.run(100)
    assert sorted(world.bids) == [1, 2, 3]
    assert world.policies_agree()


class Noting:
    """An agent that notes the Identification of every request that it accepts."""

    def __init__(self, agent, accepted):
        self._agent, self._accepted = agent, accepted

    def __getattr__(self, name):
        return getattr(self._agent, name)

    def handle(self, event, now):
        before = self.statistics["accepted"]
        effects = self._agent.handle(event, now)
        if self.statistics["accepted"] > before:
            self._accepted.append(event.payload[16:24])
        return effects
