"""The composition root of `relay-supervisor`: makes the parts, runs them, removes them.

The order matters. Signals are caught before anything exists that a stop would have to
remove. The worker table comes before the port, because it tells who else runs this instance.
At the end nothing of the relay's own stays in shared memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import socket
import sys
from collections.abc import Callable

from bus.keeper import StreamKeeper
from bus.reclaim import reclaim
from bus.segment import VOLATILE
from relay import logs
from relay.auth import build_admin_authorizer, build_authorizer
from relay.certificates import load_certificate
from relay.cluster.settings import bridge_command, check_cluster
from relay.companion import Companion
from relay.config import Config
from relay.errors import ConfigError
from relay.fleet import Fleet, table_rows
from relay.listener import open_listener, url_of
from relay.settings import ServerSettings, SupervisionSettings
from relay.signals import SignalInbox
from relay.supervisor import Supervisor, SupervisorContext
from relay.system import tie_children
from relay.systemd import Notifier, inherited_listener
from relay.version import relay_version
from relay.worker_process import Target, WorkerProcess, WorkerSpec
from workers.certificate import Certificate
from workers.table import WorkerTable

__all__ = ["serve"]

log = logging.getLogger(__name__)


def serve(config: Config, reload: Callable[[], Config], target: Target) -> None:
    """Run a relay until it is told to stop. For the main thread.

    Args:
        config: how.
        reload: reads the configuration again.
        target: what runs in each worker's process.

    Raises:
        RelayError, BusError: one line; everything is removed by then.
    """
    logs.configure(config.server.log_level, "supervisor", config.server.log_format)
    check_cluster(config.cluster)
    notifier = Notifier(os.environ)
    spec = _spec_of(config)
    instance = config.server.instance
    scheme = "http" if spec.certificate is None else "https"
    tie_children()
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(SignalInbox(instance))
        keeper = None
        if VOLATILE:
            keeper = stack.enter_context(contextlib.closing(StreamKeeper(instance)))
        table = WorkerTable.create(instance, table_rows(config.server.workers), os.getpid())
        try:
            for name in reclaim(instance):
                log.info("removed %s, which a dead process left", name)
            with _listener(config) as listener:
                table.url = url_of(listener, scheme)
                spawn = functools.partial(WorkerProcess, target, listener)
                fleet = Fleet(config.server.workers, spec, config.supervision, table, spawn)
                context = SupervisorContext(
                    fleet=fleet,
                    listener=listener,
                    signals=signals,
                    notifier=notifier,
                    keeper=keeper,
                    companions=_companions(config),
                    reload=functools.partial(_reload, config, reload),
                    announce=functools.partial(_announce, config, table),
                )
                Supervisor(context).run()
        finally:
            table.unlink()
            table.close()
            reclaim(instance)


def _listener(config: Config) -> socket.socket:
    return inherited_listener(os.environ) or open_listener(config.server.host, config.server.port)


def _spec_of(config: Config) -> WorkerSpec:
    return WorkerSpec(
        instance=config.server.instance,
        engine=config.server.engine,
        limits=config.limits,
        viewer=config.viewer,
        authorizer=build_authorizer(config.auth),
        log_level=config.server.log_level,
        log_format=config.server.log_format,
        certificate=_certificate(config.server),
        admin=build_admin_authorizer(config.auth),
    )


def _certificate(server: ServerSettings) -> Certificate | None:
    if server.tls_cert:
        return load_certificate(server.tls_cert, server.tls_key)
    if server.tls_key:
        raise ConfigError("--tls-key is nothing without its certificate; name that with --tls-cert")
    return None


def _companions(config: Config) -> list[Companion]:
    instance = config.server.instance
    found = []
    if config.server.demo:
        command = [sys.executable, "-m", "relay.publish", "demo", "--stream", "demo"]
        command += ["--instance", instance, "--quiet", "--exit-with-parent"]
        found.append(Companion("the demo publisher", command))
    if config.cluster.cluster:
        command = bridge_command(
            instance,
            config.cluster,
            config.limits.publish_ring,
            config.server.log_level,
            config.server.log_format,
        )
        found.append(Companion("the bridge to the cluster", command))
    return found


def _reload(running: Config, read: Callable[[], Config]) -> tuple[WorkerSpec, SupervisionSettings]:
    config = read()
    for name in ("host", "port", "workers", "instance", "demo"):
        if getattr(config.server, name) != getattr(running.server, name):
            log.warning("a new value of %s takes effect when the relay is started again", name)
    if config.cluster != running.cluster:
        log.warning("new settings of the cluster take effect when the relay is started again")
    # The instance stays: the table and the publishers are there.
    spec = dataclasses.replace(_spec_of(config), instance=running.server.instance)
    logs.configure(config.server.log_level, "supervisor", config.server.log_format)
    return spec, config.supervision


def _announce(config: Config, table: WorkerTable) -> None:
    count = config.server.workers
    engine = next((row.engine for row in table.rows() if row.engine), config.server.engine)
    workers = "1 worker" if count == 1 else f"{count} workers"
    version = relay_version()
    # Whoever started the relay may have read enough.
    with contextlib.suppress(OSError):
        print(
            f"relay-supervisor {version}: {workers} ({engine}) ready on {table.url}",
            flush=True,
        )
