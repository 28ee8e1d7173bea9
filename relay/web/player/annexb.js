/**
 * H.264 with start codes (ITU-T H.264 Annex B) as MP4 wants it: lengths, and an avcC record.
 *
 * Invariant: pure; the payload of every NAL unit stays as it is.
 */

const SPS = 7;
const PPS = 8;
const ACCESS_UNIT_DELIMITER = 9;
const LENGTH_BYTES = 4;

/** NAL units without their start codes. @param {Uint8Array} data @returns {Uint8Array[]} */
export function nalUnits(data) {
  const units = [];
  let begin = -1;
  for (let at = data.indexOf(1); at >= 0; at = data.indexOf(1, at + 1)) {
    if (at < 2 || data[at - 1] || data[at - 2]) continue;
    if (begin >= 0) units.push(trimmed(data, begin, at - 2));
    begin = at + 1;
  }
  if (begin >= 0) units.push(trimmed(data, begin, data.length));
  return units.filter((unit) => unit.length);
}

/** Zeros at the end belong to the next start code. */
function trimmed(/** @type {Uint8Array} */ data, /** @type {number} */ from, /** @type {number} */ to) {
  while (to > from && !data[to - 1]) to--;
  return data.subarray(from, to);
}

/** The avcC record of an access unit's parameter sets. @param {Uint8Array[]} units */
export function avcRecord(units) {
  const sps = units.filter((unit) => (unit[0] & 31) === SPS);
  const pps = units.filter((unit) => (unit[0] & 31) === PPS);
  if (!sps.length || !pps.length) return null;
  const sets = [0xe0 | sps.length, ...sps.flatMap(prefixed), pps.length, ...pps.flatMap(prefixed)];
  return Uint8Array.from([1, ...sps[0].subarray(1, 4), 0xfc | (LENGTH_BYTES - 1), ...sets]);
}

function prefixed(/** @type {Uint8Array} */ set) {
  return [set.length >> 8, set.length & 255, ...set];
}

/** NAL units with their lengths in front. @param {Uint8Array[]} units */
export function lengthPrefixed(units) {
  const kept = units.filter((unit) => (unit[0] & 31) !== ACCESS_UNIT_DELIMITER);
  const whole = new Uint8Array(kept.reduce((sum, { length }) => sum + LENGTH_BYTES + length, 0));
  const view = new DataView(whole.buffer);
  let at = 0;
  for (const unit of kept) {
    view.setUint32(at, unit.length);
    whole.set(unit, at + LENGTH_BYTES);
    at += LENGTH_BYTES + unit.length;
  }
  return whole;
}
