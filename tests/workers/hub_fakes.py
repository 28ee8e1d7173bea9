"""A hub's surroundings as fakes: a scripted ring, and channels that remember their bytes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from bus.frame import INIT_CHANGED, KEY, Frame, decode, encode
from bus.ring import Record
from bus.stream import Metadata
from bus.subscription import Ended, Started
from workers.engines.interface import Channel, Group
from workers.fanout import Fanout
from workers.messages import header
from workers.settings import ViewerSettings
from workers.table import Column
from workers.viewer import ViewerPosition
from workers.viewer_table import ViewerEntry

__all__ = [
    "FakeChannel",
    "FakeEngine",
    "FakeGroup",
    "FakeRow",
    "FakeSubscription",
    "FakeViewer",
    "Stage",
]

Event = Record | Started | Ended


class FakeRow:
    """Counts, as a worker's row does."""

    def __init__(self) -> None:
        self.counts: Counter[Column] = Counter()
        self.words = self.counts

    def __getitem__(self, column: Column) -> int:
        return self.counts[column]

    def add(self, column: Column, amount: int = 1) -> None:
        self.counts[column] += amount


class FakeChannel:
    """What reached a viewer, as messages: frames decoded, maps as dicts, raw payloads as bytes."""

    def __init__(self, owner: Callable[[], None], behind: Callable[[], None], slow: bool) -> None:
        self.idle = True
        self.behind = behind
        self.group: FakeGroup | None = None
        self._slow = slow
        self.received: list[Frame | dict[str, Any] | bytes] = []
        self._owner = owner

    def take(self, data: bytes) -> None:
        while data:
            # Several messages may come as one.
            start = {126: 4, 127: 10}.get(data[1], 2)
            length = data[1] if start == 2 else int.from_bytes(data[2:start])
            self._take_one(data[start : start + length])
            data = data[start + length :]

    def _take_one(self, body: bytes) -> None:
        if body[:1] == b"\x95":
            self.received.append(decode(body))
        elif body[:1] >= b"\x80":
            self.received.append(msgpack.unpackb(body))
        else:
            self.received.append(body)

    def control(self, data: bytes) -> None:
        self.take(data)

    def complete(self) -> None:
        """What was in flight is out."""
        if not self.idle:
            self.idle = True
            if self.group is None:
                self._owner()

    def send(self, data: bytes) -> bool:
        assert self.idle, "a channel has one frame in flight at most"
        self.take(data)
        self.idle = not self._slow
        return self.idle

    def close(self) -> None: ...
    def progress(self) -> int:
        return 0

    def finish(self) -> None: ...
    def unsent(self) -> int:
        return 0

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def release(self) -> None: ...


class FakeGroup:
    """Those who are at the edge."""

    def __init__(self) -> None:
        self._members: list[FakeChannel] = []

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, channel: object) -> bool:
        return channel in self._members

    def add(self, channel: Channel) -> None:
        assert isinstance(channel, FakeChannel)
        assert channel.group is None
        channel.group = self
        self._members.append(channel)

    def discard(self, channel: Channel) -> bool:
        assert isinstance(channel, FakeChannel)
        if channel.group is not self:
            return False
        channel.group = None
        self._members.remove(channel)
        return True

    def send(self, data: bytes) -> int:
        for channel in [member for member in self._members if not member.idle]:
            self.discard(channel)
            channel.behind()
        for channel in self._members:
            channel.send(data)
        return len(self._members)


class FakeEngine:
    """Every frame stays in flight until the test completes it, or none does."""

    name = "fake"

    def __init__(self, *, slow: bool = False) -> None:
        self.slow = slow

    def attach(self, sock: object, protocol: object) -> None:
        raise NotImplementedError

    def adopt(self, transport: object, owner: object) -> Channel:
        raise NotImplementedError

    def group(self) -> Group:
        return FakeGroup()

    def broadcast(self, frames: Sequence[tuple[Group, bytes]]) -> list[int]:
        assert len({group for group, _ in frames}) == len(frames)
        return [_group(group).send(data) for group, data in frames]

    def close(self) -> None: ...


def _group(group: Group) -> FakeGroup:
    assert isinstance(group, FakeGroup)
    return group


class FakeSubscription:
    """Yields what the test wrote.

    Attributes:
        ring: what can be read once more, by its position.
    """

    def __init__(self, *_: object) -> None:
        self.events: deque[Event] = deque()
        self.ring: dict[int, bytes] = {}
        self.attached = True
        self.keys_wanted = 0
        self.clock_offset_us = 0
        self.corrupt = 0
        self.dead = False

    def try_attach(self) -> bool:
        return True

    def poll(self) -> Event | None:
        return self.events.popleft() if self.events else None

    def again(self, position: int) -> bytes | None:
        return self.ring.get(position)

    def sleep(self) -> bool:
        return not self.events

    def want_key(self) -> None:
        self.keys_wanted += 1

    def check_publisher(self) -> Ended | None:
        return Ended.DIED if self.dead else None

    def set_viewers(self, count: int) -> None: ...
    def close(self) -> None: ...


class FakeViewer:
    """A viewer whose channel the test drives."""

    def __init__(self, stage: Stage, *, raw: bool = False) -> None:
        self.raw = raw
        self.position = ViewerPosition(0.0)
        self.entry = ViewerEntry(memoryview(bytearray(1024)).cast("Q"), 0)
        self.fake = FakeChannel(
            lambda: stage.hub.advance(self),
            lambda: stage.hub.fell_behind(self),
            stage.engine.slow,
        )
        self.channel: Channel = self.fake

    @property
    def frames(self) -> list[Frame]:
        """Frames it was sent, in order."""
        return [message for message in self.fake.received if isinstance(message, Frame)]

    @property
    def numbers(self) -> list[int]:
        """Their seqs."""
        return [frame.seq for frame in self.frames]

    @property
    def kinds(self) -> list[str]:
        """Types of all messages in order, with "frame" for frames."""
        return [
            message["type"] if isinstance(message, dict) else "frame"
            for message in self.fake.received
        ]


class Stage:
    """A hub on fakes, and a publisher's hand.

    Attributes:
        hub: under test.
        row: its counters.
        engine: its engine.
    """

    def __init__(
        self, monkeypatch: Any, *, slow: bool = False, max_lag: float = 1e9, keep: float = 0.0
    ) -> None:
        from workers import hub

        monkeypatch.setattr(hub, "_MORE_TO_COME", keep)
        self.subscription = FakeSubscription()
        monkeypatch.setattr(hub, "Subscription", lambda *_: self.subscription)
        self.row = FakeRow()
        self.engine = FakeEngine(slow=slow)
        self.fanout = Fanout(self.engine, self.row)  # type: ignore[arg-type]
        self.later: deque[Callable[[], None]] = deque()
        self.seq = 0
        self.hub = hub.Hub(
            "instance",
            "cam",
            1,
            bell=None,  # type: ignore[arg-type]
            engine=self.engine,
            fanout=self.fanout,
            settings=ViewerSettings(max_lag=max_lag),
            row=self.row,  # type: ignore[arg-type]
            call_soon=self.later.append,
        )

    def view(self, *, raw: bool = False) -> FakeViewer:
        """A viewer joins."""
        viewer = FakeViewer(self, raw=raw)
        self.hub.add(viewer)
        return viewer

    def start(self, epoch: int = 1, init: bytes = b"") -> None:
        """A publisher starts, or says new init data."""
        self.happen(Started(Metadata("vp8", init=init, epoch=epoch)))

    def frame(self, *, key: bool = False, lost: int = 0) -> int:
        """A record arrives; its seq."""
        self.happen(self.record(key=key, lost=lost))
        return self.seq - 1

    def record(self, *, key: bool = False, lost: int = 0, flags: int = 0) -> Record:
        """A record that is not in the ring yet."""
        self.seq += lost
        payload = b"p%d" % self.seq
        envelope = encode(self.seq, 0, 0, (KEY if key else 0) | flags, payload)
        self.seq += 1
        version = 2 if flags & INIT_CHANGED else 1
        message = header(len(envelope)) + envelope
        self.subscription.ring[self.seq] = message
        return Record(message, key, version, lost, self.seq)

    def end(self, reason: Ended = Ended.CLOSED) -> None:
        """The publisher ends."""
        self.happen(reason)

    def happen(self, *events: Event) -> None:
        """Events reach the hub, and it is rung."""
        self.subscription.events.extend(events)
        self.fanout.gather()
        self.hub.pump()
        self.fanout.finish()
        while self.later:
            self.later.popleft()()
