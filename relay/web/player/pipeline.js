/**
 * Frames in, pictures out, at the live edge. Guards the decoder against gaps, errors and lag.
 *
 *   awaiting key frame --key--> decoding
 *   decoding --gap before a delta frame, decoder error, hopeless lag--> awaiting key frame
 *
 * Invariant: a delta frame whose predecessor is missing never reaches a decoder. It must not
 * know where frames come from, or what becomes of a picture.
 */

import { JPEG_CODEC } from "./codecs.js";
import { openBackend } from "./decoders.js";

/**
 * @typedef {import("./decoders.js").Backend} Backend
 * @typedef {import("./decoders.js").Frame} Frame
 * @typedef {import("./decoders.js").Hello} Hello
 * @typedef {"network"|"decoder"|"hidden"|"error"} Cause
 *   why frames were skipped, as far as a viewer can tell
 */

const LAG_MS = 500; //          waited this long for the decoder: jump at the next key frame;
//                              twice as long: ask for one
const INTRA_LAG_MS = 100; //    the same where every frame is a key frame
const MAX_LAG_MS = 5000; //     no key frame came: stop showing the past, freeze until one comes
const MAX_QUEUE_BYTES = 64 << 20;
const PATIENCE_MS = 1000; //    between two requests for a key frame
const GIVE_UP_MS = 10_000; //   of decoder errors without one picture between them,
const GIVE_UP_ERRORS = 5; //    and at least so many of them

export class Pipeline {
  /** @type {Frame[]} */
  #queue = [];
  #queuedBytes = 0;
  /** What the decoder is made for; null while there must be none. @type {Hello|null} */
  #hello = null;
  /** @type {Backend|null} */
  #backend = null;
  #awaitingKey = true;
  #ending = false;
  /** @type {number|null} */
  #lastSeq = null;
  #afterHidden = false;
  #askedAt = 0;
  /** Decoder errors since the last picture, and when they began. */
  #errors = 0;
  #failingSince = 0;

  decoded = 0;
  dropped = 0;
  /** @type {Record<Cause, number>} */
  skips = { network: 0, decoder: 0, hidden: 0, error: 0 };

  /**
   * @param {{picture: (image: any, frame: Frame) => void, wantKey: () => void,
   *   failed: (reason: string) => void}} on
   */
  constructor(on) {
    this.on = on;
  }

  get queued() {
    return this.#queue.length;
  }

  /** Frees the decoder. Frames pushed from now on wait for attach(), from a key frame on. */
  release() {
    this.#backend?.close();
    this.#backend = this.#hello = null;
    this.#ending = false;
    this.#clear();
    this.#awaitKey();
  }

  /** A new epoch, new init data or a new connection: sequence numbers may start anywhere. */
  forgetSequence() {
    this.#lastSeq = null;
    this.#afterHidden = false;
  }

  /** The tab is back: what is missing before the next frame was not asked for. */
  afterHidden() {
    this.#afterHidden = true;
  }

  /** @param {Hello} hello a stream that codecProblem() has nothing against */
  attach(hello) {
    this.#hello = hello;
    this.#errors = 0;
    this.#rebuild();
  }

  /** The publisher left: show everything that it sent. */
  finish() {
    this.#ending = true;
    this.#pump();
  }

  /** @param {Frame} frame */
  push(frame) {
    const gap = this.#lastSeq !== null && frame.seq !== this.#lastSeq + 1;
    if (gap && (!this.#awaitingKey || this.#afterHidden)) {
      this.skips[this.#afterHidden ? "hidden" : "network"]++;
      if (!frame.key && !this.#awaitingKey) this.#awaitKey(true);
      this.#afterHidden = false;
    }
    if (this.#awaitingKey && !frame.key) {
      this.dropped++;
      this.#askForKey();
      return;
    }
    this.#lastSeq = frame.seq;
    this.#awaitingKey = this.#ending = this.#afterHidden = false;
    this.#holdLiveEdge(frame);
  }

  #holdLiveEdge(/** @type {Frame} */ frame) {
    const lag = this.#queue.length ? frame.at - this.#queue[0].at : 0;
    const allowed = this.#hello?.codec === JPEG_CODEC ? INTRA_LAG_MS : LAG_MS;
    const hopeless = lag > MAX_LAG_MS || this.#queuedBytes > MAX_QUEUE_BYTES;
    if (hopeless || (frame.key && lag > allowed)) {
      this.skips.decoder++;
      this.#clear();
    }
    if (hopeless && !frame.key) {
      this.dropped++;
      this.#awaitKey(true);
      return;
    }
    if (lag > 2 * allowed && !frame.key) this.#askForKey();
    this.#queue.push(frame);
    this.#queuedBytes += frame.data.length;
    this.#pump();
  }

  #pump() {
    while (this.#backend?.ready && this.#queue.length) {
      const frame = /** @type {Frame} */ (this.#queue.shift());
      this.#queuedBytes -= frame.data.length;
      try {
        this.#backend.decode(frame);
      } catch (error) {
        this.#recover(String(error));
      }
    }
    if (this.#ending && this.#backend && !this.#queue.length) {
      this.#ending = false;
      this.#awaitingKey = true;
      this.#backend.flush();
    }
  }

  #rebuild() {
    this.#backend?.close();
    const backend = openBackend(/** @type {Hello} */ (this.#hello), {
      output: (image, frame) => {
        this.decoded++;
        this.#errors = 0;
        this.on.picture(image, frame);
      },
      late: () => this.dropped++,
      // A backend that was replaced meanwhile has no say any more.
      wake: () => this.#backend === backend && this.#pump(),
      error: (reason) => this.#backend === backend && this.#recover(reason),
    });
    this.#backend = backend;
    this.#pump();
  }

  /** A broken frame costs the pictures up to the next key frame, not the player. */
  #recover(/** @type {string} */ reason) {
    this.skips.error++;
    this.#clear();
    this.#awaitKey(true);
    const now = performance.now();
    if (this.#errors++ === 0) this.#failingSince = now;
    if (this.#errors < GIVE_UP_ERRORS || now - this.#failingSince < GIVE_UP_MS) {
      this.#rebuild();
      return;
    }
    this.release();
    this.on.failed(`The decoder gave up on this stream: ${reason}`);
  }

  #clear() {
    this.dropped += this.#queue.length;
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  /** After hello and resume a key frame comes unasked; after damage it must be asked for. */
  #awaitKey(ask = false) {
    this.#awaitingKey = true;
    if (ask) this.#askForKey();
    else this.#askedAt = performance.now();
  }

  #askForKey() {
    const now = performance.now();
    if (now - this.#askedAt < PATIENCE_MS) return;
    this.#askedAt = now;
    this.on.wantKey();
  }
}
