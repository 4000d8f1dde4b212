/* How the threads that share a chip divide the cores among them and wait for each other. */

#ifndef SPIKEWATCH_THREADS_H
#define SPIKEWATCH_THREADS_H

#include <stdint.h>
#include <time.h>

/* Add to a counter; atomically if other threads add to it as well (`shared`).  Relaxed order is enough: the counters
   are read only after all threads have ended. */
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

static inline void prefetch(const void *address) { __builtin_prefetch(address); }

/* Places of the counters in the barrier, int64_t (24,), zeroed: each on its own cache line, so that threads that
   write one do not slow down those that read another. */
enum { TAKEN = 0, ARRIVED = 8, RELEASED = 16 };

/* Take the next `n` items (cores) of a tick and return the number of the first; `wait_for_all` resets the count. */
static inline int64_t take_next(int64_t *barrier, int64_t n, int shared)
{
    if (shared) return __atomic_fetch_add(barrier + TAKEN, n, __ATOMIC_RELAXED);
    barrier[TAKEN] += n;
    return barrier[TAKEN] - n;
}

static inline void spin_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Wait until all threads have called this for the `round`-th time.
   A waiting thread spins for about 20 us, which is longer than the usual gap between threads that take chunks of cores
   in turn, and then sleeps.  Yielding instead does not work: a thread that only yields stays on its CPU, and can keep
   the thread that it waits for off that CPU for good. */
static inline void wait_for_all(int64_t *barrier, int64_t threads, int64_t round)
{
    /* ARRIVED is never reset: the round number tells this tick's arrivals from earlier ones, so a fast thread that is
       already in the next round cannot confuse a slow one that is still leaving this round. */
    if (threads == 1 || __atomic_add_fetch(barrier + ARRIVED, 1, __ATOMIC_ACQ_REL) == round * threads) {
        barrier[TAKEN] = 0; /* a plain store: no other thread takes cores until it sees the release below */
        __atomic_store_n(barrier + RELEASED, round, __ATOMIC_RELEASE);
        return;
    }
    const struct timespec moment = {0, 20000};
    for (int spins = 0; __atomic_load_n(barrier + RELEASED, __ATOMIC_ACQUIRE) < round; spins++)
        if (spins < 1000) spin_pause(); else nanosleep(&moment, 0);
}

#endif
