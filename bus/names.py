"""Names: which are allowed, and what the operating system's objects are called.

Every shared-memory object of an instance is named here and nowhere else::

    relay@<instance>@directory          who wants to hear of new streams
    relay@<instance>@workers            statistics of a supervisor's workers
    relay@<instance>@viewers@<pid>      those of one worker
    relay@<instance>@cluster            statistics of the bridge to other hosts
    relay@<instance>@stream@<stream>    one ring
    relay@<instance>@bell@<id>          one reader's doorbell

``@`` cannot occur in a name that a user chooses, so no two objects can collide.
"""

from __future__ import annotations

import os
import re

from bus.errors import InvalidName

__all__ = [
    "DEFAULT_INSTANCE",
    "INSTANCE_VARIABLE",
    "bell_object",
    "check_instance",
    "check_stream",
    "cluster_object",
    "directory_object",
    "instance_prefix",
    "resolve_instance",
    "stream_object",
    "stream_of",
    "viewers_object",
    "workers_object",
]

DEFAULT_INSTANCE = "default"
INSTANCE_VARIABLE = "RELAY_INSTANCE"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _check(what: str, name: object) -> str:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise InvalidName(what, name)
    return name


def check_stream(name: object) -> str:
    """Return ``name`` when it is a valid stream name.

    Raises:
        InvalidName: otherwise; nothing has touched the file system.
    """
    return _check("stream", name)


def check_instance(name: object) -> str:
    """Return ``name`` when it is a valid instance name.

    Raises:
        InvalidName: otherwise.
    """
    return _check("instance", name)


def resolve_instance(name: str | None) -> str:
    """The instance to use: ``name``, else ``$RELAY_INSTANCE``, else ``"default"``.

    Raises:
        InvalidName: when the chosen name is not allowed.
    """
    if name is None:
        name = os.environ.get(INSTANCE_VARIABLE) or DEFAULT_INSTANCE
    return check_instance(name)


def instance_prefix(instance: str) -> str:
    """What the names of all objects of ``instance`` begin with."""
    return f"relay@{instance}@"


def directory_object(instance: str) -> str:
    """Object name of the instance's directory."""
    return f"{instance_prefix(instance)}directory"


def workers_object(instance: str) -> str:
    """Object name of the instance's table of workers."""
    return f"{instance_prefix(instance)}workers"


def viewers_object(instance: str, pid: int) -> str:
    """Object name of the viewers of the worker with this process id."""
    return f"{instance_prefix(instance)}viewers@{pid}"


def stream_object(instance: str, stream: str) -> str:
    """Object name of a stream's ring."""
    return f"{instance_prefix(instance)}stream@{stream}"


def cluster_object(instance: str) -> str:
    """Object name of the statistics of the instance's bridge."""
    return f"{instance_prefix(instance)}cluster"


def bell_object(instance: str, bell: int) -> str:
    """Object name of the doorbell with this 64-bit id."""
    return f"{instance_prefix(instance)}bell@{bell:016x}"


def stream_of(instance: str, name: str) -> str | None:
    """The stream that an object name belongs to, or None for other objects."""
    prefix = f"{instance_prefix(instance)}stream@"
    if not name.startswith(prefix):
        return None
    stream = name.removeprefix(prefix)
    return stream if _NAME.fullmatch(stream) else None
