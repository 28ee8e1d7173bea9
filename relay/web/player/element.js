/**
 * The <relay-player> element: attributes, keys and the page's life on one side, a session, a
 * screen and a panel on the other.
 *
 * Invariant: there is one session at a time; it is open while the element is in a page and has
 * an address. All that the element shows follows from it.
 */

import { viewUrl } from "./address.js";
import { furnish } from "./appearance.js";
import { Panel } from "./panel.js";
import { Screen } from "./screen.js";
import { Session } from "./session.js";

/** @typedef {import("./decoders.js").Frame} Frame */

const TICK_MS = 1000;
const RELAY = new URL("..", import.meta.url.startsWith("http") ? import.meta.url : location.href);

export class RelayPlayer extends HTMLElement {
  static observedAttributes = ["stream", "src", "token", "stats"];

  #internals = this.attachInternals();
  #canvas;
  #screen;
  #panel;
  #session = this.#newSession();
  #listeners = new AbortController();
  /** Timer; 0 while the element is in no page. */
  #ticker = 0;
  #restartQueued = false;
  /** State and reason as they were said last. */
  #said = ["idle", ""];

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    furnish(root);
    this.#internals.role = "group";
    this.#internals.ariaKeyShortcuts = "s f";
    this.#canvas = /** @type {HTMLCanvasElement} */ (root.querySelector("canvas"));
    this.#screen = new Screen(this.#canvas, (frame, width, height) => {
      this.#session.painted(frame, width, height);
    });
    this.#panel = new Panel(root, {
      retry: () => this.#start(),
      stats: () => this.toggleAttribute("stats"),
      fullscreen: () => this.#toggleFullscreen(),
    });
    this.addEventListener("keydown", (event) => this.#keyDown(event));
  }

  get canvas() {
    return this.#canvas;
  }

  get state() {
    return this.#session.state;
  }

  /** Numbers since the stream was chosen. */
  getStats() {
    return this.#session.stats();
  }

  connectedCallback() {
    if (!this.hasAttribute("tabindex")) this.tabIndex = 0;
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const seen = () => this.#visibilityChanged();
    document.addEventListener("visibilitychange", seen, { signal });
    document.addEventListener("fullscreenchange", () => this.#fullscreenChanged(), { signal });
    addEventListener("online", () => this.#session.online(), { signal });
    addEventListener("pagehide", ({ persisted }) => persisted && this.#session.leave(), { signal });
    addEventListener("pageshow", ({ persisted }) => persisted && seen(), { signal });
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this.#start();
  }

  disconnectedCallback() {
    this.#listeners.abort();
    clearInterval(this.#ticker);
    this.#ticker = 0;
    this.#session.close();
    this.#changed();
  }

  /** Several attributes set in a row make one new connection. */
  attributeChangedCallback(
    /** @type {string} */ name,
    /** @type {string|null} */ old,
    /** @type {string|null} */ now,
  ) {
    if (name === "stats") return this.#showStats();
    // Not `isConnected`: of an element in the page's own HTML, attributes are told before that.
    if (old === now || this.#restartQueued || !this.#ticker) return;
    this.#restartQueued = true;
    queueMicrotask(() => {
      this.#restartQueued = false;
      if (this.#ticker) this.#start();
    });
  }

  get #hidden() {
    return document.visibilityState === "hidden";
  }

  #newSession() {
    return new Session(this.#hidden, {
      changed: () => this.#changed(),
      picture: (image, frame) => this.#screen.show(image, frame),
      data: (frame) => this.#dispatchFrame(frame),
      discard: () => this.#screen.discard(),
    });
  }

  #start() {
    const stream = this.getAttribute("stream") ?? "";
    const src = this.getAttribute("src");
    this.#internals.ariaLabel = `Live stream ${stream}`;
    this.#canvas.ariaLabel = `Picture of ${stream || "the stream"}`;
    this.#session.close();
    this.#session = this.#newSession();
    this.#screen.clear();
    if (stream || src !== null) {
      const token = this.getAttribute("token");
      try {
        this.#session.open(viewUrl({ stream, src, token }, RELAY.href, location.href));
      } catch (error) {
        this.#session.fail(/** @type {Error} */ (error).message);
      }
    }
    this.#changed();
  }

  #visibilityChanged() {
    if (this.#hidden) this.#session.hide();
    else this.#session.show();
  }

  #tick() {
    if (this.#hidden || this.state === "idle") return;
    this.#session.tick();
    const stats = this.getStats();
    this.#panel.show(stats, this.#session);
    this.#showStats();
    this.dispatchEvent(new CustomEvent("stats", { detail: stats }));
  }

  #changed() {
    const stats = this.getStats();
    const { state, reason } = stats;
    const [lastState, lastReason] = this.#said;
    this.#panel.show(stats, this.#session);
    if (state === lastState && reason === lastReason) return;
    this.#said = [state, reason];
    this.#panel.announce(stats);
    if (state === lastState) return;
    this.dispatchEvent(new CustomEvent("statechange", { detail: { state, reason } }));
  }

  #showStats() {
    this.#panel.showStats(this.hasAttribute("stats") ? this.getStats() : null);
  }

  #dispatchFrame(/** @type {Frame} */ { seq, pts, capture, key, data }) {
    const detail = { seq, ptsUs: pts, captureUs: capture, key, data };
    this.dispatchEvent(new CustomEvent("frame", { detail }));
  }

  #keyDown(/** @type {KeyboardEvent} */ event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key === "s") this.toggleAttribute("stats");
    else if (key === "f") this.#toggleFullscreen();
    else return;
    event.preventDefault();
  }

  get #full() {
    return document.fullscreenElement === this;
  }

  #toggleFullscreen() {
    const change = this.#full ? document.exitFullscreen() : this.requestFullscreen();
    change.catch(() => {}); // not allowed here: the page stays as it is
  }

  #fullscreenChanged() {
    this.#panel.showFullscreen(this.#full);
  }
}
