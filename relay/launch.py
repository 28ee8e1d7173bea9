"""The entry of a worker's process, and its composition root.

Here the product's parts are put into the interfaces that workers declare. Signals are held
back by the supervisor and let in once it is said what they mean here. A worker that is asked
to stop asks the supervisor for a replacement, after whose start it drains.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import sys
from collections.abc import Mapping
from functools import partial
from typing import Final, NoReturn

import msgpack

from bus.errors import BusError
from relay import logs
from relay.pages import RelayPages
from relay.restart_policy import EXIT_CANNOT_START
from relay.system import at_session_end, own_signals, raise_descriptor_limit
from relay.worker_process import WorkerSpec
from workers.context import Control, WorkerContext
from workers.worker import run_worker

__all__ = ["let_signals_in", "worker_main"]

log = logging.getLogger(__name__)

_TOO_MANY_FILES: Final = {
    errno.EMFILE: ("this process may open too few files", EXIT_CANNOT_START),
    # Others have them all; that may pass.
    errno.ENFILE: ("this machine has too many open files", 1),
}


def worker_main(
    spec: WorkerSpec, slot: int, row: int, listener: socket.socket, control: Control
) -> NoReturn:
    """Be a worker until drained; never returns.

    Args:
        spec: settings, the same for all workers.
        slot: its number among the workers.
        row: its row in the worker table.
        listener: the inherited listening socket.
        control: the inherited pipe to the supervisor.
    """
    logs.configure(spec.log_level, f"worker-{slot}", spec.log_format, limited=True, worker=slot)
    let_signals_in(control)
    raise_descriptor_limit()
    # A worker may hear of it before its supervisor, who hears of it from here.
    with at_session_end(partial(_send, control, {"type": "admin", "do": "end"})):
        code = _run(spec, slot, row, listener, control)
    sys.exit(code)


def let_signals_in(control: Control) -> None:
    """Say what signals mean to this process, and let them in.

    Args:
        control: where a replacement is asked for.
    """

    own_signals(partial(_send, control, {"type": "recycle"}))


def _send(control: Control, message: Mapping[str, object]) -> None:
    # The pipe is closed when this worker drains already.
    with contextlib.suppress(OSError, ValueError):
        control.send_bytes(msgpack.packb(message))


def _run(spec: WorkerSpec, slot: int, row: int, listener: socket.socket, control: Control) -> int:
    # The flag came with the socket; the object that wraps it here does not know.
    listener.setblocking(False)
    try:
        context = WorkerContext(
            instance=spec.instance,
            row=row,
            slot=slot,
            listener=listener,
            control=control,
            authorizer=spec.authorizer,
            pages=RelayPages(
                spec.instance, row, spec.authorizer, admin=spec.admin, ask=partial(_send, control)
            ),
            limits=spec.limits,
            viewer=spec.viewer,
            engine=spec.engine,
            certificate=spec.certificate,
        )
        return run_worker(context)
    except BusError as exc:
        log.error("%s", exc)
        return EXIT_CANNOT_START
    except Exception as exc:
        if isinstance(exc, OSError) and exc.errno in _TOO_MANY_FILES:
            words, code = _TOO_MANY_FILES[exc.errno]
            log.error("cannot start: %s; raise the limit", words)
            return code
        log.exception("the worker failed; please report this")
        return 1
