/**
 * Decoded pictures onto a canvas: the newest at once, at most one a display frame.
 *
 * Invariant: every picture that comes in is closed, painted or not.
 */

/** @typedef {import("./decoders.js").Frame} Frame */

export class Screen {
  #canvas;
  #context;
  #painted;
  /** The newest picture, not painted yet. @type {{image: any, frame: Frame}|null} */
  #next = null;
  #painting = 0;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(frame: Frame, width: number, height: number) => void} painted
   */
  constructor(canvas, painted) {
    this.#canvas = canvas;
    this.#context = /** @type {CanvasRenderingContext2D} */ (
      canvas.getContext("2d", { alpha: false })
    );
    this.#painted = painted;
  }

  /** Takes a VideoFrame or an ImageBitmap. @param {any} image @param {Frame} frame */
  show(image, frame) {
    this.#next?.image.close();
    this.#next = { image, frame };
    this.#painting ||= requestAnimationFrame(() => this.#paint());
  }

  /** What is not painted yet never will be. */
  discard() {
    cancelAnimationFrame(this.#painting);
    this.#painting = 0;
    this.#next?.image.close();
    this.#next = null;
  }

  /** Black, as at the beginning. */
  clear() {
    this.discard();
    this.#context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  #paint() {
    const { image, frame } = /** @type {{image: any, frame: Frame}} */ (this.#next);
    this.#painting = 0;
    this.#next = null;
    const width = image.displayWidth ?? image.width;
    const height = image.displayHeight ?? image.height;
    if (this.#canvas.width !== width) this.#canvas.width = width;
    if (this.#canvas.height !== height) this.#canvas.height = height;
    this.#context.drawImage(image, 0, 0, width, height);
    image.close();
    this.#painted(frame, width, height);
  }
}
