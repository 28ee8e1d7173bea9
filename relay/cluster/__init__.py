"""Relays on several hosts that serve the same streams, joined through NATS.

Each relay is a *node*. A child of its supervisor, the *bridge*, stands between the node's
shared memory and NATS core; workers do not know that it exists. To them a stream of another
node is a stream with a publisher of kind ``cluster``, whose process is the bridge::

    node north                                                     node south
    publisher ─► ring ─► bridge ───────► NATS ───────► bridge ─► ring ─► workers ─► viewers
                           ◄──────── who wants it ────────┘

**Subjects.** ``relay.v1.<cluster>.<kind>.<sender>…``. The sender's node always stands in the
same place, so that a server's permissions can hold every node to its own name. A dot in a
node's or a stream's name is written ``=``, so that each is one token.

==================================  =======  =================================================
``node.<sender>``                   1/s      a node lives
``stream.<sender>.<stream>``        1/s      a node publishes a stream; also at once when one
                                             begins, changes or ends
``want.<sender>.<owner>.<stream>``  1/s      the sender has viewers; join, key frame, leave
``frames.<sender>.<stream>``                 hello, then frames, then the end: to every node
                                             that wants them
``replay.<sender>.<to>.<stream>``            hello and the newest group of pictures, to a node
                                             that joins while the stream flows already
==================================  =======  =================================================

**Connections.** The first three go over one connection of the bridge (`link`). Each stream that
crosses has one of its own at its owner and at each node that wants it (`lane`), and one more is
kept ready, so that a stream that begins need not wait for one (`connections`). So TCP shares a link
among streams, NATS counts what waits for each, and no stream delays another or the news.

**Directory.** What is not heard for `EXPIRY` seconds is gone, however it went. A stream that is
announced elsewhere is held here by a publisher on standby: it is listed, a second publisher is
refused with the node's name, and its readers ring the bridge.

**Interest.** The first reader makes the bridge subscribe and say so to the owner, which sends a
stream once whatever the number of nodes and viewers, and stops when nobody has wanted it for
`EXPIRY` seconds. The last reader's leaving ends it after a grace period. Its end is announced,
and said once more behind its last frames, for which its readers wait.

**One owner.** Claims to a stream are ordered: the highest term, then the oldest, then the first
node by name. A publisher that was started with takeover gets the next term. Whoever loses,
for example when a cut network heals, is taken over on its own node as by ``--takeover``.

**Loss.** Nothing waits for a slow link. The sender lets little be on its way unconfirmed
(`window`) and drops what grows too old meanwhile, up to a key frame (`outbox`). A receiver
that falls behind drops its connection, and NATS what it holds for it; it goes on over another one,
twice a second at most, with a newer key frame (`incoming`). A frame with a missing piece is dropped
(`pieces`). Whoever cannot go on asks for a key frame.

**Forgery.** NATS's permissions keep it out. Where there are none, a message in another's name
disturbs a stream but does not hold it: frames that do not fit what is believed of the stream
for a second make its receiver ask the owner anew.
"""
