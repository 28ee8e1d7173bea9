"""One stream in this worker: ring reader, frame window, and the viewers who watch it.

A hub exists while it has viewers, and a little longer. Each ring record is read and wrapped once
for all viewers at the live edge, and handed to the engine for all of them at once; the others go
on by themselves whenever their channel becomes idle. Nothing here waits, and nothing that one
viewer does is seen by another.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from bus.doorbell import Doorbell
from bus.errors import BusError
from bus.ring import Record
from bus.stream import Metadata
from bus.subscription import Ended, Started, Subscription
from workers import messages
from workers.engines.interface import Channel, Engine, Group
from workers.fanout import Fanout
from workers.row_histogram import SEND_DELAY
from workers.settings import ViewerSettings
from workers.table import Column, WorkerRow
from workers.viewer import SkipCause, ViewerPosition, ViewerState
from workers.viewer_table import ViewerEntry
from workers.window import TOGETHER, FrameWindow, WindowFrame

__all__ = ["Hub", "HubViewer"]

log = logging.getLogger(__name__)

_EVENTS_PER_TURN: Final = 64
"""Ring records handled before other connections of the worker get their turn."""
_KEY_REQUEST_INTERVAL: Final = 0.5
"""Seconds between two requests of this worker for a key frame that somebody waits for."""
_LATE_KEY_REQUEST_INTERVAL: Final = 2.0
"""The same where it only lets a late viewer skip: key frames cost everybody else bytes."""
_LOOK_INTERVAL: Final = 1.0
"""Seconds between two looks at how far viewers are behind, for people to read."""
_SILENCE: Final = 1.0
"""Seconds without a record after which the publisher's lock is looked at."""
_MORE_TO_COME: Final = 10.0
"""Seconds for which frames stay here after somebody began with earlier ones: others will, too."""

# What is counted with every frame; to look up a member of an enumeration costs more than counting.
_FRAMES_IN: Final = int(Column.FRAMES_IN)
_BYTES_IN: Final = int(Column.BYTES_IN)
_FRAMES_SENT: Final = int(Column.FRAMES_SENT)
_BYTES_SENT: Final = int(Column.BYTES_SENT)
_SKIP_COLUMN: Final = {
    SkipCause.NETWORK: Column.SKIPPED_NETWORK,
    SkipCause.DECODER: Column.SKIPPED_DECODER,
    SkipCause.HIDDEN: Column.SKIPPED_HIDDEN,
    SkipCause.WORKER: Column.SKIPPED_WORKER,
}


class HubViewer(Protocol):
    """What a hub knows of a viewer."""

    channel: Channel
    entry: ViewerEntry
    position: ViewerPosition
    raw: bool


class Hub:
    """See the module.

    Attributes:
        stream: stream name.
        token: the doorbell token that stands for this hub.
        viewers: all viewers, whatever their state.
    """

    __slots__ = (
        "_call_soon",
        "_corrupt",
        "_ending",
        "_fanout",
        "_hidden",
        "_keep_until",
        "_last_key_request",
        "_last_record",
        "_live",
        "_metadata",
        "_next_look",
        "_players",
        "_raw",
        "_row",
        "_scheduled",
        "_settings",
        "_subscription",
        "_trouble",
        "stream",
        "token",
        "viewers",
        "window",
    )

    def __init__(
        self,
        instance: str,
        stream: str,
        token: int,
        *,
        bell: Doorbell,
        engine: Engine,
        fanout: Fanout,
        settings: ViewerSettings,
        row: WorkerRow,
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self.stream = stream
        self.token = token
        self.viewers: set[HubViewer] = set()
        self.window = FrameWindow(settings.window, settings.max_lag)
        # Who is at the live edge; their positions are implied, see `_leave_edge`.
        self._players, self._raw = engine.group(), engine.group()
        # Who still has frames due before the message that the stream has ended.
        self._ending: dict[HubViewer, bytes] = {}
        # Who is to be sent nothing.
        self._hidden: set[HubViewer] = set()
        # Until when frames stay that everybody has been sent.
        self._keep_until = 0.0
        self._fanout = fanout
        self._settings = settings
        self._row = row
        self._call_soon = call_soon
        self._subscription = Subscription(instance, stream, bell, token, messages.header)
        self._metadata: Metadata | None = None
        # Of the subscription's corrupt records, those that have been counted.
        self._corrupt = 0
        self._live = False
        self._last_record = time.monotonic()
        self._last_key_request = 0.0
        self._next_look = 0.0
        self._scheduled = False
        self._trouble = ""

    def __str__(self) -> str:
        return f"stream {self.stream}"

    @property
    def log_fields(self) -> dict[str, str]:
        """What log lines about it say beside their words."""
        return {"stream": self.stream}

    @property
    def clock_offset_us(self) -> int:
        """The publisher's clock minus this host's."""
        return self._subscription.clock_offset_us

    # Viewers.

    def add(self, viewer: HubViewer, head: bytes = b"") -> None:
        """Begin to serve a viewer: state first, then frames from the newest key frame.

        Args:
            viewer: who.
            head: what goes out before all that; with it, if possible.
        """
        if not self.viewers:
            self.pump()
        self.viewers.add(viewer)
        self._subscription.set_viewers(len(self.viewers))
        now = time.monotonic()
        viewer.position.join(self.window, now, first=self._first())
        if not viewer.raw or self._live:
            head += self._introduction(viewer)
        index = self._next_index(viewer, now)
        if index is not None and viewer.channel.idle and self.window[index].size <= TOGETHER:
            self._send(viewer, index, head)
        elif head:
            viewer.channel.control(head)
        self.advance(viewer)

    def remove(self, viewer: HubViewer) -> None:
        """Stop serving a viewer."""
        self._leave_edge(viewer)
        self.viewers.discard(viewer)
        self._hidden.discard(viewer)
        self._ending.pop(viewer, None)
        if viewer.position.skipped:
            self._count_skips(viewer)
        self._subscription.set_viewers(len(self.viewers))

    def _first(self) -> int:
        """Index of the first frame to start with: pictures after the end are no live stream."""
        return 0 if self._live else self.window.edge

    def _introduction(self, viewer: HubViewer) -> bytes:
        """What a viewer needs to know before frames."""
        metadata = self._metadata
        if viewer.raw:
            init = b"" if metadata is None else metadata.init
            return messages.header(len(init)) + init if init else b""
        if metadata is not None and self._live:
            slot = self._row[Column.SLOT]
            return messages.hello(self.stream, metadata, self.clock_offset_us, slot)
        return messages.ended(self.stream, "no publisher yet")

    def pause(self, viewer: HubViewer) -> None:
        """Send the viewer nothing: its tab is hidden."""
        self._leave_edge(viewer)
        viewer.position.pause()
        self._hidden.add(viewer)
        self._say_ended(viewer)

    def resume(self, viewer: HubViewer) -> None:
        """Send to the viewer again, from the newest key frame."""
        self._leave_edge(viewer)
        self._hidden.discard(viewer)
        viewer.position.resume(self.window, time.monotonic(), first=self._first())
        self.advance(viewer)

    def decoder_needs_key(self, viewer: HubViewer) -> None:
        """The viewer's decoder lost its state or its pace: next comes a new key frame."""
        self._leave_edge(viewer)
        viewer.position.need_key(self.window, SkipCause.DECODER)
        self.advance(viewer)

    def _group_of(self, viewer: HubViewer) -> Group:
        return self._raw if viewer.raw else self._players

    def _leave_edge(self, viewer: HubViewer) -> None:
        """Take a viewer out of the group that gets the newest frame, to see to it alone."""
        if self._group_of(viewer).discard(viewer.channel):
            viewer.position.sent(self.window.edge - 1)

    def fell_behind(self, viewer: HubViewer) -> None:
        """The newest frame came while the one before it was in flight."""
        viewer.position.sent(self.window.edge - 2)

    def _nobody_behind(self) -> bool:
        """Whether all who are to be sent anything are at the live edge."""
        return len(self._players) + len(self._raw) + len(self._hidden) == len(self.viewers)

    def _next_index(self, viewer: HubViewer, now: float) -> int | None:
        """Index of the frame to send a viewer now; its message is here, and all that follow."""
        position, window = viewer.position, self.window
        if position.needs_key and position.behind(window):
            self._keep_until = now + _MORE_TO_COME
            window.restore(self._subscription.again)
        return position.next_index(window, now, self._settings.max_lag)

    def advance(self, viewer: HubViewer) -> None:
        """Send a viewer what is due until it is busy or at the live edge."""
        position, window, now = viewer.position, self.window, time.monotonic()
        while viewer.channel.idle:
            index = self._next_index(viewer, now)
            if index is None:
                if position.needs_key:
                    self._want_key(now)
                elif position.at_edge(window):
                    self._group_of(viewer).add(viewer.channel)
                    viewer.entry.behind(0)
                if self._ending:
                    self._say_ended(viewer)
                break
            self._send(viewer, index)
        if position.late:
            self._want_key(now, _LATE_KEY_REQUEST_INTERVAL)
        if position.skipped:
            self._count_skips(viewer)

    def _send(self, viewer: HubViewer, index: int, head: bytes = b"") -> None:
        # Who is late gets one by one, to be able to skip the rest as soon as there is a key.
        data, stop = self.window.run(index, raw=viewer.raw, alone=viewer.position.late)
        viewer.position.sent(stop - 1)
        words = self._row.words
        words[_FRAMES_SENT] += stop - index
        words[_BYTES_SENT] += len(data)
        viewer.channel.send(head + data if head else data)
        now, due = time.monotonic(), viewer.position.since
        if self.window[stop - 1].arrived <= due:
            # All of them were here before the viewer.
            SEND_DELAY.add(self._row, now - due, stop - index)
            return
        for number in range(index, stop):
            SEND_DELAY.add(self._row, now - max(due, self.window[number].arrived))

    def _count_skips(self, viewer: HubViewer) -> None:
        for cause, count in viewer.position.take_skipped().items():
            self._row.add(_SKIP_COLUMN[cause], count)
            viewer.entry.skip(cause, count)

    def _want_key(self, now: float, interval: float = _KEY_REQUEST_INTERVAL) -> None:
        if self._live and now - self._last_key_request >= interval:
            self._last_key_request = now
            self._row.add(Column.KEY_REQUESTS)
            self._subscription.want_key()

    # The stream.

    def pump(self) -> None:
        """Take what the ring has, and ask to be rung for more."""
        self._scheduled = False
        try:
            self._take()
        except (BusError, OSError) as exc:
            self._report(str(exc))

    def _take(self) -> None:
        for _ in range(_EVENTS_PER_TURN):
            if not self._subscription.try_attach():
                return
            match self._subscription.poll():
                case Record() as record:
                    self._record(record)
                    # It is mostly the only one; there is no need to look for another.
                    if self._subscription.sleep():
                        return
                case Started(metadata):
                    self._started(metadata)
                case Ended() as ended:
                    self._ended(ended.value)
                case None:
                    # A dead publisher's segment may have been left, and the next one is there.
                    if self._subscription.attached and self._subscription.sleep():
                        return
            # What happens next may happen to those who are being sent what was there.
            self._fanout.flush()
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._continue)

    def _continue(self) -> None:
        if self._scheduled and self.viewers:
            self.pump()

    def _report(self, trouble: str) -> None:
        """Log what is wrong with the stream's segment, once."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.error("%s: %s", self, trouble)

    def _started(self, metadata: Metadata) -> None:
        before, self._metadata = self._metadata, metadata
        self._trouble = ""
        new = not self._live or before is None or before.epoch != metadata.epoch
        self._live = True
        self._last_record = now = time.monotonic()
        for viewer in self.viewers:
            self._leave_edge(viewer)
        self.window.clear()
        self._ending.clear()
        for viewer in self.viewers:
            if viewer.position.state is not ViewerState.HIDDEN:
                viewer.position.join(self.window, now)
            if new and not viewer.raw:
                viewer.channel.control(messages.live(self.stream, metadata.epoch))
            introduction = self._introduction(viewer)
            if introduction:
                viewer.channel.control(introduction)

    def _ended(self, reason: str) -> None:
        self._live = False
        # The ring may go away, and another come.
        self.window.drop_released()
        message = messages.ended(self.stream, reason)
        for viewer in self.viewers:
            self._leave_edge(viewer)
            if not viewer.raw:
                self._ending[viewer] = message
                if not viewer.position.behind(self.window):
                    self._say_ended(viewer)

    def _say_ended(self, viewer: HubViewer) -> None:
        """Tell a viewer that the stream has ended, now that no frame is due to it."""
        message = self._ending.pop(viewer, None)
        if message is not None:
            viewer.channel.control(message)

    def _record(self, record: Record) -> None:
        now = time.monotonic()
        self._last_record = now
        window = self.window
        if now >= self._keep_until and self._nobody_behind():
            window.release()
        if record.lost:
            self._lost(record)
        frame = WindowFrame(record.data, record.key, now, record.position)
        words = self._row.words
        words[_FRAMES_IN] += 1
        words[_BYTES_IN] += len(record.data)
        window.append(frame)
        self._broadcast(frame)
        if record.key and not self._nobody_behind():
            self._fanout.flush()
            # Those who waited for it; who is busy goes on when idle.
            for viewer in list(self.viewers):
                if viewer.position.needs_key:
                    self.advance(viewer)

    def _lost(self, record: Record) -> None:
        corrupt = self._subscription.corrupt - self._corrupt
        self._corrupt += corrupt
        self._row.add(Column.CORRUPT_RECORDS, corrupt)
        # What is damaged before a reader knows any record's number is not missed by it.
        self._row.add(Column.LAPPED_RECORDS, max(0, record.lost - corrupt))
        if not record.key:
            # Who is still before the gap, or joins there, would run into it.
            for viewer in self.viewers:
                self._leave_edge(viewer)
            self.window.clear()
        for viewer in self.viewers:
            if viewer.position.state is ViewerState.LIVE:
                viewer.position.skipped[SkipCause.WORKER] += record.lost
            if not record.key:
                viewer.position.need_key(self.window, SkipCause.WORKER)
            self._count_skips(viewer)

    def _broadcast(self, frame: WindowFrame) -> None:
        """Send the newest frame to everybody who was waiting at the edge for it."""
        if self._players:
            self._fanout.send(self._players, frame.message, frame.arrived)
        if self._raw:
            self._fanout.send(self._raw, frame.raw, frame.arrived)

    # Time.

    def tick(self, now: float) -> None:
        """Called a few times a second while the hub has viewers."""
        if self._live and now - self._last_record > _SILENCE:
            self._last_record = now
            # A writer that was killed between its record and its ring told nobody of it.
            self.pump()
            died = self._subscription.check_publisher()
            if died is not None:
                self._ended(died.value)
        elif self._trouble and now - self._last_record > _SILENCE:
            # Out of descriptors, for example: nobody rings when that has passed.
            self._last_record = now
            self.pump()
        if now >= self._next_look:
            self._next_look = now + _LOOK_INTERVAL
            for viewer in self.viewers:
                at_edge = viewer.channel in self._group_of(viewer)
                viewer.entry.behind(0.0 if at_edge else viewer.position.lag(self.window, now))
        if not self._live or self._nobody_behind():
            return
        if any(viewer.position.needs_key for viewer in self.viewers):
            self._want_key(now)
        elif any(viewer.position.late for viewer in self.viewers):
            self._want_key(now, _LATE_KEY_REQUEST_INTERVAL)

    def close(self) -> None:
        """Let go of the stream."""
        self._scheduled = False
        self._subscription.close()
