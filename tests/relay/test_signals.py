"""Requests to the supervisor as something to wait for."""

from __future__ import annotations

import os
import select
import signal
import threading

from relay.signals import Request, SignalInbox
from relay.system import hold_back_signals, request_reload
from tests.platforms import posix_only

INSTANCE = f"inbox-{os.getpid()}"


@posix_only
def test_signals_arrive_in_order_and_wake_up() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with SignalInbox(INSTANCE) as inbox:
        assert inbox.read() == []
        assert not select.select(inbox.sources, [], [], 0)[0]
        for number in (signal.SIGHUP, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert select.select(inbox.sources, [], [], 30)[0]
        assert inbox.read() == [Request("SIGHUP", reload=True), Request("SIGTERM")]
        assert inbox.read() == []
    assert signal.getsignal(signal.SIGHUP) is before


@posix_only
def test_signals_held_back_arrive_later() -> None:
    with SignalInbox(INSTANCE) as inbox:
        with hold_back_signals():
            # To this thread: others of this process hold nothing back.
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            assert inbox.read() == []
        assert inbox.read() == [Request("SIGINT")]
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_another_process_asks_for_a_reload() -> None:
    with SignalInbox(INSTANCE) as inbox:
        assert inbox.read() == []
        request_reload(INSTANCE, os.getpid())
        (request,) = inbox.read()
        assert request.reload
        assert inbox.read() == []
