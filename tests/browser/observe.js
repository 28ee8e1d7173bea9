/**
 * Runs in every page of the tests before its own scripts, and writes down what happens there:
 * what goes over WebSockets, which decoders live, what the players say of their state.
 *
 * Of a frame it keeps the head only, which is enough for everything before the payload.
 */
(() => {
  const HEAD = 48;
  const seen = { sockets: [], states: [], frames: [], ticks: 0, decoders: { made: 0, closed: 0 } };
  window.seen = seen;

  const text = (/** @type {Uint8Array} */ bytes) => btoa(String.fromCharCode(...bytes));
  const isFrame = (/** @type {Uint8Array} */ bytes) => (bytes[0] & 0xf0) === 0x90;

  const NativeSocket = window.WebSocket;
  window.WebSocket = class extends NativeSocket {
    constructor(...args) {
      super(...args);
      this.record = { url: String(args[0]), received: [], sent: [], close: null };
      seen.sockets.push(this.record);
      this.addEventListener("message", ({ data }) => {
        const bytes = new Uint8Array(data);
        this.record.received.push(text(isFrame(bytes) ? bytes.subarray(0, HEAD) : bytes));
      });
      this.addEventListener("close", ({ code, reason }) => (this.record.close = [code, reason]));
    }

    send(data) {
      this.record.sent.push(text(new Uint8Array(data)));
      super.send(data);
    }
  };

  // Insecure pages have none.
  const NativeDecoder = window.VideoDecoder;
  if (NativeDecoder) {
    window.VideoDecoder = class extends NativeDecoder {
      constructor(...args) {
        super(...args);
        seen.decoders.made++;
      }

      close() {
        seen.decoders.closed++;
        super.close();
      }
    };
  }

  // None of them bubbles, but all of them come down.
  const listen = (name, act) => document.addEventListener(name, act, true);
  listen("statechange", ({ detail }) => seen.states.push([detail.state, detail.reason]));
  listen("stats", () => seen.ticks++);
  listen("frame", ({ detail }) => seen.frames.push({ ...detail, data: text(detail.data) }));
})();
