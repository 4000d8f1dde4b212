/* File-system calls as _calls.pyx wants them: an error number or 0, and what a system lacks is refused. */
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
    int gone;   /* error of the look at the name */
    int unopened, unleased; /* errors of the question for writers */
} Look;

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

static void ask_for_writers(int folder, const char *name, Look *look) {
    int fd = open_to_read(folder, name);
    if (fd < 0) {
        look->unopened = errno;
        return;
    }
#ifdef F_SETLEASE
    if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
        look->unleased = errno;
    else
        fcntl(fd, F_SETLEASE, F_UNLCK);
#else
    look->unleased = ENOSYS;
#endif
    close(fd);
}

static void look_at(int folder, const char *name, int leases, Look *look) {
    struct stat facts;
    *look = (Look){0};
    if (fstatat(folder, name, &facts, AT_SYMLINK_NOFOLLOW) < 0) {
        look->gone = errno;
        return;
    }
    look->size = facts.st_size;
    look->mode = (int)facts.st_mode;
    look->mtime_ns = nanoseconds(CALLS_MTIME(facts));
    look->ctime_ns = nanoseconds(CALLS_CTIME(facts));
    if (leases && S_ISREG(facts.st_mode))
        ask_for_writers(folder, name, look);
}

static int link_name(int source, const char *name, int target, const char *new_name) {
    return linkat(source, name, target, new_name, 0) < 0 ? errno : 0;
}

static int link_open(int fd, int target, const char *new_name) {
    char path[32];
#ifdef AT_EMPTY_PATH
    /* Linux allows this to root, and since 6.10 to whoever has opened the file: no walk through /proc. */
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

/* Unlink a name in `folder` if it names the same file as in `other`. */
static int unlink_twin(int folder, int other, const char *name) {
    struct stat a, b;
    if (fstatat(folder, name, &a, AT_SYMLINK_NOFOLLOW) < 0 || fstatat(other, name, &b, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : errno;
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino ? unlink_name(folder, name) : 0;
}

/* A new nameless file that holds these bytes: its descriptor, or minus the error. */
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

/* What the system has failed to write of an open file since it was opened, or since this was asked last. */
static int not_written(int fd) {
#ifdef SYNC_FILE_RANGE_WAIT_BEFORE
    if (sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE) == 0)
        return 0;
    if (errno != ENOSYS) /* as some sandboxes say */
        return errno;
#endif
    return fsync(fd) < 0 ? errno : 0;
}

/* The bytes of a regular file of at most `most` bytes: their number, or -1 for any other file, and on an error. */
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
