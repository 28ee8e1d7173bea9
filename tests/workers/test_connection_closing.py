"""All the ways a connection ends: what the peer sees of it, and that nothing is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.workers.client import Client, Ended, masked
from tests.workers.harness import Fleet
from tests.workers.scene import Scene, stage
from workers.settings import ViewerSettings
from workers.table import Column

CODES = pytest.mark.parametrize(
    ("sent", "echoed"), [(1000, 1000), (1001, 1001), (3000, 3000), (4999, 4999), (None, 1000)]
)


def closes_cleanly(client: Client, scene: Scene) -> None:
    """The server's FIN, our FIN, no RST in either order."""
    client.expect_fin()
    client.finish()
    scene.gone()
    client.assert_no_reset()


class TestPeerCloses:
    """A Close frame from the peer: the code echoed, FIN, and no RST."""

    @CODES
    def test_echoes_the_code(self, scene: Scene, sent: int | None, echoed: int) -> None:
        client = scene.viewer()
        client.say_close(sent)
        assert client.read_close() == (echoed, "")
        closes_cleanly(client, scene)

    @CODES
    def test_echoes_the_code_behind_video(
        self, scene: Scene, sent: int | None, echoed: int
    ) -> None:
        client = scene.busy_viewer()
        client.say_close(sent)
        # Whole frames up to the Close: `read_close` parses every one of them.
        assert client.read_close() == (echoed, "")
        closes_cleanly(client, scene)

    def test_a_reason_is_echoed_too(self, scene: Scene) -> None:
        client = scene.viewer()
        client.say_close(1001, b"going away")
        assert client.read_close() == (1001, "going away")
        closes_cleanly(client, scene)

    def test_what_follows_a_close_is_drained_and_not_reset(self, scene: Scene) -> None:
        client = scene.viewer()
        client.say_close(1001)
        client.send(masked(2, b"z" * 4000) * 500)
        assert client.read_close() == (1001, "")
        client.expect_fin()
        # With data unread on its side the kernel would answer these with RST.
        client.send(masked(2, b"z" * 4000) * 500)
        client.finish()
        scene.gone()
        client.assert_no_reset()

    def test_a_plain_page_connection_ends_without_reset(self, scene: Scene) -> None:
        client = scene.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.read_all().endswith(b"\r\n\r\nhello\n")
        client.send(b"more that nobody asked for")
        client.finish()
        scene.gone()
        client.assert_no_reset()


def close_then_leave(client: Client) -> None:
    client.say_close(1001)
    client.close()


def close_then_reset(client: Client) -> None:
    client.say_close(1001)
    client.reset()


WAYS_TO_LEAVE: dict[str, Callable[[Client], None]] = {
    "Close and close()": close_then_leave,
    "Close and RST": close_then_reset,
    "close()": Client.close,
    "RST": Client.reset,
}


class TestBrowsersLeave:
    """Ways that browsers go: all normal, nothing refused, nothing logged, nobody else harmed."""

    @pytest.mark.parametrize("leave", WAYS_TO_LEAVE.values(), ids=WAYS_TO_LEAVE)
    def test_an_idle_viewer_leaves(self, scene: Scene, leave: Callable[[Client], None]) -> None:
        leave(scene.viewer())
        scene.gone()

    @pytest.mark.parametrize("leave", WAYS_TO_LEAVE.values(), ids=WAYS_TO_LEAVE)
    def test_a_viewer_leaves_with_video_unread(
        self, scene: Scene, leave: Callable[[Client], None]
    ) -> None:
        leave(scene.busy_viewer())
        scene.gone()

    @pytest.mark.parametrize("leave", WAYS_TO_LEAVE.values(), ids=WAYS_TO_LEAVE)
    def test_viewers_of_the_same_stream_leave(
        self, scene: Scene, leave: Callable[[Client], None]
    ) -> None:
        clients = [scene.connect().upgrade("/view/cam") for _ in range(20)]
        for client in clients[::2]:
            leave(client)
        scene.exchange()
        for client in clients[1::2]:
            leave(client)
        scene.exchange()
        scene.gone()

    def test_fin_without_close_is_answered_with_fin(self, scene: Scene) -> None:
        client = scene.viewer()
        client.finish()
        client.expect_fin()
        scene.gone()

    def test_fin_without_close_while_video_is_in_flight(self, scene: Scene) -> None:
        client = scene.busy_viewer()
        client.finish()
        # What was in flight arrives whole, then FIN.
        with pytest.raises(Ended):
            while True:
                client.frame()
        client.assert_no_reset()
        scene.gone()

    def test_reload_storm(self, scene: Scene) -> None:
        """Reloads: the new connection is there before the old one is gone, video unread."""
        tabs = [scene.connect().upgrade("/view/cam") for _ in range(10)]
        for _ in range(8):
            fresh = [scene.connect().upgrade("/view/cam") for _ in tabs]
            for tab in tabs:
                close_then_leave(tab)
            scene.exchange()
            tabs = fresh
        for tab in tabs:
            close_then_leave(tab)
        scene.gone()


class TestRelayCloses:
    """A refused peer, and peers that do not finish."""

    def test_refusal_says_code_and_reason_then_fin(self, scene: Scene) -> None:
        client = scene.connect().upgrade("/view/..")
        code, reason = client.read_close()
        assert code == 1008
        assert "invalid stream name" in reason
        # The closing handshake is the peer's to answer: `read_close` did.
        closes_cleanly(client, scene)
        scene.refused(Column.REFUSED_NAME)

    def test_unauthorised_viewer_is_refused(self, scene: Scene) -> None:
        client = scene.connect().upgrade("/view/secret")
        assert client.read_close() == (1008, "you may not view this stream")
        closes_cleanly(client, scene)
        scene.refused(Column.REFUSED_AUTH)

    def test_query_and_header_tokens_are_accepted(self, scene: Scene) -> None:
        by_query = scene.connect().upgrade("/view/secret?token=open-sesame")
        by_header = scene.connect().upgrade("/view/secret", Authorization="Bearer open-sesame")
        for client in (by_query, by_header):
            client.expect("ended")

    def test_a_peer_that_never_answers_a_close_is_reset(
        self, start_fleet: Callable[..., Fleet]
    ) -> None:
        fleet = start_fleet(viewer=ViewerSettings(close_timeout=0.4))
        with stage(fleet) as scene:
            client = scene.viewer()
            client.send(masked(1, b"text is refused"))
            scene.refused(Column.REFUSED_PROTOCOL)
            # Never reads, never closes.
            scene.gone()
            scene.exchange()

    def test_a_peer_that_never_sends_fin_is_reset(self, start_fleet: Callable[..., Fleet]) -> None:
        fleet = start_fleet(viewer=ViewerSettings(close_timeout=0.4))
        with stage(fleet) as scene:
            client = scene.viewer()
            client.say_close(1000)
            assert client.read_close() == (1000, "")
            client.expect_fin()
            scene.gone()
            with pytest.raises(ConnectionError):
                while True:
                    client.send(b"x")

    def test_a_close_behind_video_that_nobody_reads_is_given_up(
        self, start_fleet: Callable[..., Fleet]
    ) -> None:
        fleet = start_fleet(viewer=ViewerSettings(close_timeout=0.4))
        with stage(fleet) as scene:
            client = scene.busy_viewer()
            client.say_close(1000)
            scene.gone()

    def test_a_silent_peer_is_pinged_and_then_closed(
        self, start_fleet: Callable[..., Fleet]
    ) -> None:
        settings = ViewerSettings(ping_interval=0.4, ping_timeout=0.6)
        fleet = start_fleet(viewer=settings)
        with stage(fleet) as scene:
            client = scene.viewer()
            # Reads nothing, so it answers no ping; the bystander does, in `exchange`.
            while not scene.count(Column.CLOSED_SILENT):
                scene.exchange()
            scene.refused(Column.CLOSED_SILENT)
            scene.gone()
            client.close()

    def test_a_peer_that_answers_pings_stays(self, start_fleet: Callable[..., Fleet]) -> None:
        fleet = start_fleet(viewer=ViewerSettings(ping_interval=0.3, ping_timeout=0.6))
        with stage(fleet) as scene:
            client = scene.viewer()
            for _ in range(2):
                # The protocol answers each of them.
                while client.frame().opcode != 9:
                    pass
                scene.exchange()
            assert scene.row[Column.VIEWERS] == 2
