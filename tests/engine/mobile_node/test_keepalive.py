"""Paths that fall silent, are given up and taken back."""

import itertools

import pytest

from flowbind.engine.mobile_node.keepalive import Keepalive
from flowbind.events import InterfaceUp, ProbeAnswered

# ---- one path's probes


def test_a_path_is_dead_after_so_many_probes_without_an_answer():
    keepalive = Keepalive(0.5, 3)
    keepalive.start(10.0)
    assert [keepalive.tick(10.0 + 0.5 * step) for step in range(4)] == [False, False, False, True]


def test_a_clock_that_is_set_is_not_taken_for_a_slow_path():
    keepalive = Keepalive(0.5, 3)
    keepalive.start(0.0)
    keepalive.tick(0.0)
    assert keepalive.answered(keepalive.sequence, 3600.0)
    assert keepalive.rtt_s is None
    keepalive.tick(3600.5)
    assert keepalive.answered(keepalive.sequence, 3600.6)
    assert keepalive.rtt_s == pytest.approx(0.1)


def test_an_answer_that_takes_longer_than_the_interval_counts():
    keepalive = Keepalive(0.5, 3)
    keepalive.start(0.0)
    for step in range(40):
        now = step * 0.5
        assert not keepalive.tick(now)
        if step >= 2:
            assert keepalive.answered(keepalive.sequence - 2, now + 0.2)
    assert keepalive.rtt_s == pytest.approx(1.2)
    assert keepalive.loss == 0.0


def test_loss_counts_what_was_never_answered():
    keepalive = Keepalive(0.5, 3)
    keepalive.start(0.0)
    for step in range(200):
        keepalive.tick(step * 0.5)
        if step % 2:
            keepalive.answered(keepalive.sequence, step * 0.5 + 0.1)
    assert keepalive.loss == pytest.approx(0.5, abs=0.1)
    assert keepalive.rtt_s == pytest.approx(0.1)


def test_only_an_answer_to_a_probe_of_this_watch_counts_and_once():
    keepalive = Keepalive(0.5, 3)
    keepalive.start(0.0)
    keepalive.tick(0.0)
    old = keepalive.sequence
    assert not keepalive.answered(old + 1, 0.1)
    keepalive.start(1.0)
    assert not keepalive.answered(old, 1.1)
    keepalive.tick(1.0)
    assert keepalive.answered(keepalive.sequence, 1.1)
    assert not keepalive.answered(keepalive.sequence, 1.2)


def test_the_sequence_number_has_sixteen_bits():
    keepalive = Keepalive(0.5, 3, sequence=65535)
    keepalive.start(0.0)
    keepalive.tick(0.0)
    assert keepalive.sequence == 0


# ---- what follows


@pytest.fixture
def watching(make_trip):
    """A node whose paths are probed twice a second; `live` has some of them answer."""
    trip = make_trip(probe_interval_s=0.5)

    def live(seconds, *answering):
        until, effects = trip.now + seconds, []
        while (deadline := trip.engine.deadline()) is not None and deadline <= until:
            effects += trip.wait(deadline - trip.now)
            for probe in trip.probes(trip.last):
                if probe.path.interface in answering:
                    trip.hear(ProbeAnswered(probe.path.bid, probe.sequence))
        trip.now = until
        return effects

    trip.live = live
    return trip


def test_a_silent_path_is_given_up_over_a_living_one(watching):
    watching.up("wlan0", "wwan0")
    watching.live(10, "wlan0", "wwan0")
    effects = watching.live(2.0, "wwan0")
    assert watching.state("wlan0") == "dead"
    (request,) = watching.datagrams(effects)
    assert (request.interface, watching.asked.lifetime_s) == ("wwan0", 0)
    assert watching.asked.care_of_address == watching.address_of("wlan0")
    kinds = [type(each).__name__ for each in effects]
    assert kinds.index("ProgramForwarding") < kinds.index("SendDatagram")
    program = effects[kinds.index("ProgramForwarding")]
    assert [(each.bid, each.transmit) for each in program.node.paths] == [(1, False), (2, True)]


def test_it_is_taken_back_when_it_answers_a_registration(watching):
    watching.up("wlan0", "wwan0")
    watching.live(10, "wlan0", "wwan0")
    watching.live(2.0, "wwan0")
    watching.answer()
    assert (watching.sent.interface, watching.asked.lifetime_s) == ("wlan0", 600)
    assert watching.bids == [2]
    watching.live(60, "wwan0")
    # The home agent may have granted it and send packets there, so the other path takes it back.
    assert (watching.sent.interface, watching.asked.lifetime_s) == ("wwan0", 0)
    assert watching.multipath.bid == 1
    watching.answer()
    assert (watching.sent.interface, watching.asked.lifetime_s) == ("wlan0", 600)
    watching.answer()
    assert (watching.state("wlan0"), watching.bids) == ("up", [1, 2])


def test_the_only_path_is_kept_silent_or_not(watching):
    watching.up("wlan0")
    watching.live(10, "wlan0")
    watching.live(5)
    assert watching.state("wlan0") == "dead"
    tunnel = watching.interface("wlan0").tunnel
    assert tunnel is not None
    assert tunnel.transmit
    watching.live(1, "wlan0")
    assert watching.state("wlan0") == "up"


def test_a_silent_path_that_was_the_only_one_is_given_up_when_another_comes(watching):
    watching.up("wlan0")
    watching.live(10, "wlan0")
    watching.live(5)
    watching.hear(InterfaceUp("wwan0", watching.address_of("wwan0")))
    watching.live(0.5)
    while watching.sent.interface != "wwan0":
        watching.live(0.1)
    watching.answer()
    assert watching.paths == [(1, False), (2, True)]
    assert (watching.sent.interface, watching.asked.lifetime_s) == ("wwan0", 0)
    watching.answer()
    assert watching.bids == [2]


def test_of_two_silent_paths_both_are_kept(watching):
    watching.up("wlan0", "wwan0")
    watching.live(10, "wlan0", "wwan0")
    watching.live(4)
    assert {watching.state("wlan0"), watching.state("wwan0")} == {"dead"}
    tunnels = [each.tunnel for each in watching.engine.paths if each.tunnel]
    assert [(each.bid, each.transmit) for each in tunnels] == [(1, True), (2, True)]


def test_a_path_given_up_is_taken_up_again_when_the_other_falls_silent_too(watching):
    watching.up("wlan0", "wwan0")
    watching.live(10, "wlan0", "wwan0")
    watching.live(2.0, "wwan0")
    assert watching.asked.lifetime_s == 0
    watching.live(2.5)
    tunnels = [each.tunnel for each in watching.engine.paths if each.tunnel]
    assert [(each.bid, each.transmit) for each in tunnels] == [(1, True), (2, True)]
    watching.live(1.0, "wlan0")
    assert (watching.state("wlan0"), watching.state("wwan0")) == ("up", "dead")


def test_nobody_waits_for_a_request_over_a_silent_path(watching):
    watching.up("wlan0")
    watching.live(20)
    while not watching.asks:
        watching.wait(watching.engine.deadline() - watching.now)
    assert watching.state("wlan0") == "dead"
    watching.hear(InterfaceUp("wwan0", watching.address_of("wwan0")))
    assert watching.datagrams(watching.live(0.1)) == [watching.sent]
    assert watching.sent.interface == "wwan0"


def test_a_path_that_only_lets_requests_through_is_tried_ever_more_seldom(watching):
    watching.up("wwan0")
    watching.live(5, "wwan0")
    watching.up("wlan0")
    registered = [watching.now]
    while watching.now < watching.start + 400:
        watching.live(0.1, "wwan0")
        while watching.unanswered:
            if watching.sent.interface == "wlan0":
                registered.append(watching.now)
            watching.answer()
    gaps = [round(after - before) for before, after in itertools.pairwise(registered)]
    assert gaps[:5] == [4, 6, 10, 18, 34]
    assert set(gaps[5:]) <= {62}
    assert watching.state("wwan0") == "up"


def test_an_answer_through_a_path_that_is_not_there_is_ignored(watching):
    watching.up("wlan0")
    assert watching.hear(ProbeAnswered(7, 1)) == []
