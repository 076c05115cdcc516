"""Keys of security associations: inline, in a file, and never in any message."""

import os

import pytest

from flowbind.auth.association import Algorithm, Replay, SecurityAssociation
from flowbind.daemon.config import ConfigError

KEY = bytes.fromhex("0123456789abcdef0123456789abcdef")


@pytest.fixture
def with_key_file(configuration):
    """Make the configuration of a mobile node that names a key file."""

    def with_key_file(path):
        tables = configuration("mobile-node", ["mobile-node", "key-file"], str(path))
        del tables["mobile-node"]["key"]
        return tables

    return with_key_file


def test_a_key_file_holds_the_key(read, key_file, with_key_file):
    settings = read(with_key_file(key_file))

    assert settings.engine.association.key == KEY
    assert settings.warnings == ()


def test_a_relative_key_file_is_beside_the_configuration(read, file, with_key_file):
    (file.parent / "here").mkdir(exist_ok=True)
    (file.parent / "here" / "key").write_text(KEY.hex())
    (file.parent / "here" / "key").chmod(0o400)

    assert read(with_key_file("here/key")).engine.association.key == KEY


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the key is empty"),
        (b" \n", "the key is empty"),
        (b"0123456789abcde", "two hexadecimal digits for each octet"),
        (b"secret", "two hexadecimal digits for each octet"),
        (b"\xff\xfe\x00", "two hexadecimal digits for each octet"),
        (b"00" * 9000, "two hexadecimal digits for each octet"),
        (b"0011 2233", "two hexadecimal digits for each octet"),
    ],
)
def test_a_key_file_without_a_key(problems, key_file, with_key_file, content, reason):
    key_file.write_bytes(content)

    (problem,) = problems(with_key_file(key_file))

    assert problem.startswith(f"[mobile-node]: key-file: {key_file}: ")
    assert reason in problem
    assert not content.strip() or content.decode("latin-1").strip() not in problem


def test_a_key_file_that_cannot_be_read(problems, tmp_path, with_key_file):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    for name, reason in (
        ("none", "No such file or directory"),
        ("directory", "Is a directory"),
        ("pipe", "not a regular file"),
    ):
        (problem,) = problems(with_key_file(tmp_path / name))
        assert problem == f"[mobile-node]: key-file: {tmp_path / name}: {reason}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_key_that_others_can_reach_is_a_warning(
    read, file, key_file, with_key_file, configuration, mode
):
    key_file.chmod(mode)
    assert read(with_key_file(key_file)).warnings == (
        f"{file}: [mobile-node]: key-file: {key_file}: others than its owner can read it",
    )
    file.chmod(mode)
    try:
        assert read(configuration("mobile-node")).warnings == (
            f"{file}: [mobile-node]: key: others than its owner can read this file",
        )
    finally:
        file.chmod(0o600)


def test_a_short_key_is_a_warning(read, configuration):
    (warning,) = read(configuration("mobile-node", ["mobile-node", "key"], 30 * "a")).warnings
    assert "the key has 15 octets" in warning


@pytest.mark.parametrize(
    "secret", ["5ec2e75ec2e7", "5ec2e75ec2e", "5ec2e7 5ec2e7", "5ec2e75ec2e7zz", 0x5EC2E7]
)
@pytest.mark.parametrize("role", ["home-agent", "mobile-node"])
def test_no_key_is_ever_shown(read, configuration, role, secret):
    place = ["mobile-node", 0, "key"] if role == "home-agent" else ["mobile-node", "key"]
    said = outcome(read, configuration(role, place, secret))

    assert "5ec2e7" not in said
    assert str(0x5EC2E7) not in said


@pytest.mark.parametrize("secret", [3 * "5ec2e7", "0x" + 3 * "5ec2e7", "5ec2e7 5ec2e7 5ec2e"])
def test_a_key_where_its_file_should_be_is_not_shown(read, with_key_file, secret):
    said = outcome(read, with_key_file(secret))

    assert "key-file: this looks like a key" in said
    assert "5ec2e7" not in said


def test_a_key_file_may_have_a_name_of_such_digits(read, file, key_file, with_key_file):
    key_file.rename(file.parent / "cafe")

    assert read(with_key_file("cafe")).engine.association.key == KEY


# ---- further associations


@pytest.fixture(params=["home-agent", "mobile-node"])
def with_further(request, configuration):
    """Make the configuration of a role whose node has further associations; tell its place too."""

    def with_further(*tables):
        role = request.param
        inside = ["mobile-node", 0] if role == "home-agent" else ["mobile-node"]
        where = "[[mobile-node]] 1 (10.9.0.5)" if role == "home-agent" else "[mobile-node]"
        return configuration(role, [*inside, "association"], list(tables)), where

    return with_further


def associations(settings):
    nodes = getattr(settings.engine, "mobile_nodes", (settings.engine,))
    return nodes[0].associations


def test_further_associations_stand_behind_the_first(read, key_file, with_further):
    tables, _ = with_further(
        {"spi": 300, "key-file": str(key_file), "algorithm": "hmac-sha256"},
        {"spi": 257, "key": 32 * "b"},
    )

    assert associations(read(tables)) == (
        SecurityAssociation(256, KEY),
        SecurityAssociation(300, KEY, Algorithm.HMAC_SHA256),
        SecurityAssociation(257, bytes.fromhex(32 * "b")),
    )


def test_what_a_further_association_does_not_say_is_as_in_the_first(read, configuration):
    further = [
        {"spi": 300, "key": 32 * "b"},
        {"spi": 301, "key": 32 * "b", "timestamp-tolerance": "30s", "replay": "timestamps"},
    ]
    tables = configuration("home-agent", ["mobile-node", 0, "association"], further)
    tables["mobile-node"][0] |= {
        "algorithm": "hmac-sha256", "timestamp-tolerance": "9s", "replay": "nonces",
    }  # fmt: skip

    assert [
        (each.algorithm, each.timestamp_tolerance_s, each.replay)
        for each in associations(read(tables))
    ] == [
        (Algorithm.HMAC_SHA256, 9.0, Replay.NONCES),
        (Algorithm.HMAC_SHA256, 9.0, Replay.NONCES),
        (Algorithm.HMAC_SHA256, 30.0, Replay.TIMESTAMPS),
    ]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"key": 32 * "b"}, "spi: missing"),
        ({"spi": 257}, "expected either key or key-file, neither is there"),
        ({"spi": 255, "key": 32 * "b"}, "spi: expected a number from 256 to 4294967295, found 255"),
        ({"spi": 256, "key": 32 * "b"}, "spi: an association before has 256 already"),
        ({"spi": 257, "key": 32 * "b", "kye": 1}, 'unknown key "kye" (did you mean "key"?)'),
    ],
)
def test_a_problem_of_a_further_association_names_it(problems, with_further, table, problem):
    tables, where = with_further({"spi": 300, "key": 32 * "b"}, table)

    assert problems(tables) == [f"{where}: [[mobile-node.association]] 2: {problem}"]


@pytest.mark.parametrize("secret", ["5ec2e75ec2e7zz", ["5ec2e75ec2e7"], {"5ec2e7": 1}])
def test_no_key_of_a_further_association_is_shown(read, with_further, secret):
    for content in (secret, [secret], [{"spi": 300, "key": secret}]):
        tables, _ = with_further()
        inside = tables["mobile-node"]
        (inside[0] if isinstance(inside, list) else inside)["association"] = content
        assert "5ec2e7" not in outcome(read, tables).replace('unknown key "5ec2e7"', "")


def outcome(read, tables):
    """All that anybody could see of a configuration."""
    try:
        return repr(read(tables))
    except ConfigError as error:
        return f"{error} {error!r}"
