/* Counts a process's file-system calls below one folder, and makes chosen ones fail or end the process.

   Preloaded into the nursery (LD_PRELOAD); `hook_arm` starts it in a forked daemon.  One count over all threads and all
   kinds of calls makes "the n-th call" mean the same in every run; strace counts by thread and by call. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static int armed, reads, kill_at, fault_at, fault_count, fault_errno, trace, calls;

void hook_arm(const char *folder, int with_reads, int kill, int fault, int count, int error, int fd) {
    strncpy(root, folder, sizeof root - 1);
    reads = with_reads, kill_at = kill, fault_at = fault, fault_count = count, fault_errno = error, trace = fd;
    armed = 1;
}

/* The path of a descriptor, or of a name below one. */
static void path_of(int fd, const char *name, char *path) {
    char link[64];
    ssize_t n = 0;
    path[0] = 0;
    if (name != NULL && name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return;
    }
    if (fd == AT_FDCWD) {
        snprintf(link, sizeof link, "/proc/self/cwd");
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    }
    n = syscall(SYS_readlink, link, path, PATH_MAX - 300);
    if (n < 0) n = 0;
    path[n] = 0;
    if (name != NULL) snprintf(path + n, 300, "/%s", name);
}

/* Returns 1 when the call is to fail; errno is set. */
static int strikes(const char *call, int fd, const char *name, int is_read) {
    char path[PATH_MAX], line[PATH_MAX + 64];
    int before = errno, n;
    size_t length = strlen(root);
    if (!armed || (is_read && !reads)) return 0;
    path_of(fd, name, path);
    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != 0)) {
        errno = before;
        return 0;
    }
    n = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (trace >= 0) {
        int size = snprintf(line, sizeof line, "%d %s %s\n", n, call, path + length);
        syscall(SYS_write, trace, line, size);
    }
    if (n == kill_at) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) pause();
    }
    if (fault_at != 0 && n >= fault_at && n - fault_at < fault_count) {
        errno = fault_errno;
        return 1;
    }
    errno = before;
    return 0;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (real == NULL) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define CALL(type, name, read, fd, path, params, args, ...) \
    type name params { \
        REAL(type, name, __VA_ARGS__); \
        return strikes(#name, fd, path, read) ? (type)-1 : real args; \
    }

CALL(int, link, 0, AT_FDCWD, b, (const char *a, const char *b), (a, b), const char *, const char *)
CALL(int, unlink, 0, AT_FDCWD, a, (const char *a), (a), const char *)
CALL(int, unlinkat, 0, d, a, (int d, const char *a, int f), (d, a, f), int, const char *, int)
CALL(int, rename, 0, AT_FDCWD, b, (const char *a, const char *b), (a, b), const char *, const char *)
CALL(int, renameat, 0, e, b, (int d, const char *a, int e, const char *b), (d, a, e, b),
     int, const char *, int, const char *)
CALL(int, renameat2, 0, e, b, (int d, const char *a, int e, const char *b, unsigned f), (d, a, e, b, f),
     int, const char *, int, const char *, unsigned)
CALL(int, mkdir, 0, AT_FDCWD, a, (const char *a, mode_t m), (a, m), const char *, mode_t)
CALL(int, mkdirat, 0, d, a, (int d, const char *a, mode_t m), (d, a, m), int, const char *, mode_t)
CALL(int, fsync, 0, d, NULL, (int d), (d), int)
CALL(int, fdatasync, 0, d, NULL, (int d), (d), int)
CALL(int, syncfs, 0, d, NULL, (int d), (d), int)
CALL(int, sync_file_range, 0, d, NULL, (int d, off64_t o, off64_t n, unsigned f), (d, o, n, f),
     int, off64_t, off64_t, unsigned)
CALL(int, ftruncate, 0, d, NULL, (int d, off_t n), (d, n), int, off_t)
CALL(int, ftruncate64, 0, d, NULL, (int d, off64_t n), (d, n), int, off64_t)
CALL(ssize_t, write, 0, d, NULL, (int d, const void *p, size_t n), (d, p, n), int, const void *, size_t)
CALL(ssize_t, writev, 0, d, NULL, (int d, const struct iovec *p, int n), (d, p, n), int, const struct iovec *, int)
CALL(ssize_t, pwrite, 0, d, NULL, (int d, const void *p, size_t n, off_t o), (d, p, n, o),
     int, const void *, size_t, off_t)
CALL(ssize_t, pwrite64, 0, d, NULL, (int d, const void *p, size_t n, off64_t o), (d, p, n, o),
     int, const void *, size_t, off64_t)
CALL(ssize_t, read, 1, d, NULL, (int d, void *p, size_t n), (d, p, n), int, void *, size_t)
CALL(ssize_t, pread64, 1, d, NULL, (int d, void *p, size_t n, off64_t o), (d, p, n, o), int, void *, size_t, off64_t)
CALL(int, dup, 1, d, NULL, (int d), (d), int)
CALL(int, fstatat64, 1, d, a, (int d, const char *a, struct stat64 *s, int f), (d, a, s, f),
     int, const char *, struct stat64 *, int)
CALL(int, fstatvfs64, 1, d, NULL, (int d, struct statvfs64 *s), (d, s), int, struct statvfs64 *)

/* A file called full-... has as many links as the file system allows; the kernel does not see such a call. */
int linkat(int d, const char *a, int e, const char *b, int f) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    if (armed && strncmp(a, "full-", 5) == 0) {
        errno = EMLINK;
        return -1;
    }
    return strikes("linkat", e, b, 0) ? -1 : real(d, a, e, b, f);
}

/* This one returns its error instead of setting errno. */
int posix_fallocate64(int d, off64_t o, off64_t n) {
    REAL(int, posix_fallocate64, int, off64_t, off64_t);
    return strikes("posix_fallocate64", d, NULL, 0) ? errno : real(d, o, n);
}

DIR *fdopendir(int d) {
    REAL(DIR *, fdopendir, int);
    return strikes("fdopendir", d, NULL, 1) ? NULL : real(d);
}

struct dirent64 *readdir64(DIR *d) {
    REAL(struct dirent64 *, readdir64, DIR *);
    return strikes("readdir64", dirfd(d), NULL, 1) ? NULL : real(d);
}

/* Opening counts as a change when it may make a file. */
#define OPEN(name) \
    int name(const char *a, int f, ...) { \
        va_list more; \
        REAL(int, name, const char *, int, ...); \
        va_start(more, f); \
        mode_t m = (f & (O_CREAT | __O_TMPFILE)) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        return strikes(#name, AT_FDCWD, a, !(f & O_CREAT)) ? -1 : real(a, f, m); \
    }
#define OPENAT(name) \
    int name(int d, const char *a, int f, ...) { \
        va_list more; \
        REAL(int, name, int, const char *, int, ...); \
        va_start(more, f); \
        mode_t m = (f & (O_CREAT | __O_TMPFILE)) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        return strikes(#name, d, a, !(f & O_CREAT)) ? -1 : real(d, a, f, m); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
