"""What the documents show is what the code takes and gives."""

import json
import re
import tomllib

import msgspec
import pytest

from flowbind.control.messages import Response
from flowbind.daemon.config import HomeAgentSettings, MobileNodeSettings, read_policy, read_settings
from flowbind.model.match import compile_match
from tests.conformance.case import case_of
from tests.conformance.play import complaints, play
from tests.docs.documents import ROOT, blocks, name_of

KEYS = "/etc/flowbind/keys"
BIDS = {"wlan0": 1, "wwan0": 2, "cdma0": 3}
README = (ROOT / "README.md").read_text()


def read(block, directory):
    """Read a whole configuration, with the keys that it names."""
    keys = directory / "keys"
    keys.mkdir(mode=0o700)
    for name in re.findall(rf'"{KEYS}/([^"]+)"', block.text):
        (keys / name).touch(mode=0o600)
        (keys / name).write_text("000102030405060708090a0b0c0d0e0f\n")
    file = directory / "flowbind.toml"
    file.touch(mode=0o600)
    file.write_text(block.text.replace(KEYS, str(keys)))
    return read_settings(file)


@pytest.mark.parametrize("block", blocks("toml"), ids=name_of)
def test_every_configuration_is_accepted_without_a_warning(block, tmp_path):
    tables = tomllib.loads(block.text)
    if "home-agent" in tables or "mobile-node" in tables:
        assert read(block, tmp_path).warnings == ()
    elif "event" in tables:
        assert complaints(play(case_of(tables, name_of(block)))) == []
    elif "flow" in tables:
        read_policy(tables["flow"], name_of(block), BIDS, {})
    else:
        assert tables.keys() == {"match"}
        assert compile_match(tables["match"])


def test_the_readme_shows_both_roles(tmp_path):
    shown = [block for block in blocks("toml") if block.document == "README.md"]
    settings = []
    for number, block in enumerate(shown):
        directory = tmp_path / str(number)
        directory.mkdir()
        settings.append(type(read(block, directory)))
    assert settings == [HomeAgentSettings, MobileNodeSettings]


@pytest.mark.parametrize("block", blocks("json"), ids=name_of)
def test_every_sample_is_json(block):
    assert isinstance(json.loads(block.text), dict)


@pytest.mark.parametrize(
    "block", [each for each in blocks("json") if '"type"' in each.text], ids=name_of
)
def test_every_answer_has_just_the_fields_of_its_message(block):
    shown = json.loads(block.text)
    answer = msgspec.json.decode(block.text, type=Response)
    assert json.loads(msgspec.json.encode(answer)) == shown


def test_every_answer_is_shown():
    shown = {json.loads(block.text).get("type") for block in blocks("json")}
    named = {each.__struct_config__.tag for each in Response.__args__}
    assert shown >= named


def test_the_readme_names_every_target_of_make_that_it_uses():
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^\$? ?make ([a-z]+)$", README, re.MULTILINE)) <= targets


def test_the_readme_tells_the_state_of_each_rfc_once():
    rows = re.findall(r"^\| \[?(\d{3,4})\]?[^|]*\|[^|]+\| (\w+) \|", README, re.MULTILINE)
    numbers = [number for number, _ in rows]
    assert len(numbers) == len(set(numbers)) > 15
    assert {state for _, state in rows} == {"done", "partly", "not"}
