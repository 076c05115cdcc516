import json

import pytest

from bench.report import Machine, Section, Threshold, figure, table, to_json


def test_a_ratio_is_the_median_of_the_rounds_own_ratios():
    found = figure("TCP", "Gbit/s", [9.0, 1.0, 8.0], [10.0, 1.0, 16.0], ratio_at_least=0.85)
    assert (found.median, found.least, found.most, found.reference) == (8.0, 1.0, 9.0, 10.0)
    assert found.ratio == 0.9
    assert found.threshold == Threshold("ratio", 0.85, met=True)


@pytest.mark.parametrize(("values", "met"), [([5000.0], True), ([4999.9], False)])
def test_a_threshold_of_the_figure_itself(values, met):
    found = figure("renewals", "accepted/s", values, [50_000.0], at_least=5000)
    assert found.threshold == Threshold("median", 5000, met)


@pytest.mark.parametrize(("values", "met"), [([2048.0], True), ([2048.1], False)])
def test_a_threshold_that_is_a_ceiling(values, met):
    found = figure("memory", "octets", values, at_most=2048)
    assert found.threshold == Threshold("median", None, met, 2048)
    row = table(Section("memory", "", [found])).splitlines()[1]
    assert row.endswith("<= 2,048: met" if met else "<= 2,048: MISSED")


def test_the_table_says_plainly_what_was_missed():
    figures = [
        figure("TCP", "Gbit/s", [5.0], [10.0], ratio_at_least=0.85),
        figure("renewals", "accepted/s", [16_000.0], at_least=5000),
        figure("p99", "ms", [1.234]),
    ]
    lines = table(Section("tunnel", "plain", figures, ("a note",))).splitlines()
    assert lines[0].split() == ["tunnel", "median", "least", "most", "plain", "ratio", "wanted"]
    assert lines[1].endswith("10.0   0.50  ratio >= 0.85: MISSED")
    assert lines[2].endswith(">= 5,000: met")
    assert lines[3].split() == ["p99", "ms", "1.23", "1.23", "1.23"]
    assert lines[4] == "a note"


def test_json_holds_all_that_the_table_shows():
    section = Section("tunnel", "plain", [figure("TCP", "Gbit/s", [5.0], [10.0])])
    machine = Machine("Linux", 2, "some", "3.11", "pure Python", 0.0)
    found = json.loads(to_json(machine, {"rounds": 1}, [section]))
    assert found["settings"] == {"rounds": 1}
    assert found["machine"]["processors"] == 2
    assert found["sections"][0]["figures"][0]["ratio"] == 0.5
