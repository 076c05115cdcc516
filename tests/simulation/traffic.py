"""What may be sent, how often, and what may come of what is received.

Requests and replies are remembered as they left, so those that somebody forged, bent or sent once
more are told from the others without asking the code that is to tell them.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from msgspec import structs

from flowbind.auth.association import Replay
from flowbind.auth.replay import distance_s
from flowbind.effects import AnnounceAddress, Effect, Log, SendDatagram, SendIcmp, SendProbe
from flowbind.engine.home_agent import HomeAgent
from flowbind.engine.mobile_node import MobileNode
from flowbind.events import Received
from flowbind.model.binding import NodeRecord
from flowbind.wire.iana import ExtensionType, MessageType, ReplyCode
from flowbind.wire.message import authentication_of, decode, first
from flowbind.wire.multipath import Multipath
from flowbind.wire.nai import NetworkAccessIdentifier
from flowbind.wire.registration import RegistrationReply, RegistrationRequest
from flowbind.wire.revocation import Revocation, RevocationAcknowledgment
from tests.simulation.hosts import Host
from tests.simulation.scenario import HOME_LINK
from tests.simulation.violation import require
from tests.simulation.wire import Link

BURST = 16
"""How many requests more than one a second an interface may send at once (RFC 5944 3.6): it may
speak for the three others too, and each is repeated after 1, 2 and 4 s."""
PROBES_AT_ONCE = 12
MOST_131_A_SECOND = 1
MOST_133_A_SECOND = 12
"""Four sources hear of each of three reasons."""
PER_MINUTE = 18
"""How often an interface may ask in a minute of a home agent that has long been gone: every 8 s to
register, and as often to deregister what is no more."""
LOW_HALF = 0xFFFFFFFF
ACCEPTED = frozenset({ReplyCode.ACCEPTED, ReplyCode.ACCEPTED_NO_SIMULTANEOUS_BINDINGS})
KIND = ExtensionType.MOBILE_HOME_AUTHENTICATION
_MARKS: "dict[int, slice[int, int]]" = {
    MessageType.REGISTRATION_REQUEST: slice(16, 24),
    MessageType.REGISTRATION_REPLY: slice(12, 20),
    MessageType.REVOCATION: slice(16, 20),
    MessageType.REVOCATION_ACKNOWLEDGMENT: slice(8, 12),
}
_REST = slice(0, 4)

Records = dict[IPv4Address, NodeRecord]


@dataclass(slots=True)
class Bucket:
    """So many in a second, and a burst."""

    rate: float = 1.001
    burst: float = BURST
    tokens: float = BURST
    at: float = 0.0

    def take(self, now: float) -> bool:
        self.tokens = min(self.tokens + self.rate * (now - self.at), self.burst) - 1.0
        self.at = now
        return self.tokens >= 0


@dataclass(slots=True)
class Traffic:
    """Watches what passes between both ends. Simulated time comes in as `at`.

    `agent_gone` holds while the home agent has been gone for long and nothing else is wrong.
    """

    agent: Host
    agent_gone: bool = False
    _requests: dict[bytes, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    _replies: dict[bytes, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    _lows: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    _addressees: dict[bytes, set[str]] = field(default_factory=dict[bytes, set[str]])
    _revoked_at: dict[tuple[str, IPv4Address], float] = field(
        default_factory=dict[tuple[str, IPv4Address], float]
    )
    _heard: set[tuple[str, bytes]] = field(default_factory=set[tuple[str, bytes]])
    _granted: set[bytes] = field(default_factory=set[bytes])
    _granting: dict[SendDatagram, bytes] = field(default_factory=dict[SendDatagram, bytes])
    _latest: dict[IPv4Address, tuple[str, int]] = field(
        default_factory=dict[IPv4Address, tuple[str, int]]
    )
    _denied: dict[tuple[str, int], deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _used: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    _said_at: dict[tuple[str, object], float] = field(
        default_factory=dict[tuple[str, object], float]
    )
    _buckets: dict[str, Bucket] = field(default_factory=dict[str, Bucket])
    _probes: dict[str, Bucket] = field(default_factory=dict[str, Bucket])
    _minutes: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _strangers: dict[IPv4Address, list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0])
    )

    # ---- what somebody has made himself, or sends once more, changes nothing

    def look(self, engine: object, now: float) -> object:
        """Return what a datagram that is not genuine must not change, None if there is no telling.

        A mobile node that has something else to do at this very moment does it now.
        """
        if isinstance(engine, HomeAgent):
            return dict(engine.records)
        assert isinstance(engine, MobileNode)
        deadline = engine.deadline()
        return None if deadline is not None and deadline <= now else _state(engine)

    def agent_heard(
        self, engine: HomeAgent, event: Received, effects: list[Effect], before: Records
    ) -> None:
        """A home agent has taken in a datagram."""
        genuine = _known(self._requests, event.payload)
        replies = [each for each in effects if isinstance(each, SendDatagram)]
        self._answered(event, replies)
        codes = [each.payload[1] for each in replies]
        if genuine is None:
            require(engine.records == before, "a forged request changed a record")
            harmless = all(isinstance(each, SendDatagram | Log) for each in effects)
            failed = ReplyCode.MOBILE_NODE_FAILED_AUTHENTICATION
            require(harmless and set(codes) <= {failed}, "a forged request had an effect")
        elif genuine in self._granted:
            require(_bare(engine.records) == _bare(before), "a replay changed a binding")
            require(ACCEPTED.isdisjoint(codes), "a replay was accepted")
        elif genuine[0] != MessageType.REGISTRATION_REQUEST:
            self._granted.add(genuine)
        elif not ACCEPTED.isdisjoint(codes):
            self._granting[replies[0]] = genuine

    def _answered(self, event: Received, replies: list[SendDatagram]) -> None:
        """A reply goes to where its request came from. The authenticator may be longer than what
        somebody without a key has put there.
        """
        require(len(replies) <= 1, "a datagram has several answers")
        stranger = self._strangers[event.source]
        stranger[0] += len(event.payload)
        for each in replies:
            ends = (each.destination, each.destination_port)
            require(ends == (event.source, event.source_port), "a reply goes elsewhere")
            small = len(each.payload) <= 2 * len(event.payload) or each.payload[1] in ACCEPTED
            require(small, "a denial is larger than its request")
            stranger[1] += len(each.payload)
        heard, said = stranger
        require(said <= 8 * heard, f"{event.source} is sent {said} octets for {heard}")

    def node_heard(
        self,
        host: Host,
        engine: MobileNode,
        event: Received,
        effects: list[Effect],
        before: object,
    ) -> None:
        """A mobile node has taken in a datagram."""
        genuine = _known(self._replies, event.payload)
        if genuine is not None and host.name in self._addressees.get(genuine, ()):
            key = (host.name, genuine)
            if key not in self._heard:
                # What stands behind it may have had it passed over: then it is still to come.
                passed_over = before is not None and _state(engine) == before
                if event.payload == genuine or not passed_over:
                    self._heard.add(key)
                return
        if before is not None:
            harmless = all(isinstance(each, Log) for each in effects)
            require(harmless, "a reply that is forged or repeated had an effect")
            require(
                _state(engine) == before, "a reply that is forged or repeated changed something"
            )

    # ---- what the home agent sends

    def agent_sends(self, datagram: SendDatagram) -> None:
        """A reply may leave: nothing is accepted twice, nothing forged is answered but by 131."""
        self._replies[_mark(datagram.payload)].append(datagram.payload)
        message = decode(datagram.payload)
        if isinstance(message, Revocation):
            self._revokes(datagram, message)
            return
        require(isinstance(message, RegistrationReply), "a home agent sends something else")
        assert isinstance(message, RegistrationReply)
        now = self.agent.now
        askers = self._lows[message.identification & LOW_HALF]
        name = self._named(message) or self._name_of(message.home_address)
        # Several nodes without a home address may have asked at the same moment of a second.
        whose = name or ",".join(sorted(askers))
        self._addressees[datagram.payload] = {name} if name else askers
        if message.code == ReplyCode.MOBILE_NODE_FAILED_AUTHENTICATION:
            self._deny(whose, message.code, now, most=MOST_131_A_SECOND)
            return
        if message.code == ReplyCode.IDENTIFICATION_MISMATCH:
            self._deny(whose, message.code, now, most=MOST_133_A_SECOND)
        require(askers, "a request nobody made is answered")
        if message.code in ACCEPTED:
            self._accepted(datagram, message, whose)

    def _deny(self, whose: str, code: int, now: float, *, most: int) -> None:
        said = self._denied[whose, code]
        while said and now - said[0] >= 1.0:
            said.popleft()
        said.append(now)
        require(len(said) <= most, f"{whose} is denied with {code} too often")

    def _accepted(self, datagram: SendDatagram, reply: RegistrationReply, name: str) -> None:
        request = self._granting.pop(datagram, None)
        require(request is not None, "a reply accepts what was not granted")
        assert request is not None
        require(request not in self._granted, f"{name}: a replay was accepted")
        self._granted.add(request)
        stored = {each.home_address: each for each in self.agent.store.load()}
        record = stored.get(reply.home_address)
        whose, last = self._latest.get(reply.home_address, ("", 0))
        if whose != name:
            # Of a node whose address was given to another one, nothing is known any more.
            self._latest.pop(reply.home_address, None)
        if self._uses_nonces(reply):
            require(record and record.nonce is not None, "a nonce is told that is not durable")
            return
        later = whose != name or distance_s(reply.identification, last) > 0
        require(later, f"{name}: an earlier request was accepted")
        self._latest[reply.home_address] = name, reply.identification
        durable = record and distance_s(record.identification, reply.identification) >= 0
        require(durable, f"{name} was told what is not durable")

    def _uses_nonces(self, reply: RegistrationReply) -> bool:
        engine = self.agent.engine
        authentication = authentication_of(reply, KIND)
        assert isinstance(engine, HomeAgent)
        assert authentication is not None
        entry = engine.identities.entries[reply.home_address]
        spis = {each.spi: each.replay for each in entry.associations}
        return spis[authentication.spi] is Replay.NONCES

    def _revokes(self, datagram: SendDatagram, message: Revocation) -> None:
        """A revocation may leave, once a second for each binding (RFC 3543 3.3)."""
        engine = self.agent.engine
        assert isinstance(engine, HomeAgent)
        name = self._name_of(message.home_address)
        require(name is not None, "a revocation for nobody")
        assert name is not None
        self._addressees[datagram.payload] = {name}
        key = (name, message.foreign_domain)
        since_s = self.agent.now - self._revoked_at.get(key, float("-inf"))
        require(since_s > 0.999, f"{name} is told again after {since_s} s")
        self._revoked_at[key] = self.agent.now
        bound = {each.care_of_address for each in engine.records[message.home_address].bindings}
        require(message.foreign_domain not in bound, "what is registered is said to be revoked")

    def _named(self, reply: RegistrationReply) -> str | None:
        """Return the node whose NAI a reply has. The address it denies may be another's by now."""
        engine, nai = self.agent.engine, first(reply, NetworkAccessIdentifier)
        assert isinstance(engine, HomeAgent)
        known = [each.nai for each in engine.config.mobile_nodes]
        return f"node{known.index(nai.nai)}" if nai and nai.nai in known else None

    def _name_of(self, home_address: IPv4Address) -> str | None:
        """Return the node that has a home address now, None if none does."""
        engine = self.agent.engine
        assert isinstance(engine, HomeAgent)
        entry = engine.identities.entries.get(home_address)
        numbers = {each.name: at for at, each in enumerate(engine.config.mobile_nodes)}
        return None if entry is None else f"node{numbers[entry.name]}"

    def advertised(self, icmp: SendIcmp, at: float) -> None:
        """An advertisement may leave, once a second (RFC 5944 2.3)."""
        require(icmp.interface == HOME_LINK, "advertised elsewhere")
        bucket = self._buckets.setdefault("advertisements", Bucket(burst=2.0))
        require(bucket.take(at), "advertisements in a storm")

    def announced(self, announcement: AnnounceAddress) -> None:
        """An address may be announced, if it is some node's."""
        engine = self.agent.engine
        assert isinstance(engine, HomeAgent)
        known = announcement.address in engine.records
        require(known and announcement.interface == HOME_LINK, "another host's address announced")

    # ---- what a mobile node sends

    def node_sends(self, host: Host, datagram: SendDatagram, at: float) -> None:
        """A request may leave: none too many of them, and none too soon (RFC 5944 3.6, 3.6.3)."""
        self._requests[_mark(datagram.payload)].append(datagram.payload)
        request = decode(datagram.payload)
        if isinstance(request, RevocationAcknowledgment):
            # It answers a message, and those are counted.
            return
        assert isinstance(request, RegistrationRequest)
        assert isinstance(host.engine, MobileNode)
        name = datagram.interface or ""
        self._lows[request.identification & LOW_HALF].add(host.name)
        if host.engine.config.association.replay is Replay.TIMESTAMPS:
            # Of what a run has sent in vain, the next one knows nothing.
            used = (host.starts, request.identification)
            require(self._used.get(host.name) != used, "an Identification is used twice in a row")
            self._used[host.name] = used
        multipath = first(request, Multipath)
        subject = (multipath.bid, multipath.bulk) if multipath else request.care_of_address
        key = (host.name, (subject, request.lifetime_s == 0))
        since_s = host.now - self._said_at.get(key, float("-inf"))
        require(since_s > 0.999, f"{host.name} repeats a request after {since_s} s")
        self._said_at[key] = host.now
        require(self._bucket(name).take(at), f"{name} sends more than one request a second")
        self._note_minute(host, len(host.engine.config.interfaces), at)

    def _note_minute(self, host: Host, interfaces: int, at: float) -> None:
        minute = self._minutes[host.name]
        minute.append(at)
        while minute[0] <= at - 60.0:
            minute.popleft()
        if self.agent_gone:
            most = PER_MINUTE * interfaces
            text = f"{host.name} asks {len(minute)} times a minute where nobody answers"
            require(len(minute) <= most, text)

    def node_probes(self, host: Host, probe: SendProbe, at: float) -> None:
        """A keepalive may leave: one in an interval."""
        assert isinstance(host.engine, MobileNode)
        rate = 1.001 / host.engine.config.probe_interval_s
        new = Bucket(rate, PROBES_AT_ONCE, PROBES_AT_ONCE)
        bucket = self._probes.setdefault(probe.path.interface or "", new)
        require(bucket.take(at), f"{host.name} sends keepalives as fast as it can")

    def told(self, host: Host) -> None:
        """A host is told of something: it may have something new to say at once."""
        for key in [each for each in self._said_at if each[0] == host.name]:
            del self._said_at[key]

    def started(self, host: Host) -> None:
        """A daemon has started: it does not know what it has said before."""
        if host is self.agent:
            self._denied.clear()
            self._revoked_at.clear()

    def settled(self, host: Host) -> None:
        """All that a host was told is done: what was not sent will not be."""
        if host is self.agent:
            self._granting.clear()

    def excused(self, links: Iterable[Link]) -> None:
        """These may send one request more: something happened that is to be told at once."""
        for link in links:
            self._bucket(link.name).tokens += 1
            bucket = self._probes.get(link.name)
            if bucket:
                bucket.tokens += 1

    def _bucket(self, name: str) -> Bucket:
        return self._buckets.setdefault(name, Bucket())


def _mark(payload: bytes) -> bytes:
    """Return what tells a message from most others of its kind: its Identification, as sent."""
    return payload[_MARKS.get(payload[0] if payload else 0, _REST)]


def _known(sent: dict[bytes, list[bytes]], payload: bytes) -> bytes | None:
    """Return what was sent and is all of this datagram but for what stands behind it."""
    for each in sent.get(_mark(payload), ()):
        if payload.startswith(each):
            return each
    return None


def _bare(records: Records) -> Records:
    """Return records without the nonce, which a denial changes too."""
    return {
        home_address: structs.replace(record, nonce=None)
        for home_address, record in records.items()
        if record.bindings or record.identification
    }


def _state(node: MobileNode) -> object:
    registration = node._registration
    paths = [
        (each.address, each.state, each.wanted, each.binding, each.tunnel, each.renew_at)
        for each in node.paths
    ]
    wants = [(each.aim, each.not_before, each.tries) for each in registration.intents]
    said = (registration.clock_offset_s, registration.nonce, registration.identification)
    return node.record, node.policy, paths, wants, said
