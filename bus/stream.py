"""A stream's segment: header words, metadata and ring under readable names.

Metadata is one msgpack map, kept twice. The writer fills the copy that is not current and
then flips METADATA_VERSION, so a reader always finds one whole copy, also when a writer
dies in the middle.
"""

from __future__ import annotations

import contextlib
import struct
import time
from dataclasses import asdict, dataclass, replace
from typing import Final, Self

import msgpack

from bus.checksum import crc32
from bus.doorbell import open_ringer
from bus.errors import BusError, SegmentInvalid
from bus.fence import full_fence
from bus.layout import (
    CAPACITY_MIN,
    METADATA_BYTES,
    METADATA_OFFSET,
    PUBLISHER_LOCK,
    RING_OFFSET,
    Kind,
    State,
    Word,
)
from bus.names import stream_object
from bus.readers import ReaderTable
from bus.segment import Segment

__all__ = ["Metadata", "StreamInfo", "StreamSegment", "inspect_stream"]

_METADATA_HEADER: Final = struct.Struct("<II")
_METADATA_ATTEMPTS: Final = 16
STALE_AFTER_NS: Final = 2_000_000_000
"""A rate older than this says nothing about now."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a viewer must know before its first frame.

    Attributes:
        codec: codec string as in RFC 6381 and WebCodecs, or ``mjpeg``, or a media type.
        width: pixels; 0 when unknown or no picture.
        height: pixels; 0 when unknown or no picture.
        fps: nominal frames per second; 0 when unknown.
        init: the decoder's description (avcC, av1C …), empty when frames carry it.
        kind: how frames come in: ``shm``, ``ws`` or ``cluster``.
        address: the remote publisher's address, empty for a local one.
        epoch: number of the publisher in this segment, from 1.
    """

    codec: str
    width: int = 0
    height: int = 0
    fps: float = 0.0
    init: bytes = b""
    kind: str = "shm"
    address: str = ""
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A look at a stream from outside.

    Attributes:
        name: stream name.
        live: whether a publisher holds it now.
        metadata: of the present or last publisher; None before the first hello.
        publisher_pid: process that writes the ring.
        epoch: number of the publisher.
        frames, key_frames, bytes: totals of all publishers since the segment was made.
        fps: measured over the last second or so; 0 when nothing comes.
        bitrate: bits per second, measured likewise.
        viewers: of all live readers together.
    """

    name: str
    live: bool
    metadata: Metadata | None
    publisher_pid: int
    epoch: int
    frames: int
    key_frames: int
    bytes: int
    fps: float
    bitrate: int
    viewers: int


class StreamSegment:
    """One stream's segment, mapped.

    Attributes:
        segment: the mapping, with its locks.
        readers: the reader table.
    """

    __slots__ = ("_metadata", "_words", "readers", "segment", "stream")

    def __init__(self, stream: str, segment: Segment) -> None:
        self.stream = stream
        self.segment = segment
        self._words = segment.words
        self.readers = ReaderTable(segment)
        self._metadata = segment.slice(METADATA_OFFSET, RING_OFFSET)

    @classmethod
    def create(cls, instance: str, stream: str, capacity: int, epoch: int = 0) -> Self:
        """Make a segment that has no name yet; see `Segment.publish`.

        Args:
            capacity: bytes of ring, a power of two.
            epoch: last epoch of the segment that this one replaces.

        Raises:
            NoSpace: when /dev/shm cannot hold it.
            BusError: when ``capacity`` is not a power of two of at least CAPACITY_MIN.
        """
        _check_capacity(capacity)
        name = stream_object(instance, stream)
        segment = Segment.create(name, Kind.STREAM, RING_OFFSET + capacity)
        segment.words[Word.CAPACITY] = capacity
        segment.words[Word.EPOCH] = epoch
        return cls(stream, segment)

    @staticmethod
    def check(capacity: int, metadata: Metadata) -> None:
        """Refuse what `create` and `write_metadata` would refuse, before anything is touched.

        Raises:
            BusError: bad capacity or oversized init data.
        """
        _check_capacity(capacity)
        # The epoch is not known yet, and a larger number takes more bytes.
        _pack(replace(metadata, epoch=2**64 - 1))

    @classmethod
    def attach(cls, instance: str, stream: str) -> Self:
        """Map the stream's present segment.

        Raises:
            SegmentMissing: when nobody has published it.
            SegmentInvalid: when it is foreign, truncated or of another version.
        """
        name = stream_object(instance, stream)
        segment = Segment.attach(name, Kind.STREAM)
        capacity = segment.words[Word.CAPACITY]
        if not _is_capacity(capacity) or RING_OFFSET + capacity != segment.words[Word.SIZE]:
            segment.close()
            raise SegmentInvalid(name, f"its ring of {capacity} bytes does not fit its size")
        return cls(stream, segment)

    @property
    def epoch(self) -> int:
        """Number of the present publisher."""
        return int(self._words[Word.EPOCH])

    @property
    def capacity(self) -> int:
        """Bytes of ring."""
        return int(self._words[Word.CAPACITY])

    @property
    def publisher_pid(self) -> int:
        """Process that writes, or last wrote, the ring."""
        return int(self._words[Word.PUBLISHER_PID])

    @property
    def node(self) -> str:
        """Node of the cluster that the stream comes from; empty when from this host."""
        found = self.read_metadata()
        return found[1].address if found and found[1].kind == "cluster" else ""

    @property
    def state(self) -> State:
        """Where the segment is in its life."""
        return State(self._words[Word.STATE])

    @state.setter
    def state(self, state: State) -> None:
        self._words[Word.STATE] = state

    @property
    def retired(self) -> bool:
        """Whether the segment is unlinked: the stream must be looked up again."""
        return bool(self._words[Word.STATE] >= State.RETIRED)

    @property
    def metadata_version(self) -> int:
        """Changes with every `write_metadata`."""
        return int(self._words[Word.METADATA_VERSION])

    def is_news(self, position: int, metadata_version: int) -> bool:
        """Whether a reader who has come so far would find a record, new metadata or the end."""
        words = self._words
        return bool(
            words[Word.TAIL] != position
            or words[Word.METADATA_VERSION] != metadata_version
            or words[Word.STATE] >= State.RETIRED
        )

    def publisher_alive(self) -> bool:
        """Whether somebody else holds the publisher lock, that is, lives."""
        return self.segment.locked_elsewhere(PUBLISHER_LOCK)

    def begin_epoch(self, pid: int) -> int:
        """Count a new publisher in; the caller holds the publisher lock.

        Returns:
            The new epoch.
        """
        self.state = State.ATTACHING
        self._words[Word.PUBLISHER_PID] = pid
        self._words[Word.MILLI_FPS] = self._words[Word.BITRATE] = 0
        self._words[Word.CLOCK_OFFSET_US] = 0
        self._words[Word.PUBLISHER_BELL] = 0
        epoch = self.epoch + 1
        self._words[Word.EPOCH] = epoch
        return epoch

    def write_metadata(self, metadata: Metadata) -> None:
        """Replace the metadata; only the publisher may.

        Raises:
            BusError: when it exceeds METADATA_BYTES (init data is the only big part).
        """
        packed = _pack(metadata)
        header = _METADATA_HEADER.size
        version = self.metadata_version + 1
        start = (version & 1) * METADATA_BYTES
        # Seeded with the version: a later version's copy in the same place is no match.
        crc = crc32(packed, version & 0xFFFFFFFF)
        self._metadata[start : start + header] = _METADATA_HEADER.pack(len(packed), crc)
        self._metadata[start + header : start + header + len(packed)] = packed
        # SYNC POINT: the copy is whole before the version that names it.
        full_fence()
        self._words[Word.METADATA_VERSION] = version

    def read_metadata(self) -> tuple[int, Metadata] | None:
        """The present metadata and its version; None before the first.

        Raises:
            SegmentInvalid: when both copies are damaged.
        """
        header = _METADATA_HEADER.size
        for _ in range(_METADATA_ATTEMPTS):
            version = self.metadata_version
            if version == 0:
                return None
            full_fence()
            start = (version & 1) * METADATA_BYTES
            length, crc = _METADATA_HEADER.unpack(self._metadata[start : start + header])
            if length <= METADATA_BYTES - header:
                packed = bytes(self._metadata[start + header : start + header + length])
                if crc32(packed, version & 0xFFFFFFFF) == crc:
                    return version, Metadata(**msgpack.unpackb(packed))
            # The writer lapped this copy: two changes within this look. Look again.
        raise SegmentInvalid(self.segment.name, "its metadata is damaged")

    def want_key(self) -> None:
        """Ask the publisher for a key frame."""
        # As fine as it gets: on Windows, time.monotonic stands still for 16 ms.
        self._words[Word.KEY_WANTED_NS] = time.perf_counter_ns()

    def set_publisher_bell(self, bell: int, token: int) -> None:
        """Let readers ring the publisher with ``token`` when they come, go or want a key frame."""
        self._words[Word.PUBLISHER_TOKEN] = token
        self._words[Word.PUBLISHER_BELL] = bell

    def ring_publisher(self, instance: str) -> None:
        """Ring the publisher if it wants that: a reader came, went or wants a key frame."""
        bell = self._words[Word.PUBLISHER_BELL]
        if not bell:
            return
        # Rare enough to hold no descriptor for it.
        ringer = open_ringer(instance)
        try:
            # Short of descriptors: the publisher looks by itself about once a second.
            with contextlib.suppress(OSError):
                ringer.ring(bell, self._words[Word.PUBLISHER_TOKEN])
        finally:
            ringer.close()

    @property
    def key_wanted_ns(self) -> int:
        """`time.perf_counter_ns` of the last `want_key`; 0: never."""
        return int(self._words[Word.KEY_WANTED_NS])

    @property
    def clock_offset_us(self) -> int:
        """Capturing host's clock minus this host's clock, microseconds."""
        offset = int(self._words[Word.CLOCK_OFFSET_US])
        return offset - 2**64 if offset >= 2**63 else offset

    @clock_offset_us.setter
    def clock_offset_us(self, offset: int) -> None:
        self._words[Word.CLOCK_OFFSET_US] = offset & 0xFFFFFFFFFFFFFFFF

    def info(self) -> StreamInfo:
        """A look at everything that `/api/streams` and people want to know."""
        words = self._words
        live = self.publisher_alive() and not self.retired
        found = self.read_metadata()
        fresh = time.monotonic_ns() - words[Word.HEARTBEAT_NS] < STALE_AFTER_NS
        return StreamInfo(
            name=self.stream,
            live=live,
            metadata=found[1] if found else None,
            publisher_pid=self.publisher_pid,
            epoch=self.epoch,
            frames=words[Word.FRAMES],
            key_frames=words[Word.KEY_FRAMES],
            bytes=words[Word.BYTES],
            fps=words[Word.MILLI_FPS] / 1000 if live and fresh else 0.0,
            bitrate=words[Word.BITRATE] if live and fresh else 0,
            viewers=self.readers.viewers(),
        )

    def close(self) -> None:
        """Unmap."""
        self.segment.close()


def _is_capacity(capacity: int) -> bool:
    return capacity >= CAPACITY_MIN and capacity & (capacity - 1) == 0


def _check_capacity(capacity: int) -> None:
    if not _is_capacity(capacity):
        raise BusError(
            f"ring capacity {capacity} is not a power of two of at least {CAPACITY_MIN} bytes"
        )


def _pack(metadata: Metadata) -> bytes:
    packed: bytes = msgpack.packb(asdict(metadata))
    limit = METADATA_BYTES - _METADATA_HEADER.size
    if len(packed) > limit:
        raise BusError(
            f"init data of {len(metadata.init)} bytes is too large: "
            f"stream metadata is limited to {limit} bytes"
        )
    return packed


def inspect_stream(instance: str, stream: str) -> StreamInfo:
    """Look at a stream without reading it.

    Raises:
        SegmentMissing: when there is no such stream.
        SegmentInvalid: when its segment cannot be read.
    """
    segment = StreamSegment.attach(instance, stream)
    try:
        return segment.info()
    finally:
        segment.close()
