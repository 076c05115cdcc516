import json

import msgspec
import pytest

from flowbind.cli.views import rate
from flowbind.control.messages import (
    BindingRow,
    Bindings,
    BindingsRequest,
    DeregisterRequest,
    Done,
    ExplainRequest,
    Explanation,
    Failed,
    FlowRow,
    Flows,
    FlowsRequest,
    NotificationRow,
    Notifications,
    NotificationsRequest,
    NotifyRequest,
    PathRow,
    Paths,
    PathsRequest,
    Policy,
    PolicyRequest,
    PolicyRow,
    PolicySetRequest,
    RegisterRequest,
    Revoked,
    RevokedRow,
    RevokeRequest,
    Status,
    StatusRequest,
)

STATUS = Status(
    role="mobile-node",
    version="0.1.0",
    pid=4711,
    uptime_s=3725.0,
    home_agent="198.51.100.1",
    home_address="10.9.0.5",
    mobile_nodes=1,
    bindings=2,
    multipath="require",
    counters={"accepted": 7, "never": 0},
)
BINDINGS = Bindings(
    (
        BindingRow(
            home_address="10.9.0.5",
            bid=1,
            care_of_address="10.1.0.2",
            interface="wlan0",
            access="wlan",
            label=1,
            encapsulation="ipip",
            lifetime_s=600,
            remaining_s=59.94,
        ),
        BindingRow(
            home_address="10.9.0.6",
            bid=None,
            care_of_address="10.2.0.2",
            interface=None,
            access="unknown",
            label=0,
            encapsulation="gre",
            lifetime_s=600,
            remaining_s=200000.0,
        ),
    )
)
PATHS = Paths(
    (
        PathRow(
            home_address="10.9.0.5",
            bid=2,
            interface="wwan0",
            state="up",
            local="10.2.0.2",
            remote="198.51.100.1",
            encapsulation="ipip",
            weight=2,
            rtt_ms=41.26,
            loss=0.125,
            mtu=1376,
            path_mtu=1400,
            error="too big",
            error_ago_s=12.2,
        ),
    )
)
FLOWS = Flows(
    (
        FlowRow(
            protocol="udp",
            remote="203.0.113.9:5060",
            local="10.9.0.5:40000",
            bid=2,
            verdict="forward",
            rule="voice",
            packets=12,
            octets=1300000,
            idle_s=0.5,
            interface="wwan0",
            care_of_address="10.2.0.2",
            bits_per_s=64213.4,
            packets_per_s=50.2,
            age_s=75.0,
        ),
    )
)
POLICY = Policy(
    (
        PolicyRow(
            home_address="10.9.0.5",
            position=0,
            name="voice",
            match="udp port 5060-5061",
            action="forward",
            bids=(2, 1),
            active=True,
        ),
    )
)
EXPLANATION = Explanation(
    packet="udp 203.0.113.9:5060 -> 10.9.0.5:40000",
    verdict="forward",
    bid=2,
    interface="wwan0",
    rule="voice",
    why="rule voice names wwan0 first, and it is up",
    cached_generation=17,
)
PACKET = "udp 203.0.113.9:5060 -> 10.9.0.5:40000"

NOTIFICATIONS = Notifications(
    (
        NotificationRow(
            home_address="10.9.0.5", direction="sent", state="denied 193", text="noon", ago_s=65.0
        ),
    )
)

QUESTIONS = [
    (("status",), StatusRequest(), STATUS),
    (("bindings",), BindingsRequest(), BINDINGS),
    (("paths",), PathsRequest(), PATHS),
    (("flows",), FlowsRequest(interval_s=1.0), FLOWS),
    (
        ("flows", "--bid", "2", "--match", "udp", "--top", "3", "--sort", "age", "--interval", "0"),
        FlowsRequest(2, "udp", 3, "age"),
        FLOWS,
    ),
    (("notifications",), NotificationsRequest(), NOTIFICATIONS),
    (("mobile-node", "notify", "hello"), NotifyRequest("hello"), Done("ok")),
    (
        ("mobile-node", "notify", "hello", "--no-acknowledge"),
        NotifyRequest("hello", acknowledge=False),
        Done("ok"),
    ),
    (("policy",), PolicyRequest(), POLICY),
    (("explain", PACKET), ExplainRequest(PACKET), EXPLANATION),
    (("mobile-node", "register"), RegisterRequest(), Done("renewing 2 bindings")),
    (("mobile-node", "register", "--interface", "wlan0"), RegisterRequest("wlan0"), Done("ok")),
    (("mobile-node", "deregister", "--all"), DeregisterRequest(), Done("ok")),
    (("mobile-node", "deregister", "--interface", "wlan0"), DeregisterRequest("wlan0"), Done("ok")),
]
NAMES = [" ".join(command) for command, _, _ in QUESTIONS]


@pytest.mark.parametrize(("command", "request_", "answer"), QUESTIONS, ids=NAMES)
def test_a_command_asks_its_question_and_json_is_the_answer_itself(
    flowbind, mobile_node, command, request_, answer
):
    mobile_node.answer = answer

    outcome = flowbind(*command, "--json")

    assert outcome.status == 0
    assert outcome.out.encode() == msgspec.json.encode(answer) + b"\n"
    assert mobile_node.asked == [request_]


@pytest.mark.parametrize(
    ("command", "answer", "lines"),
    [
        (
            "bindings",
            BINDINGS,
            [
                "home address  BID  care-of address  interface  access   label  tunnel  lifetime"
                "  remaining",
                "10.9.0.5        1  10.1.0.2         wlan0      wlan         1  ipip      10m00s"
                "      59.9s",
                "10.9.0.6        -  10.2.0.2         -          unknown      0  gre       10m00s"
                "      2d07h",
            ],
        ),
        (
            "paths",
            PATHS,
            [
                "home address  BID  interface  state  local     remote        tunnel  weight"
                "      RTT  loss          MTU  last error",
                "10.9.0.5        2  wwan0      up     10.2.0.2  198.51.100.1  ipip         2"
                "  41.3 ms   12%  1376 (1400)  too big, 12 s ago",
            ],
        ),
        (
            "flows",
            FLOWS,
            [
                "protocol  remote            local           DSCP  verdict  BID  via    rule "
                "         rate  packets/s  packets   volume    age  idle",
                "udp       203.0.113.9:5060  10.9.0.5:40000     0  forward    2  wwan0  voice"
                "  64.2 kbit/s       50.2       12  1.2 MiB  1m15s  0.5s",
            ],
        ),
        (
            "notifications",
            NOTIFICATIONS,
            [
                "  ago  home address  direction  state       text",
                "1m05s  10.9.0.5      sent       denied 193  noon",
            ],
        ),
        (
            "policy",
            POLICY,
            [
                "home address  #  name   match               action   BIDs  active",
                "10.9.0.5      0  voice  udp port 5060-5061  forward  2 1   yes",
            ],
        ),
    ],
)
def test_a_pipe_gets_one_plain_line_for_each_row(flowbind, mobile_node, command, answer, lines):
    mobile_node.answer = answer

    assert flowbind(command).out.splitlines() == lines


REVOKED = Revoked(
    "10.9.0.5",
    (
        RevokedRow(bid=1, care_of_address="10.1.0.2", told=True),
        RevokedRow(bid=None, care_of_address="10.2.0.2", told=False),
    ),
)


@pytest.mark.parametrize(
    ("options", "request_"),
    [
        ((), RevokeRequest("10.9.0.5")),
        (("--bid", "1"), RevokeRequest("10.9.0.5", bid=1)),
        (("--care-of", "10.1.0.2"), RevokeRequest("10.9.0.5", care_of_address="10.1.0.2")),
    ],
)
def test_revoke_asks_the_home_agent(flowbind, start_daemon, options, request_):
    daemon = start_daemon("home-agent")
    daemon.answer = REVOKED
    assert flowbind("home-agent", "revoke", "10.9.0.5", *options).out.splitlines() == [
        "revoked   BID  care-of address  being told",
        "10.9.0.5    1  10.1.0.2         yes",
        "10.9.0.5    -  10.2.0.2         no",
    ]
    outcome = flowbind("home-agent", "revoke", "10.9.0.5", *options, "--json")
    assert outcome.out.encode() == msgspec.json.encode(REVOKED) + b"\n"
    assert daemon.asked == [request_, request_]


@pytest.mark.parametrize(
    ("options", "fields"),
    [((), {}), (("--bid", "2"), {"bid": 2}), (("--no-acknowledge",), {"acknowledge": False})],
)
def test_notify_asks_the_home_agent(flowbind, start_daemon, options, fields):
    daemon = start_daemon("home-agent")
    daemon.answer = Done("notifying 10.9.0.5")
    outcome = flowbind("home-agent", "notify", "10.9.0.5", "hello", *options)
    assert outcome.out == "notifying 10.9.0.5\n"
    assert daemon.asked == [NotifyRequest("hello", "10.9.0.5", **fields)]


def test_status_leaves_out_what_never_happened(flowbind, mobile_node):
    mobile_node.answer = STATUS

    out = flowbind("status").out

    assert "uptime        1h02m" in out
    assert "accepted      7" in out
    assert "never" not in out


@pytest.mark.parametrize(
    ("bits_per_s", "said"),
    [
        (0.0, "0 bit/s"),
        (999.4, "999 bit/s"),
        (1000.0, "1.0 kbit/s"),
        (64213.4, "64.2 kbit/s"),
        (5e6, "5.0 Mbit/s"),
        (12.3e9, "12.3 Gbit/s"),
    ],
)
def test_rates_are_said_in_decimal_units(bits_per_s, said):
    assert rate(bits_per_s) == said


@pytest.mark.parametrize(
    "options", [("--top", "0"), ("--sort", "size"), ("--interval", "6"), ("--interval", "-1")]
)
def test_flows_that_cannot_be_asked_for_are_misuse(flowbind, mobile_node, options):
    assert flowbind("flows", *options).status == 2
    assert mobile_node.asked == []


@pytest.mark.parametrize(
    ("command", "answer", "words"),
    [
        ("bindings", Bindings(()), "no bindings"),
        ("paths", Paths(()), "no paths"),
        ("flows", Flows(()), "no live flows"),
        ("notifications", Notifications(()), "no notifications"),
        ("policy", Policy(()), "no rules: every flow is spread over the paths by weight"),
    ],
)
def test_an_empty_answer_says_so(flowbind, mobile_node, command, answer, words):
    mobile_node.answer = answer

    assert flowbind(command).out == f"{words}\n"


def test_a_terminal_gets_everything_too(flowbind, mobile_node, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    mobile_node.answer = PATHS

    out = flowbind("paths").out

    assert "\x1b[" in out
    for cell in ("10.9.0.5", "wwan0", "198.51.100.1", "41.3 ms"):
        assert cell in out


def test_an_explanation_names_the_rule_and_says_why(flowbind, mobile_node):
    mobile_node.answer = EXPLANATION

    out = flowbind("explain", PACKET).out

    assert "rule       voice" in out
    assert "cached     yes, of generation 17" in out
    assert EXPLANATION.why in out


def test_a_refusal_is_one_line_and_status_1(flowbind, mobile_node):
    mobile_node.answer = Failed("wlan9: no such interface in the configuration")

    outcome = flowbind("mobile-node", "register", "--interface", "wlan9")

    assert outcome.status == 1
    assert outcome.out == ""
    assert outcome.err == "flowbind: wlan9: no such interface in the configuration\n"


def test_no_daemon_is_named_as_such(flowbind, run_directory):
    outcome = flowbind("status")

    assert outcome.status == 1
    assert f"{run_directory}/home-agent.sock" in outcome.err
    assert f"{run_directory}/mobile-node.sock" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_socket_that_is_not_there_is_named(flowbind, tmp_path):
    outcome = flowbind("status", "--socket", str(tmp_path / "none.sock"))

    assert outcome.status == 1
    assert str(tmp_path / "none.sock") in outcome.err
    assert outcome.err.count("\n") == 1


def test_nonsense_from_the_socket_is_one_line(flowbind, mobile_node):
    mobile_node.answer = b"220 smtp.example.com ESMTP"

    outcome = flowbind("status")

    assert outcome.status == 1
    assert outcome.err.count("\n") == 1


def test_the_only_daemon_is_found_and_two_must_be_told_apart(flowbind, start_daemon):
    home_agent = start_daemon("home-agent")
    home_agent.answer = BINDINGS
    assert flowbind("bindings").status == 0

    mobile_node = start_daemon("mobile-node")
    mobile_node.answer = Bindings(())
    undecided = flowbind("bindings")
    assert undecided.status == 2
    assert "--socket" in undecided.err
    assert mobile_node.asked == []
    assert flowbind("bindings", "--socket", str(mobile_node.path)).out == "no bindings\n"


@pytest.mark.usefixtures("run_directory")
def test_only_a_mobile_node_registers(flowbind, start_daemon):
    home_agent = start_daemon("home-agent")

    assert flowbind("mobile-node", "register").status == 1
    assert home_agent.asked == []


def test_policy_set_sends_the_flow_tables(flowbind, mobile_node, tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text('[[flow]]\nname = "web"\nmatch = "tcp port 80"\ninterfaces = ["wlan0"]\n')
    mobile_node.answer = POLICY

    outcome = flowbind("policy", "set", str(file))

    assert outcome.status == 0
    flow: dict[str, object] = {"name": "web", "match": "tcp port 80", "interfaces": ["wlan0"]}
    assert mobile_node.asked == [PolicySetRequest((flow,), source=str(file))]


def test_policy_set_takes_the_whole_configuration_and_an_explicitly_empty_one(
    flowbind, mobile_node, tmp_path
):
    file = tmp_path / "mobile-node.toml"
    mobile_node.answer = POLICY
    file.write_text('[mobile-node]\nspi = 1\n[[flow]]\nmatch = "any"\naction = "drop"\n')
    assert flowbind("policy", "set", str(file)).status == 0
    file.write_text("flow = []\n")
    assert flowbind("policy", "set", str(file)).status == 0

    assert [request.flows for request in mobile_node.asked] == [
        ({"match": "any", "action": "drop"},),
        (),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no [[flow]]"),
        ("flow = 3\n", "array of tables"),
        ("flow = [3]\n", "array of tables"),
        ("[home-agent]\n[[flow]]\n", "home-agent"),
        ("[[flow\n", "line 1"),
    ],
)
def test_a_file_that_is_no_policy_is_refused_before_anybody_is_asked(
    flowbind, mobile_node, tmp_path, text, complaint
):
    file = tmp_path / "policy.toml"
    file.write_text(text)

    outcome = flowbind("policy", "set", str(file))

    assert outcome.status == 2
    assert str(file) in outcome.err
    assert complaint in outcome.err
    assert outcome.err.count("\n") == 1
    assert mobile_node.asked == []


def test_a_policy_file_that_is_missing_is_named(flowbind, tmp_path):
    outcome = flowbind("policy", "set", str(tmp_path / "none.toml"))

    assert outcome.status == 2
    assert "none.toml: No such file or directory" in outcome.err


def test_watch_asks_again_and_again(flowbind, mobile_node, monkeypatch):
    mobile_node.answer = PATHS
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("flowbind.cli.operator.time.sleep", sleep)

    outcome = flowbind("paths", "--watch", "--json")

    assert len(mobile_node.asked) == 3
    assert [json.loads(line)["paths"][0]["bid"] for line in outcome.out.splitlines()] == [2, 2, 2]
    assert pauses == [1.0, 1.0, 1.0]
    assert outcome.status == 0
    assert outcome.err == ""


def test_watch_on_a_terminal_survives_a_restart_of_the_daemon(flowbind, mobile_node, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    mobile_node.answer = PATHS
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        mobile_node.answer = Failed("starting") if len(pauses) == 1 else PATHS
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("flowbind.cli.operator.time.sleep", sleep)

    outcome = flowbind("paths", "--watch")

    assert len(mobile_node.asked) == 3
    assert "starting" in outcome.out
    assert outcome.status == 0
