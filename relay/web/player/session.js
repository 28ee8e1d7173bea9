/**
 * One stream being watched: the conversation with the relay, and the state that follows from it.
 *
 *   idle --open--> connecting --hello, first picture--> live --publisher leaves--> ended
 *   connecting --no publisher yet--> waiting --live--> connecting
 *   any --socket lost--> reconnecting --dialled again--> connecting
 *   any --refused by the relay, or not to be decoded here--> error
 *   any but error --tab hidden--> paused --tab shown--> connecting, waiting or ended
 *
 * Invariant: while the tab is hidden there is no decoder, no picture, and no frame asked for. A
 * session is for one stream from its choice to close(); all its numbers count from there. It must
 * not know the DOM.
 */

import { RelayClock, localUs } from "./clock.js";
import { DATA_CODEC, codecProblem } from "./codecs.js";
import { Connection } from "./connection.js";
import { Meter } from "./meter.js";
import { Pipeline } from "./pipeline.js";

/**
 * @typedef {import("./codecs.js").Hello} Hello
 * @typedef {import("./decoders.js").Frame} Frame
 * @typedef {import("./words.js").State} State
 * @typedef {{changed: () => void, picture: (image: any, frame: Frame) => void,
 *   data: (frame: Frame) => void, discard: () => void}} Port
 *   state or reason changed; a picture to paint; a frame that is no video; forget what was not
 *   painted yet
 */

const KEY_FLAG = 1;
const REPORT_MS = 5000;
const FIRST_PINGS = 4;

export class Session {
  #on;
  #hidden;
  #clock = new RelayClock();
  #bits = new Meter();
  #pictures = new Meter();
  #link = this.#newConnection();
  #pipeline = this.#newPipeline();

  /** @type {Hello|null} */
  #hello = null;
  #onAir = false;
  /** Frames are unwanted: this stream cannot be shown here. */
  #refusing = false;
  #turn = 0;
  #startedAt = 0;
  #reportedAt = 0;
  #painted = 0;
  #width = 0;
  #height = 0;
  /** @type {number|null} */
  #seq = null;
  /** @type {number|null} */
  #latencyMs = null;
  /** @type {number|null} */
  #firstFrameMs = null;

  /** @type {State} */
  state = "idle";
  reason = "";
  /** Trying again would not help: the browser will not learn it. */
  hopeless = false;
  /** performance.now() of the last picture */
  shownAt = 0;

  /** @param {boolean} hidden whether the tab is @param {Port} on */
  constructor(hidden, on) {
    this.#hidden = hidden;
    this.#on = on;
  }

  /** @param {string} url of the view endpoint */
  open(url) {
    this.#setState(this.#hidden ? "paused" : "connecting");
    this.#link.start(url, this.#hidden);
  }

  /** There is nothing to open. @param {string} reason */
  fail(reason) {
    this.#setState("error", reason);
  }

  /** Ends it for good, without a word. */
  close() {
    this.state = "idle";
    this.reason = "";
    this.#onAir = false;
    this.#link.stop();
    this.#pipeline.release();
    this.#on.discard();
  }

  /** performance.now() of the next attempt to connect */
  get retryAt() {
    return this.#link.retryAt;
  }

  /** Numbers since the stream was chosen. `seq` belongs to the picture that is on the canvas. */
  stats() {
    const { decoded, dropped, skips, queued } = this.#pipeline;
    return {
      state: this.state,
      decoded,
      dropped, //                               received, but not shown to the decoder or too late
      fps: this.#pictures.perSecond(), //       pictures shown
      latencyMs: this.#latencyMs, //            capture to paint, of the picture on the canvas
      skips: Object.values(skips).reduce((sum, n) => sum + n, 0),
      reconnects: this.#link.reconnects,
      firstFrameMs: this.#firstFrameMs, //      from dialling, or going live, to the first paint
      codec: this.#hello?.codec ?? null,
      width: this.#width,
      height: this.#height,
      seq: this.#seq,
      skipsByCause: { ...skips },
      reason: this.reason,
      painted: this.#painted,
      queued,
      bitrate: this.#bits.perSecond(),
      rttMs: this.#clock.rttMs,
      epoch: this.#hello?.epoch ?? null,
    };
  }

  /** Browsers reclaim the decoders of hidden tabs and throttle their timers, so none is used. */
  hide() {
    this.#hidden = true;
    this.#link.send({ type: "pause" });
    if (!this.#link.active) return;
    this.#link.hold();
    this.#pipeline.release();
    this.#on.discard();
    this.#setState("paused");
  }

  show() {
    this.#hidden = false;
    if (this.state !== "paused") return;
    this.#clock.forget();
    if (this.#link.isOpen) {
      if (!this.#refusing) this.#link.send({ type: "resume" });
      this.#pipeline.afterHidden();
      if (this.#onAir) this.#prepare();
      else this.#offAir("");
    }
    this.#link.release();
  }

  /** The page goes, but may come back: a browser keeps no page that has a socket. */
  leave() {
    this.hide();
    this.#link.disconnect();
  }

  /** The network is back: no need to wait for the next attempt. */
  online() {
    if (!this.#hidden) this.#link.release();
  }

  /** Called once a second while the tab is shown. */
  tick() {
    this.#link.tick();
  }

  /**
   * A picture is on the canvas.
   * @param {Frame} frame
   * @param {number} width
   * @param {number} height
   */
  painted(frame, width, height) {
    this.#width = width;
    this.#height = height;
    this.#shown(frame);
  }

  #newConnection() {
    return new Connection({
      dialling: () => {
        this.#restartFirstFrame();
        this.#setState("connecting");
      },
      opened: () => {
        this.#refusing = false;
        this.#clock.forget();
        this.#link.ping();
      },
      message: (value, bytes) => {
        if (Array.isArray(value)) this.#frame(value, bytes);
        else this.#control(value);
      },
      lost: (why) => this.#cutOff("reconnecting", why),
      refused: (why) => this.#cutOff("error", why),
    });
  }

  #newPipeline() {
    return new Pipeline({
      picture: (image, frame) => this.#picture(image, frame),
      wantKey: () => this.#link.send({ type: "key" }),
      failed: (reason) => this.#refuse(reason),
    });
  }

  /** @param {State} state @param {string} why */
  #cutOff(state, why) {
    this.#onAir = false; // a picture that is still to be painted does not make it live again
    this.#pipeline.release();
    if (!this.#hidden || state === "error") this.#setState(state, why);
  }

  #control(/** @type {any} */ message) {
    switch (message?.type) {
      case "hello":
        this.#greeted(message);
        break;
      case "ended":
        this.#offAir(message.reason ?? "");
        break;
      case "live":
        this.#restartFirstFrame();
        if (!this.#hidden && !this.#onAir) this.#setState("connecting", "The publisher is there.");
        break;
      case "ping":
        this.#link.send({ type: "pong", t0: message.t0, t1: localUs() });
        break;
      case "pong":
        this.#clock.sample(message.t0, message.t1);
        if (this.#hello) this.#hello.offset_us = message.offset_us ?? this.#hello.offset_us;
        if (this.#clock.samples < FIRST_PINGS) this.#link.ping();
        break;
    }
  }

  #greeted(/** @type {Hello} */ hello) {
    this.#hello = hello;
    this.#width = hello.width ?? 0;
    this.#height = hello.height ?? 0;
    this.#onAir = true;
    this.#on.discard();
    this.#clock.seed(hello.server_us);
    this.#pipeline.release();
    this.#pipeline.forgetSequence();
    if (!this.#hidden) this.#prepare();
  }

  /** Gives the stream that hello announced a decoder; meanwhile frames wait in the pipeline. */
  async #prepare() {
    const hello = /** @type {Hello} */ (this.#hello);
    const turn = ++this.#turn;
    this.#setState("connecting");
    const problem = await codecProblem(hello);
    if (turn !== this.#turn || !this.#onAir || this.#hidden) return;
    if (problem) {
      this.#refuse(problem, true);
      return;
    }
    if (this.#refusing) this.#link.send({ type: "resume" });
    this.#refusing = false;
    this.#pipeline.attach(hello);
  }

  /** Stays connected, because the next publisher may use another codec, but takes no frames. */
  #refuse(/** @type {string} */ reason, hopeless = false) {
    this.#refusing = true;
    this.#link.send({ type: "pause" });
    this.#setState("error", reason, hopeless);
  }

  #offAir(/** @type {string} */ reason) {
    this.#onAir = false;
    this.#pipeline.finish();
    if (this.#hidden) return;
    if (this.#painted) {
      const why = reason ? `${reason}. ` : "";
      this.#setState("ended", `${why}Playback resumes when the publisher returns.`);
    } else {
      this.#setState("waiting", "The picture starts by itself.");
    }
  }

  #frame(/** @type {any[]} */ [seq, pts, capture, flags, data], /** @type {number} */ bytes) {
    const at = performance.now();
    this.#bits.add(bytes * 8, at);
    if (this.#hidden || this.#refusing || !this.#onAir) return;
    this.#pipeline.push({ seq, pts, capture, key: (flags & KEY_FLAG) !== 0, data, at });
    if (at - this.#reportedAt > REPORT_MS) this.#report(at);
  }

  /** Driven by frames, not by a timer. */
  #report(/** @type {number} */ at) {
    this.#reportedAt = at;
    const { decoded, dropped } = this.#pipeline;
    this.#link.send({ type: "stats", decoded, dropped, latency_ms: this.#latencyMs });
    this.#link.ping();
  }

  #picture(/** @type {any} */ image, /** @type {Frame} */ frame) {
    if (this.#hello?.codec === DATA_CODEC) {
      this.#shown(frame);
      this.#on.data(frame);
    } else {
      this.#on.picture(image, frame);
    }
  }

  #shown(/** @type {Frame} */ frame) {
    this.#painted++;
    this.#pictures.add(1);
    this.shownAt = performance.now();
    this.#seq = frame.seq;
    const offset = this.#hello?.offset_us ?? 0;
    this.#latencyMs = (this.#clock.nowUs() - (frame.capture - offset)) / 1000;
    this.#firstFrameMs ??= this.shownAt - this.#startedAt;
    if (!this.#onAir || this.#hidden || this.#refusing) return;
    this.#link.forgetFailures();
    this.#setState("live");
  }

  #restartFirstFrame() {
    if (!this.#painted) this.#startedAt = performance.now();
  }

  /** @param {State} state @param {string} [reason] @param {boolean} [hopeless] */
  #setState(state, reason = "", hopeless = false) {
    if (state === this.state && reason === this.reason) return;
    this.state = state;
    this.reason = reason;
    this.hopeless = hopeless;
    this.#on.changed();
  }
}
