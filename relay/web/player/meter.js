/**
 * How much of something comes in a second.
 *
 * Invariant: only what lies within the sliding window counts, so a stopped stream reads 0.
 */

const WINDOW_MS = 2000;

export class Meter {
  /** @type {[number, number][]} */
  #samples = [];

  /** @param {number} amount @param {number} [now] in ms */
  add(amount, now = performance.now()) {
    this.#samples.push([now, amount]);
    this.#prune(now);
  }

  /** The first sample only opens the window; what it holds belongs to the time before. */
  perSecond(now = performance.now()) {
    this.#prune(now);
    if (this.#samples.length < 2) return 0;
    const total = this.#samples.reduce((sum, [, amount]) => sum + amount, -this.#samples[0][1]);
    return (total * 1000) / Math.max(1, now - this.#samples[0][0]);
  }

  #prune(/** @type {number} */ now) {
    while (this.#samples.length && this.#samples[0][0] < now - WINDOW_MS) this.#samples.shift();
  }
}
