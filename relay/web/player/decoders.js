/**
 * The decoders behind one interface: `ready`, decode(frame), flush(), close().
 *
 * Invariant: pictures come out in presentation order, each to be closed by who gets it; a broken
 * backend says so once and is of no further use.
 */

import { DATA_CODEC, JPEG_CODEC, decoderConfig } from "./codecs.js";
import { MseBackend } from "./mse.js";

/**
 * @typedef {import("./codecs.js").Hello} Hello
 * @typedef {{seq: number, pts: number, capture: number, key: boolean,
 *   data: Uint8Array<ArrayBuffer>, at: number}} Frame
 *   `pts` and `capture` in µs; `at` is performance.now() at arrival
 * @typedef {{output: (image: any, frame: Frame) => void, late: () => void, wake: () => void,
 *   error: (reason: string) => void}} Sink
 *   where a backend puts a picture, says that one came out too late, that it takes more, that it
 *   is broken
 * @typedef {VideoBackend|MseBackend|JpegBackend|DataBackend} Backend
 */

const DEPTH = 4; //       chunks ahead of the output; the others stay where they can be dropped
const LATE_MS = 500; //   an output older than its predecessor by less than this came out of order
const EMPTY = new Uint8Array();

/** @param {Hello} hello @param {Sink} on @returns {Backend} */
export function openBackend(hello, on) {
  if (hello.codec === DATA_CODEC) return new DataBackend(on);
  if (hello.codec === JPEG_CODEC) return new JpegBackend(on);
  if (typeof VideoDecoder === "undefined") return new MseBackend(hello, on);
  return new VideoBackend(decoderConfig(hello), on);
}

/** H.264, VP8, VP9, AV1, … through WebCodecs. */
class VideoBackend {
  #decoder;
  /** Frames inside the decoder by timestamp. @type {Map<number, Frame>} */
  #inside = new Map();
  #newest = -Infinity;

  constructor(/** @type {VideoDecoderConfig} */ config, /** @type {Sink} */ on) {
    this.#decoder = new VideoDecoder({
      output: (image) => this.#output(image, on),
      error: (error) => on.error(error.message),
    });
    this.#decoder.ondequeue = on.wake;
    this.#decoder.configure(config);
  }

  get ready() {
    return this.#decoder.decodeQueueSize < DEPTH;
  }

  decode(/** @type {Frame} */ frame) {
    let timestamp = Number.isSafeInteger(frame.pts) ? frame.pts : frame.seq;
    while (this.#inside.has(timestamp)) timestamp++;
    const type = frame.key ? "key" : "delta";
    this.#decoder.decode(new EncodedVideoChunk({ type, timestamp, data: frame.data }));
    this.#inside.set(timestamp, { ...frame, data: EMPTY });
  }

  /** The stream is over: hand out what waits for reordering. Next must come a key frame. */
  flush() {
    this.#decoder.flush().catch(() => {}); // a reset or an error meanwhile is reported elsewhere
  }

  close() {
    if (this.#decoder.state !== "closed") this.#decoder.close();
  }

  #output(/** @type {VideoFrame} */ image, /** @type {Sink} */ on) {
    const frame = this.#inside.get(image.timestamp);
    for (const timestamp of this.#inside.keys()) {
      if (timestamp <= image.timestamp) this.#inside.delete(timestamp);
    }
    const back = (this.#newest - image.timestamp) / 1000;
    // Low-delay decoding of B-frames without reordering information may let one out too late.
    if (!frame || (back > 0 && back < LATE_MS)) {
      image.close();
      on.late();
    } else {
      this.#newest = image.timestamp;
      on.output(image, frame);
    }
  }
}

/** Motion JPEG: one image at a time, so that order holds. */
class JpegBackend {
  #on;
  #busy = false;
  #closed = false;

  constructor(/** @type {Sink} */ on) {
    this.#on = on;
  }

  get ready() {
    return !this.#busy;
  }

  async decode(/** @type {Frame} */ frame) {
    this.#busy = true;
    try {
      const image = await createImageBitmap(new Blob([frame.data], { type: "image/jpeg" }));
      if (this.#closed) return image.close();
      this.#on.output(image, frame);
      this.#busy = false;
      this.#on.wake();
    } catch (error) {
      if (!this.#closed) this.#on.error(String(error));
    }
  }

  flush() {}

  close() {
    this.#closed = true;
  }
}

/** Frames that are no video are handed out as they are. */
class DataBackend {
  ready = true;

  constructor(/** @type {Sink} */ on) {
    this.decode = (/** @type {Frame} */ frame) => on.output(frame.data, frame);
  }

  flush() {}

  close() {}
}
