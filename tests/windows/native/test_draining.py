"""A worker that drains leaves the kernel nothing to complete."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Any

import msgpack
import multiprocess

from bus import Publisher
from tests.workers.client import Client
from tests.workers.harness import FewPages, OpenAuthorizer, wait_until
from workers.context import WorkerContext
from workers.settings import Limits, ViewerSettings
from workers.table import Column, WorkerTable
from workers.worker import _Worker

assert sys.platform == "win32"

ORDERLY = 20
# Time for the orderly ones to read what is on its way to them.
DRAIN = {"type": "drain", "deadline": 5.0}


def under_way() -> list[Any]:
    """Operations of this loop's port, except those of its own wake-up socket."""
    loop: Any = asyncio.get_running_loop()
    own = loop._self_reading_future
    return [future for future, *_ in loop._proactor._cache.values() if future is not own]


class Peers:
    """Orderly viewers, one that reads nothing, and a connection that says nothing."""

    def __init__(self, port: int, table: WorkerTable, publisher: Publisher) -> None:
        self._row = table.row(0)
        self._viewers = [Client(port).upgrade("/view/cam") for _ in range(ORDERLY)]
        self._idle = [Client(port, receive_buffer=4096).upgrade("/view/cam"), Client(port)]
        wait_until(lambda: self._row[Column.CONNECTIONS] == ORDERLY + 2, "everybody there")
        for viewer in self._viewers:
            viewer.expect("hello")
        # More than the buffers of a connection hold.
        for _ in range(8):
            publisher.write(bytes(1 << 20), key=True)
        for viewer in self._viewers:
            viewer.pictures(1)

    def leave(self) -> None:
        """As they are told to; return when the worker has nobody left."""
        for viewer in self._viewers:
            assert viewer.read_close() == (1012, "this worker is stopping")
            viewer.close()
        wait_until(lambda: self._row[Column.CONNECTIONS] == 0, "all retired")
        for client in self._idle:
            client.close()


def test_nothing_is_under_way_when_it_has_drained(instance: str) -> None:
    """Accepts, receives, sends, the bell: all have completed, also those that were cut off."""
    table = WorkerTable.create(instance, 4, os.getpid())
    supervisor, control = multiprocess.Pipe(duplex=True)

    async def main(publisher: Publisher) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            context = WorkerContext(
                instance=instance,
                row=0,
                slot=0,
                listener=listener,
                control=control,
                authorizer=OpenAuthorizer(),
                pages=FewPages(),
                limits=Limits(),
                viewer=ViewerSettings(),
            )
            port = listener.getsockname()[1]
            serving = asyncio.create_task(_Worker(context).serve())
            peers = await asyncio.to_thread(Peers, port, table, publisher)
            assert len(under_way()) > ORDERLY + 2
            # The second one has nothing to add.
            for _ in range(2):
                supervisor.send_bytes(msgpack.packb(DRAIN))
            await asyncio.to_thread(peers.leave)
            assert await serving == 0
            # What was cut off is cancelled, and the kernel says so in its own time.
            async with asyncio.timeout(30):
                while under_way():
                    await asyncio.sleep(0.01)
            assert listener.fileno() != -1

    try:
        with Publisher("cam", codec="mjpeg", instance=instance) as publisher:
            asyncio.run(main(publisher))
    finally:
        supervisor.close()
        control.close()
        table.unlink()
        table.close()
