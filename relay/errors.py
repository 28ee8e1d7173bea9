"""Errors of the product that a person is told in one line.

``str(error)`` names the thing and the remedy; a command prints it and exits non-zero.
"""

from __future__ import annotations

__all__ = [
    "AuthError",
    "CertificateError",
    "ConfigError",
    "ListenError",
    "RelayError",
    "WorkersFailed",
]


class RelayError(Exception):
    """Base class."""


class ConfigError(RelayError, ValueError):
    """An option, a variable or a line of the configuration file that cannot be used."""


class AuthError(ConfigError):
    """A token that cannot be read or used. The message never holds the token."""


class CertificateError(ConfigError):
    """A TLS certificate or key that cannot be used."""


class ListenError(RelayError, OSError):
    """The address cannot be listened on."""


class WorkersFailed(RelayError):
    """Workers do not start, and starting them again would not help.

    Attributes:
        exit_code: exit code for the supervisor, never 0.
    """

    def __init__(self, reason: str, exit_code: int) -> None:
        super().__init__(reason)
        self.exit_code = exit_code
