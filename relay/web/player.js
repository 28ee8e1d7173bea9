/**
 * <relay-player stream="demo"> plays one live stream of the relay on a canvas.
 *
 *   <script type="module" src="https://relay.example/player.js"></script>
 *   <relay-player stream="demo"></relay-player>
 *
 * Attributes: `stream` (its name), `src` (ws or http URL of a view endpoint, instead of `stream`),
 * `token`, `stats` (overlay on). Properties: `state`, `canvas`, `getStats()`. Events:
 * `statechange`, `stats` (once a second), `frame` (data streams).
 *
 * This is the one URL that pages import; what lies in player/ may change. Invariants of the whole:
 * a delta frame whose predecessor is missing never reaches a decoder; every VideoFrame is closed;
 * a hidden tab holds no decoder and asks for no frames; pictures are painted in order, the newest
 * at once, never paced by timestamps. It must not know how the relay stores or schedules frames.
 */

import { RelayPlayer } from "./player/element.js";

export { codecName } from "./player/codecs.js";
export { retryDelay } from "./player/connection.js";
export { pack, unpack } from "./player/msgpack.js";
export { formatBitrate } from "./player/words.js";
export { RelayPlayer };

if (!customElements.get("relay-player")) customElements.define("relay-player", RelayPlayer);
