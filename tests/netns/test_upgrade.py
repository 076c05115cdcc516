"""One build replaces another whose maps are laid out otherwise, while packets come and go."""

import pytest

from tests.dataplane.other_build import other_build, start
from tests.netns.hosts import CORRESPONDENT, HOME, Ping, inside, node_at

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return other_build(tmp_path_factory.mktemp("other"))


def test_builds_replace_each_other_under_way_and_nothing_is_lost(tunnels, other):
    ends = tunnels()
    for each in ends:
        each.plane.close()
    under_way = [Ping("cn", CORRESPONDENT, HOME, 800), Ping("mn", HOME, CORRESPONDENT, 800)]
    replaced = 0
    while any(each.running() for each in under_way):
        build = None if replaced % 2 else other
        for each in ends:
            with inside(each.host):
                assert start(build, each.settings) == (node_at(each.host),)
        replaced += 1
    assert [each.lost() for each in under_way] == [0, 0]
    assert replaced >= 2


def test_packets_go_on_wherever_an_upgrade_is_killed(tunnels, other):
    ends = tunnels()
    for each in ends:
        each.plane.close()
    under_way = Ping("cn", CORRESPONDENT, HOME, 1000)
    step = 0
    while under_way.running():
        step += 1
        for each in ends:
            with inside(each.host):
                start(None if step % 2 else other, each.settings, killed_at=step)
    assert under_way.lost() == 0
    assert step > 2
    for each in ends:
        with inside(each.host):
            assert start(None, each.settings) == (node_at(each.host),)
