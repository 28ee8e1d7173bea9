"""Signals as something to wait for."""

from __future__ import annotations

import os
import select
import signal
import threading

from relay.signals import SignalInbox, blocked


def test_signals_arrive_in_order_and_wake_up() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with SignalInbox() as inbox:
        assert inbox.read() == []
        assert not select.select([inbox], [], [], 0)[0]
        for number in (signal.SIGHUP, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert select.select([inbox], [], [], 30)[0]
        assert inbox.read() == [signal.SIGHUP, signal.SIGTERM]
        assert inbox.read() == []
    assert signal.getsignal(signal.SIGHUP) is before


def test_signals_held_back_arrive_later() -> None:
    with SignalInbox() as inbox:
        with blocked():
            # To this thread: others of this process hold nothing back.
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            assert inbox.read() == []
        assert inbox.read() == [signal.SIGINT]
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
