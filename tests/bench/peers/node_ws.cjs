// The `ws` package on Node.
const { WebSocketServer } = require("ws");

const [about] = process.argv.slice(2);
if (about === "--about") {
  const version = `ws ${require("ws/package.json").version}, node ${process.versions.node}`;
  console.log(JSON.stringify({ name: "Node ws", version }));
  process.exit();
}

const streams = new Map();

function viewersOf(stream) {
  if (!streams.has(stream)) streams.set(stream, new Set());
  return streams.get(stream);
}

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(about),
  backlog: 4096,
  perMessageDeflate: false,
});
server.on("connection", (peer, request) => {
  const [, role, stream] = request.url.split("/");
  const viewers = viewersOf(stream);
  peer.on("error", () => {});
  if (role === "publish") {
    peer.on("message", (data) => {
      for (const viewer of viewers) viewer.send(data, { binary: true });
    });
    return;
  }
  viewers.add(peer);
  peer.on("close", () => viewers.delete(peer));
});
