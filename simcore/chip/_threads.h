/* How the threads that share a chip take cores and wait for each other. */

#ifndef SPIKEWATCH_THREADS_H
#define SPIKEWATCH_THREADS_H

#include <stdint.h>
#include <time.h>

static inline void add_16(uint16_t *to, int n, int shared)
{
    if (shared) __atomic_fetch_add(to, (uint16_t) n, __ATOMIC_RELAXED); else *to = (uint16_t) (*to + n);
}
static inline void add_32(int32_t *to, int n, int shared)
{
    if (shared) __atomic_fetch_add(to, n, __ATOMIC_RELAXED); else *to += n;
}
static inline void add_64(int64_t *to, int64_t n)
{
    __atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

static inline void fetch(const void *address) { __builtin_prefetch(address); }

/* Where the threads of a batch meet; int64_t (24,), zeroed: each counter on a cache line of its own. */
enum { TAKEN = 0, ARRIVED = 8, RELEASED = 16 };

/* Take the next `n` of the things that are shared out until the threads next meet. */
static inline int64_t take(int64_t *meeting, int64_t n, int shared)
{
    if (shared) return __atomic_fetch_add(meeting + TAKEN, n, __ATOMIC_RELAXED);
    meeting[TAKEN] += n;
    return meeting[TAKEN] - n;
}

static inline void rest(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Wait until all threads have come here for the `round`-th time.
   Spins for some 20 us, longer than threads that take cores in turn are apart, and then sleeps: a thread that only
   yields stays where it is, and can keep the one that it waits for on the same CPU for good. */
static inline void meet(int64_t *meeting, int64_t threads, int64_t round)
{
    if (threads == 1 || __atomic_add_fetch(meeting + ARRIVED, 1, __ATOMIC_ACQ_REL) == round * threads) {
        meeting[TAKEN] = 0;
        __atomic_store_n(meeting + RELEASED, round, __ATOMIC_RELEASE);
        return;
    }
    const struct timespec moment = {0, 20000};
    for (int spins = 0; __atomic_load_n(meeting + RELEASED, __ATOMIC_ACQUIRE) < round; spins++)
        if (spins < 1000) rest(); else nanosleep(&moment, 0);
}

#endif
