/* Viewers that cost little, so that the server's work is what is measured.
 *
 *   client -p PORT,PORT... [-s STREAMS] -n VIEWERS [-r BYTES_PER_SECOND]
 *   client -p PORT,PORT... [-s STREAMS] -n IN_FLIGHT -c CONNECTIONS
 *
 * Viewer i asks the i-th port (of those given, in turn) for /view/s<i mod STREAMS>. It reads
 * WebSocket headers and the beginning of each message, and lets the kernel discard the rest
 * (MSG_TRUNC, tcp(7)). A frame carries a stamp near its beginning: MAGIC, the time it was sent
 * (CLOCK_MONOTONIC, ns) and its number in its stream, both in this machine's byte order.
 * Messages without a stamp are not counted; pings are answered.
 *
 * Without -c, prints {"connected": N} once all are, then obeys lines on standard input: "reset"
 * starts a measurement, "report" prints it, the end of input ends the program.
 * With -c, opens that many connections, IN_FLIGHT at a time, each until its first frame and the
 * closing handshake, and prints one report.
 * With -r, reads no faster than that on each connection, as behind a slow link.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAGIC "\x89STAMP\r\n"
#define STAMP 24    /* bytes: magic, time, number */
#define LOOK 126    /* beginning of a message that is looked at; a whole ping fits */
#define TICK_MS 10  /* how often a slow reader reads */
#define PER_ADDRESS 8000 /* connections of one loopback address: ports are few */
#define CONNECTING_AT_ONCE 200
#define LATE_READS 8 /* in one turn of a viewer that is behind; two are a frame */
#define LATE_NS 100000000u /* age of a frame from which on its viewer has some catching up to do */
#define BUCKETS 4096

enum phase { CLOSED, CONNECTING, UPGRADING, OPEN, CLOSING };

struct viewer {
    int fd, number;
    enum phase phase;
    int late;         /* reads on, as a browser of its own would */
    size_t have;      /* bytes in buffer */
    uint64_t discard; /* bytes of the message to throw away */
    uint64_t next;    /* number of the frame that must come; 0: any */
    uint64_t begun;   /* ns */
    uint8_t buffer[1024];
};

static struct {
    uint64_t frames, bytes, lost;
    uint64_t latency[BUCKETS];
} seen;

static struct viewer *viewers;
static int ports[64], port_count, streams = 1, wanted, storm, epoll, opened, open_now, connecting, done;
static uint64_t rate;
static uint8_t waste[1 << 20];

static void fail(const char *what) {
    printf("{\"error\": \"%s: %s\"}\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Buckets of microseconds, 64 to each power of two: wrong by 1.6 % at most. */
static unsigned bucket_of(uint64_t us) {
    if (us < 64) return (unsigned)us;
    unsigned shift = 63 - (unsigned)__builtin_clzll(us) - 6;
    unsigned found = 64 * (shift + 1) + (unsigned)((us >> shift) - 64);
    return found < BUCKETS ? found : BUCKETS - 1;
}

static uint64_t bucket_top(unsigned bucket) {
    if (bucket < 64) return bucket;
    unsigned shift = bucket / 64 - 1;
    return ((uint64_t)(bucket % 64 + 65) << shift) - 1;
}

static uint64_t note_latency(uint64_t since) {
    uint64_t now = now_ns(), latency = now > since ? now - since : 0;
    seen.latency[bucket_of(latency / 1000)]++;
    return latency;
}

static void report(void) {
    printf("{\"open\": %d, \"done\": %d, \"frames\": %llu, \"bytes\": %llu, \"lost\": %llu, "
           "\"latency_us\": {", open_now, done, (unsigned long long)seen.frames,
           (unsigned long long)seen.bytes, (unsigned long long)seen.lost);
    const char *comma = "";
    for (unsigned i = 0; i < BUCKETS; i++)
        if (seen.latency[i]) {
            printf("%s\"%llu\": %llu", comma, (unsigned long long)bucket_top(i),
                   (unsigned long long)seen.latency[i]);
            comma = ", ";
        }
    printf("}}\n");
    fflush(stdout);
}

static void start(struct viewer *v) {
    int number = opened++;
    v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (v->fd < 0) fail("socket");
    int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(v->number / PER_ADDRESS));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)ports[number % port_count]);
    setsockopt(v->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(v->fd, (struct sockaddr *)&from, sizeof from)) fail("bind");
    if (connect(v->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fail("connect");
    v->phase = CONNECTING;
    v->have = 0;
    v->discard = v->next = 0;
    v->late = 0;
    v->begun = now_ns();
    connecting++;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = v};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, v->fd, &event)) fail("epoll_ctl");
}

static void finish(struct viewer *v) {
    if (v->phase != CLOSING && storm) fail("the server closed a connection too early");
    if (v->phase == CONNECTING || v->phase == UPGRADING) fail("the server refused a viewer");
    if (v->phase == OPEN) open_now--;
    close(v->fd);
    v->phase = CLOSED;
    done++;
    if (storm && opened < storm) start(v);
}

static void connected(struct viewer *v) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(v->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if ((errno = error)) fail("connect");
    char request[256];
    int length = snprintf(request, sizeof request,
        "GET /view/s%d HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n", v->number % streams);
    if (send(v->fd, request, (size_t)length, MSG_NOSIGNAL) != length) fail("send");
    v->phase = UPGRADING;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = v};
    epoll_ctl(epoll, EPOLL_CTL_MOD, v->fd, &event);
}

static void upgraded(struct viewer *v) {
    uint8_t *end = memmem(v->buffer, v->have, "\r\n\r\n", 4);
    if (!end) {
        if (v->have == sizeof v->buffer) fail("the answer's header is too long");
        return;
    }
    errno = 0;
    if (memcmp(v->buffer, "HTTP/1.1 101", 12)) fail("the server does not upgrade");
    v->have -= (size_t)(end + 4 - v->buffer);
    memmove(v->buffer, end + 4, v->have);
    v->phase = OPEN;
    open_now++;
    connecting--;
    if (rate) epoll_ctl(epoll, EPOLL_CTL_DEL, v->fd, NULL);
}

/* What a client sends is masked, here with zeros: it stays as it is. */
static void answer(struct viewer *v, uint8_t opcode, const uint8_t *data, size_t size) {
    uint8_t message[6 + 125] = {(uint8_t)(0x80 | opcode), (uint8_t)(0x80 | size)};
    memcpy(message + 6, data, size);
    if (send(v->fd, message, 6 + size, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
        fail("send");
}

static void frame(struct viewer *v, const uint8_t *stamp, uint64_t size) {
    uint64_t sent, number;
    memcpy(&sent, stamp + 8, 8);
    memcpy(&number, stamp + 16, 8);
    if (v->next && number > v->next) seen.lost += number - v->next;
    v->next = number + 1;
    seen.frames++;
    seen.bytes += size;
    v->late = note_latency(storm ? v->begun : sent) > LATE_NS;
    if (storm) {
        v->phase = CLOSING;
        answer(v, 8, (const uint8_t *)"\x03\xe8", 2);
    }
}

/* Takes messages off the buffer; what of them is not there yet is discarded as it comes. */
static void parse(struct viewer *v) {
    uint8_t *at = v->buffer, *end = at + v->have;
    while (v->phase == OPEN && end - at >= 2) {
        unsigned header = (at[1] & 127) < 126 ? 2 : (at[1] & 127) == 126 ? 4 : 10;
        if ((size_t)(end - at) < header) break;
        uint64_t size = at[1] & 127;
        if (header > 2) {
            size = 0;
            for (unsigned i = 2; i < header; i++) size = size << 8 | at[i];
        }
        uint64_t there = (uint64_t)(end - at) - header;
        size_t look = size < LOOK ? (size_t)size : LOOK;
        if (there < look) break;
        uint8_t *body = at + header;
        uint8_t opcode = at[0] & 15;
        if (opcode == 9 && size <= 125) answer(v, 10, body, (size_t)size);
        uint8_t *stamp = opcode == 2 || opcode == 1 ? memmem(body, look, MAGIC, 8) : NULL;
        if (stamp && stamp + STAMP <= body + look) frame(v, stamp, size);
        uint64_t taken = size < there ? size : there;
        v->discard = size - taken;
        at = body + taken;
        if (v->discard) break;
    }
    v->have = (size_t)(end - at);
    memmove(v->buffer, at, v->have);
}

/* Reads once, or until the allowance is used up; false when nothing more is there. */
static int receive(struct viewer *v, uint64_t allowance) {
    ssize_t got;
    errno = 0;
    if (v->discard || v->phase == CLOSING) {
        uint64_t most = v->phase == CLOSING || v->discard > sizeof waste ? sizeof waste : v->discard;
        got = recv(v->fd, waste, most < allowance ? most : allowance, MSG_TRUNC);
        if (got > 0 && v->phase != CLOSING) v->discard -= (uint64_t)got;
    } else {
        size_t room = v->phase == UPGRADING ? sizeof v->buffer : 16 + LOOK;
        size_t most = room - v->have;
        got = recv(v->fd, v->buffer + v->have, most < allowance ? most : allowance, 0);
        if (got > 0) v->have += (size_t)got;
    }
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) {
        finish(v);
        return 0;
    }
    if (v->phase == UPGRADING) upgraded(v);
    if (v->phase == OPEN && !v->discard) parse(v);
    return (int)got;
}

static void read_slowly(void) {
    for (int i = 0; i < wanted; i++) {
        uint64_t allowance = rate * TICK_MS / 1000;
        int got;
        while (viewers[i].phase == OPEN && allowance && (got = receive(&viewers[i], allowance)) > 0)
            allowance -= (uint64_t)got < allowance ? (uint64_t)got : allowance;
    }
}

static void obey(void) {
    static char line[256];
    static size_t have;
    ssize_t got = read(0, line + have, sizeof line - have);
    if (got <= 0) exit(0);
    have += (size_t)got;
    for (char *end; (end = memchr(line, '\n', have)); have -= (size_t)(end + 1 - line),
                                                      memmove(line, end + 1, have))
        if (!strncmp(line, "report\n", 7)) report();
        else memset(&seen, 0, sizeof seen);
}

static void parse_arguments(int argc, char **argv) {
    for (int option; (option = getopt(argc, argv, "p:s:n:c:r:")) != -1;) switch (option) {
        case 'p':
            for (char *word = strtok(optarg, ","); word && port_count < 64; word = strtok(NULL, ","))
                ports[port_count++] = atoi(word);
            break;
        case 's': streams = atoi(optarg); break;
        case 'n': wanted = atoi(optarg); break;
        case 'c': storm = atoi(optarg); break;
        case 'r': rate = strtoull(optarg, NULL, 10); break;
        default: exit(2);
    }
    if (!port_count || wanted < 1 || streams < 1) exit(2);
}

int main(int argc, char **argv) {
    parse_arguments(argc, argv);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    viewers = calloc((size_t)wanted, sizeof *viewers);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event)) fail("standard input");
    int told = storm != 0;
    uint64_t tick = now_ns();
    for (;;) {
        while (opened < wanted && connecting < CONNECTING_AT_ONCE) {
            viewers[opened].number = opened;
            start(&viewers[opened]);
        }
        if (!told && open_now == wanted) {
            told = printf("{\"connected\": %d}\n", open_now);
            fflush(stdout);
        }
        if (storm && done == storm) {
            report();
            return 0;
        }
        int count = epoll_wait(epoll, events, 256, rate ? TICK_MS : -1);
        for (int i = 0; i < count; i++) {
            struct viewer *v = events[i].data.ptr;
            if (!v) obey();
            else if (v->phase == CONNECTING) connected(v);
            else for (int n = 0; n < LATE_READS && receive(v, UINT64_MAX) && v->late; n++);
        }
        if (rate && now_ns() - tick >= TICK_MS * 1000000u) {
            tick = now_ns();
            read_slowly();
        }
    }
}
