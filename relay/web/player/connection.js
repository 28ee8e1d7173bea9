/**
 * One WebSocket that comes back.
 *
 * Invariant: at most one socket and one timer at a time; held (the tab is hidden) it does not
 * redial; refused (close code 1008) it never does. It must not know what the messages mean.
 */

import { localUs } from "./clock.js";
import { pack, unpack } from "./msgpack.js";

const BACKOFF_MS = 250;
const BACKOFF_CAP_MS = 8000;
const RESTART_SPREAD_MS = 500; //   code 1012: come back at once, but not all in the same instant
const BUSY_MS = 2000; //            code 1013: come back later
const LASTED_MS = BACKOFF_CAP_MS; // of use, too: a connection that waited this long for a picture
const PING_AFTER_TICKS = 5;
const DEAD_AFTER_TICKS = 15; //     ticks of one second without a byte

const POLICY = 1008;
const RESTART = 1012;
const BUSY = 1013;

/** @type {Record<number, string>} */
const REASONS = { [RESTART]: "the relay restarts", [BUSY]: "the relay is busy" };

/**
 * Full-jitter exponential backoff, in ms.
 * @param {number} code close code
 * @param {number} attempt from 0
 * @param {number} [random] from 0 to 1
 */
export function retryDelay(code, attempt, random = Math.random()) {
  if (code === RESTART && attempt === 0) return random * RESTART_SPREAD_MS;
  if (code === BUSY) return BUSY_MS + random * BACKOFF_CAP_MS;
  return random * Math.min(BACKOFF_CAP_MS, BACKOFF_MS * 2 ** attempt);
}

export class Connection {
  /** @type {WebSocket|null} */
  #socket = null;
  #url = "";
  #timer = 0;
  #attempt = 0;
  #openedAt = 0;
  #opened = 0;
  #silentTicks = 0;
  #held = false;
  /** performance.now() of the next attempt */
  retryAt = 0;

  /**
   * @param {{dialling: () => void, opened: () => void,
   *   message: (value: any, bytes: number) => void, lost: (why: string) => void,
   *   refused: (why: string) => void}} on
   */
  constructor(on) {
    this.on = on;
  }

  /** Open, or to be opened again. */
  get active() {
    return this.#url !== "";
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  get reconnects() {
    return Math.max(0, this.#opened - 1);
  }

  /** @param {string} url @param {boolean} held */
  start(url, held) {
    this.#url = url;
    this.#held = held;
    if (!held) this.#dial();
  }

  /** Closes for good. */
  stop() {
    this.#url = "";
    this.disconnect();
  }

  /** Closes the socket; release() opens another one. */
  disconnect() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
  }

  hold() {
    this.#held = true;
    clearTimeout(this.#timer);
  }

  /** Ends hold(), and any waiting: dials now if there is no socket. */
  release() {
    this.#held = false;
    if (this.#url && !this.#socket) this.#dial();
  }

  /** This connection is of use: the next failure counts as the first. */
  forgetFailures() {
    this.#attempt = 0;
  }

  /** @param {Record<string, string|number|null>} message */
  send(message) {
    if (this.isOpen) this.#socket?.send(pack(message));
  }

  ping() {
    this.send({ type: "ping", t0: localUs() });
  }

  /** Once a second while visible. Not clock time: a page that slept heard no silence. */
  tick() {
    if (!this.#socket) return;
    this.#silentTicks++;
    if (this.#silentTicks % PING_AFTER_TICKS === 0) this.ping();
    if (this.#silentTicks >= DEAD_AFTER_TICKS) this.#fail("the relay went silent");
  }

  #dial() {
    clearTimeout(this.#timer);
    this.#openedAt = this.#silentTicks = 0;
    this.on.dialling();
    let socket;
    try {
      socket = new WebSocket(this.#url);
    } catch (error) {
      this.#url = "";
      this.on.refused(String(/** @type {Error} */ (error).message)); // ws:// from an https page
      return;
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#openedAt = performance.now();
      this.#opened++;
      this.on.opened();
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#down(code, reason);
  }

  #receive(/** @type {ArrayBuffer} */ data) {
    this.#silentTicks = 0;
    let value;
    try {
      value = unpack(data);
    } catch {
      this.#fail("the relay sent an unreadable message");
      return;
    }
    this.on.message(value, data.byteLength);
  }

  /** Leaves a socket whose own close event may be minutes away. */
  #fail(/** @type {string} */ why) {
    this.disconnect();
    this.#down(0, why);
  }

  #down(/** @type {number} */ code, /** @type {string} */ reason) {
    this.#socket = null;
    if (code === POLICY) {
      this.#url = "";
      this.on.refused(reason || "the relay refused this viewer");
      return;
    }
    const lasted = this.#openedAt ? performance.now() - this.#openedAt : 0;
    if (lasted > LASTED_MS) this.forgetFailures();
    const delay = retryDelay(code, this.#attempt++);
    this.retryAt = performance.now() + delay;
    if (!this.#held) this.#timer = setTimeout(() => this.#dial(), delay);
    const lost = this.#openedAt ? "connection lost" : "the relay does not answer";
    this.on.lost(reason || (REASONS[code] ?? lost));
  }
}
