"""Accepting with events: nothing is bound to a port, nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from bus.doorbell import open_ringer
from tests.windows.native.test_doorbell_event import waits
from workers.acceptor import Acceptor
from workers.gate import BalanceGate
from workers.table import Column, WorkerState, WorkerTable

assert sys.platform == "win32"

from workers import acceptor_windows  # noqa: E402

RESET = struct.pack("hh", 1, 0)


class Workers:
    """Acceptors on one listener, as if each were a process of its own.

    Attributes:
        failures: what whoever takes the next connections over shall raise.
    """

    def __init__(self, table: WorkerTable, instance: str) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.setblocking(False)
        self.taken: list[list[socket.socket]] = []
        self.acceptors: list[Acceptor] = []
        self._table = table
        self._ringer = open_ringer(instance)
        self._changed = asyncio.Event()
        self.failures: list[Exception] = []

    def start(self) -> Acceptor:
        row = self._table.row(len(self.acceptors))
        row[Column.HEARTBEAT_NS] = 1 << 62
        row[Column.STATE] = WorkerState.READY
        taken: list[socket.socket] = []

        def accepted(connection: socket.socket, address: str) -> None:
            assert address == "127.0.0.1"
            self._changed.set()
            if self.failures:
                raise self.failures.pop()
            taken.append(connection)

        gate = BalanceGate(self._table, row, self._ringer)
        acceptor = Acceptor(self.listener, gate, row, accepted, per_second=100_000)
        self.acceptors.append(acceptor)
        self.taken.append(taken)
        acceptor.start()
        return acceptor

    def connect(self) -> socket.socket:
        return socket.create_connection(self.listener.getsockname())

    def count(self, column: Column) -> int:
        return sum(self._table.row(index)[column] for index in range(len(self.acceptors)))

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()
            self._changed.clear()
            for acceptor in self.acceptors:
                acceptor.rearm()

    async def stop(self, acceptor: Acceptor) -> None:
        retired = asyncio.Event()
        acceptor.stop(retired.set)
        await retired.wait()

    async def close(self) -> None:
        for acceptor in self.acceptors:
            await self.stop(acceptor)
        for connection in (connection for taken in self.taken for connection in taken):
            connection.close()
        self.listener.close()
        self._ringer.close()


@pytest.fixture
def run(instance: str) -> Iterator[Callable[[Callable[[Workers], Awaitable[None]]], None]]:
    """Runs a test's coroutine function on the Proactor loop with workers to start."""
    table = WorkerTable.create(instance, 4, 1)

    def run(test: Callable[[Workers], Awaitable[None]]) -> None:
        async def main() -> None:
            workers = Workers(table, instance)
            try:
                await test(workers)
            finally:
                await workers.close()
            while waits():
                await asyncio.sleep(0.01)

        asyncio.run(main())

    yield run
    table.unlink()
    table.close()


Run = Callable[[Callable[[Workers], Awaitable[None]]], None]


def test_connections_are_spread_evenly(run: Run) -> None:
    async def test(workers: Workers) -> None:
        for _ in range(3):
            workers.start()
        for number in range(1, 31):
            workers.connect().close()
            await workers.until(lambda: sum(map(len, workers.taken)) >= number)  # noqa: B023
        assert [len(taken) for taken in workers.taken] == [10, 10, 10]
        assert workers.count(Column.ACCEPT_ERRORS) == 0

    run(test)


def test_the_listener_is_never_bound_to_a_port(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[Any] = []

    async def test(workers: Workers) -> None:
        proactor: Any = getattr(asyncio.get_running_loop(), "_proactor")  # noqa: B009
        register = proactor._register_with_iocp

        def record(sock: Any) -> None:
            bound.append(sock)
            register(sock)

        monkeypatch.setattr(proactor, "_register_with_iocp", record)
        workers.start()
        with workers.connect():
            await workers.until(lambda: bool(workers.taken[0]))
        (connection,) = workers.taken[0]
        await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, connection)
        assert connection in bound
        assert workers.listener not in bound

    run(test)


def test_a_reset_storm_keeps_the_listener(run: Run) -> None:
    async def test(workers: Workers) -> None:
        workers.start()
        number = workers.listener.fileno()
        for _ in range(500):
            client = workers.connect()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()
            # Now and then the worker comes to see one in time.
            await asyncio.sleep(0)
        with workers.connect() as client:
            client.setblocking(False)
            peer = client.getsockname()

            def served() -> bool:
                return any(peer == _peer(taken) for taken in workers.taken[0])

            await workers.until(served)
        assert workers.listener.fileno() == number
        assert workers.count(Column.ACCEPTED) + workers.count(Column.ACCEPT_ERRORS) == 501

    run(test)


def _peer(connection: socket.socket) -> Any:
    with contextlib.suppress(OSError):
        return connection.getpeername()


def test_who_cannot_take_a_connection_over_loses_just_that(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(workers: Workers) -> None:
        workers.start()
        workers.failures = [OSError("no such thing"), RuntimeError("broken")]
        for left in (1, 0):
            with workers.connect() as client:
                await workers.until(lambda: len(workers.failures) == left)  # noqa: B023
                client.settimeout(30)
                with contextlib.suppress(ConnectionError):
                    assert client.recv(1) == b""
        assert workers.count(Column.CONNECTIONS) == 0
        with workers.connect():
            await workers.until(lambda: len(workers.taken[0]) == 1)
        assert workers.count(Column.CONNECTIONS) == 1

    run(test)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "a connection could not be served"
    ] * 2


def test_a_worker_that_stops_leaves_its_request_to_nobody(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[int | None] = []
    result = acceptor_windows._AcceptEx.result

    def record(self: acceptor_windows._AcceptEx) -> socket.socket:
        try:
            return result(self)
        except OSError as exc:
            ends.append(exc.winerror)
            raise

    monkeypatch.setattr(acceptor_windows._AcceptEx, "result", record)

    async def test(workers: Workers) -> None:
        threads = threading.active_count()
        leaving = workers.start()
        await workers.stop(leaving)
        assert ends == [995]
        assert threading.active_count() == threads
        assert workers.count(Column.ACCEPT_ERRORS) == 0
        with workers.connect():
            workers.start()
            await workers.until(lambda: bool(workers.taken[1]))
        assert not workers.taken[0]

    run(test)


def test_a_connection_that_came_before_the_stop_is_handed_over(run: Run) -> None:
    async def test(workers: Workers) -> None:
        acceptor = workers.start()
        # The kernel has completed the request; the loop has not seen it yet.
        with workers.connect():
            await workers.stop(acceptor)
            assert len(workers.taken[0]) == 1

    run(test)


def test_who_has_more_withdraws_its_request(run: Run) -> None:
    async def test(workers: Workers) -> None:
        first, second = workers.start(), workers.start()
        workers._table.row(0)[Column.CONNECTIONS] = 100
        first.rearm()
        for number in range(1, 11):
            workers.connect().close()
            await workers.until(lambda: sum(map(len, workers.taken)) >= number)  # noqa: B023
        assert len(workers.taken[0]) <= 1, "one may have been under way"
        assert second._row[Column.CONNECTIONS] >= 9

    run(test)


def test_without_the_private_parts_a_thread_accepts(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(workers: Workers) -> None:
        proactor: Any = getattr(asyncio.get_running_loop(), "_proactor")  # noqa: B009
        monkeypatch.delattr(type(proactor), "wait_for_handle")
        acceptor = workers.start()
        for number in range(1, 6):
            workers.connect().close()
            await workers.until(lambda: len(workers.taken[0]) >= number)  # noqa: B023
        await workers.stop(acceptor)
        # What its thread still takes is closed, and the thread ends.
        with workers.connect() as client:
            client.settimeout(30)
            with contextlib.suppress(ConnectionError):
                assert await asyncio.to_thread(client.recv, 1) == b""
        assert len(workers.taken[0]) == 5

    run(test)
