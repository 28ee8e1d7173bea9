"""``relay-publish``: reads the command line, and prints errors as one line."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from bus.errors import InvalidName
from bus.names import check_stream, resolve_instance
from relay.publish import options as parse
from relay.publish.errors import PublishError
from relay.publish.options import PublishOptions
from relay.publish.progress import Console
from relay.publish.sinks.url import publish_url

__all__ = ["main"]

_PROGRAM = "relay-publish"
_EXAMPLES = """\
Examples:
  relay-publish demo --stream demo
      the built-in test pattern, to the relay on this host
  relay-publish screen --stream desk --fps 15 --size 1280x720 --bitrate 2M
      this screen, scaled down
  relay-publish camera:1 --stream door --codec h264
      the second camera, as H.264
  relay-publish clip.mp4 --stream clip --loop
      a file again and again, without encoding it where browsers can decode it
  relay-publish rtsp://camera.local/live --stream yard --to wss://relay.example.net --token-file t
      a network camera, to a relay elsewhere

SOURCE may be any URL that FFmpeg reads. H.264, VP8, VP9, AV1 and JPEG pass through; other
codecs are encoded, as is everything with --encode, --bitrate or --gop, and files and URLs
with --size or --fps. A live source that breaks is opened again; a relay that goes away is
connected to again, and frames that could not leave meanwhile are dropped, not sent late.
Without --to, --instance or $RELAY_INSTANCE names the relay on this host."""

T = TypeVar("T")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    try:
        options = _options(args)
    except (InvalidName, ValueError) as exc:
        parser.error(str(exc))
    console = Console(quiet=options.quiet)
    try:
        from relay.publish.application import Application
    except ImportError as exc:
        if (exc.name or "").split(".")[0] not in ("av", "numpy"):
            raise
        console.error(
            f"{_PROGRAM}: {exc.name} is not installed; run: pip install 'live-frame-relay[publish]'"
        )
        return 1
    try:
        asyncio.run(Application(options, console).run())
    except PublishError as exc:
        console.error(f"{_PROGRAM}: {exc}")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _options(args: argparse.Namespace) -> PublishOptions:
    fields = dict(vars(args))
    token_file = fields.pop("token_file")
    check_stream(args.stream)
    if args.to is not None:
        publish_url(args.to, args.stream)
    else:
        resolve_instance(args.instance)
    fields["token"] = parse.read_token(args.token, token_file, os.environ.get("RELAY_TOKEN"))
    return PublishOptions(**fields)


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        description="Publish a camera, screen, file, URL or test pattern to a relay.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", help="demo, screen[:N], camera[:N], a file, or a URL")
    add("--stream", required=True, metavar="NAME", help="name under which viewers find it")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--to", metavar="URL", help="relay elsewhere: ws://host:port or wss://host")
    where.add_argument("--instance", metavar="NAME", help="which relay on this host")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument(
        "--token", help="token for --to; others on this host can see it: prefer the next"
    )
    secret.add_argument(
        "--token-file", metavar="FILE", help="file with the token; or set $RELAY_TOKEN"
    )
    add("--takeover", action="store_true", help="take the stream from its present publisher")
    add("--loop", action="store_true", help="begin a file again when it ends")
    add("--fps", type=_checked(parse.parse_fps), metavar="N", help="frames per second")
    add("--size", type=_checked(parse.parse_size), metavar="WxH", help="picture size")
    add("--codec", choices=parse.CODECS, default="auto", help="what to publish (default: auto)")
    add("--bitrate", type=_checked(parse.parse_bitrate), metavar="RATE", help="such as 4M or 800k")
    add(
        "--gop",
        dest="gop_s",
        type=_checked(parse.parse_seconds),
        metavar="SECONDS",
        help="longest time between key frames when encoding (default: 2)",
    )
    add("--encode", action="store_true", help="encode even what could pass through")
    add(
        "--ring",
        type=_checked(parse.parse_ring),
        metavar="SIZE",
        help="shared memory for the stream, such as 64M; holds more than one group of pictures",
    )
    add("--frames", type=_checked(_count), metavar="N", help="stop after N frames")
    add(
        "--duration",
        dest="duration_s",
        type=_checked(parse.parse_seconds),
        metavar="SECONDS",
        help="stop after this much video",
    )
    add("--exit-with-parent", action="store_true", help="stop when the parent process dies")
    add("--quiet", action="store_true", help="print errors only")
    return parser


def _checked(parse_value: Callable[[str], T]) -> Callable[[str], T]:
    """Let argparse show the sentence of a ValueError instead of its own."""

    def check(text: str) -> T:
        try:
            return parse_value(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from None

    return check


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a positive number of frames")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
