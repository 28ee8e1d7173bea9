/**
 * Fragmented MP4 (ISO/IEC 14496-12) of one video track: what Media Source Extensions take.
 *
 * Invariant: pure; each fragment holds one frame, so that nothing waits for the next one.
 */

/**
 * @typedef {{codec: string, width: number, height: number, init: Uint8Array}} Track
 *   `codec` as in RFC 6381; `init` is the decoder description, where the codec has one
 * @typedef {{number: number, time: number, offset: number, duration: number, key: boolean,
 *   data: Uint8Array}} Fragment
 *   `number` from 1; decoding `time`, `offset` from it to the presentation, and `duration` in µs
 */

const TIMESCALE = 1_000_000;
const TRACK = 1;
const MATRIX = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000];
const SYNC_SAMPLE = 0x02000000; //     depends on no other
const OTHER_SAMPLE = 0x01010000; //    depends on others, and is no sync sample
const DEFAULT_BASE_IS_MOOF = 0x020000;
const RUN_FLAGS = 0x000f01; //         data offset; duration, size, flags and offset of each sample

/** Sample entry and configuration box by the first part of the codec string. */
/** @type {Record<string, {entry: string, config: (track: Track) => Uint8Array|null}>} */
const CODECS = {
  avc1: { entry: "avc1", config: ({ init }) => given("avcC", init) },
  avc3: { entry: "avc3", config: ({ init }) => given("avcC", init) },
  hvc1: { entry: "hvc1", config: ({ init }) => given("hvcC", init) },
  hev1: { entry: "hev1", config: ({ init }) => given("hvcC", init) },
  vp09: { entry: "vp09", config: vpcC },
  av01: { entry: "av01", config: av1C },
};

/** Whether there is a way to put this codec into MP4. @param {string} codec */
export function isMuxable(codec) {
  return codec.split(".")[0] in CODECS;
}

/** @param {Track} track @returns {Uint8Array<ArrayBuffer>|null} null: the description is missing */
export function initSegment(track) {
  const { entry, config } = CODECS[track.codec.split(".")[0]];
  const configuration = config(track);
  if (!configuration) return null;
  const size = u16(track.width, track.height);
  const sample = box(
    entry,
    zeros(6),
    u16(1), //                                  data reference
    zeros(16),
    size,
    u32(0x480000, 0x480000, 0), //              72 dpi
    u16(1), //                                  frames in a sample
    zeros(32), //                               no name of a compressor
    u16(24, 0xffff),
    configuration,
  );
  const sampleTable = box(
    "stbl",
    fullBox("stsd", 0, 0, u32(1), sample),
    fullBox("stts", 0, 0, u32(0)),
    fullBox("stsc", 0, 0, u32(0)),
    fullBox("stsz", 0, 0, u32(0, 0)),
    fullBox("stco", 0, 0, u32(0)),
  );
  const handler = [u32(0), ascii("vide"), zeros(12), ascii("video\0")];
  const media = box(
    "mdia",
    fullBox("mdhd", 0, 0, u32(0, 0, TIMESCALE, 0), u16(0x55c4, 0)), //   language: undetermined
    fullBox("hdlr", 0, 0, ...handler),
    box(
      "minf",
      fullBox("vmhd", 0, 1, zeros(8)),
      box("dinf", fullBox("dref", 0, 0, u32(1), fullBox("url ", 0, 1))),
      sampleTable,
    ),
  );
  const header = u32(0, 0, TRACK, 0, 0, 0, 0, 0, 0, ...MATRIX);
  const shown = u32(track.width << 16, track.height << 16);
  const movie = u32(0, 0, TIMESCALE, 0, 0x10000, 0x01000000, 0, 0, ...MATRIX);
  return join(
    box("ftyp", ascii("iso6"), u32(0), ascii("iso6mp41")),
    box(
      "moov",
      fullBox("mvhd", 0, 0, movie, zeros(24), u32(TRACK + 1)),
      box("trak", fullBox("tkhd", 0, 3, header, shown), media),
      box("mvex", fullBox("trex", 0, 0, u32(TRACK, 1, 0, 0, 0))),
    ),
  );
}

/** @param {Fragment} fragment @returns {Uint8Array<ArrayBuffer>} */
export function fragment({ number, time, offset, duration, key, data }) {
  const moof = (/** @type {number} */ start) => {
    const sample = u32(duration, data.length, key ? SYNC_SAMPLE : OTHER_SAMPLE, offset);
    return box(
      "moof",
      fullBox("mfhd", 0, 0, u32(number)),
      box(
        "traf",
        fullBox("tfhd", 0, DEFAULT_BASE_IS_MOOF, u32(TRACK)),
        fullBox("tfdt", 1, 0, u32(Math.floor(time / 2 ** 32), time % 2 ** 32)),
        fullBox("trun", 1, RUN_FLAGS, u32(1, start), sample),
      ),
    );
  };
  return join(moof(moof(0).length + 8), box("mdat", data));
}

/** @param {string} type @param {Uint8Array} content */
function given(type, content) {
  return content?.length ? box(type, content) : null;
}

/** VP Codec ISO Media File Format Binding, from ``vp09.PP.LL.DD``. @param {Track} track */
function vpcC({ codec }) {
  const [profile = 0, level = 10, depth = 8] = codec.split(".").slice(1).map(Number);
  const chroma = profile === 1 || profile === 3 ? 3 : 1;
  return fullBox("vpcC", 1, 0, [profile, level, (depth << 4) | (chroma << 1), 2, 2, 2, 0, 0]);
}

/** AV1 Codec ISO Media File Format Binding, from ``av01.P.LLT.DD``. @param {Track} track */
function av1C({ codec, init }) {
  if (init?.length) return box("av1C", init);
  const [profile = "0", level = "08M", depth = "8"] = codec.split(".").slice(1);
  const tier = level.endsWith("H") ? 0x80 : 0;
  const bits = (Number(depth) > 8 ? 0x40 : 0) | (Number(depth) > 10 ? 0x20 : 0);
  const chroma = profile === "1" ? 0 : profile === "0" || bits & 0x20 ? 0x0c : 0x08;
  const first = (Number(profile) << 5) | Number.parseInt(level, 10);
  return box("av1C", [0x81, first, tier | bits | chroma, 0]);
}

/** @param {string} type @param {...(Uint8Array|number[])} parts */
function box(type, ...parts) {
  const content = join(...parts);
  return join(u32(content.length + 8), ascii(type), content);
}

/**
 * @param {string} type
 * @param {number} version
 * @param {number} flags
 * @param {...(Uint8Array|number[])} parts
 */
function fullBox(type, version, flags, ...parts) {
  return box(type, u32((version << 24) | flags), ...parts);
}

/** All parts in one piece. @param {...(Uint8Array|number[])} parts */
export function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** @param {...number} numbers */
function u32(...numbers) {
  return numbers.flatMap((n) => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]);
}

/** @param {...number} numbers */
function u16(...numbers) {
  return numbers.flatMap((n) => [(n >>> 8) & 255, n & 255]);
}

/** @param {number} count */
function zeros(count) {
  return new Uint8Array(count);
}

/** @param {string} text */
function ascii(text) {
  return Array.from(text, (char) => char.charCodeAt(0));
}
