"""The map values in Python against the C they mirror, through the BTF of the built object."""

import ctypes
import json

import pytest

from flowbind.dataplane.ebpf import layout, layout6
from flowbind.dataplane.ebpf.plane import OBJECT
from flowbind.model.tunnel import MAX_PATHS, MAX_RULES, MAX_WEIGHT
from flowbind.wire.flow_binding import MAX_BIDS
from tests.dataplane.kernel import run

STRUCTS = {
    "path": layout.PathValue,
    "node": layout.NodeValue,
    "rule": layout.RuleValue,
    "policy": layout.PolicyValue,
    "policy_key": layout.PolicyKey,
    "flow_key": layout.FlowKey,
    "flow": layout.FlowValue,
    "fragment_key": layout.FragmentKey,
    "fragment": layout.FragmentValue,
    "explanation": layout.Explained,
    "settings": layout.SettingsValue,
    "prefix_key": layout6.PrefixKey,
    "range6": layout6.Range6Value,
    "rule6": layout6.Rule6Value,
    "policy6": layout6.Policy6Value,
    "flow6_key": layout6.Flow6Key,
}


@pytest.fixture(scope="module")
def btf():
    dump = json.loads(run("bpftool", "-j", "btf", "dump", "file", str(OBJECT)))
    return {each["id"]: each for each in dump["types"]}


def named(btf, kind, name):
    (found,) = (each for each in btf.values() if (each["kind"], each["name"]) == (kind, name))
    return found


def size(btf, number):
    """The octets of a type, through typedefs and arrays."""
    found = btf[number]
    if found["kind"] == "ARRAY":
        return found["nr_elems"] * size(btf, found["type_id"])
    if found["kind"] == "TYPEDEF":
        return size(btf, found["type_id"])
    return found["size"]


def in_c(btf, name):
    return [
        (each["name"], each["bits_offset"] // 8, size(btf, each["type_id"]))
        for each in named(btf, "STRUCT", name)["members"]
    ]


def in_python(structure):
    return [
        (name, getattr(structure, name).offset, getattr(structure, name).size)
        for name, *_ in structure._fields_
    ]


@pytest.mark.parametrize("name", STRUCTS)
def test_structs_have_the_same_fields_at_the_same_places(btf, name):
    assert in_python(STRUCTS[name]) == in_c(btf, name)
    assert ctypes.sizeof(STRUCTS[name]) == named(btf, "STRUCT", name)["size"]


def test_counters_have_the_same_names_in_the_same_order(btf):
    values = named(btf, "ENUM", "counter")["values"]
    names = [each["name"].removeprefix("COUNTER_").lower() for each in values]
    assert names == [*layout.COUNTERS, "count"]
    assert [each["val"] for each in values] == list(range(len(layout.COUNTERS) + 1))


def test_limits_are_those_of_the_model(btf):
    counts = {
        each["name"]: btf[each["type_id"]]["nr_elems"]
        for name in ("node", "policy", "rule")
        for each in named(btf, "STRUCT", name)["members"]
        if btf[each["type_id"]]["kind"] == "ARRAY"
    }
    assert counts == {"paths": MAX_PATHS, "rules": MAX_RULES, "bids": MAX_BIDS}


def test_constants_are_those_of_the_programs():
    header = (OBJECT.parents[5] / "bpf" / "maps.h").read_text()
    defined = dict(
        line.split(maxsplit=2)[1:]
        for line in header.splitlines()
        if line.startswith("#define ") and line.count(" ") == 2
    )
    constants = {
        "MAX_WEIGHT": MAX_WEIGHT,
        "PATH_NONE": layout.PATH_NONE,
        "PATH_DROP": layout.PATH_DROP,
        "PATH_BY_PACKET": layout.PATH_BY_PACKET,
        "RULE_NONE": layout.RULE_NONE,
        "NEEDS_PORTS": layout.NEEDS_PORTS,
        "NEEDS_SPI": layout.NEEDS_SPI,
    }
    assert {name: int(defined[name]) for name in constants} == constants
    flags = {field: flag for _term, field, _bits, flag in layout._TERMS}
    assert flags == {
        name.removeprefix("TERM_").lower(): int(value)
        for name, value in defined.items()
        if name.startswith("TERM_")
    }
