"""Effects in order: forwarding, records, replies; and what becomes of failures."""

from ipaddress import IPv4Address

import pytest

from flowbind.daemon.perform import Outlets, Performer
from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.memory import MemoryDataPlane
from flowbind.effects import (
    DeleteNode,
    Log,
    ProgramForwarding,
    RemoveForwarding,
    SaveNode,
    SendDatagram,
    SendProbe,
)
from flowbind.events import EffectFailed
from flowbind.model.binding import Encapsulation, NodeRecord
from flowbind.model.tunnel import NodeForwarding, Path
from flowbind.store.base import StoreError
from flowbind.store.memory import MemoryStore

AGENT = IPv4Address("198.51.100.1")


def home(number):
    return IPv4Address(f"10.9.0.{number}")


def path(bid=1):
    return Path(bid, AGENT, IPv4Address("192.0.2.7"), Encapsulation.IP_IN_IP)


def granted(number, previous=None):
    """What an accepted request asks for."""
    record = NodeRecord(home(number), 7)
    reply = SendDatagram(f"reply {number}".encode(), AGENT, 434, home(number), 434)
    node = NodeForwarding(home(number), (path(),))
    return [ProgramForwarding(node), SaveNode(record, previous), reply, Log("info", "granted")]


class Journal:
    """Twins of the doors that write down what is done, in order, and fail when told to."""

    def __init__(self):
        self.done = []
        self.unforwardable = set()
        self.disk_full = False
        self._plane = MemoryDataPlane()
        self._store = MemoryStore()

    def program(self, node):
        if node.home_address in self.unforwardable:
            raise DataPlaneError("the kernel refuses")
        self._plane.program(node)
        self.done.append(("program", node.home_address))

    def remove(self, home_address):
        self._plane.remove(home_address)
        self.done.append(("remove", home_address))

    def commit(self, changes):
        if self.disk_full:
            raise StoreError("the disk is full")
        self._store.commit(changes)
        self.done.append(("commit", len(changes)))

    def send(self, datagram):
        self.done.append(("send", datagram.payload))

    def probe(self, probe):
        self.done.append(("probe", probe.sequence))


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def perform(journal):
    return Performer(journal, journal, Outlets(journal.send, journal.probe)).perform


def test_the_reply_leaves_after_forwarding_and_record(journal, perform):
    assert perform([granted(5)]) == []
    assert [what for what, _ in journal.done] == ["program", "commit", "send"]


def test_many_requests_share_one_commit(journal, perform):
    perform([granted(number) for number in range(1, 9)])
    assert ("commit", 8) in journal.done
    kinds = [what for what, _ in journal.done]
    assert kinds == ["program"] * 8 + ["commit"] + ["send"] * 8


def test_nothing_is_committed_where_nothing_changed(journal, perform):
    perform([[SendProbe(path(), home(5), 3)], []])
    assert journal.done == [("probe", 3)]


def test_removals_are_carried_out(journal, perform):
    perform([[RemoveForwarding(home(5)), DeleteNode(home(5))]])
    assert journal.done == [("remove", home(5)), ("commit", 1)]


def test_what_cannot_be_forwarded_is_neither_saved_nor_answered(journal, perform):
    journal.unforwardable.add(home(5))
    program, save, reply, log = granted(5)
    failures = perform([granted(5), granted(6)])
    assert failures == [EffectFailed(program, (save, reply, log), "the kernel refuses")]
    assert journal.done == [("program", home(6)), ("commit", 1), ("send", b"reply 6")]


def test_all_that_was_not_forwarded_is_named(journal, perform):
    """A timer speaks of several nodes in one list."""
    journal.unforwardable.add(home(6))
    effects = [*granted(5), *granted(6), *granted(7)]
    (failure,) = perform([effects])
    assert failure.effect is effects[4]
    assert list(failure.unperformed) == [*effects[1:4], *effects[5:]]


def test_a_failed_commit_answers_nobody_and_comes_back_last_first(journal, perform):
    journal.disk_full = True
    failures = perform([granted(5), granted(6), [Log("info", "news")]])
    assert [failure.effect.record.home_address for failure in failures] == [home(6), home(5)]
    assert [each[0] for each in journal.done] == ["program", "program"]
    for failure in failures:
        assert [type(each) for each in failure.unperformed] == [SendDatagram, Log]


def test_what_was_built_upon_a_failure_fails_with_it(journal, perform):
    journal.unforwardable.add(home(5))
    renewal = granted(5)[1:]
    failures = perform([granted(5), renewal])
    assert [failure.effect for failure in failures] == [renewal[0], granted(5)[0]]
    assert journal.done == []


def test_logs_keep_their_level(perform, caplog):
    with caplog.at_level("DEBUG", logger="flowbind"):
        perform([[Log("warning", "careful"), Log("debug", "detail")]])
    assert [(each.levelname, each.message) for each in caplog.records] == [
        ("WARNING", "careful"),
        ("DEBUG", "detail"),
    ]
