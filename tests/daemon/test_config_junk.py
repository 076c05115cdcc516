"""Whatever an editor leaves behind: there are settings, or lines that name the file."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowbind.daemon.config import ConfigError, read_policy

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["10.9.0.5", "wlan0", "any", "udp port 53", "00ff", "10m", "drop", "/a"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
BIDS = {"wlan0": 1}
TABLES = ["home-agent", "mobile-node", "interface", "flow"]
KEYS = ["home-address", "home-networks", "spi", "key", "key-file", "algorithm", "name",
        "bid", "label", "labels", "label-weights", "access", "match", "action", "interfaces",
        "lifetime", "socket", "store", "device", "association"]  # fmt: skip
NAMES = st.sampled_from([*TABLES, *KEYS]) | st.text(max_size=8)
ANYTHING = st.dictionaries(NAMES, JSON_VALUES, max_size=4)


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_nulls(each) for each in value]
    return "" if value is None else value


def spoil(draw, tables):
    """Put anything at all somewhere into the tables."""
    inside = tables
    while True:
        choices = sorted(inside) if isinstance(inside, dict) else range(len(inside))
        key = draw(st.sampled_from(choices))
        if not (isinstance(inside[key], dict | list) and inside[key] and draw(st.booleans())):
            break
        inside = inside[key]
    if isinstance(inside, dict) and draw(st.booleans()):
        key = draw(NAMES)
    inside[key] = draw(JSON_VALUES)


def check_outcome(read, file, content):
    """Either there are settings, or lines that each begin with the file."""
    try:
        lines = read(content).warnings
    except ConfigError as error:
        lines = error.problems or (str(error),)
    assert all(each.startswith(f"{file}: ") and each.isprintable() for each in lines)


FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(data=st.data(), role=st.sampled_from(["home-agent", "mobile-node"]), times=st.integers(1, 3))
def test_junk_in_a_configuration_never_crashes(read, file, configuration, data, role, times):
    tables = configuration(role)
    for _ in range(times):
        spoil(data.draw, tables)

    check_outcome(read, file, without_nulls(tables))


@FEW
@given(ANYTHING.map(without_nulls))
def test_junk_instead_of_a_configuration_never_crashes(read, file, tables):
    check_outcome(read, file, tables)


@FEW
@given(st.text())
def test_no_text_crashes(read, file, text):
    check_outcome(read, file, text)


@FEW
@given(st.lists(ANYTHING, max_size=3))
def test_junk_from_the_control_socket_never_crashes(tables):
    try:
        lines = [f"policy.toml: {each}" for each in read_policy(tables, "policy.toml", BIDS, {})]
    except ConfigError as error:
        lines = [*error.problems]
    assert all(each.startswith("policy.toml: ") and each.isprintable() for each in lines)
