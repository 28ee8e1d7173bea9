/**
 * What surrounds the picture: badge, notice, statistics, buttons.
 *
 * Invariant: it shows what it is told and keeps nothing, so that showing twice changes nothing.
 * It must not know what the buttons do.
 */

import { DATA_CODEC, codecName } from "./codecs.js";
import { HEADLINES, formatBitrate, sentence } from "./words.js";

/**
 * @typedef {ReturnType<import("./session.js").Session["stats"]>} Stats
 * @typedef {{retryAt: number, shownAt: number, hopeless: boolean}} Circumstances
 *   `retryAt` and `shownAt` (the last picture) as performance.now() counts
 */

const QUIET_S = 5; // a live stream without a picture for this long says so

export class Panel {
  #root;

  /**
   * @param {ShadowRoot} root furnished
   * @param {{retry: () => void, stats: () => void, fullscreen: () => void}} on
   */
  constructor(root, on) {
    this.#root = root;
    this.#part("retry").onclick = on.retry;
    this.#part("toggle-stats").onclick = on.stats;
    this.#part("toggle-fullscreen").onclick = on.fullscreen;
    this.#part("toggle-fullscreen").hidden = !document.fullscreenEnabled;
  }

  /** A new state or reason, also said to screen readers. @param {Stats} stats */
  announce({ state, reason }) {
    const words = HEADLINES[state];
    this.#part("status").textContent = reason ? `${words}. ${sentence(reason)}` : words;
  }

  /** @param {Stats} stats @param {Circumstances} now */
  show(stats, { retryAt, shownAt, hopeless }) {
    const { state, codec } = stats;
    const data = codec === DATA_CODEC;
    const quiet = Math.floor((performance.now() - shownAt) / 1000);
    let headline = HEADLINES[state];
    let detail = sentence(stats.reason);
    if (state === "reconnecting") {
      const wait = Math.max(1, Math.ceil((retryAt - performance.now()) / 1000));
      headline = `Reconnecting in ${wait} s`;
    } else if (state === "live" && data) {
      const rate = `${stats.fps.toFixed(1)} a second`;
      headline = "Data stream";
      detail = `${stats.painted.toLocaleString()} frames, ${rate}. No picture.`;
    }
    this.#part("box").dataset.state = state;
    this.#part("box").toggleAttribute("data-data", data);
    this.#part("box").toggleAttribute("data-quiet", quiet >= QUIET_S);
    this.#part("badge").textContent =
      quiet < QUIET_S ? "Live" : `Live, last picture ${quiet} s ago`;
    this.#part("retry").hidden = state !== "error" || hopeless;
    this.#part("headline").textContent = headline;
    this.#part("detail").textContent = detail;
  }

  /** @param {Stats|null} stats null: not wanted */
  showStats(stats) {
    const list = this.#part("stats");
    list.hidden = !stats;
    this.#part("toggle-stats").ariaPressed = String(!list.hidden);
    if (!stats) return;
    const causes = Object.entries(stats.skipsByCause).filter(([, count]) => count);
    const why = causes.map(([cause, count]) => `${cause} ${count}`).join(", ");
    const rows = {
      Rate: `${stats.fps.toFixed(1)} fps`,
      Latency: stats.latencyMs === null ? "–" : `${Math.round(stats.latencyMs)} ms`,
      Skips: why ? `${stats.skips} (${why})` : String(stats.skips),
      Codec: stats.codec ? codecName(stats.codec) : "–",
      Size: stats.width ? `${stats.width} × ${stats.height}` : "–",
      Bitrate: formatBitrate(stats.bitrate),
      Reconnects: String(stats.reconnects),
    };
    list.replaceChildren(
      ...Object.entries(rows).flatMap(([name, text]) => [
        Object.assign(document.createElement("dt"), { textContent: name }),
        Object.assign(document.createElement("dd"), { textContent: text }),
      ]),
    );
  }

  /** @param {boolean} full whether the player fills the screen */
  showFullscreen(full) {
    const button = this.#part("toggle-fullscreen");
    button.ariaLabel = full ? "Leave full screen" : "Full screen";
    button.title = `${button.ariaLabel} (f)`;
  }

  /** @param {string} id */
  #part(id) {
    return /** @type {HTMLElement} */ (this.#root.getElementById(id));
  }
}
