"""The reader of BTF against bpftool, and what becomes of a value whose struct has changed."""

import json

import pytest

from flowbind.dataplane.base import DataPlaneError
from flowbind.dataplane.ebpf.btf import Btf, Kind, carried, moves
from flowbind.dataplane.ebpf.libbpf import BpfObject, Library
from flowbind.dataplane.ebpf.plane import OBJECT
from tests.dataplane.kernel import run

TYPES = """
typedef unsigned char __u8; typedef unsigned short __u16; typedef unsigned int __u32;
typedef __u16 __be16; typedef __u32 __be32;
"""


@pytest.fixture
def compiled(tmp_path):
    """The types of some C, and the number of its struct `value`."""

    def build(text):
        source = tmp_path / "types.c"
        source.write_text(f"{TYPES}\n{text}\nstruct value used;")
        run("clang", "-g", "-target", "bpf", "-c", str(source), "-o", str(tmp_path / "types.o"))
        opened = BpfObject(Library(), tmp_path / "types.o")
        types = Btf(opened.btf())
        opened.close()
        return types, next(i for i, each in enumerate(types.types) if each.name == "value")

    return build


def convert(old, new, value):
    return carried(value, moves(*old, *new), new[0].size(new[1]))


def is_plain(shown):
    """Without bit fields, and without members that stand for their own."""
    members = shown["members"]
    return not any(each.get("bitfield_size") or each["name"] == "(anon)" for each in members)


def test_reads_what_bpftool_reads():
    types = Btf(BpfObject(Library(), OBJECT).btf())
    expected = json.loads(run("bpftool", "-j", "btf", "dump", "file", str(OBJECT)))["types"]
    assert len(types.types) == len(expected) + 1
    for each in expected:
        ours = types.types[each["id"]]
        assert ours.name == each["name"].replace("(anon)", "")
        if ours.kind in (Kind.STRUCT, Kind.UNION):
            assert ours.size_or_type == each["size"]
            if is_plain(each):
                assert [(f.name, f.type, f.offset * 8) for f in types.fields(ours)] == [
                    (member["name"], member["type_id"], member["bits_offset"])
                    for member in each["members"]
                ]
        if ours.kind is Kind.ARRAY:
            assert types.array(ours) == (each["type_id"], each["nr_elems"])
        if ours.kind is Kind.ENUM and ours.name:
            assert types.enumerators(ours.name) == {v["name"]: v["val"] for v in each["values"]}


def test_a_field_goes_where_its_name_is(compiled):
    old = compiled("struct value { __u8 a; __u8 b; __u16 c; };")
    new = compiled("struct value { __u16 c; __u32 more; __u8 a; __u8 pad; };")
    assert convert(old, new, b"\x01\x02\x03\x04") == b"\x03\x04" + bytes(6) + b"\x01" + bytes(3)
    assert convert(new, old, bytes(range(12))) == b"\x08\x00\x00\x01"


def test_elements_of_an_array_of_structs_are_carried_over_as_many_as_there_is_room(compiled):
    old = compiled("struct item { __u8 a; }; struct value { struct item items[3]; };")
    new = compiled("struct item { __u8 new; __u8 a; }; struct value { struct item items[2]; };")
    assert convert(old, new, b"\x01\x02\x03") == b"\x00\x01\x00\x02"
    assert convert(new, old, b"\x09\x01\x09\x02") == b"\x01\x02\x00"


def test_a_number_keeps_its_worth_when_it_becomes_wider_or_narrower(compiled):
    old = compiled("struct value { __u16 host; __be16 network; };")
    new = compiled("struct value { __u32 host; __be32 network; };")
    assert convert(old, new, b"\x34\x12\x12\x34") == b"\x34\x12\x00\x00\x00\x00\x12\x34"
    assert convert(new, old, b"\x34\x12\x00\x00\x00\x00\x12\x34") == b"\x34\x12\x12\x34"


def test_members_without_a_name_are_those_of_the_struct_around(compiled):
    old = compiled("struct value { __u32 first; __u32 second; };")
    new = compiled("struct value { union { __u32 second; __u8 raw[4]; }; __u32 first; };")
    assert convert(old, new, b"AAAABBBB") == b"BBBBAAAA"
    assert convert(new, old, b"BBBBAAAA") == b"AAAABBBB"


def test_what_became_something_else_begins_anew(compiled):
    old = compiled("struct value { __u32 a; __u32 b; };")
    new = compiled("struct inner { __u32 x; }; struct value { struct inner a; __u32 b; };")
    assert convert(old, new, b"AAAABBBB") == b"\0\0\0\0BBBB"


@pytest.mark.parametrize("change", ["__u32 b; __u32 a;", "__u32 a; __be32 b;", "__u32 a; __u32 c;"])
def test_shapes_differ_where_a_value_would_be_read_differently(compiled, change):
    types, number = compiled("struct value { __u32 a; __u32 b; };")
    changed, changed_number = compiled(f"struct value {{ {change} }};")
    assert types.shape(number) != changed.shape(changed_number)
    assert types.shape(number) == types.shape(number)


@pytest.mark.parametrize("octets", [b"", b"\x7fELF" + bytes(20), b"\x9f\xeb\x01\x00" + bytes(19)])
def test_what_is_no_btf_is_refused(octets):
    with pytest.raises(DataPlaneError, match="BTF that cannot be read"):
        Btf(octets)


def test_bit_fields_are_refused(compiled):
    types, number = compiled("struct value { __u32 a : 3; };")
    with pytest.raises(DataPlaneError, match="struct value has bit fields"):
        types.shape(number)
