"""What can go wrong while publishing, as sentences for a person.

``str(error)`` is one line that names the thing and the remedy; the command prints it and
exits non-zero, so no traceback reaches a user.
"""

from __future__ import annotations

__all__ = ["PublishError", "Refused", "SourceError", "SourceLost"]


class PublishError(Exception):
    """Base class: publishing cannot go on."""


class SourceError(PublishError):
    """The source cannot be opened or holds nothing that can be published."""


class SourceLost(PublishError):
    """A source that had been open broke; a live one is worth opening again."""


class Refused(PublishError):
    """The relay does not want this publisher, and trying again would not change that."""
