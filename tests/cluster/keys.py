"""Keys of NATS, and the tokens that an operator, an account and a user are known by.

What ``nsc`` makes, as far as a server needs it: see "JWT" in the documentation of NATS. Names
of claims are NATS's.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from typing import Any, Self

import nkeys

__all__ = ["Key", "creds_file", "operator_config"]

_UNLIMITED = {"subs": -1, "data": -1, "payload": -1}


@dataclass(frozen=True)
class Key:
    """A pair of keys.

    Attributes:
        seed: the secret one.
        public: the other.
    """

    seed: str
    public: str

    @classmethod
    def make(cls, prefix: int) -> Self:
        """A new one, of a user (`nkeys.PREFIX_BYTE_USER`), for example."""
        seed = nkeys.encode_seed(os.urandom(32), prefix)
        public = nkeys.from_seed(bytearray(seed)).public_key
        return cls(seed.decode(), public.decode())

    def token(self, subject: Key, name: str, **claims: Any) -> str:
        """A token for another key, signed with this one."""
        body = {"iss": self.public, "sub": subject.public, "name": name, "iat": 0, "jti": name}
        parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, {**body, "nats": {"version": 2, **claims}})
        text = ".".join(_base64(json.dumps(part).encode()) for part in parts)
        signature = nkeys.from_seed(bytearray(self.seed.encode())).sign(text.encode())
        return f"{text}.{_base64(signature)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def operator_config(account: Key) -> str:
    """Configuration of a server that knows one account."""
    operator = Key.make(nkeys.PREFIX_BYTE_OPERATOR)
    limits = {**_UNLIMITED, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
    known = operator.token(account, "account", type="account", limits=limits)
    return (
        f"operator: {operator.token(operator, 'operator', type='operator')}\n"
        f"resolver: MEMORY\nresolver_preload: {{ {account.public}: {known} }}\n"
    )


def creds_file(account: Key, node: str) -> str:
    """What ``nsc generate creds`` prints for a user who may be one node."""
    user = Key.make(nkeys.PREFIX_BYTE_USER)
    own = f"relay.v1.relay.*.{node}"
    may = {"pub": {"allow": [own, f"{own}.>"]}, "sub": {"allow": ["relay.v1.relay.>"]}}
    token = account.token(user, node, type="user", **_UNLIMITED, **may)
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
