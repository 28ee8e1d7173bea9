"""One worker with a bystander: whatever a peer does, somebody else is watching, too.

The bystander gets every frame, the worker lets go of everything that a test made it hold,
and its counters say exactly what was refused: that is asserted for every test that uses a
`Scene`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

from bus import Publisher
from bus.frame import Frame
from tests.workers.client import Client
from tests.workers.harness import Fleet, wait_until
from workers.table import Column

__all__ = ["REFUSALS", "Scene", "numbers", "stage", "watch"]

REFUSALS: Final = tuple(
    column for column in Column if column.name.startswith(("REFUSED_", "CLOSED_"))
)


class Scene:
    """See the module.

    Attributes:
        fleet: of one worker.
        bystander: watches the stream ``cam``.
    """

    def __init__(self, fleet: Fleet, stack: ExitStack) -> None:
        self.fleet = fleet
        self.row = fleet.worker.row
        self._stack = stack
        self._before = {column: self.row[column] for column in Column}
        self._expected: dict[Column, int] = {}
        self._connections = 0
        self._publisher = self.publish("cam")
        self.bystander = self.connect().upgrade("/view/cam")
        self.bystander.expect("hello")
        self.exchange()

    def connect(self, *, receive_buffer: int = 0, source: str = "") -> Client:
        """A connection that is closed after the test."""
        client = Client(self.fleet.port, receive_buffer=receive_buffer, source=source)
        self._stack.callback(client.close)
        self._connections += 1
        return client

    def http(self, request: bytes, *, source: str = "") -> tuple[int, dict[str, str], bytes]:
        """One plain request, read to the end: status, headers in lower case, body."""
        client = self.connect(source=source)
        client.send(request)
        answer = client.read_all()
        client.assert_no_reset()
        client.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        fields = (line.split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), {name.lower(): value for name, value in fields}, body

    def viewer(self, stream: str = "quiet", *, receive_buffer: int = 0) -> Client:
        """A viewer of a stream that nobody publishes, past its first message."""
        client = self.connect(receive_buffer=receive_buffer).upgrade(f"/view/{stream}")
        assert client.expect("ended")["reason"] == "no publisher yet"
        return client

    def publish(self, stream: str, codec: str = "mjpeg", **more: object) -> Publisher:
        """A publisher that is closed after the test."""
        publisher = Publisher(stream, codec=codec, instance=self.fleet.instance, **more)  # type: ignore[arg-type]
        self._stack.callback(publisher.close)
        return publisher

    def busy_viewer(self, stream: str = "heavy", size: int = 100_000) -> Client:
        """A viewer with video in flight: its worker has more to send than the kernel takes."""
        client = self.viewer(stream, receive_buffer=4096)
        publisher = self.publish(stream)
        frames = self.count(Column.FRAMES_IN)
        for _ in range(60):
            publisher.write(b"v" * size)
        # The bystander's worker has read them all, and was not able to send them all.
        wait_until(lambda: self.count(Column.FRAMES_IN) == frames + 60, "worker read the ring")
        assert client.expect("live") and client.expect("hello")
        return client

    def count(self, column: Column) -> int:
        """How much a column grew since the test began."""
        return self.row[column] - self._before[column]

    def counted(self, column: Column, amount: int) -> None:
        """A column grows by just so much; a worker may count after it has sent."""
        wait_until(lambda: self.count(column) >= amount, f"{column.name} counted")
        assert self.count(column) == amount

    def refused(self, column: Column, count: int = 1) -> None:
        """Wait until the worker counted a refusal; all that is not announced so fails the test."""
        self._expected[column] = self._expected.get(column, 0) + count
        expected = self._expected[column]
        wait_until(lambda: self.count(column) >= expected, f"{column.name} counted")

    def gone(self) -> None:
        """Wait until the worker serves nobody but the bystander."""
        # On Windows, a connection that was reset before it was accepted is an error of accept.
        wait_until(
            lambda: (
                self.count(Column.ACCEPTED) + self.count(Column.ACCEPT_ERRORS) >= self._connections
            ),
            "all accepted",
        )
        wait_until(lambda: self.row[Column.CONNECTIONS] == 1, "connection retired")
        assert self.row[Column.VIEWERS] == 1
        assert self.row[Column.PUBLISHERS] == 0

    def exchange(self, count: int = 3) -> None:
        """Frames for the bystander, which gets them all."""
        sent = [self._publisher.write(b"frame %d" % number) for number in range(count)]
        received = self.bystander.pictures(count)
        assert [picture.seq for picture in received] == sent
        assert [picture.payload for picture in received] == [b"frame %d" % n for n in range(count)]

    def settle(self) -> None:
        """Everything that is asserted after every test."""
        self.exchange()
        refusals = {column.name: self.count(column) for column in REFUSALS if self.count(column)}
        assert refusals == {column.name: count for column, count in self._expected.items()}


@contextmanager
def stage(fleet: Fleet) -> Iterator[Scene]:
    """A scene, and the assertions after it."""
    worker = fleet.worker
    with ExitStack() as stack:
        scene = Scene(fleet, stack)
        yield scene
        scene.settle()
    for column in (Column.CONNECTIONS, Column.VIEWERS, Column.PUBLISHERS):
        wait_until(partial(_is_zero, fleet, column), f"{column.name} is 0")
    # Those of a worker without peers: engine, loop, bell, listener, pipe, table, directory.
    wait_until(lambda: worker.descriptors() <= fleet.idle_descriptors, "descriptors closed")


def _is_zero(fleet: Fleet, column: Column) -> bool:
    return fleet.worker.row[column] == 0


def watch(scene: Scene, publisher: Publisher, query: str = "") -> Client:
    """A viewer of a live stream, past its hello."""
    client = scene.connect().upgrade(f"/view/{publisher.stream}{query}")
    assert client.expect("hello")["epoch"] == publisher.epoch
    return client


def numbers(pictures: list[Frame]) -> list[int]:
    """Their seqs."""
    return [picture.seq for picture in pictures]
