/* Clocks and kernel receive stamps, shared by the ground-truth server and the reference client.
 *
 * Every time in both programs is an integer of nanoseconds of CLOCK_MONOTONIC, the clock of
 * Python's time.monotonic_ns(). The kernel stamps received bytes with CLOCK_REALTIME
 * (SO_TIMESTAMPNS), so stamps are converted with bracketed samples of both clocks.
 *
 * The including file defines _GNU_SOURCE before its first include.
 */
#ifndef MINIONBENCH_KERNEL_CLOCK_H
#define MINIONBENCH_KERNEL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000.0

/* A bracket as short as this was not interrupted; a longer one is tried again. */
#define GOOD_BRACKET_NS 1000
#define BRACKET_ATTEMPTS 8

/* Room for the control message that carries one stamp. */
#define STAMP_CONTROL_BYTES 128

static inline int64_t timespec_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static inline int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return timespec_ns(t);
}

static inline int64_t monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* CLOCK_REALTIME - CLOCK_MONOTONIC, from the tightest of a few bracketed samples. */
static inline int64_t realtime_offset_ns(void)
{
    int64_t best_width = INT64_MAX;
    int64_t best_offset = 0;
    for (int i = 0; i < BRACKET_ATTEMPTS && best_width > GOOD_BRACKET_NS; i++) {
        int64_t before = monotonic_ns();
        int64_t real = clock_ns(CLOCK_REALTIME);
        int64_t after = monotonic_ns();
        if (after - before < best_width) {
            best_width = after - before;
            best_offset = real - (before + best_width / 2);
        }
    }
    return best_offset;
}

/* Asks the kernel for receive stamps. Set on a listening socket it is inherited by what it accepts;
 * on a client's socket it is set before connect, since bytes already queued come unstamped. */
static inline void enable_receive_stamps(int fd)
{
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
}

/* The CLOCK_REALTIME stamp of a received message; false where it carries none. */
static inline bool receive_stamp_ns(struct msghdr *message, int64_t *real_ns)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
            *real_ns = timespec_ns(stamp);
            return true;
        }
    }
    return false;
}

#endif
