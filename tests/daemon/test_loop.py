"""The loop: events to the engine, effects to the world, one timer, failures fed back."""

import asyncio
from collections import Counter
from ipaddress import IPv4Address

import pytest

from flowbind.daemon import clock
from flowbind.daemon.loop import EngineLoop
from flowbind.effects import Log, ProgramForwarding, SaveNode
from flowbind.engine.home_agent import HomeAgent
from flowbind.events import EffectFailed, InterfaceDown, Received, Restored, TimerExpired
from flowbind.model.binding import NodeRecord
from flowbind.model.config import HomeAgentConfig
from flowbind.model.tunnel import NodeForwarding

HOME = IPv4Address("10.9.0.5")


class Engine:
    """Answers events as it is told and keeps them."""

    def __init__(self):
        self.statistics: Counter[str] = Counter()
        self.events = []
        self.answers = {}
        self.due = None

    def handle(self, event, now):
        assert abs(now - clock.now()) < 5
        self.events.append(event)
        if isinstance(event, TimerExpired):
            self.due = None
        return self.answers.get(type(event), [])

    def deadline(self):
        return self.due


class Performer:
    """Does nothing, and fails as often as it is told."""

    def __init__(self):
        self.lists = []
        self.failing = 0

    def perform(self, lists):
        self.lists.append(lists)
        if self.failing:
            self.failing -= 1
            return [EffectFailed(Log("info", "x"), (), "told to")]
        return []


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def performer():
    return Performer()


@pytest.fixture
def loop(engine, performer):
    return EngineLoop(engine, performer)


def run(*actions):
    async def main():
        for action in actions:
            action()
            await asyncio.sleep(0.03)

    asyncio.run(main())


def test_events_that_came_together_are_performed_together(loop, engine, performer):
    engine.answers[InterfaceDown] = [Log("info", "down")]
    run(lambda: loop.submit(InterfaceDown("a"), InterfaceDown("b")))
    assert engine.events == [InterfaceDown("a"), InterfaceDown("b")]
    assert performer.lists == [[[Log("info", "down")], [Log("info", "down")]]]


def test_the_timer_goes_off_at_the_deadline_and_once(loop, engine):
    engine.due = clock.now() + 0.01
    run(loop.arm, lambda: None)
    assert engine.events == [TimerExpired()]


def test_a_deadline_that_moves_moves_the_timer(loop, engine):
    engine.due = clock.now() + 0.01

    def later():
        engine.due = clock.now() + 60
        loop.submit(InterfaceDown("a"))

    async def main():
        loop.arm()
        later()
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert engine.events == [InterfaceDown("a")]


def test_a_deadline_in_the_past_does_not_starve_the_rest(loop, engine, monkeypatch):
    monkeypatch.setattr(engine, "deadline", lambda: clock.now() - 10)
    run(loop.arm)
    assert 1 <= len(engine.events) < 100


def test_failures_go_back_to_the_engine(loop, engine, performer):
    performer.failing = 1
    engine.answers[EffectFailed] = [Log("error", "undone")]
    run(lambda: loop.submit(InterfaceDown("a")))
    assert [type(event) for event in engine.events] == [InterfaceDown, EffectFailed]
    assert performer.lists[1] == [[Log("error", "undone")]]


def test_a_compensation_that_always_fails_is_given_up(loop, engine, performer, caplog):
    performer.failing = 1000
    run(lambda: loop.submit(InterfaceDown("a")))
    assert len(engine.events) < 10
    assert "giving up" in caplog.text


def test_what_was_restored_is_for_the_caller_to_reconcile(loop, engine, performer):
    record = NodeRecord(HOME, 7)
    node = NodeForwarding(HOME)
    engine.answers[Restored] = [ProgramForwarding(node), SaveNode(record)]
    assert loop.restore((record,)) == (node,)
    assert engine.events == [Restored((record,))]
    assert performer.lists == [[[SaveNode(record)]]]


@pytest.mark.rfc("5944", "1.7", "LOG-2")
@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_what_is_silently_discarded_is_logged_with_its_contents_where_asked_to(
    performer, caplog, level
):
    home_agent = IPv4Address("198.51.100.1")
    engine = HomeAgent(HomeAgentConfig(home_agent, (), ()))
    caplog.set_level(level, "flowbind")
    stranger = Received(b"\x63\x00", IPv4Address("192.0.2.66"), 40000, home_agent, 434)
    run(lambda: EngineLoop(engine, performer).submit(stranger))
    text = "no answer to 192.0.2.66:40000 (discarded_unknown-message-type): 6300"
    assert caplog.messages == ([text] if level == "DEBUG" else [])
