/* The floor: one send() for each viewer in a loop. */
#include "floor.h"

static void broadcast(struct stream *stream, const uint8_t *message, size_t size) {
    for (size_t i = 0; i < stream->count; i++) {
        struct peer *peer = stream->viewers[i];
        if (!peer->rest)
            sent(peer, message, size, send(peer->fd, message, size, MSG_NOSIGNAL | MSG_DONTWAIT));
    }
}

int main(int argc, char **argv) {
    return run(argc, argv, "C floor, send()");
}
