// uWebSockets (C++) with its own publish, driven from Node; the package has its builds in it.
const name = "@trufflesuite/uws-js-unofficial";
const uws = require(name);

const [about] = process.argv.slice(2);
if (about === "--about") {
  // Where it has no build for this Node it would put something of JavaScript in its place.
  if (!Object.keys(require.cache).some((file) => file.endsWith(".node"))) {
    console.error(`${name} has no build for Node ${process.versions.node}`);
    process.exit(1);
  }
  const version = `uWebSockets.js ${require(`${name}/package.json`).version}, node ${process.versions.node}`;
  console.log(JSON.stringify({ name: "uWebSockets", version }));
  process.exit();
}

const app = uws.App();
app.ws("/:role/:stream", {
  compression: uws.DISABLED,
  maxPayloadLength: 1 << 24,
  maxBackpressure: 1 << 20,
  upgrade(answer, request, context) {
    answer.upgrade(
      { role: request.getParameter(0), stream: request.getParameter(1) },
      request.getHeader("sec-websocket-key"),
      request.getHeader("sec-websocket-protocol"),
      request.getHeader("sec-websocket-extensions"),
      context,
    );
  },
  open(peer) {
    if (peer.role === "view") peer.subscribe(peer.stream);
  },
  message(peer, data, binary) {
    if (peer.role === "publish") app.publish(peer.stream, data, binary);
  },
});
app.listen("127.0.0.1", Number(about), () => {});
