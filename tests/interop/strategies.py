"""Messages as flowbind may send them, for hypothesis."""

from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from flowbind.wire.authentication import Authentication
from flowbind.wire.extension import Padding, UnknownExtension
from flowbind.wire.flow_binding import FlowBinding
from flowbind.wire.iana import ExtensionType, FlowAction, MultipathFlag, RequestFlag, SelectorFormat
from flowbind.wire.multipath import Multipath
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.traffic_selector import Span, TrafficSelector

LONG_TYPES = (36, 38, 40, 41, 42, 43, 47, 48, 50, 127)

addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
bids = st.integers(1, 254)


def unsigned(bits):
    return st.integers(0, 2**bits - 1)


def spans(bits, unused=0):
    """Any value or range; the `unused` low bits, in which a range must not be reversed, are 0."""
    values = unsigned(bits - unused).map(lambda value: value << unused)
    ranges = st.tuples(values, values).map(lambda ends: Span(min(ends), max(ends)))
    return st.none() | values.map(Span) | ranges


def selectors():
    return st.sampled_from(SelectorFormat).flatmap(selectors_of)


def selectors_of(selector_format):
    address = spans(32 if selector_format is SelectorFormat.IPV4_BINARY else 128)
    labels = st.none() if selector_format is SelectorFormat.IPV4_BINARY else spans(24)
    return st.builds(
        TrafficSelector,
        format=st.just(selector_format),
        source=address,
        destination=address,
        spi=spans(32),
        flow_label=labels,
        source_port=spans(16),
        destination_port=spans(16),
        traffic_class=spans(8, unused=2),
        protocol=spans(8),
    )


def flow_bindings():
    forwarding = st.lists(bids, min_size=1, max_size=8).map(tuple)
    return st.builds(FlowBinding, st.just(FlowAction.FORWARD), forwarding, selectors()) | st.builds(
        FlowBinding, st.just(FlowAction.DROP), bids.map(lambda bid: (bid,)), selectors()
    )


def multipaths():
    flags = st.sampled_from(
        [MultipathFlag(0), MultipathFlag.BULK_REREGISTRATION, MultipathFlag.OVERWRITE]
    )
    return st.builds(Multipath, unsigned(8), st.integers(1, 255), bids, flags)


def authentications(kind=ExtensionType.MOBILE_HOME_AUTHENTICATION):
    authenticators = st.binary(min_size=16, max_size=32)
    return st.builds(Authentication, st.just(kind), st.integers(256, 2**32 - 1), authenticators)


def names():
    return st.text("abc.", min_size=1).map(lambda name: NetworkAccessIdentifier(f"{name}@d"))


def requests(*, others=None, lifetimes=None):
    """Registration Requests with at most one Multipath and `others` anywhere between."""
    head = st.tuples(st.lists(names(), max_size=1), st.lists(multipaths(), max_size=1))
    return st.builds(
        RegistrationRequest,
        unsigned(8).map(RequestFlag),
        unsigned(16) if lifetimes is None else lifetimes,
        addresses,
        addresses,
        addresses,
        unsigned(64),
        _extensions(head, others),
    )


def replies(*, others=None):
    """Registration Replies: Flow-Binding may be there, Multipath may not (RFC 7629 4.1)."""
    head = st.tuples(st.lists(names(), max_size=1))
    return st.builds(
        RegistrationReply,
        unsigned(8),
        unsigned(16),
        addresses,
        addresses,
        unsigned(64),
        _extensions(head, others),
    )


def _extensions(head, others):
    others = st.nothing() if others is None else others
    return st.tuples(head, st.lists(flow_bindings() | others, max_size=5), authentications()).map(
        lambda parts: (*(each for some in parts[0] for each in some), *parts[1], parts[2])
    )


def extensions_of_others():
    """Padding, and extensions that others may send, of each format."""
    data = st.binary(max_size=40)
    return st.one_of(
        st.just(Padding()),
        # An SPI fits into any of them: it is what type 36 begins with.
        st.builds(
            UnknownExtension,
            st.sampled_from(LONG_TYPES),
            st.binary(min_size=4, max_size=40),
            unsigned(8),
        ),
        st.builds(UnknownExtension, st.sampled_from((44, 45, 46, 49)), data),
        # Beyond 139, whose format is a matter of its Length.
        st.builds(UnknownExtension, st.integers(140, 153) | st.integers(155, 255), data),
        # 139 as the figure of RFC 4433 has it, and as its erratum 898 has it.
        st.builds(
            UnknownExtension, st.just(139), st.binary(min_size=4, max_size=4), st.integers(1, 2)
        ),
        st.builds(UnknownExtension, st.just(139), st.binary(min_size=5, max_size=5)),
    )


def examples(strategy, count):
    """The same examples on each run, as a list: one call of tshark is to read them all."""
    found = []

    @settings(max_examples=count, database=None, derandomize=True)
    @given(strategy)
    def collect(example):
        found.append(example)

    collect()
    return found
