/**
 * The relay's clock as seen from here, from ping/pong exchanges.
 *
 * Invariant: of the last exchanges the one with the shortest round trip counts, because it leaves
 * the least room for error.
 */

const SAMPLES = 8;

/** This machine's Unix time in µs. Monotonic while the page is awake, unlike Date.now(). */
export function localUs() {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}

export class RelayClock {
  /** @type {{rtt: number, offset: number}[]} */
  #samples = [];
  #guess = 0;

  /** A one-way reading, good until the first pong. */
  seed(/** @type {number} */ serverUs) {
    this.#guess = serverUs - localUs();
  }

  /** An exchange: asked at `t0` of this clock, answered at `t1` of the relay's, both in µs. */
  sample(/** @type {number} */ t0, /** @type {number} */ t1) {
    const rtt = localUs() - t0;
    if (!(rtt >= 0)) return;
    this.#samples.push({ rtt, offset: t1 - (t0 + rtt / 2) });
    if (this.#samples.length > SAMPLES) this.#samples.shift();
  }

  /** After a sleep or a new connection, old samples say nothing. */
  forget() {
    this.#samples = [];
  }

  get samples() {
    return this.#samples.length;
  }

  /** @returns {number|null} */
  get rttMs() {
    const best = this.#best;
    return best && best.rtt / 1000;
  }

  /** The relay's Unix time in µs. */
  nowUs() {
    return localUs() + (this.#best?.offset ?? this.#guess);
  }

  get #best() {
    return this.#samples.reduce(
      (best, sample) => (best && best.rtt <= sample.rtt ? best : sample),
      /** @type {{rtt: number, offset: number}|null} */ (null),
    );
  }
}
