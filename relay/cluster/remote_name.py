"""A remote stream's name in this host's shared memory: on standby, or flowing.

Always held by one publisher of ours, replaced by the next without a moment in between, so
no other program can take the name by accident, and readers notice no more than that a
publisher came.
"""

from __future__ import annotations

from bus.doorbell import Doorbell
from bus.errors import TakenOver
from bus.frame import decode
from bus.publisher import Publisher
from relay.cluster.directory import Claim
from relay.cluster.messages import Hello

__all__ = ["RemoteName"]


class RemoteName:
    """See the module."""

    def __init__(
        self,
        instance: str,
        bell: Doorbell,
        token: int,
        stream: str,
        claim: Claim,
        *,
        takeover: bool,
    ) -> None:
        """Hold the name on standby.

        Args:
            bell: rung, with ``token``, when readers come, go or want a key frame.
            takeover: take it from a publisher of this host.

        Raises:
            BusError, OSError: when that is impossible now.
        """
        self._instance = instance
        self._bell = bell
        self._token = token
        self._stream = stream
        # seq and capture time of the last frame written.
        self._last = (0, 0)
        # Whether the same publisher's frames begin anew, some of which may have been written:
        # the owner's bridge was started again, for example.
        self._resuming = False
        self._publisher = self._standby(claim, takeover=takeover)
        self._publisher.listen(bell, token)

    @property
    def readers(self) -> int:
        """Programs that read the stream or wait for it."""
        return self._publisher.readers

    @property
    def key_requested(self) -> bool:
        """Whether a reader wants a key frame."""
        return self._publisher.key_requested

    @property
    def taken_over(self) -> bool:
        """Whether a program of this host publishes the stream now."""
        return self._publisher.taken_over

    def stand_by(self, claim: Claim) -> None:
        """Let readers wait, and show what the owner announced.

        Raises:
            TakenOver: a program of this host publishes the stream now.
            BusError, OSError: when it is impossible now.
        """
        self._check_ours()
        self._replace(self._standby(claim, takeover=True))

    def flow(self, hello: Hello, node: str, capacity: int) -> None:
        """Begin to write another publisher's frames.

        Args:
            node: the owner.
            capacity: bytes of ring.

        Raises:
            As `stand_by`.
        """
        self._check_ours()
        self._replace(
            Publisher(
                self._stream,
                codec=hello.codec,
                width=hello.width,
                height=hello.height,
                fps=hello.fps,
                init=hello.init,
                instance=self._instance,
                capacity=capacity,
                takeover=True,
                kind="cluster",
                address=node,
            )
        )
        self._resuming = False

    def update(self, hello: Hello) -> None:
        """The same publisher's frames begin anew, with other metadata or the same."""
        self._resuming = True
        self._publisher.update(
            codec=hello.codec,
            width=hello.width,
            height=hello.height,
            fps=hello.fps,
            init=hello.init,
        )

    def set_clock_offset(self, offset_us: int) -> None:
        """As `bus.Publisher.set_clock_offset`."""
        self._publisher.set_clock_offset(offset_us)

    def write(self, envelope: bytes) -> bool:
        """Pass a frame on, unless it was before.

        Returns:
            False when the frame before it is missing, so that a key frame is needed.

        Raises:
            BusError: it is no frame, or cannot be written.
        """
        frame = decode(envelope)
        if self._resuming:
            seq, captured = self._last
            if frame.seq <= seq and frame.capture_us <= captured:
                return True
            if not frame.key and frame.seq != seq + 1:
                return False
            self._resuming = False
        self._last = frame.seq, frame.capture_us
        self._publisher.write_envelope(envelope, key=frame.key)
        return True

    def close(self) -> None:
        """Let go of the name."""
        self._publisher.close()

    def _standby(self, claim: Claim, *, takeover: bool) -> Publisher:
        news = claim.announcement
        return Publisher(
            self._stream,
            codec=news.codec or "application/octet-stream",
            width=news.width,
            height=news.height,
            fps=news.fps,
            instance=self._instance,
            takeover=takeover,
            kind="cluster",
            address=claim.node,
            standby=True,
        )

    def _replace(self, publisher: Publisher) -> None:
        before, self._publisher = self._publisher, publisher
        before.close()
        publisher.listen(self._bell, self._token)

    def _check_ours(self) -> None:
        if self._publisher.taken_over:
            raise TakenOver(self._stream)
