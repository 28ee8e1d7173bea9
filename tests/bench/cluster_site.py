"""Three relays on hosts of their own, joined through NATS, with everybody who watches them.

Hosts are network namespaces (`tests.cluster.networks`); viewers and browsers come to them over
other cables than the relays' own.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import psutil
from playwright.async_api import Page, async_playwright

from tests.bench.compiling import MissingError
from tests.browser.conftest import FLAGS
from tests.browser.publishing import PublishCommand
from tests.cluster.conftest import Cluster, Node, own_memory
from tests.cluster.networks import Host, Network
from tests.cluster.spread import spread_over, start_on
from tests.e2e.publishers import PublisherProcess
from tests.e2e.relay_process import PROJECT, command
from tests.e2e.viewers import Viewer

__all__ = ["PICTURE", "Audience", "Browser", "Plan", "Site", "browsers_of", "site"]

PICTURE: Final = "picture"
"""The stream for browsers: the others carry proofs, not pictures."""
_WATCH: Final = """
() => {
  const player = document.querySelector("relay-player");
  const seen = (window.pictures = { longest: 0, at: performance.now(), decoded: -1 });
  setInterval(() => {
    const now = performance.now();
    const { decoded } = player.getStats();
    if (decoded !== seen.decoded) {
      seen.longest = Math.max(seen.longest, now - seen.at);
      Object.assign(seen, { at: now, decoded });
    }
  }, 20);
}
"""
_TELL: Final = """
() => {
  const seen = window.pictures;
  const longest = Math.max(seen.longest, performance.now() - seen.at) / 1000;
  seen.longest = 0;
  return { longest, ...document.querySelector("relay-player").getStats() };
}
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything.

    Attributes:
        viewers: of each stream on each host.
        fps, size: of each stream; size is bytes of a frame.
    """

    viewers: int
    fps: int
    size: int


@dataclass(slots=True)
class Audience:
    """Viewers of one host's streams on one host.

    Attributes:
        home: the node that serves them.
        owner: the node that publishes what they watch.
    """

    home: str
    owner: str
    viewers: list[Viewer] = field(default_factory=list)


@dataclass
class Site:
    """See the module. Everything is by the node's name.

    Attributes:
        owners: which node publishes a stream.
        publishers: by stream.
    """

    plan: Plan
    cluster: Cluster
    hosts: dict[str, Host]
    nodes: dict[str, Node]
    owners: dict[str, str]
    publishers: dict[str, PublisherProcess] = field(default_factory=dict)

    def publish(self) -> None:
        """Start the publishers; the second node's is no program of its host's shared memory."""
        plan = self.plan
        for stream, owner in self.owners.items():
            node, host = self.nodes[owner], self.hosts[owner]
            by_socket = owner == list(self.nodes)[1]

            def run_there(module: str, *arguments: str, host: Host = host) -> Any:
                return subprocess.Popen(
                    [*host.prefix, *command(module, *arguments)],
                    cwd=PROJECT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )

            self.publishers[stream] = PublisherProcess(
                "ws" if by_socket else "shm",
                stream,
                instance=node.instance,
                url=f"ws://127.0.0.1:{node.port}",
                fps=plan.fps,
                size=plan.size,
                key_every=2 * plan.fps,
                serves_keys=True,
                run_module=run_there,
            )
        for stream, publisher in self.publishers.items():
            publisher.wait_live()
            for name, node in self.nodes.items():
                if name != self.owners[stream]:
                    node.wait_sees(stream, self.owners[stream])

    def audiences(self) -> list[Audience]:
        """As many viewers of each stream on each host."""
        found: dict[tuple[str, str], Audience] = {}
        for home, node in self.nodes.items():
            for stream, owner in self.owners.items():
                audience = found.setdefault((home, owner), Audience(home, owner))
                audience.viewers += [Viewer(node.address, stream) for _ in range(self.plan.viewers)]
        return list(found.values())

    def kill_node(self, name: str) -> None:
        """kill -9 of the supervisor and all that it started."""
        processes = self.nodes[name].processes()
        # Stopped first: nothing of it acts on the deaths of others.
        for process in processes:
            process.suspend()
        for process in processes:
            process.kill()

    def restart_node(self, name: str) -> None:
        """Start it again, on the same port."""
        port = str(self.nodes[name].port)
        self.nodes[name] = start_on(self.cluster, name, self.hosts[name], "--port", port)

    def memory(self) -> dict[str, tuple[int, int]]:
        """Bytes of each node's bridge and of its workers, without what they share."""
        found = {}
        for name, node in self.nodes.items():
            bridge = node.bridge()
            workers = [psutil.Process(pid) for pid in node.worker_pids()]
            found[name] = own_memory([bridge]), own_memory(workers)
        return found


@contextlib.contextmanager
def site(plan: Plan, instance: str, directory: Path) -> Iterator[Site]:
    """Three nodes and their publishers.

    Raises:
        OSError: namespaces cannot be made here.
    """
    network = Network()
    try:
        hosts = {name: network.host() for name in ("north", "south", "edge")}
        with spread_over(network, hosts, instance, directory) as (cluster, nodes):
            owners = {"cam0": "north", "cam1": "south", "cam2": "edge", "cam3": "north"}
            made = Site(plan, cluster, hosts, {node.name: node for node in nodes}, owners)
            picture = PublishCommand(
                *("demo", PICTURE, made.nodes["north"].instance),
                *("--size", "320x180", "--fps", str(plan.fps), "--codec", "h264"),
            )
            try:
                made.publish()
                yield made
            finally:
                picture.stop()
                for publisher in made.publishers.values():
                    publisher.clean_up()
    finally:
        network.close()


class Browser:
    """A Chromium with one player.

    Attributes:
        home: the node that serves it.
    """

    def __init__(self, home: str, page: Page) -> None:
        self.home = home
        self._page = page

    @classmethod
    async def open(cls, home: str, page: Page, url: str) -> Self:
        """Open a player and wait until it plays."""
        await page.goto(url)
        await page.wait_for_function(
            "() => document.querySelector('relay-player')?.getStats().decoded > 5"
        )
        await page.evaluate(_WATCH)
        return cls(home, page)

    async def tell(self) -> dict[str, Any]:
        """The player's statistics, and seconds of the longest standstill since the last call."""
        found: dict[str, Any] = await self._page.evaluate(_TELL)
        return found


@contextlib.asynccontextmanager
async def browsers_of(made: Site, homes: tuple[str, ...]) -> AsyncIterator[list[Browser]]:
    """A real browser on each of some hosts."""
    executable = shutil.which("chromium")
    if executable is None:
        raise MissingError("chromium is not installed")
    async with async_playwright() as playwright, contextlib.AsyncExitStack() as stack:

        async def start(home: str) -> Browser:
            url = "http://{}:{}".format(*made.nodes[home].address)
            trusted = f"--unsafely-treat-insecure-origin-as-secure={url}"
            chromium = await playwright.chromium.launch(
                executable_path=executable, args=[*FLAGS, trusted]
            )
            stack.push_async_callback(chromium.close)
            return await Browser.open(home, await chromium.new_page(), f"{url}/watch/{PICTURE}")

        yield list(await asyncio.gather(*map(start, homes)))
