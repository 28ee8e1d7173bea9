"""Tokens from files and the environment: who may do what, and that nobody ever reads them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.bystander import bystanders
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.raw_client import HELLO, ending
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import run
from tests.e2e.wire import close_frame, message

PUBLISH: Final = "publish-secret-4711"
VIEW: Final = "view-secret-0815"
OTHER: Final = "other-secret-1234"
SECRETS: Final = (PUBLISH, VIEW, OTHER)

CONFIG: Final = f"""
[[auth.tokens]]
token = "{OTHER}"
streams = ["door*"]
"""


@pytest.fixture
def guarded(start_relay: StartRelay, tmp_path: Path) -> RelayProcess:
    """A relay with a file of publish tokens, a view token in the environment, and rules."""
    tokens = tmp_path / "publish.tokens"
    tokens.write_text(f"# for the cameras\nan-older-one\n{PUBLISH}\n")
    config = tmp_path / "relay.toml"
    config.write_text(CONFIG)
    return start_relay(
        *("--publish-token-file", str(tokens), "--config", str(config), "--log-level", "debug"),
        workers=2,
        env={"RELAY_VIEW_TOKEN": VIEW},
    )


def test_who_may_do_what(guarded: RelayProcess, publish: StartPublisher) -> None:
    """By header and by query; wrong ones are told why with 1008, which is not retried."""
    relay = guarded
    publish("shm", "cam0", key_every=25)
    hello = message(**HELLO)
    leave = close_frame(1000)

    def bearer(token: str) -> str:
        return f"Authorization: Bearer {token}"

    allowed: list[tuple[str, bytes, str]] = [
        ("/view/cam0", leave, bearer(VIEW)),
        ("/view/cam0", leave, f"authorization: bearer   {VIEW}  "),
        (f"/view/cam0?token={VIEW}", leave, ""),
        ("/view/door1", leave, bearer(OTHER)),
        ("/publish/cam1", hello + leave, bearer(PUBLISH)),
        (f"/publish/cam1?takeover=1&token={PUBLISH}", hello + leave, ""),
        ("/publish/cam1", hello + leave, bearer("an-older-one")),
        ("/publish/door1", hello + leave, bearer(OTHER)),
    ]
    refused: list[tuple[str, bytes, str, str]] = [
        ("/view/cam0", b"", "", "token is needed to view"),
        ("/publish/cam1", hello, "", "token is needed to publish"),
        ("/view/cam0", b"", bearer("wrong"), "may not view"),
        ("/view/cam0?token=wrong", b"", "", "may not view"),
        ("/view/cam0?token=", b"", "", "token is needed"),
        ("/view/cam0?token=%ff%00", b"", "", "may not view"),
        ("/view/cam0?token=caf%C3%A9", b"", "", "may not view"),
        ("/view/cam0", b"", bearer(""), "token is needed"),
        ("/view/cam0", b"", f"Authorization: Basic {VIEW}", "token is needed"),
        ("/view/cam0", b"", f"{bearer(VIEW)}\r\n{bearer('wrong')}", "token is needed"),
        ("/view/cam0", b"", bearer(VIEW + "x"), "may not view"),
        ("/view/cam0", b"", bearer(VIEW[:-1]), "may not view"),
        ("/view/cam0", b"", bearer(PUBLISH), "may not view"),
        ("/view/cam0", b"", bearer(OTHER), "may not view"),
        ("/publish/cam1", hello, bearer(VIEW), "may not publish"),
        ("/publish/cam1", hello, bearer(OTHER), "may not publish"),
        ("/publish/cam1", hello, bearer("# for the cameras"), "may not publish"),
    ]

    async def scenario() -> None:
        wrong = []
        async with bystanders(relay, "cam0", query=f"?token={VIEW}"):
            for path, sent, header in allowed:
                code, reason = await ending(relay.address, path, sent, *filter(None, [header]))
                if code != 1000:
                    wrong.append(f"{path} {header}: {code} {reason!r}")
            for path, sent, header, words in refused:
                code, reason = await ending(relay.address, path, sent, *filter(None, [header]))
                if code != 1008 or words not in reason:
                    wrong.append(f"{path} {header}: {code} {reason!r}")
            metrics = await asyncio.to_thread(relay.metrics)
        assert not wrong, "\n".join(wrong)
        assert metrics['relay_refused_total{reason="auth"}'] == len(refused)

    run(scenario())
    assert not relay.errors()


def test_streams_are_listed_for_those_who_may_view_them(
    guarded: RelayProcess, publish: StartPublisher
) -> None:
    """The list and the metrics name no stream to a stranger."""
    publish("shm", "cam0", key_every=25)
    assert guarded.streams() == {}
    assert 'stream="cam0"' not in guarded.get("/metrics").text
    mine = {"Authorization": f"Bearer {VIEW}"}
    assert [each["name"] for each in guarded.get("/api/streams", mine).json()["streams"]] == [
        "cam0"
    ]
    assert 'stream="cam0"' in guarded.get(f"/metrics?token={VIEW}").text


def test_secrets_are_nowhere_to_be_read(guarded: RelayProcess, publish: StartPublisher) -> None:
    """Not in the log at its most talkative, in no command line, in no page, in no file."""
    relay = guarded
    publish("shm", "cam0", key_every=25)

    async def use_them() -> None:
        for token in (*SECRETS, "wrong-secret"):
            await ending(relay.address, f"/view/cam0?token={token}", close_frame(1000))
            said = message(**HELLO) + close_frame(1000)
            await ending(relay.address, "/publish/door1", said, f"Authorization: Bearer {token}")
            await asyncio.to_thread(relay.get, f"/nothing?token={token}")

    run(use_them())
    commands = [" ".join(process.cmdline()) for process in relay.processes()]
    pages = [relay.get(path).text for path in ("/", "/api/workers", "/api/streams", "/metrics")]
    for text in (relay.log(), relay.output, *commands, *pages):
        for secret in (*SECRETS, "wrong-secret"):
            assert secret not in text
