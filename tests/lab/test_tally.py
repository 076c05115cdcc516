"""Loss is told by the time of sending, whatever the order and the files."""

import itertools

import msgspec
import pytest

from flowbind.lab.traffic import download
from flowbind.lab.traffic.running import address
from flowbind.lab.traffic.stream import parse_spec
from flowbind.lab.traffic.tally import BIN_S, Ledger, Ready, Tally, bin_of, bin_of_ns

NS = 1_000_000_000
AT = 1_700_000_000 * NS


def write(path, *lines):
    with path.open("ab") as file:
        for line in lines:
            file.write(msgspec.json.encode(line) + b"\n")


def test_a_packet_belongs_to_the_moment_it_was_sent(tmp_path):
    here, there = Tally("rtp"), Tally("rtp")
    here.sent(AT)
    here.sent(AT + NS)
    there.received(0, 1, AT + NS, 100)
    there.received(0, 0, AT, 100)  # overtaken
    there.received(0, 0, AT, 100)  # doubled
    file = tmp_path / "out"
    write(file, Ready(), here.report(), there.report())
    ledger = Ledger()
    ledger.watch(file)
    assert ledger.is_ready(file)
    assert ledger.window("rtp", 0, 1 << 60).lost == 0
    assert (ledger.late["rtp"], ledger.duplicates["rtp"]) == (1, 1)


def test_loss_shows_in_the_window_of_its_sending_only(tmp_path):
    here, there = Tally("rtp"), Tally("rtp")
    for second in range(4):
        here.sent(AT + second * NS)
        if second != 2:
            there.received(0, second, AT + second * NS, 100)
    file = tmp_path / "out"
    write(file, here.report(), there.report())
    ledger = Ledger()
    ledger.watch(file)
    ledger.poll()
    edges = [bin_of_ns(AT + second * NS) for second in range(5)]
    lost = [ledger.window("rtp", *pair).lost for pair in itertools.pairwise(edges)]
    assert lost == [0, 0, 1, 0]


def test_a_half_written_line_waits_for_its_rest(tmp_path):
    tally = Tally("rtp")
    tally.sent(AT, 3)
    line = msgspec.json.encode(tally.report()) + b"\n"
    file = tmp_path / "out"
    file.write_bytes(line[:20])
    ledger = Ledger()
    ledger.watch(file)
    ledger.poll()
    assert ledger.window("rtp", 0, 1 << 60).sent == 0
    file.write_bytes(line)
    ledger.poll()
    ledger.poll()
    assert ledger.window("rtp", 0, 1 << 60).sent == 3


def test_a_report_is_given_once():
    tally = Tally("rtp")
    tally.sent(AT)
    assert sum(tally.report().sent.values()) == 1
    assert not tally.report().sent


def test_sub_flows_have_their_own_numbers():
    tally = Tally("unnamed")
    tally.received(1, 0, AT, 80)
    tally.received(2, 0, AT, 80)
    report = tally.report()
    assert (sum(report.received.values()), report.duplicates) == (2, 0)


def test_both_clocks_give_the_same_bin():
    assert bin_of(AT / NS + 0.25) == bin_of_ns(AT + NS // 4)
    assert bin_of_ns(AT + round(BIN_S * NS)) == bin_of_ns(AT) + 1


@pytest.mark.parametrize("step", [1, 7, 999, 1000, 1001, 5000])
def test_the_download_is_checked_in_pieces_of_any_size(step):
    body = b"".join(download.record(i, AT) for i in range(300))
    tally = Tally("http")
    verifier = download.Verifier(tally)
    for start in range(0, len(body), step):
        verifier.feed(body[start : start + step])
    report = tally.report()
    assert (sum(report.received.values()), report.corrupt) == (300, 0)


@pytest.mark.parametrize("at", [0, 3, 500, 999])
def test_one_wrong_octet_of_the_download_is_seen(at):
    body = bytearray(b"".join(download.record(i, AT) for i in range(3)))
    body[1000 + at] ^= 1
    tally = Tally("http")
    download.Verifier(tally).feed(bytes(body))
    report = tally.report()
    assert (sum(report.received.values()), report.corrupt) == (2, 1)


def test_a_lost_octet_of_the_download_spoils_all_that_follows():
    body = b"".join(download.record(i, AT) for i in range(10))
    tally = Tally("http")
    download.Verifier(tally).feed(body[:2500] + body[2501:])
    report = tally.report()
    assert sum(report.received.values()) == 2
    assert report.corrupt == 7


def test_the_command_line_of_a_stream():
    spec = parse_spec("rtp,10.9.0.5:16384,203.0.113.9:16386,200,172")
    assert (spec.local, spec.peer) == (("10.9.0.5", 16384), ("203.0.113.9", 16386))
    assert address("1.2.3.4:5") == ("1.2.3.4", 5)
