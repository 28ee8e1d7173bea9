"""Following one stream across everything that can happen to its publisher.

A `Subscription` never blocks. It reads what is there, tells of a publisher that came,
changed or went, and is rung (through its owner's doorbell) when there may be more. Workers
use it in their loop; `bus.Subscriber` wraps it for programs that want to block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from bus.doorbell import Doorbell
from bus.errors import SegmentMissing
from bus.layout import State
from bus.readers import ReaderSlot
from bus.ring import Record, RingReader
from bus.stream import Metadata, StreamSegment

__all__ = ["Ended", "Started", "Subscription"]


class Ended(Enum):
    """Why there is no publisher any more."""

    CLOSED = "the publisher ended the stream"
    DIED = "the publisher is gone"
    REPLACED = "another publisher takes the stream over"


@dataclass(frozen=True, slots=True)
class Started:
    """A publisher is there, or its init data changed; records of its own follow.

    Attributes:
        metadata: what viewers must know before the next record.
    """

    metadata: Metadata


class Subscription:
    """One process's reading position in one stream.

    Attributes:
        stream: stream name.
        lost: records of this stream that were never returned, in total.
    """

    __slots__ = (
        "_bell",
        "_corrupt",
        "_died",
        "_dropped",
        "_held",
        "_instance",
        "_metadata_version",
        "_prefix",
        "_reader",
        "_segment",
        "_slot",
        "_token",
        "_viewers",
        "_waited",
        "lost",
        "stream",
    )

    def __init__(
        self,
        instance: str,
        stream: str,
        bell: Doorbell,
        token: int,
        prefix: Callable[[int], bytes] | None = None,
    ) -> None:
        """Follow a stream, whether it exists or not.

        Args:
            instance: whose.
            stream: its name.
            bell: what is rung when there may be something new.
            token: the number to ring it with.
            prefix: see `bus.ring.RingReader`.
        """
        self._instance = instance
        self.stream = stream
        self._bell = bell
        self._token = token
        self._prefix = prefix
        self._segment: StreamSegment | None = None
        self._reader: RingReader | None = None
        self._slot: ReaderSlot | None = None
        # A record read ahead of the news that must be told first.
        self._held: Record | None = None
        self._metadata_version = 0
        self._died = False
        # Whether we were here before the publisher: then its first frame is ours, too.
        self._waited = False
        self._viewers = 0
        self.lost = 0
        self._corrupt = 0
        # Records thrown away since the last one returned.
        self._dropped = 0

    @property
    def corrupt(self) -> int:
        """Records that failed their checksum, in total."""
        return self._corrupt + (self._reader.corrupt if self._reader is not None else 0)

    @property
    def attached(self) -> bool:
        """Whether a segment is mapped (its publisher may be dead)."""
        return self._segment is not None

    def try_attach(self) -> bool:
        """Map the stream's segment if there is one.

        Raises:
            SegmentInvalid: when there is one that cannot be used.
            TooManyReaders: when its reader table is full.
        """
        if self._segment is not None:
            return True
        try:
            segment = StreamSegment.attach(self._instance, self.stream)
        except SegmentMissing:
            self._waited = True
            return False
        if segment.retired:
            segment.close()
            self._waited = True
            return False
        try:
            self._slot = segment.readers.claim(self._bell, self._token)
        except BaseException:
            segment.close()
            raise
        self._slot.set_viewers(self._viewers)
        self._segment = segment
        self._reader = RingReader(segment.segment, self._prefix)
        self._metadata_version = 0
        # Before the question: whatever a publisher does after it is news.
        version = segment.metadata_version
        self._died = not segment.publisher_alive() or segment.state is State.ATTACHING
        if self._died:
            # Pictures of a publisher that is gone are no live stream.
            self._reader.seek_tail()
            self._metadata_version = version
        elif self._waited:
            self._reader.seek_start()
        self._waited = False
        segment.ring_publisher(self._instance)
        return True

    def poll(self) -> Record | Started | Ended | None:
        """The next thing that happened, or None when there is nothing new yet.

        ``Started`` comes before the first record of every publisher and before a record
        with new init data; ``Ended`` after the last. A record's ``lost`` counts all that
        were missed or thrown away before it, whatever was told in between.
        """
        segment, reader = self._segment, self._reader
        if segment is None or reader is None:
            return None
        while True:
            record, self._held = self._held, None
            if record is None:
                if (record := reader.read()) is None:
                    if segment.metadata_version != self._metadata_version and reader.pending:
                        # Written before the change: it must be read before the change is told.
                        continue
                    break
                self.lost += record.lost
            if record.metadata_version == self._metadata_version & 0xFFFFFFFF:
                if self._dropped:
                    record = record._replace(lost=record.lost + self._dropped)
                    self._dropped = 0
                return record
            if (started := self._news(segment)) is not None:
                self._held = record
                return started
            # Left over from metadata that has been replaced: nobody can decode it now.
            self.lost += 1
            self._dropped += record.lost + 1
        if (started := self._news(segment)) is not None:
            return started
        if not segment.retired:
            return None
        replaced = segment.state is State.REPLACED
        self._detach()
        if self._died:
            return None
        return Ended.REPLACED if replaced else Ended.CLOSED

    def again(self, position: int) -> bytes | None:
        """The data of an earlier record of the publisher of now; None once it is overwritten.

        Args:
            position: the record's.
        """
        return None if self._reader is None else self._reader.again(position)

    def _news(self, segment: StreamSegment) -> Started | None:
        if segment.metadata_version == self._metadata_version:
            return None
        found = segment.read_metadata()
        if found is None:
            return None
        self._metadata_version, metadata = found
        self._died = False
        return Started(metadata)

    def check_publisher(self) -> Ended | None:
        """Notice a publisher that died without a word; for use when a stream is silent."""
        segment = self._segment
        if segment is None or self._died or segment.retired or segment.publisher_alive():
            return None
        self._died = True
        return Ended.DIED

    def sleep(self) -> bool:
        """Ask to be rung; False when there is something to read already."""
        if self._slot is None or self._segment is None or self._reader is None:
            return True
        self._slot.sleep()
        if self._segment.is_news(self._reader.position, self._metadata_version):
            self._slot.awake()
            return False
        return True

    def want_key(self) -> None:
        """Ask the publisher for a key frame."""
        if self._segment is not None:
            self._segment.want_key()
            self._segment.ring_publisher(self._instance)

    @property
    def clock_offset_us(self) -> int:
        """Capturing host's clock minus this host's clock, microseconds."""
        return self._segment.clock_offset_us if self._segment is not None else 0

    def set_viewers(self, count: int) -> None:
        """Tell how many viewers this process serves from the stream."""
        self._viewers = count
        if self._slot is not None:
            self._slot.set_viewers(count)

    def _detach(self) -> None:
        if self._segment is not None and self._slot is not None:
            self._segment.readers.release(self._slot)
            self._segment.ring_publisher(self._instance)
            self._segment.close()
        self._corrupt = self.corrupt
        self._dropped = 0
        self._segment = self._reader = self._slot = self._held = None
        self._waited = True

    def close(self) -> None:
        """Stop reading. May be called twice."""
        self._detach()
