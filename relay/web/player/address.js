/**
 * Where a stream is watched. Pure.
 *
 * Invariant: the result is a WebSocket URL, or a sentence that says what was wrong is thrown.
 */

const STREAM_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/**
 * @param {{stream: string, src: string|null, token: string|null}} wanted
 *   `src`, relative to `page`, counts instead of `stream`
 * @param {string} relay URL of the directory that the relay's pages are in
 * @param {string} page URL of the page
 */
export function viewUrl({ stream, src, token }, relay, page) {
  if (src === null && !STREAM_NAME.test(stream)) {
    throw new Error(`“${stream}” is not a stream name: use letters, digits, “.”, “_” and “-”.`);
  }
  let url;
  try {
    url = src === null ? new URL(`view/${stream}`, relay) : new URL(src, page);
  } catch {
    throw new Error(`“${src}” is not a URL.`);
  }
  url.protocol = url.protocol.replace("http", "ws");
  if (token) url.searchParams.set("token", token);
  return url.href;
}
