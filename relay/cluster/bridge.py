"""The bridge: what this node tells others, what it hears of them, and who gets what.

It is a reader of local streams and a publisher of remote ones like any program of this host,
and knows nothing of workers. One loop: rings of the instance's doorbell, messages of NATS, and
a tick for what nobody rings for.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Final

from bus.directory import DIRECTORY_TOKEN, Directory
from bus.doorbell import open_doorbell
from bus.errors import BusError, InvalidName, StreamBusy
from bus.layout import TOKENS
from relay.cluster.counters import ClusterCounters, Counter
from relay.cluster.directory import HEARTBEAT, Claim, ClusterDirectory
from relay.cluster.incoming import IncomingContext, IncomingStream
from relay.cluster.link import Link
from relay.cluster.local import LocalStreams
from relay.cluster.messages import Announcement, MessageInvalid, Node, Want, decode, encode
from relay.cluster.outgoing import unix_us
from relay.cluster.sending import Sending
from relay.cluster.settings import ClusterSettings, node_name
from relay.cluster.subjects import Subject, Subjects, parse_subject
from relay.errors import RelayError

__all__ = ["Bridge", "NameTaken"]

log = logging.getLogger(__name__)

TICK: Final = 0.5
ANSWER_DELAY: Final = 0.02
"""Seconds after which a node that has just begun is told all that is published here."""


class NameTaken(RelayError):
    """Another bridge uses this node's name."""


class Bridge:
    """See the module."""

    def __init__(self, instance: str, settings: ClusterSettings, capacity: int) -> None:
        """Prepare; for a running loop.

        Args:
            instance: whose streams are joined with those of others.
            settings: how.
            capacity: bytes of ring of a remote stream that flows.

        Raises:
            BusError, OSError: shared memory does not take what the bridge needs.
        """
        self._node = node_name(settings)
        self._subjects = Subjects(settings.cluster_name, self._node)
        self._loop = asyncio.get_running_loop()
        self._failed: asyncio.Future[None] = self._loop.create_future()
        self._directory = ClusterDirectory()
        self._streams = Directory(instance)
        self._bell = open_doorbell(instance)
        self._news = self._streams.listen(self._bell)
        self._counters = ClusterCounters.create(instance)
        self._link = Link(settings, self._counters, self._up, self._fail)
        self._context = IncomingContext(
            instance=instance,
            capacity=capacity,
            grace=settings.cluster_grace,
            bell=self._bell,
            link=self._link,
            subjects=self._subjects,
            counters=self._counters,
            on_end=self._settle,
        )
        self._self = Node(secrets.randbits(48), unix_us())
        self._tokens = itertools.cycle(range(1, TOKENS - 2))
        self._sending = Sending(
            instance,
            self._tokens,
            bell=self._bell,
            link=self._link,
            subjects=self._subjects,
            counters=self._counters,
        )
        self._local = LocalStreams(instance, self._link, self._subjects, self._sending)
        self._incoming: dict[str, IncomingStream] = {}
        self._trouble: dict[str, str] = {}
        self._announced_at = 0.0
        self._announcing = False
        self._scan_planned = False

    async def run(self, stop: asyncio.Event) -> None:
        """Join the cluster until told to stop.

        Raises:
            NameTaken: another node has this one's name.
            OSError, nats.errors.Error: NATS cannot be used in a way that does not pass.
        """
        self._listen(self._subjects.nodes, self._on_node)
        self._listen(self._subjects.streams, self._on_stream)
        self._listen(self._subjects.wants, self._on_want)
        sending = self._loop.create_task(self._link.run())
        stopping = self._loop.create_task(stop.wait())
        self._bell.attach(self._loop, self._rung)
        self._tick()
        try:
            await asyncio.wait(
                (sending, stopping, self._failed), return_when=asyncio.FIRST_COMPLETED
            )
            if stop.is_set():
                await self._say_goodbye()
        finally:
            self._timer.cancel()
            sending.cancel()
            stopping.cancel()
            await asyncio.wait((sending, stopping))
            self._close()
        if self._failed.done():
            self._failed.result()
        if not sending.cancelled():
            sending.result()

    async def _say_goodbye(self) -> None:
        self._local.say_goodbye()
        await self._sending.finish()
        await self._link.sent()

    def _close(self) -> None:
        self._bell.detach()
        self._sending.close()
        for incoming in self._incoming.values():
            incoming.close()
        self._streams.readers.release(self._news)
        self._bell.close()
        self._counters.close()
        self._streams.remove_if_unused()
        self._streams.close()

    # Events.

    def _up(self) -> None:
        self._announce()
        for incoming in self._incoming.values():
            incoming.ask(time.monotonic())

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        now = time.monotonic()
        self._directory.expire(now)
        self._sending.tick(now)
        for incoming in list(self._incoming.values()):
            self._guard(incoming, now)
        # A tick is half a heartbeat; it may come a little early.
        if now - self._announced_at >= HEARTBEAT - TICK / 2:
            self._scan()
            self._announce()
        else:
            self._reconcile()
        self._show()

    def _rung(self) -> None:
        tokens = self._bell.drain()
        now = time.monotonic()
        if DIRECTORY_TOKEN in tokens and not self._scan_planned:
            # Many streams may begin or end at once.
            self._scan_planned = True
            self._loop.call_soon(self._scan)
        self._sending.rung(tokens)
        for incoming in list(self._incoming.values()):
            if incoming.token in tokens:
                self._guard(incoming, now)

    def _guard(self, incoming: IncomingStream, now: float) -> None:
        """Let a remote stream look at its readers, whatever comes of it."""
        with self._reporting(incoming.stream):
            if incoming.taken_over:
                self._scan()
            else:
                incoming.look(now)

    @contextlib.contextmanager
    def _reporting(self, stream: str) -> Iterator[None]:
        """Log what is wrong with a stream, once."""
        try:
            yield
            self._trouble.pop(stream, None)
        except (BusError, OSError) as exc:
            if self._trouble.get(stream) != str(exc):
                self._trouble[stream] = str(exc)
                log.error("stream %s: %s", stream, exc)

    # Streams of this node.

    def _scan(self) -> None:
        """Look which streams this host publishes, and put every name in its place."""
        self._scan_planned = False
        for stream in [each for each in self._incoming if self._incoming[each].taken_over]:
            # By a program of this host, with takeover: it has the next word.
            self._local.took_over(stream, self._directory.next_term(stream))
            self._incoming.pop(stream).close()
        self._local.scan()
        self._reconcile()

    def _announce_soon(self) -> None:
        """Announce once, however many nodes began at this moment."""
        if not self._announcing:
            self._announcing = True
            self._loop.call_later(ANSWER_DELAY, self._announce)

    def _announce(self) -> None:
        self._announcing = False
        self._announced_at = time.monotonic()
        self._link.send(self._subjects.node, encode(self._self))
        self._local.announce()

    # Streams of other nodes.

    def _reconcile(self) -> None:
        """Hold every name that another node owns, and let go of those that none does."""
        known = {*self._directory.owners(), *self._incoming}
        for stream in known:
            self._settle(stream)
        self._trouble = {name: words for name, words in self._trouble.items() if name in known}

    def _settle(self, stream: str) -> None:
        claim = self._directory.owner(stream)
        if claim is not None:
            self._follow(stream, claim)
        elif stream in self._incoming and self._incoming[stream].over(time.monotonic()):
            log.info("stream %s of node %s ended", stream, self._incoming[stream].claim.node)
            self._incoming.pop(stream).close()

    def _follow(self, stream: str, claim: Claim) -> None:
        own = self._local.announced.get(stream)
        if own is not None and Claim(self._node, own).rank <= claim.rank:
            return
        known = self._incoming.get(stream)
        with self._reporting(stream):
            if known is not None and known.claim.node == claim.node:
                known.update(claim)
                return
            if known is not None:
                del self._incoming[stream]
                known.close()
            try:
                self._incoming[stream] = IncomingStream(
                    self._context, stream, next(self._tokens), claim, takeover=own is not None
                )
            except StreamBusy:
                # A program of this host was first; the next look finds it.
                return
            if own is not None:
                self._counters.add(Counter.CONFLICTS)
                log.warning("stream %s is node %s's; its publisher here ends", stream, claim.node)
                self._local.end(stream)
            else:
                log.info("stream %s is published on node %s", stream, claim.node)

    # Messages.

    def _listen(self, pattern: str, hear: Callable[[Subject, bytes], None]) -> None:
        def receive(subject: str, data: bytes) -> None:
            try:
                hear(parse_subject(subject), data)
            except (InvalidName, MessageInvalid) as exc:
                log.warning("%s: a message is not understood: %s", subject, exc)

        self._link.listen(pattern, receive)

    def _on_node(self, where: Subject, data: bytes) -> None:
        message, now = decode(data), time.monotonic()
        if not isinstance(message, Node):
            return
        if where.sender == self._node:
            self._meet_namesake(message)
        elif self._directory.heard_node(where.sender, message.boot, now):
            for incoming in self._incoming.values():
                if incoming.claim.node == where.sender:
                    incoming.ask(now)
            # It knows nothing yet.
            self._announce_soon()

    def _meet_namesake(self, other: Node) -> None:
        """Two bridges of one name: the one that began later leaves."""
        older = (other.started, other.boot) < (self._self.started, self._self.boot)
        if older:
            self._fail(
                NameTaken(
                    f"another relay is node {self._node!r} of this cluster; "
                    "give each its own name with --cluster-node"
                )
            )

    def _on_stream(self, where: Subject, data: bytes) -> None:
        message = decode(data)
        if not isinstance(message, Announcement) or where.sender == self._node:
            return
        before, now = self._directory.owner(where.stream), time.monotonic()
        self._directory.heard_stream(where.sender, where.stream, message, now)
        if self._directory.owner(where.stream) != before:
            incoming = self._incoming.get(where.stream)
            if incoming is not None and not message.live and incoming.claim.node == where.sender:
                incoming.end_announced(now)
            self._settle(where.stream)

    def _on_want(self, where: Subject, data: bytes) -> None:
        message = decode(data)
        if isinstance(message, Want) and where.stream in self._local.announced:
            self._sending.want(where.sender, where.stream, message, time.monotonic())

    def _show(self) -> None:
        counters = self._counters
        counters.set(Counter.NODES, len(self._directory.nodes) + 1)
        counters.set(Counter.REMOTE_STREAMS, len(self._incoming))
        pulled = sum(each.pulling for each in self._incoming.values())
        counters.set(Counter.PULLED_STREAMS, pulled)
        counters.set(Counter.SENT_STREAMS, len(self._sending))
