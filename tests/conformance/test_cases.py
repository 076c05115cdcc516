"""The cases below `cases/`: the same events, and just these effects."""

import tomllib
from ipaddress import IPv4Address

import pytest

from flowbind.events import InterfaceDown, Received
from tests.conformance.case import (
    CASES,
    EVENTS,
    OTHERS,
    WORDS,
    CaseError,
    case_files,
    case_of,
    name_of,
    read_case,
)
from tests.conformance.codec import Key, describe, encode
from tests.conformance.naming import Names
from tests.conformance.play import complaints, play
from tests.conformance.record import filled_in, has_octets, octets_file, octets_of
from tests.conformance.table import CASE, marks_of_cases, read_clauses
from tests.conformance.words import effect_in_words, event_made_of

KEYS = {256: Key(bytes(range(16)), "hmac-md5")}


def parameters():
    marks: dict[str, list[pytest.MarkDecorator]] = {}
    for mark in marks_of_cases(read_clauses()):
        held = pytest.mark.rfc.with_args(mark.rfc, mark.section, *mark.ids)
        marks.setdefault(mark.test, []).append(held)
    names = [name_of(each) for each in case_files()]
    return [pytest.param(each, id=each, marks=marks[f"{CASE}[{each}]"]) for each in names]


@pytest.mark.parametrize("name", parameters())
def test_case(name):
    file = CASES / f"{name}.toml"
    case = read_case(file)
    outcomes = play(case)
    assert complaints(outcomes) == [], "\n" + "\n".join(complaints(outcomes))
    if has_octets(case):
        assert octets_file(file).read_text() == octets_of(case, outcomes)


def test_every_file_is_a_case_or_its_octets():
    there = {each for each in CASES.rglob("*") if each.is_file()}
    files = case_files()
    octets = {octets_file(each) for each in files if has_octets(read_case(each))}
    assert there == {CASES / "README.md", CASES / "defaults.toml", *files, *octets}


# ---- what would make a case worthless

README = (CASES / "README.md").read_text()
REGISTERED = README.partition("```toml\n")[2].partition("```\n")[0]


def told(text):
    return "\n".join(complaints(play(case_of(tomllib.loads(text), "it"))))


def test_the_case_of_the_readme_holds():
    assert told(REGISTERED) == ""


@pytest.mark.parametrize(
    ("said", "instead", "complaint"),
    [
        ('remote = "10.1.0.2"', 'remote = "10.1.0.3"', "10.1.0.3"),
        ("reverse_tunnel = true", "reverse_tunnel = false", "reverse_tunnel = true"),
        ("ends_at = 600", "ends_at = 601", "ends_at = 600"),
        ('code = "0 registration accepted"', 'code = "1"', '+ code = "0 registration accepted"'),
        ("lifetime = 600", "lifetime = 601", "+ lifetime = 600"),
        ("authenticated = 256", "", "+ authenticated = 256"),
        ('to = "10.1.0.2:40001"', 'to = "10.1.0.2:434"', '+ to = "10.1.0.2:40001"'),
        ('level = "info"', 'level = "error"', '+ level = "info"'),
        ('"10.9.0.5", "10.1.0.2"]', '"10.9.0.6"]', "10.9.0.6"),
        ("{ accepted = 1 }", "{ accepted = 2 }", "+ counters = { accepted = 1 }"),
        ("{ accepted = 1 }", "{}", "+ counters = { accepted = 1 }"),
    ],
)
def test_what_differs_is_shown(said, instead, complaint):
    assert said in REGISTERED
    assert complaint in told(REGISTERED.replace(said, instead, 1))


def test_an_effect_that_is_absent_is_shown():
    log = REGISTERED[REGISTERED.index('\n[[event.effects]]\ndo = "log"') :]
    assert '- do = "log"' in told(REGISTERED + log)


def test_an_effect_that_is_not_expected_is_shown():
    log = REGISTERED[REGISTERED.index('\n[[event.effects]]\ndo = "log"') :]
    assert '+ do = "log"' in told(REGISTERED.removesuffix(log))


def test_effects_are_in_order():
    first, second = (
        REGISTERED.index('[[event.effects]]\ndo = "for'),
        REGISTERED.index('[[event.effects]]\ndo = "save"'),
    )
    third = REGISTERED.index('[[event.effects]]\ndo = "send"')
    swapped = REGISTERED[:first] + REGISTERED[second:third] + REGISTERED[first:second]
    assert '+ do = "forward"' in told(swapped + REGISTERED[third:])


def test_an_event_without_words_is_called_as_the_engine_calls_it(monkeypatch):
    monkeypatch.setitem(OTHERS, "interface-down", InterfaceDown)
    monkeypatch.setitem(EVENTS, "interface-down", frozenset({"name"}))
    text = '\n[[event]]\nat = 1\nevent = "interface-down"\nname = "wlan0"\neffects = []\n'
    assert told(REGISTERED + text) == ""


def test_an_effect_without_words_is_called_as_the_engine_calls_it():
    received = Received(b"\x01\xff", IPv4Address("192.0.2.1"), 1, IPv4Address("192.0.2.2"), 2)
    words = effect_in_words(received, Names(), 0.0, 0.0)
    assert (words["do"], words["payload"], words["source"]) == ("received", "01ff", "192.0.2.1")
    assert event_made_of(words | {"do": ""}, Received) == received


def test_what_happens_between_two_events_is_an_error():
    later = '\n[[event]]\nat = 601\nevent = "interface-down"\ninterface = "x"\neffects = []\n'
    with pytest.raises(CaseError, match="event 2: 600 comes before"):
        told(REGISTERED + later)


GONE = """
[[event]]
at = {at}
event = "wait"

[[event.effects]]
do = "remove-forwarding"
home_address = "10.9.0.5"
"""


def test_what_does_not_happen_yet_is_told():
    assert '- do = "remove-forwarding"' in told(REGISTERED + GONE.format(at=599))


def test_what_has_happened_before_is_an_error():
    with pytest.raises(CaseError, match="event 2: 600 comes before"):
        told(REGISTERED + GONE.format(at=601))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('about = "x"\nengine = "home-agent"', "has events"),
        ('engine = "home-agent"\n[[event]]\nat = 0\neffects = []', "says what it is about"),
        ('about = "x"\nengine = "router"\n[[event]]\nat = 0', "engine 'router'"),
        ('about = "x"\nengine = "home-agent"\n[[event]]\nat = 0', "what comes of it"),
        ('about = "x"\nengine = "home-agent"\n[[event]]\neffects = []', "when"),
        ('about = "x"\nengine = "home-agent"\n[[event]]\nat = 0\neffects = []', "has a counter"),
        (
            'about = "x"\nengine = "home-agent"\n[[event]]\nat = 0\nflag = "D"\neffects = []',
            "flag means nothing",
        ),
        (
            'about = "x"\nengine = "home-agent"\n[[event]]\nat = 0\nevent = "wait"\nbid = 1',
            "bid means nothing",
        ),
        ('about = "x"\nengine = "home-agent"\nclause = "HA-1"\n[[event]]', "clause means nothing"),
        ('about = "x"\nengine = "home-agent"\n[[event]]\nat = 0\nevent = "no"', "event 'no'"),
        (
            'about = "x"\nengine = "home-agent"\n[[event]]\nat = 2\nevent = "wait"\neffects = []\n'
            '[[event]]\nat = 1\nevent = "wait"\neffects = []',
            "time runs forward",
        ),
    ],
)
def test_a_case_that_could_not_fail_is_refused(text, reason):
    with pytest.raises(CaseError, match=reason):
        case_of(tomllib.loads(text), "it")


def test_recording_writes_what_is_told():
    head = REGISTERED[: REGISTERED.index("counters")]
    outcomes = play(case_of(tomllib.loads(head), "it", whole=False))
    recorded = filled_in(head, outcomes)
    assert told(recorded) == ""
    assert recorded + 'mentions = ["10.9.0.5", "10.1.0.2"]\n' == REGISTERED


def test_recording_leaves_what_is_right():
    case = case_of(tomllib.loads(REGISTERED), "it")
    assert filled_in(REGISTERED, play(case)) == REGISTERED


def test_the_readme_names_every_event():
    assert all(f"`{each}`" in README for each in WORDS)


# ---- the codec of the cases


@pytest.mark.parametrize("name", ["request", "reply"])
def test_the_codec_reads_and_writes_the_golden_messages(vector, name):
    words = describe(vector(name), KEYS)
    assert words["authenticated"] == 256
    assert encode(words, KEYS) == vector(name)


@pytest.mark.parametrize("name", ["selector-ipv4-all", "selector-ipv6-all"])
def test_the_codec_reads_and_writes_every_field_of_a_selector(vector, name):
    selector = vector(name)
    form = 1 if "ipv4" in name else 2
    data = bytes((1, 1, 1, form)) + selector
    message = describe(vector("reply")[:20] + b"\x9a\x02" + len(data).to_bytes(2, "big") + data, {})
    assert encode(message, {})[28:] == selector
