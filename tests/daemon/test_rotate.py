"""The next key of a node: its file, and the plan that is printed."""

import tomllib

import pytest

from flowbind.daemon.main import main


@pytest.fixture
def present_key(file):
    path = file.parent / "node5"
    path.touch(mode=0o600)
    path.write_text(32 * "a" + "\n")
    yield path
    for each in file.parent.glob("node5*"):
        each.unlink()


@pytest.fixture
def rotate(read, capsys):
    """Rotate in a configuration; return exit status, standard output and standard error."""

    def rotate(file, *arguments):
        status = main(["rotate-key", *arguments, "--", str(file)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return rotate


@pytest.fixture
def written(read, file, configuration, present_key):
    """Write the configuration of a role whose node has a key file."""

    def written(role, key_file="node5", **changes):
        place = (
            ["mobile-node", 0, "key-file"] if role == "home-agent" else ["mobile-node", "key-file"]
        )
        tables = configuration(role, place, key_file)
        inside = tables["mobile-node"]
        table = inside[0] if isinstance(inside, list) else inside
        del table["key"]
        table.update(changes)
        read(tables)
        return file

    return written


@pytest.mark.parametrize("role", ["home-agent", "mobile-node"])
def test_the_key_goes_into_a_new_file_beside_the_present_one_and_nowhere_else(
    rotate, written, present_key, role
):
    file = written(role)
    before = file.read_bytes()

    status, out, err = rotate(file)

    made = present_key.with_name("node5-257")
    key = made.read_text().strip()
    assert (status, err) == (0, "")
    assert len(bytes.fromhex(key)) == 16
    assert made.stat().st_mode & 0o777 == 0o600
    assert f"new key for 10.9.0.5, SPI 257, mode 0600: {made}\n" in out
    assert key not in out
    assert 32 * "a" not in out
    assert file.read_bytes() == before


def test_the_next_rotation_gives_the_next_name(rotate, written, present_key):
    rotate(written("mobile-node"))
    file = written("mobile-node", "node5-257", spi=257)

    assert rotate(file)[0] == 0
    assert {each.name for each in file.parent.glob("node5*")} == {
        "node5", "node5-257", "node5-258",
    }  # fmt: skip


def test_no_file_is_ever_overwritten(rotate, written, present_key):
    file = written("mobile-node")
    rotate(file)
    made = present_key.with_name("node5-257")
    key = made.read_text()

    assert rotate(file) == (1, "", f"flowbind: {made}: File exists\n")
    assert made.read_text() == key


def test_after_the_last_spi_comes_the_first_usable(rotate, written):
    assert "SPI 256, mode" in rotate(written("home-agent", spi=0xFFFFFFFF))[1]


def test_the_successor_of_a_key_in_the_configuration_is_a_file_beside_it(
    rotate, read, file, configuration
):
    read(configuration("mobile-node"))
    made = file.parent / "10.9.0.5-257.key"

    status, out, _ = rotate(file)

    assert status == 0
    assert made.stat().st_mode & 0o777 == 0o600
    assert 'key-file = "10.9.0.5-257.key"' in out
    assert "0123456789abcdef" not in out
    made.unlink()


def test_while_a_change_is_under_way_there_is_no_other(rotate, written, present_key):
    further = [{"spi": 300, "key": 32 * "b"}]
    file = written("home-agent", association=further)

    status, out, err = rotate(file)

    assert (status, out) == (2, "")
    what = "10.9.0.5 has several associations (SPI 256, 300): end that change first"
    assert err == f"flowbind: {file}: {what}\n"
    assert [each.name for each in file.parent.glob("node5*")] == ["node5"]


@pytest.mark.parametrize(
    ("role", "arguments", "problem"),
    [
        ("home-agent", ["--home-address", "10.9.0.7"], "has no mobile node 10.9.0.7"),
        ("mobile-node", ["--home-address", "10.9.0.7"], "has no mobile node 10.9.0.7"),
        ("home-agent", [], "has several mobile nodes: say which by --home-address or --nai"),
    ],
)
def test_a_node_that_is_not_named_well(rotate, read, file, configuration, role, arguments, problem):
    tables = configuration(role)
    if role == "home-agent":
        tables["mobile-node"].append({**tables["mobile-node"][0], "home-address": "10.9.0.6"})
    read(tables)

    assert rotate(file, *arguments) == (2, "", f"flowbind: {file}: {problem}\n")


def test_one_node_of_several_is_named(rotate, read, file, configuration):
    tables = configuration("home-agent")
    tables["mobile-node"].append(
        {**tables["mobile-node"][0], "home-address": "10.9.0.6", "spi": 700}
    )
    read(tables)

    status, out, _ = rotate(file, "--home-address", "10.9.0.6")

    assert status == 0
    assert "new key for 10.9.0.6, SPI 701" in out
    (file.parent / "10.9.0.6-701.key").unlink()


def test_a_configuration_that_cannot_be_used_gets_no_key(rotate, read, file, tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text("[mobile-node]\n")

    status, out, err = rotate(file)

    assert (status, out) == (2, "")
    assert all(line.startswith(f"flowbind: {file}: ") for line in err.splitlines())
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ['a "quoted" key', "back\\slash", "schlüssel"])
def test_any_name_of_a_file_is_printed_as_toml(rotate, written, file, present_key, name):
    path = file.parent / f"node5 {name}"
    path.touch(mode=0o600)
    path.write_text(32 * "a")

    _, out, _ = rotate(written("mobile-node", path.name))

    line = next(line for line in out.splitlines() if line.strip().startswith("key-file"))
    assert tomllib.loads(line)["key-file"] == f"{path.name}-257"
