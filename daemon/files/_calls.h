/* File-system calls for _calls.pyx.  Each returns 0 or an errno; a call that the system lacks returns an errno, too. */
#ifndef SPIKEWATCH_CALLS_H
#define SPIKEWATCH_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    int64_t size, mtime_ns, ctime_ns;
    int mode;
    int stat_error;              /* errno of fstatat */
    int open_error, lease_error; /* errno of opening the file, and of taking a read lease on it */
} FileFacts;

#ifdef __APPLE__
#define CALLS_MTIME(s) ((s).st_mtimespec)
#define CALLS_CTIME(s) ((s).st_ctimespec)
#else
#define CALLS_MTIME(s) ((s).st_mtim)
#define CALLS_CTIME(s) ((s).st_ctim)
#endif

static int64_t nanoseconds(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }

static int open_to_read(int folder, const char *name) {
    return openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

/* Find out whether another process has the file open for writing: the kernel then refuses a read lease (EAGAIN). */
static void probe_writers(int folder, const char *name, FileFacts *facts) {
    int fd = open_to_read(folder, name);
    if (fd < 0) {
        facts->open_error = errno;
        return;
    }
#ifdef F_SETLEASE
    if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
        facts->lease_error = errno;
    else
        fcntl(fd, F_SETLEASE, F_UNLCK);
#else
    facts->lease_error = ENOSYS;
#endif
    close(fd);
}

static void look_at(int folder, const char *name, int leases, FileFacts *facts) {
    struct stat st;
    *facts = (FileFacts){0};
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        facts->stat_error = errno;
        return;
    }
    facts->size = st.st_size;
    facts->mode = (int)st.st_mode;
    facts->mtime_ns = nanoseconds(CALLS_MTIME(st));
    facts->ctime_ns = nanoseconds(CALLS_CTIME(st));
    if (leases && S_ISREG(st.st_mode))
        probe_writers(folder, name, facts);
}

static int link_name(int source, const char *name, int target, const char *new_name) {
    return linkat(source, name, target, new_name, 0) < 0 ? errno : 0;
}

static int link_open(int fd, int target, const char *new_name) {
    char path[32];
#ifdef AT_EMPTY_PATH
    /* Saves the walk through /proc.  Linux allows it to root, and since 6.10 to the process that opened the file; to
       others it reports ENOENT. */
    if (linkat(fd, "", target, new_name, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != ENOENT)
        return errno;
#endif
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, target, new_name, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
}

static int unlink_name(int folder, const char *name) {
    return unlinkat(folder, name, 0) < 0 && errno != ENOENT ? errno : 0;
}

/* Unlink `name` in `folder` if the same name in `other` is a hard link to the same file. */
static int unlink_twin(int folder, int other, const char *name) {
    struct stat a, b;
    if (fstatat(folder, name, &a, AT_SYMLINK_NOFOLLOW) < 0 || fstatat(other, name, &b, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : errno;
    if (a.st_dev != b.st_dev || a.st_ino != b.st_ino)
        return 0;
    return b.st_nlink > 2 ? EMLINK : unlink_name(folder, name);
}

/* Create a nameless file with these bytes; return its descriptor, or a negated errno. */
static int new_file(int folder, const char *data, int64_t size) {
#ifdef O_TMPFILE
    int fd = openat(folder, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    while (size > 0) {
        ssize_t written = write(fd, data, (size_t)size);
        if (written < 0) {
            int number = errno;
            close(fd);
            return -number;
        }
        data += written;
        size -= written;
    }
    return fd;
#else
    (void)folder, (void)data, (void)size;
    return -EOPNOTSUPP;
#endif
}

/* Return the errno of a write-back of this file that failed since it was opened, or since the last call.

   The kernel reports such an error once for each open file description. */
static int writeback_error(int fd) {
#ifdef SYNC_FILE_RANGE_WAIT_BEFORE
    /* Waits only for pages that are already being written, and reports their errors; fsync would write again. */
    if (sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE) == 0)
        return 0;
    if (errno != ENOSYS) /* some sandboxes lack the call */
        return errno;
#endif
    return fsync(fd) < 0 ? errno : 0;
}

/* Write everything that is pending for the file system of `fd` to its disk. */
static int sync_volume(int fd) {
#ifdef __linux__
    return syncfs(fd) < 0 ? errno : 0;
#else
    (void)fd;
    return ENOSYS;
#endif
}

/* Read a regular file of at most `most` bytes; return its size, or -1 for any other file and on an error. */
static int64_t read_file(int folder, const char *name, char *data, int64_t most) {
    struct stat facts;
    int64_t size = 0;
    int fd = open_to_read(folder, name);
    if (fd < 0)
        return -1;
    if (fstat(fd, &facts) < 0 || !S_ISREG(facts.st_mode) || facts.st_size > most)
        size = -1;
    while (size >= 0 && size < facts.st_size) {
        ssize_t got = read(fd, data + size, (size_t)(facts.st_size - size));
        if (got == 0)
            break;
        size = got < 0 ? -1 : size + got;
    }
    close(fd);
    return size;
}

#endif
