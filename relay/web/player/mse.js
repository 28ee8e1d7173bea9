/**
 * A decoder for pages without WebCodecs: a video element that is fed through Media Source
 * Extensions and never shown; its pictures are copied out.
 *
 * Invariant: as of every backend in decoders.js. The element is kept at the newest frame.
 */

import { avcRecord, lengthPrefixed, nalUnits } from "./annexb.js";
import { fragment, initSegment, isMuxable, join } from "./fmp4.js";
import { Timeline } from "./timeline.js";

/**
 * @typedef {import("./codecs.js").Hello} Hello
 * @typedef {import("./decoders.js").Frame} Frame
 * @typedef {import("./decoders.js").Sink} Sink
 */

const DEPTH = 64; //       frames that wait for the source buffer
/** Farther from the newest frame than so many seconds, the element plays so much faster. */
const RATES = [
  { behind: 0.4, rate: 1.5 },
  { behind: 0.1, rate: 1.1 },
];
const BEHIND_S = 1; //     farther than this it jumps, and decodes anew from a key frame on
const KEEP_S = 10; //      of the past
const US = 1_000_000;
const EMPTY = new Uint8Array();

const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;

/** @param {Hello} hello */
export function canPlay({ codec }) {
  return Boolean(
    Source &&
      "requestVideoFrameCallback" in HTMLVideoElement.prototype &&
      isMuxable(codec) &&
      Source.isTypeSupported(mimeType(codec)),
  );
}

function mimeType(/** @type {string} */ codec) {
  return `video/mp4; codecs="${codec}"`;
}

export class MseBackend {
  #hello;
  #on;
  #source = new Source();
  #video = document.createElement("video");
  /** @type {SourceBuffer|null} */
  #buffer = null;
  /** @type {Uint8Array<ArrayBuffer>[]} */
  #waiting = [];
  #timeline;
  /** Frames inside the element by presentation time. @type {Map<number, Frame>} */
  #inside = new Map();
  #number = 0;
  /** The description that the element was given last, as text. */
  #described = "";
  #closed = false;

  constructor(/** @type {Hello} */ hello, /** @type {Sink} */ on) {
    this.#hello = hello;
    this.#on = on;
    this.#timeline = new Timeline(hello.fps);
    const video = this.#video;
    video.muted = video.playsInline = video.disableRemotePlayback = true;
    video.onerror = () => this.#fail(video.error?.message || "the video element failed");
    this.#source.onsourceopen = () => this.#opened();
    video.src = URL.createObjectURL(this.#source);
    video.requestVideoFrameCallback((_, { mediaTime }) => this.#shown(mediaTime));
  }

  get ready() {
    return this.#waiting.length < DEPTH;
  }

  decode(/** @type {Frame} */ frame) {
    const { codec, init } = this.#hello;
    let data = frame.data;
    if (init?.length || !codec.startsWith("avc")) {
      this.#describe(init);
    } else {
      const units = nalUnits(data);
      const record = frame.key ? avcRecord(units) : null;
      if (record) this.#describe(record);
      data = lengthPrefixed(units);
    }
    if (!this.#number) throw new Error("the stream has no parameter sets in its first key frame");
    const { time, offset, duration } = this.#timeline.place(frame.pts, frame.key);
    this.#inside.set(time + offset, { ...frame, data: EMPTY });
    const number = this.#number++;
    this.#waiting.push(fragment({ number, time, offset, duration, key: frame.key, data }));
    this.#feed();
  }

  /** Everything that was fed is shown by itself. */
  flush() {}

  close() {
    this.#closed = true;
    this.#inside.clear();
    this.#waiting = [];
    this.#source.onsourceopen = this.#video.onerror = null;
    if (this.#buffer) this.#buffer.onupdateend = null;
    URL.revokeObjectURL(this.#video.src);
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  /** A new description is a new init segment. */
  #describe(/** @type {Uint8Array} */ init) {
    const text = String(init);
    if (this.#number && text === this.#described) return;
    const segment = initSegment({ ...this.#hello, init });
    if (!segment) throw new Error("the stream does not describe its decoder");
    this.#waiting.push(segment);
    this.#described = text;
    this.#number ||= 1;
  }

  #opened() {
    URL.revokeObjectURL(this.#video.src);
    this.#buffer = this.#source.addSourceBuffer(mimeType(this.#hello.codec));
    this.#buffer.onupdateend = () => this.#fed();
    this.#feed();
  }

  /** One append for all that waits. */
  #feed() {
    if (!this.#buffer || this.#buffer.updating || !this.#waiting.length) return;
    const whole = join(...this.#waiting);
    this.#waiting = [];
    try {
      this.#buffer.appendBuffer(whole);
    } catch (error) {
      this.#fail(String(error));
    }
  }

  #fed() {
    if (this.#closed) return;
    this.#holdLiveEdge();
    const { buffered } = this.#video;
    const past = this.#video.currentTime - KEEP_S;
    if (this.#waiting.length) this.#feed();
    else if (buffered.length && buffered.start(0) < past - KEEP_S) this.#buffer?.remove(0, past);
    this.#on.wake();
  }

  #holdLiveEdge() {
    const video = this.#video;
    const newest = this.#timeline.newest / US;
    const behind = newest - video.currentTime;
    if (behind > BEHIND_S && !video.seeking) video.currentTime = newest;
    video.playbackRate = RATES.find((each) => behind > each.behind)?.rate ?? 1;
    if (video.paused) video.play().catch((error) => this.#refused(error));
  }

  /** A play() that the next one or close() takes back is no failure. */
  #refused(/** @type {DOMException} */ error) {
    if (error.name === "NotAllowedError") this.#fail("this browser does not let videos start");
  }

  async #shown(/** @type {number} */ mediaTime) {
    if (this.#closed) return;
    this.#video.requestVideoFrameCallback((_, shown) => this.#shown(shown.mediaTime));
    const frame = this.#frameAt(Math.round(mediaTime * US));
    if (!frame) return;
    const image = await createImageBitmap(this.#video);
    if (this.#closed) image.close();
    else this.#on.output(image, frame);
  }

  /** The frame of that time, give or take what rounding does; older ones are forgotten. */
  #frameAt(/** @type {number} */ time) {
    const shown = Math.max(...[...this.#inside.keys()].filter((at) => at <= time + 1));
    const frame = this.#inside.get(shown);
    for (const at of this.#inside.keys()) if (at <= shown) this.#inside.delete(at);
    return frame;
  }

  #fail(/** @type {string} */ reason) {
    if (!this.#closed) this.#on.error(reason);
  }
}
