// Bun's own server: uWebSockets (C++) with its publish, driven from JavaScript.
const [about] = process.argv.slice(2);
if (about === "--about") {
  console.log(JSON.stringify({ name: "Bun", version: `bun ${Bun.version}` }));
  process.exit();
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(about),
  fetch(request, server) {
    const [, role, stream] = new URL(request.url).pathname.split("/");
    return server.upgrade(request, { data: { role, stream } }) ? undefined : new Response(null);
  },
  websocket: {
    perMessageDeflate: false,
    open(peer) {
      if (peer.data.role === "view") peer.subscribe(peer.data.stream);
    },
    message(peer, data) {
      if (peer.data.role === "publish") server.publish(peer.data.stream, data);
    },
  },
});
