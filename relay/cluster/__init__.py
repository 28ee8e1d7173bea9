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
``frames.<sender>.<stream>``                 hello, then frames: to every node that wants them
``replay.<sender>.<to>.<stream>``            hello and the newest group of pictures, to a node
                                             that joins while the stream flows already
==================================  =======  =================================================

**Directory.** What is not heard for `EXPIRY` seconds is gone, however it went. A stream that is
announced elsewhere is held here by a publisher on standby: it is listed, a second publisher is
refused with the node's name, and its readers ring the bridge.

**Interest.** The first reader makes the bridge subscribe and say so to the owner, which sends a
stream once whatever the number of nodes and viewers, and stops when nobody has wanted it for
`EXPIRY` seconds. The last reader's leaving ends it after a grace period.

**One owner.** Claims to a stream are ordered: the highest term, then the oldest, then the first
node by name. A publisher that was started with takeover gets the next term. Whoever loses,
for example when a cut network heals, is taken over on its own node as by ``--takeover``.

**Loss.** Nothing waits for a slow link: frames that are too old at the sender's edge are
dropped up to a key frame (`outbox`), a receiver that falls behind leaves the subject until
what NATS holds for it has drained (`incoming`), and a frame with a missing piece is dropped
(`pieces`). Whoever cannot go on asks for a key frame.
"""
