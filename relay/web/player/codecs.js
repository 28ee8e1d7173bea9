/**
 * What the codec string of a stream means to this browser.
 *
 * Invariant: a stream that `codecProblem` has nothing against has a backend in decoders.js.
 */

import { canPlay } from "./mse.js";

/**
 * @typedef {{stream: string, codec: string, width: number, height: number, fps: number,
 *   init: Uint8Array, server_us: number, offset_us: number, epoch: number}} Hello
 *   what the relay says of a stream before its frames
 */

/** Frames that are no video: handed to the page as they are. */
export const DATA_CODEC = "application/octet-stream";
/** A JPEG in each frame. */
export const JPEG_CODEC = "mjpeg";

/** @type {Record<string, string>} */
const NAMES = {
  avc1: "H.264",
  avc3: "H.264",
  hvc1: "H.265",
  hev1: "H.265",
  vp8: "VP8",
  vp09: "VP9",
  av01: "AV1",
  [JPEG_CODEC]: "Motion JPEG",
  [DATA_CODEC]: "Data",
};

const NO_DECODER =
  "This browser has no WebCodecs video decoder. Use a current Chrome, Edge, Firefox or Safari.";

/** @param {string} codec as in hello */
export function codecName(codec) {
  return NAMES[codec.split(".")[0]] ?? codec;
}

/** @param {Hello} hello @returns {VideoDecoderConfig} */
export function decoderConfig({ codec, width, height, init }) {
  return {
    codec,
    optimizeForLatency: true,
    ...(width && height ? { codedWidth: width, codedHeight: height } : {}),
    ...(init?.length ? { description: init } : {}),
  };
}

/** Says in words why this browser cannot show a stream; null when it can. @param {Hello} hello */
export async function codecProblem(hello) {
  const { codec } = hello;
  if (codec === DATA_CODEC || codec === JPEG_CODEC) return null;
  const name = codecName(codec);
  if (typeof VideoDecoder === "undefined") {
    if (canPlay(hello)) return null;
    if (isSecureContext) return NO_DECODER;
    const remedy = name === NAMES.avc1 ? "" : ", or publish H.264";
    return `Here ${name} plays on secure pages only: open this page over https://${remedy}.`;
  }
  const asked = VideoDecoder.isConfigSupported(decoderConfig(hello));
  const { supported } = await asked.catch(() => ({ supported: false }));
  const full = name === codec ? name : `${name} (${codec})`;
  return supported ? null : `This browser cannot decode ${full}. Publish H.264 or VP8.`;
}
