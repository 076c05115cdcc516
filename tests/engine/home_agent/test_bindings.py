"""What an accepted request does to the bindings (RFC 5944 3.8.2.2; RFC 7629 4.1, 5.2)."""

import pytest
from msgspec import structs

from flowbind.effects import Log, ProgramForwarding, RemoveForwarding, SaveNode
from flowbind.model.binding import Binding, Encapsulation, NodeRecord
from flowbind.model.config import OverwriteScope
from flowbind.model.tunnel import PLAIN_BID, NodeForwarding, Path
from flowbind.wire.iana import RequestFlag


def path(desk, bid, **changes) -> Path:
    remote = desk.care_of_address(bid or 1)
    fields = {"bid": bid, "label": bid, "remote": remote, **changes}
    return Path(local=desk.address, encapsulation=Encapsulation.IP_IN_IP, **fields)


# ---- registration


@pytest.mark.rfc("7629", "5.2")
@pytest.mark.rfc("7629", "5.1", "MP-HA-4", "MP-HA-7")
@pytest.mark.rfc("5944", "3.8.1", "HA-4")
@pytest.mark.rfc("5944", "3.8.2.2", "HA-20")
@pytest.mark.rfc("5944", "4.2.3", "FW-8")
def test_a_first_registration_asks_for_forwarding_a_record_and_then_the_reply(desk):
    assert desk.ask(desk.multipath(1)) == 0
    binding = Binding(
        bid=1,
        care_of_address=desk.care_of_address(1),
        encapsulation=Encapsulation.IP_IN_IP,
        reverse_tunnel=True,
        lifetime_s=600,
        expires_at=desk.now + 600,
        identification=desk.identification,
        access_technology=4,
        label=1,
    )
    record = NodeRecord(desk.home, desk.identification, (binding,))
    assert desk.last == [
        ProgramForwarding(NodeForwarding(desk.home, (path(desk, 1),))),
        SaveNode(record, None),
        desk.replies[0],
        Log("info", "10.9.0.5: BID 1 registered at 10.1.0.2"),
    ]
    assert (desk.reply.lifetime_s, desk.reply.home_agent) == (600, desk.address)
    assert desk.engine.records == {desk.home: record}


@pytest.mark.rfc("7629", "5.2", "A-16", "A-26")
@pytest.mark.rfc("7629", "5.1", "MP-HA-4", "MP-HA-7")
def test_each_bid_adds_a_binding_and_code_0_whatever_the_s_bit_says(desk):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(3), flags=RequestFlag.SIMULTANEOUS_BINDINGS) == 0
    assert desk.bids == [1, 2, 3]


@pytest.mark.rfc("7629", "4.1", "MP-HA-3")
def test_no_reply_carries_a_multipath_extension(desk):
    for fields in ({}, {"lifetime_s": 0}):
        assert desk.ask(desk.multipath(1), **fields) == 0
        (authentication,) = desk.reply.extensions
        assert type(authentication).__name__ == "Authentication"


@pytest.mark.rfc("7629", "5.1")
def test_a_renewal_changes_one_lifetime_and_no_forwarding(desk):
    desk.register(1, 2)
    before = desk.record
    desk.now += 100
    desk.register(1)
    assert desk.kinds == ["SaveNode", "SendDatagram"]
    first, second = desk.record.bindings
    assert first.expires_at == desk.now + 600
    assert second == before.bindings[1]


@pytest.mark.rfc("7629", "5.1", "A-1")
def test_another_care_of_address_updates_the_binding_in_place(desk):
    desk.register(1, 2)
    moved = desk.care_of_address(9)
    assert desk.ask(desk.multipath(1), care_of_address=moved) == 0
    assert [(each.bid, each.care_of_address) for each in desk.record.bindings] == [
        (1, moved),
        (2, desk.care_of_address(2)),
    ]
    assert desk.last[0] == ProgramForwarding(
        NodeForwarding(desk.home, (path(desk, 1, remote=moved), path(desk, 2)))
    )


@pytest.mark.rfc("7629", "5.1")
def test_gre_is_negotiated_for_each_path(desk):
    desk.register(1)
    assert desk.ask(desk.multipath(2), flags=RequestFlag.GRE_ENCAPSULATION) == 0
    kinds = [each.encapsulation for each in desk.record.bindings]
    assert kinds == [Encapsulation.IP_IN_IP, Encapsulation.GRE]


@pytest.mark.rfc("7629", "2.2", "A-22")
def test_one_care_of_address_has_one_binding_the_later_one(desk):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(3), care_of_address=desk.care_of_address(1)) == 0
    assert desk.bids == [2, 3]
    assert [each.text for each in desk.last if isinstance(each, Log)] == [
        "10.9.0.5: BID 3 registered at 10.1.0.2",
        "10.9.0.5: BID 1 deregistered at 10.1.0.2",
    ]


# ---- B and O


@pytest.mark.rfc("7629", "5.2", "MP-HA-5", "A-3")
def test_b_extends_every_lifetime_and_registers_its_own_binding(desk):
    desk.register(1, 2)
    desk.now += 300
    assert desk.ask(desk.multipath(3, desk.bulk), lifetime_s=900) == 0
    assert desk.bids == [1, 2, 3]
    assert {(each.lifetime_s, each.expires_at) for each in desk.record.bindings} == {
        (900, desk.now + 900)
    }


@pytest.mark.rfc("7629", "5.2", "A-2")
def test_b_may_shorten_lifetimes(desk):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(1, desk.bulk), lifetime_s=60) == 0
    assert {each.expires_at for each in desk.record.bindings} == {desk.now + 60}


@pytest.mark.rfc("7629", "5.1", "MP-HA-5", "A-4")
@pytest.mark.parametrize("bid", [1, 77])
def test_b_with_lifetime_0_removes_everything(desk, bid):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(1), desk.forward(80, 1)) == 0
    before = desk.record
    assert desk.ask(desk.multipath(bid, desk.bulk), lifetime_s=0) == 0
    after = NodeRecord(desk.home, desk.identification)
    assert desk.last == [
        RemoveForwarding(desk.home),
        SaveNode(after, before),
        desk.replies[0],
        Log("info", "10.9.0.5: BID 1 deregistered at 10.1.0.2"),
        Log("info", "10.9.0.5: BID 2 deregistered at 10.2.0.2"),
    ]
    assert desk.reply.lifetime_s == 0
    assert desk.engine.deadline() is None


@pytest.mark.rfc("7629", "5.2", "MP-HA-6", "A-1")
def test_o_replaces_all_bindings_and_rules(desk):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(2), desk.forward(80, 2)) == 0
    assert desk.ask(desk.multipath(3, desk.overwrite)) == 0
    assert desk.bids == [3]
    assert desk.rules == []


@pytest.mark.rfc("7629", "5.2", "MP-HA-6", "A-1")
def test_o_of_a_known_bid_leaves_that_one_alone(desk):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(1, desk.overwrite)) == 0
    assert desk.bids == [1]


@pytest.mark.rfc("7629", "5.1", "MP-HA-6b", "A-1")
def test_o_replaces_the_binding_and_the_rules_of_its_bid_where_asked_to(make_desk):
    desk = make_desk(overwrite_scope=OverwriteScope.SAME_BID)
    desk.register(1, 2)
    assert desk.ask(desk.multipath(1), desk.forward(80, 1)) == 0
    assert desk.ask(desk.multipath(2), desk.forward(90, 2)) == 0
    moved = desk.care_of_address(9)
    assert desk.ask(desk.multipath(1, desk.overwrite), care_of_address=moved) == 0
    assert [(each.bid, each.care_of_address) for each in desk.record.bindings] == [
        (1, moved),
        (2, desk.care_of_address(2)),
    ]
    assert desk.rules == [(90, 2)]
    assert desk.ask(desk.multipath(2, desk.overwrite), desk.forward(91, 2)) == 0
    assert desk.bids == [1, 2]
    assert desk.rules == [(91, 2)]


@pytest.mark.rfc("7629", "5.1", "MP-HA-6b")
@pytest.mark.rfc("7629", "5.2", "A-15")
def test_o_for_one_bid_ends_a_plain_registration_all_the_same(make_desk):
    desk = make_desk(overwrite_scope=OverwriteScope.SAME_BID)
    assert desk.ask(desk.drop(80)) == 0
    assert desk.ask(desk.multipath(2, desk.overwrite)) == 0
    assert desk.bids == [2]
    assert desk.rules == []


@pytest.mark.rfc("7629", "4.1", "A-19")
def test_o_is_ignored_in_a_deregistration(desk):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(1, desk.overwrite), lifetime_s=0) == 0
    assert desk.bids == [2]


# ---- deregistration


@pytest.mark.rfc("7629", "5.1", "A-21")
def test_a_bid_is_deregistered_whatever_the_care_of_address(desk):
    desk.register(1, 2)
    elsewhere = desk.care_of_address(9)
    assert desk.ask(desk.multipath(1), lifetime_s=0, care_of_address=elsewhere) == 0
    assert desk.bids == [2]
    assert desk.last[0] == ProgramForwarding(NodeForwarding(desk.home, (path(desk, 2),)))


@pytest.mark.rfc("5944", "3.8.2.2")
@pytest.mark.rfc("7629", "5.1", "A-21")
@pytest.mark.rfc("7629", "5.2", "A-26")
def test_deregistering_what_is_not_there_succeeds(desk):
    assert desk.ask(desk.multipath(1), lifetime_s=0) == 0
    assert desk.kinds == ["SaveNode", "SendDatagram"]
    desk.register(1)
    assert desk.ask(desk.multipath(2), lifetime_s=0) == 0
    assert desk.bids == [1]


@pytest.mark.rfc("5944", "3.8.2.2", "HA-21")
@pytest.mark.parametrize("bid", [None, 2])
def test_the_home_address_deregisters_everything(desk, bid):
    desk.register(1, 2)
    extensions = [desk.multipath(bid)] if bid else []
    assert desk.ask(*extensions, lifetime_s=0, care_of_address=desk.home) == 0
    assert desk.bids == []


@pytest.mark.rfc("5944", "3.8.2.2", "HA-22")
def test_a_plain_deregistration_removes_the_bindings_of_its_address(desk):
    desk.register(1, 2)
    assert desk.ask(lifetime_s=0, care_of_address=desk.care_of_address(2)) == 0
    assert desk.bids == [1]


# ---- plain RFC 5944


@pytest.mark.rfc("5944", "3.8.2.2", "HA-23")
def test_a_plain_registration_replaces_the_one_before(desk):
    assert desk.ask() == 0
    assert desk.ask(care_of_address=desk.care_of_address(2)) == 0
    assert [each.care_of_address for each in desk.record.bindings] == [desk.care_of_address(2)]
    plain = path(desk, PLAIN_BID, remote=desk.care_of_address(2))
    assert desk.last[0] == ProgramForwarding(NodeForwarding(desk.home, (plain,)))


@pytest.mark.rfc("5944", "3.8.2.2")
@pytest.mark.rfc("5944", "3.8.3.2", "HA-34")
@pytest.mark.parametrize(("lifetime_s", "code"), [(600, 1), (0, 0)])
def test_code_1_tells_that_simultaneous_bindings_are_not_kept(desk, lifetime_s, code):
    desk.register(1, 2)
    flags = RequestFlag.SIMULTANEOUS_BINDINGS
    assert desk.ask(flags=flags, lifetime_s=lifetime_s) == code


@pytest.mark.rfc("7629", "5.2", "A-14")
def test_a_plain_registration_ends_multipath_and_its_rules(desk):
    desk.register(1, 2)
    assert desk.ask(desk.multipath(1), desk.forward(80, 1)) == 0
    assert desk.ask() == 0
    assert desk.bids == [None]
    assert desk.rules == []


@pytest.mark.rfc("7629", "5.2", "A-15")
def test_multipath_ends_a_plain_registration_and_its_rules(desk):
    assert desk.ask(desk.drop(80)) == 0
    assert desk.rules == [(80,)]
    desk.register(2)
    assert desk.bids == [2]
    assert desk.rules == []


# ---- limits


@pytest.mark.rfc("5944", "3.8.2.1")
@pytest.mark.rfc("5944", "3.8.2.3", "HA-30")
def test_one_binding_too_many_is_denied_with_135(make_desk):
    desk = make_desk(max_bindings=2)
    desk.register(1, 2)
    before = desk.record
    assert desk.ask(desk.multipath(3)) == 135
    assert desk.record == before


def test_a_node_over_a_lowered_limit_may_renew_and_deregister(make_desk):
    desk = make_desk()
    desk.register(1, 2, 3)
    desk.config = structs.replace(desk.config, max_bindings=1)
    desk.restart()
    desk.register(3)
    assert desk.ask(desk.multipath(1), lifetime_s=0) == 0
    assert desk.bids == [2, 3]
    assert desk.ask(desk.multipath(4)) == 135
