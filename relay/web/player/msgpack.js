/**
 * msgpack, as far as the relay and its viewers speak it.
 *
 * Invariant: `unpack` takes exactly one whole value or throws RangeError; a `bin` in it is a view
 * on the bytes that came in, never a copy.
 */

const utf8 = new TextDecoder();

/**
 * Decodes one value. Integers beyond 2^53 become the nearest double.
 * @param {ArrayBuffer} buffer
 * @returns {any}
 * @throws {RangeError} on truncated, trailing or unknown bytes
 */
export function unpack(buffer) {
  const view = new DataView(buffer);
  let at = 0;
  const take = (/** @type {number} */ size) => {
    if (size > buffer.byteLength - at) throw new RangeError("msgpack: truncated");
    at += size;
    return at - size;
  };
  const bin = (/** @type {number} */ size) => new Uint8Array(buffer, take(size), size);
  const str = (/** @type {number} */ size) => utf8.decode(bin(size));
  const array = (/** @type {number} */ size) => {
    /** @type {any[]} */
    const items = [];
    while (size-- > 0) items.push(value());
    return items;
  };
  const map = (/** @type {number} */ size) => {
    /** @type {[string, any][]} */
    const entries = [];
    while (size-- > 0) entries.push([String(value()), value()]);
    return Object.fromEntries(entries);
  };
  const u8 = () => view.getUint8(take(1));
  const u16 = () => view.getUint16(take(2));
  const u32 = () => view.getUint32(take(4));
  /** @returns {any} */
  const value = () => {
    const tag = u8();
    if (tag < 0x80) return tag;
    if (tag < 0x90) return map(tag & 15);
    if (tag < 0xa0) return array(tag & 15);
    if (tag < 0xc0) return str(tag & 31);
    if (tag >= 0xe0) return tag - 256;
    switch (tag) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return bin(u8());
      case 0xc5: return bin(u16());
      case 0xc6: return bin(u32());
      case 0xca: return view.getFloat32(take(4));
      case 0xcb: return view.getFloat64(take(8));
      case 0xcc: return u8();
      case 0xcd: return u16();
      case 0xce: return u32();
      case 0xcf: return Number(view.getBigUint64(take(8)));
      case 0xd0: return view.getInt8(take(1));
      case 0xd1: return view.getInt16(take(2));
      case 0xd2: return view.getInt32(take(4));
      case 0xd3: return Number(view.getBigInt64(take(8)));
      case 0xd9: return str(u8());
      case 0xda: return str(u16());
      case 0xdb: return str(u32());
      case 0xdc: return array(u16());
      case 0xdd: return array(u32());
      case 0xde: return map(u16());
      case 0xdf: return map(u32());
      default: throw new RangeError(`msgpack: unexpected byte 0x${tag.toString(16)}`);
    }
  };
  const result = value();
  if (at !== buffer.byteLength) throw new RangeError("msgpack: trailing bytes");
  return result;
}

/**
 * Encodes a flat control message: a map of short ASCII keys and strings, numbers and null.
 * @param {Record<string, string|number|null>} message
 */
export function pack(message) {
  const bytes = [0x80 | Object.keys(message).length];
  const text = (/** @type {string} */ s) => {
    bytes.push(0xa0 | s.length, ...[...s].map((c) => c.charCodeAt(0)));
  };
  const wide = (/** @type {number} */ tag, /** @type {(v: DataView) => void} */ set) => {
    const eight = new DataView(new ArrayBuffer(8));
    set(eight);
    bytes.push(tag, ...new Uint8Array(eight.buffer));
  };
  for (const [key, item] of Object.entries(message)) {
    text(key);
    if (item === null) bytes.push(0xc0);
    else if (typeof item === "string") text(item);
    else if (!Number.isSafeInteger(item)) wide(0xcb, (v) => v.setFloat64(0, item));
    else if (item >= 0 && item < 0x80) bytes.push(item);
    else wide(0xd3, (v) => v.setBigInt64(0, BigInt(item)));
  }
  return new Uint8Array(bytes);
}
