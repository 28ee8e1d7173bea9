"""The public way to publish a stream from a program on this host."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

from bus.directory import Directory
from bus.doorbell import Doorbell, open_ringer
from bus.errors import BusError, SegmentMissing, StreamBusy, TakenOver
from bus.frame import INIT_CHANGED, KEY, encode
from bus.layout import CAPACITY_DEFAULT, CAPACITY_MIN, PUBLISHER_LOCK, State
from bus.names import check_stream, resolve_instance
from bus.ring import RingWriter
from bus.stream import Metadata, StreamSegment

__all__ = ["INTRA_ONLY", "Publisher"]

INTRA_ONLY: Final = frozenset({"mjpeg", "application/octet-stream"})
"""Codecs of which every frame is a key frame."""


class Publisher:
    """Writes one stream's frames into shared memory.

    Nothing here ever waits for a reader. One process publishes a stream at a time; a
    publisher that dies is followed by the next one in the same segment, and viewers go on
    with its first key frame.

    Not thread-safe: write from one thread.

    Example::

        with Publisher("cam0", codec="mjpeg", width=1280, height=720) as publisher:
            for jpeg in camera:
                publisher.write(jpeg)

    Attributes:
        stream: stream name.
        instance: instance name.
        epoch: number of this publisher within the stream's segment.
    """

    def __init__(
        self,
        stream: str,
        *,
        codec: str,
        width: int = 0,
        height: int = 0,
        fps: float = 0.0,
        init: bytes = b"",
        instance: str | None = None,
        capacity: int = CAPACITY_DEFAULT,
        takeover: bool = False,
        kind: str = "shm",
        address: str = "",
        standby: bool = False,
    ) -> None:
        """Begin to publish.

        Args:
            stream: stream name, ``[A-Za-z0-9][A-Za-z0-9._-]{0,63}``.
            codec: RFC 6381 codec string (``avc1.64001f``), ``mjpeg`` for JPEG pictures, or
                ``application/octet-stream`` for frames that are not video.
            width: picture width, pixels.
            height: picture height, pixels.
            fps: nominal frames per second, for people to read.
            init: decoder description (avcC …), sent to viewers ahead of frames.
            instance: which relay of this host; default ``$RELAY_INSTANCE`` or ``default``.
            capacity: bytes of ring, a power of two; it should hold more than one group of
                pictures. The largest frame is a quarter of it.
            takeover: take the stream from a publisher that lives.
            kind: ``shm``, ``ws`` or ``cluster``, for people to read.
            address: remote address behind this publisher, for people to read.
            standby: only hold the name and show the metadata: readers wait as if nobody had
                come yet. See `listen` and `readers` for when to go on with a second
                publisher that takes over. Its ring is the smallest, whatever ``capacity``.

        Raises:
            InvalidName: bad stream or instance name.
            StreamBusy: another process publishes the stream and ``takeover`` is False.
            SegmentInvalid: a foreign, truncated or older segment is in the way.
            NoSpace: /dev/shm is full.
            BusError: bad capacity or oversized init data.
        """
        self.stream = check_stream(stream)
        self.instance = resolve_instance(instance)
        if not isinstance(codec, str) or not codec:
            raise BusError("codec must be a codec string such as 'avc1.64001f' or 'mjpeg'")
        self._closed = True
        self._pid = os.getpid()
        self._seq = 0
        self._flags_next = 0
        self._key_ns = 0
        if standby:
            capacity = CAPACITY_MIN
        metadata = Metadata(codec, width, height, fps, init, kind, address)
        self._standby = standby
        StreamSegment.check(capacity, metadata)
        self._directory = Directory(self.instance)
        self._ringer = open_ringer(self.instance)
        try:
            with self._directory.exclusive():
                self._stream = self._acquire(capacity, takeover)
                self.epoch = self._stream.begin_epoch(self._pid)
                self._metadata = replace(metadata, epoch=self.epoch)
                try:
                    self._begin()
                except BaseException:
                    # An inherited segment stays as a dead publisher left it.
                    self._stream.close()
                    raise
        except BaseException:
            self._ringer.close()
            self._directory.remove_if_unused()
            self._directory.close()
            raise
        self._closed = False
        self._directory.announce(self._ringer)
        self._stream.readers.ring_all(self._ringer)

    def _acquire(self, capacity: int, takeover: bool) -> StreamSegment:
        """The stream's segment with its publisher lock held, inherited or new."""
        with contextlib.suppress(SegmentMissing):
            found = StreamSegment.attach(self.instance, self.stream)
            locked = found.segment.try_lock(PUBLISHER_LOCK)
            # On standby never: who waits in an old segment would take it for a beginning.
            fits = found.capacity == capacity and not found.retired and not self._standby
            if locked and fits:
                return found
            if not locked and not takeover:
                pid, node = found.publisher_pid, found.node
                found.close()
                raise StreamBusy(self.stream, pid, node)
            with contextlib.closing(found):
                # First the new one: without room for it, the old one stays as it is.
                made = self._create(capacity, found.epoch)
                found.state = State.REPLACED
                found.segment.unlink()
                found.readers.ring_all(self._ringer)
            return made
        return self._create(capacity, 0)

    def _create(self, capacity: int, epoch: int) -> StreamSegment:
        made = StreamSegment.create(self.instance, self.stream, capacity, epoch)
        made.segment.try_lock(PUBLISHER_LOCK)
        return made

    def _begin(self) -> None:
        self._writer = RingWriter(self._stream.segment)
        self._stream.write_metadata(self._metadata)
        if not self._standby:
            self._stream.state = State.LIVE
        if not self._stream.segment.is_current():
            self._stream.segment.publish()

    @property
    def metadata(self) -> Metadata:
        """What viewers are told of the stream."""
        return self._metadata

    @property
    def key_requested(self) -> bool:
        """Whether a viewer asked for a key frame since the last one was written."""
        return not self._closed and self._stream.key_wanted_ns > self._key_ns

    @property
    def readers(self) -> int:
        """Programs that read the stream now; all viewers of one worker are one of them."""
        return 0 if self._closed else self._stream.readers.count()

    @property
    def taken_over(self) -> bool:
        """Whether another publisher has the stream."""
        return not self._closed and self._stream.retired

    def listen(self, bell: Doorbell, token: int) -> None:
        """Be rung when a reader comes, goes or wants a key frame.

        A reader that dies rings nobody: look at `readers` about once a second as well.

        Args:
            bell: the caller's.
            token: number by which it knows this publisher.
        """
        self._stream.set_publisher_bell(bell.id, token)
        # Who came before this.
        self._stream.ring_publisher(self.instance)

    def _successor_node(self) -> str:
        with (
            contextlib.suppress(BusError),
            # Until it has it, nobody can be seen to have the stream.
            self._directory.exclusive(),
            contextlib.closing(StreamSegment.attach(self.instance, self.stream)) as found,
        ):
            return found.node
        return ""

    def write(
        self,
        payload: bytes | bytearray | memoryview,
        *,
        key: bool | None = None,
        pts_us: int | None = None,
        capture_us: int | None = None,
    ) -> int:
        """Publish one frame.

        Args:
            payload: encoded picture or data.
            key: whether it can be decoded without earlier frames; default True for codecs
                of which every frame can (JPEG, data), else False.
            pts_us: media clock, microseconds; default the capture time.
            capture_us: Unix time of capture, microseconds; default now.

        Returns:
            The frame's ``seq``.

        Raises:
            TakenOver: another publisher has the stream now.
            FrameTooLarge: the payload exceeds a quarter of the ring.
            FrameInvalid: a number is out of range.
            BusError: the publisher is closed.
        """
        if key is None:
            key = self._metadata.codec in INTRA_ONLY
        if capture_us is None:
            capture_us = time.time_ns() // 1000
        flags = (KEY if key else 0) | self._flags_next
        seq = self._seq
        envelope = encode(seq, capture_us if pts_us is None else pts_us, capture_us, flags, payload)
        self.write_envelope(envelope, key=key)
        self._seq = seq + 1
        self._flags_next = 0
        return seq

    def write_envelope(self, envelope: bytes | memoryview, *, key: bool) -> None:
        """Publish a frame that is packed already, as ingest receives it.

        Args:
            envelope: a valid frame envelope (`bus.frame`).
            key: whether its key flag is set.

        Raises:
            As `write`.
        """
        if self._closed:
            raise BusError(f"the publisher of stream {self.stream!r} is closed")
        if self._stream.retired:
            raise TakenOver(self.stream, self._successor_node())
        if self._standby:
            raise BusError(f"the publisher of stream {self.stream!r} is on standby")
        now = time.perf_counter_ns()
        self._writer.append(envelope, key=key)
        if key:
            # A request that came during the append may have come too late for this frame.
            self._key_ns = now
        self._stream.readers.ring_sleepers(self._ringer)

    def update(self, **changes: Any) -> None:
        """Change the stream's metadata; the next frame says so to viewers.

        Args:
            **changes: any of ``codec``, ``width``, ``height``, ``fps``, ``init``.

        Raises:
            BusError: oversized init data, or the publisher is closed.
        """
        if self._closed:
            raise BusError(f"the publisher of stream {self.stream!r} is closed")
        if self._standby:
            raise BusError(f"the publisher of stream {self.stream!r} is on standby")
        changed = replace(self._metadata, **changes)
        if changed != self._metadata:
            self._stream.write_metadata(changed)
            self._metadata = changed
            self._flags_next = INIT_CHANGED

    def set_clock_offset(self, offset_us: int) -> None:
        """Tell by how much the capturing host's clock is ahead of this host's.

        Args:
            offset_us: microseconds; 0 (the default) for a publisher on this host.
        """
        self._stream.clock_offset_us = offset_us

    def close(self) -> None:
        """End the stream and remove its segment. May be called twice."""
        if self._closed:
            return
        self._closed = True
        with self._directory.exclusive():
            if not self._stream.retired:
                self._stream.state = State.RETIRED
                self._stream.segment.unlink()
        self._stream.readers.ring_all(self._ringer)
        self._stream.close()
        self._directory.announce(self._ringer)
        self._ringer.close()
        self._directory.remove_if_unused()
        self._directory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Interpreter shutdown may have taken parts away already. A fork's copy is not ours.
        with contextlib.suppress(Exception):
            if self._pid == os.getpid():
                self.close()
