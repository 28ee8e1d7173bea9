"""The cluster's settings, and what of them can be checked before anything runs."""

from __future__ import annotations

import importlib.util
import re
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bus.errors import InvalidName
from bus.names import check_stream
from relay.errors import ConfigError
from relay.options import options_of
from workers.settings import option

__all__ = [
    "ClusterSettings",
    "bridge_command",
    "check_cluster",
    "credentials",
    "node_name",
    "tls_context",
]

_SCHEMES: Final = ("nats", "tls")


def _check_urls(text: str) -> None:
    for url in text.split(",") if text else ():
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise ValueError(
                f"{_without_secret(url)!r} is no NATS server; write nats://host:4222 or tls://host:4222"
            )
        if parts.username or parts.password:
            raise ValueError(
                "a URL with credentials shows them to everybody; use --cluster-creds FILE"
            )


def _without_secret(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", url)


def _check_name(name: str) -> None:
    try:
        check_stream(name)
    except InvalidName as exc:
        raise ValueError(str(exc).replace("stream name", "name")) from None


def _check_node(name: str) -> None:
    if name:
        _check_name(name)


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Whether and how the relay joins others."""

    cluster: str = option(
        "",
        "NATS servers through which relays join, nats://host:4222[,…]; empty: none",
        check=_check_urls,
    )
    cluster_creds: str = option(
        "", "file with NATS credentials: a .creds file, an nkey seed, or user:password"
    )
    cluster_node: str = option(
        "", "this relay's name in the cluster (default: the host's)", check=_check_node
    )
    cluster_name: str = option(
        "relay", "name of the cluster; relays of several can share NATS", check=_check_name
    )
    cluster_grace: float = option(
        5.0, "seconds that a remote stream goes on after its last viewer left", minimum=0.0
    )
    cluster_ca: str = option("", "file with the certificates that NATS's certificate is checked by")
    cluster_cert: str = option("", "file with the certificate that NATS asks of this relay")
    cluster_key: str = option("", "file with the key to that certificate")


def node_name(settings: ClusterSettings) -> str:
    """The node's name: as set, or made from the host's."""
    if settings.cluster_node:
        return settings.cluster_node
    name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).lstrip("._-")[:64]
    return name or "relay"


def credentials(settings: ClusterSettings) -> dict[str, Any]:
    """Arguments of nats-py's ``connect`` for what the credentials file holds.

    Raises:
        ConfigError: when it cannot be read or holds nothing that is known.
    """
    path = settings.cluster_creds
    if not path:
        return {}
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise ConfigError(f"--cluster-creds {path!r} cannot be read: {reason}") from None
    if "BEGIN NATS USER JWT" in text:
        return {"user_credentials": str(Path(path).expanduser())}
    if re.fullmatch(r"SU[A-Z2-7]{56}", text):
        return {"nkeys_seed_str": text}
    user, colon, password = text.partition(":")
    if colon and user and password and "\n" not in text:
        return {"user": user, "password": password}
    raise ConfigError(
        f"--cluster-creds {path!r} holds neither a .creds file, nor an nkey seed (SU…), "
        "nor user:password in one line"
    )


def tls_context(settings: ClusterSettings) -> ssl.SSLContext | None:
    """The context for TLS; None when nothing asks for it.

    Raises:
        ConfigError: when a file cannot be used.
    """
    asked = settings.cluster_ca or settings.cluster_cert or settings.cluster_key
    if not asked and not any(url.startswith("tls:") for url in settings.cluster.split(",")):
        return None
    if settings.cluster_key and not settings.cluster_cert:
        raise ConfigError("--cluster-key needs the certificate that it belongs to: --cluster-cert")
    used = f"--cluster-ca {settings.cluster_ca!r}"
    try:
        context = ssl.create_default_context(cafile=settings.cluster_ca or None)
        if settings.cluster_cert:
            used = f"--cluster-cert {settings.cluster_cert!r}"
            if settings.cluster_key:
                used += f" with --cluster-key {settings.cluster_key!r}"
            context.load_cert_chain(settings.cluster_cert, settings.cluster_key or None)
    except ssl.SSLError as exc:
        words = (exc.reason or str(exc)).lower().replace("_", " ")
        raise ConfigError(f"{used} cannot be used: OpenSSL says {words}") from None
    except OSError as exc:
        raise ConfigError(f"{used} cannot be used: {exc.strerror or exc}") from None
    return context


def bridge_command(
    instance: str, settings: ClusterSettings, capacity: int, log_level: str, log_format: str
) -> list[str]:
    """The command line of a bridge. It holds no secret: those are in files."""
    command = [sys.executable, "-m", "relay.cluster", "--instance", instance]
    command += ["--capacity", str(capacity)]
    command += ["--log-level", log_level, "--log-format", log_format]
    for each in options_of("cluster", ClusterSettings):
        command += [each.flag, str(getattr(settings, each.name))]
    return command


def check_cluster(settings: ClusterSettings) -> None:
    """Find out now what would otherwise stop the bridge.

    Raises:
        ConfigError: a file or a package is missing.
    """
    known = credentials(settings)
    tls_context(settings)
    if not settings.cluster:
        return
    if importlib.util.find_spec("nats") is None:
        raise ConfigError("--cluster needs nats-py: pip install 'live-frame-relay[cluster]'")
    if known.get("nkeys_seed_str") and importlib.util.find_spec("nkeys") is None:
        raise ConfigError("an nkey needs the package nkeys: pip install nkeys")
