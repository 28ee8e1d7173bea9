"""The listening socket."""

from __future__ import annotations

import socket

import pytest

from relay.errors import ListenError
from relay.listener import open_listener, url_of


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="optional: this machine has no IPv6")


class TestOpen:
    def test_listens_without_blocking_and_without_sharing_its_port(self) -> None:
        with open_listener("127.0.0.1", 0) as listener:
            assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            shares = getattr(socket, "SO_REUSEPORT", socket.SO_REUSEADDR)
            assert not listener.getsockopt(socket.SOL_SOCKET, shares)
            assert not listener.get_inheritable()
            with pytest.raises(BlockingIOError):
                listener.accept()

    def test_a_port_is_free_again_while_old_connections_fade(self) -> None:
        with open_listener("127.0.0.1", 0) as listener:
            port = listener.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)) as client:
                listener.setblocking(True)
                listener.accept()[0].close()
                assert client.recv(1) == b""
        open_listener("127.0.0.1", port).close()

    @needs_ipv6
    def test_ipv6_takes_ipv4_only_when_it_takes_all(self) -> None:
        with open_listener("::", 0) as listener:
            assert not listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        with open_listener("::1", 0) as listener:
            assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


class TestMistakes:
    def test_a_port_in_use(self) -> None:
        with open_listener("127.0.0.1", 0) as listener:
            port = listener.getsockname()[1]
            with pytest.raises(ListenError) as caught:
                open_listener("127.0.0.1", port)
        assert str(caught.value) == (
            f"port {port} on 127.0.0.1 is in use; stop the program that uses it, "
            "or choose another with --port (0 picks a free one)"
        )

    def test_an_address_of_another_machine(self) -> None:
        with pytest.raises(ListenError, match=r"192\.0\.2\.1 is no address of this machine"):
            open_listener("192.0.2.1", 0)

    @pytest.mark.parametrize("host", ["no such host", "a" * 70, "x..y"])
    def test_a_host_that_does_not_exist(self, host: str) -> None:
        with pytest.raises(ListenError, match="cannot listen on host"):
            open_listener(host, 0)


class TestUrl:
    def test_names_the_port_that_was_picked(self) -> None:
        with open_listener("127.0.0.1", 0) as listener:
            assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}/"

    def test_all_addresses_are_reached_at_loopback(self) -> None:
        with open_listener("0.0.0.0", 0) as listener:
            assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}/"

    @needs_ipv6
    def test_ipv6_is_bracketed(self) -> None:
        for host in ("::", "::1"):
            with open_listener(host, 0) as listener:
                assert url_of(listener) == f"http://[::1]:{listener.getsockname()[1]}/"
