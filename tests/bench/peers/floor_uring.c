/* The floor with io_uring: all viewers' sends go to the kernel in one call. */
#include "floor.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define ENTRIES 16384

static int ring;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;
static unsigned *sq_tail, *cq_head, *cq_tail, sq_mask, cq_mask;

static void *map(size_t size, off_t what) {
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, what);
    if (at == MAP_FAILED) die("mmap");
    return at;
}

static void open_ring(void) {
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    ring = (int)syscall(SYS_io_uring_setup, ENTRIES, &p);
    if (ring < 0) die("io_uring_setup");
    uint8_t *rings = map(p.sq_off.array + p.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
    sqes = map(p.sq_entries * sizeof *sqes, IORING_OFF_SQES);
    sq_tail = (unsigned *)(rings + p.sq_off.tail);
    cq_head = (unsigned *)(rings + p.cq_off.head);
    cq_tail = (unsigned *)(rings + p.cq_off.tail);
    cqes = (struct io_uring_cqe *)(rings + p.cq_off.cqes);
    sq_mask = p.sq_entries - 1;
    cq_mask = p.cq_entries - 1;
    /* Entries are used in their order, always. */
    unsigned *order = (unsigned *)(rings + p.sq_off.array);
    for (unsigned i = 0; i < p.sq_entries; i++) order[i] = i;
}

static void broadcast(struct stream *stream, const uint8_t *message, size_t size) {
    unsigned count = 0, tail = *sq_tail;
    for (size_t i = 0; i < stream->count && count < ENTRIES; i++) {
        if (stream->viewers[i]->rest) continue;
        struct io_uring_sqe *sqe = &sqes[tail++ & sq_mask];
        *sqe = (struct io_uring_sqe){
            .opcode = IORING_OP_SEND, .fd = stream->viewers[i]->fd, .addr = (uintptr_t)message,
            .len = (unsigned)size, .msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT,
            .user_data = (uintptr_t)stream->viewers[i]};
        count++;
    }
    __atomic_store_n(sq_tail, tail, __ATOMIC_RELEASE);
    syscall(SYS_io_uring_enter, ring, count, count, IORING_ENTER_GETEVENTS, NULL, 0);
    unsigned head = *cq_head, end = __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE);
    for (; head != end; head++) {
        struct io_uring_cqe *cqe = &cqes[head & cq_mask];
        sent((struct peer *)(uintptr_t)cqe->user_data, message, size, cqe->res);
    }
    __atomic_store_n(cq_head, head, __ATOMIC_RELEASE);
}

int main(int argc, char **argv) {
    if (argc > 2) open_ring();
    return run(argc, argv, "C floor, io_uring");
}
