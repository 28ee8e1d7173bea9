/**
 * When each frame is decoded and shown, for a video element that shows a live stream.
 *
 * Invariant: pure. Decoding times grow in steps of about one frame, which Media Source Extensions
 * want between key frames, and what was shown before is never covered: a pause or a jump of the
 * source's clock becomes a short step here.
 */

const FIRST_GUESS = 1_000_000 / 30;
const SHORTEST = 1_000_000 / 240;
const LONGEST = 1_000_000;
const REMEMBERED = 17; //          frames from which the distance between two is taken

export class Timeline {
  #next = 0;
  #newest;
  /** A moment of the source's clock, and of this one. */
  #anchor = { pts: 0, at: 0 };
  /** @type {number[]} */
  #recent = [];
  #interval;

  /** @param {number} fps nominal, 0 when unknown */
  constructor(fps) {
    this.#interval = fps > 0 ? 1_000_000 / fps : FIRST_GUESS;
    this.#newest = -this.#interval;
  }

  /** Presentation time of the frame that is to be shown last, in µs. */
  get newest() {
    return this.#newest;
  }

  /**
   * The next frame in decoding order; all in µs.
   * @param {number} pts
   * @param {boolean} key
   */
  place(pts, key) {
    this.#measure(pts);
    const after = this.#newest + this.#interval;
    const time = key ? Math.max(this.#next, after) : this.#next;
    if (key) this.#anchor = { pts, at: time };
    let shown = this.#anchor.at + pts - this.#anchor.pts;
    if (!(Math.abs(shown - time) < LONGEST)) {
      shown = Math.max(time, after);
      this.#anchor = { pts, at: shown };
    }
    shown = Math.round(shown);
    this.#newest = Math.max(this.#newest, shown);
    this.#next = time + this.#interval;
    const whole = Math.round(time);
    return { time: whole, offset: shown - whole, duration: Math.round(this.#interval) };
  }

  /** The usual distance: the middle one, because a pause says nothing of the others. */
  #measure(/** @type {number} */ pts) {
    this.#recent.push(pts);
    if (this.#recent.length < REMEMBERED) return;
    const sorted = this.#recent.toSorted((a, b) => a - b);
    const steps = sorted.slice(1).map((at, index) => at - sorted[index]);
    const middle = steps.sort((a, b) => a - b)[steps.length >> 1];
    this.#interval = Math.min(LONGEST, Math.max(SHORTEST, middle));
    this.#recent.shift();
  }
}
