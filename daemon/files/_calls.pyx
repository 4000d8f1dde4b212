"""File-system calls on many names at a time, without the GIL.

Threads that release and take the GIL around every single call spend most of their time waiting for it.

Each function makes one call for each of its names, in order.  No function raises for a failed call: it returns an errno
per name (0 = success), and the caller decides which of them are errors.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_AsStringAndSize, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from posix.unistd cimport close

cdef extern from "Python.h":
    bytes PyUnicode_EncodeFSDefault(object)

cdef extern from "_calls.h":
    ctypedef struct FileFacts:
        int64_t size, mtime_ns, ctime_ns
        int mode, stat_error, open_error, lease_error
    void look_at(int folder, const char* name, int leases, FileFacts* facts) noexcept nogil
    int link_name(int source, const char* name, int target, const char* new_name) noexcept nogil
    int link_open(int fd, int target, const char* new_name) noexcept nogil
    int unlink_name(int folder, const char* name) noexcept nogil
    int unlink_twin(int folder, int other, const char* name) noexcept nogil
    int new_file(int folder, const char* data, int64_t size) noexcept nogil
    int writeback_error(int fd) noexcept nogil
    int sync_volume(int fd) noexcept nogil
    int64_t read_file(int folder, const char* name, char* data, int64_t most) noexcept nogil


cdef class Names:
    """File names as an array of C strings in the file-system encoding."""

    cdef list _held
    cdef char** at
    cdef Py_ssize_t count

    def __cinit__(self, names):
        cdef Py_ssize_t i
        cdef char* text
        self._held = [PyUnicode_EncodeFSDefault(name) for name in names]
        self.count = len(self._held)
        self.at = <char**>_memory(self.count * sizeof(char*))
        for i in range(self.count):
            # NULL for the length makes CPython refuse a name with a zero byte in it (ValueError).
            PyBytes_AsStringAndSize(self._held[i], &text, NULL)
            self.at[i] = text

    def __dealloc__(self):
        free(self.at)


cdef class Numbers:
    """An array of C ints: descriptors, or an errno per call."""

    cdef int* at
    cdef Py_ssize_t count

    def __cinit__(self, Py_ssize_t count):
        self.count = count
        self.at = <int*>_memory(count * sizeof(int))

    def __dealloc__(self):
        free(self.at)

    cdef list as_list(self):
        return [self.at[i] for i in range(self.count)]


cdef void* _memory(size_t size) except NULL:
    cdef void* memory = malloc(size or 1)
    if memory == NULL:
        raise MemoryError
    return memory


def look_all(int folder, names, bint leases):
    """Stat names in a folder without following symlinks.

    Returns
    -------
    list of tuples
        Per name: the errno of the stat; mode, size in bytes, mtime and ctime in ns; and the errnos of opening the file
        for reading and of taking a read lease on it.  The last two are probed only for regular files, and only if
        `leases` is true; the lease is released at once.

    """
    cdef Names n = Names(names)
    cdef FileFacts* facts = <FileFacts*>_memory(n.count * sizeof(FileFacts))
    cdef Py_ssize_t i
    try:
        with nogil:
            for i in range(n.count):
                look_at(folder, n.at[i], leases, &facts[i])
        return [
            (
                facts[i].stat_error,
                facts[i].mode,
                facts[i].size,
                facts[i].mtime_ns,
                facts[i].ctime_ns,
                facts[i].open_error,
                facts[i].lease_error,
            )
            for i in range(n.count)
        ]
    finally:
        free(facts)


def link_all(int source, names, int target, new_names):
    """Hard-link each file under a second name; never overwrites and never follows a symlink."""
    cdef Names old = Names(names), new = Names(new_names)
    cdef Numbers errors = Numbers(_equal(old.count, new.count))
    cdef Py_ssize_t i
    with nogil:
        for i in range(old.count):
            errors.at[i] = link_name(source, old.at[i], target, new.at[i])
    return errors.as_list()


def link_open_all(fds, int target, new_names):
    """Link each open file under a name, nameless files included; never overwrites."""
    cdef Names new = Names(new_names)
    cdef Numbers files = _numbers(fds)
    cdef Numbers errors = Numbers(_equal(files.count, new.count))
    cdef Py_ssize_t i
    with nogil:
        for i in range(new.count):
            errors.at[i] = link_open(files.at[i], target, new.at[i])
    return errors.as_list()


def unlink_all(int folder, names):
    """Unlink names; a missing name counts as success."""
    cdef Names n = Names(names)
    cdef Numbers errors = Numbers(n.count)
    cdef Py_ssize_t i
    with nogil:
        for i in range(n.count):
            errors.at[i] = unlink_name(folder, n.at[i])
    return errors.as_list()


def unlink_twins(int folder, int other, names):
    """Unlink each name in `folder` whose namesake in `other` is a hard link to the same file.

    The errno is EMLINK, and nothing is unlinked, if the file has a third name.
    """
    cdef Names n = Names(names)
    cdef Numbers errors = Numbers(n.count)
    cdef Py_ssize_t i
    with nogil:
        for i in range(n.count):
            errors.at[i] = unlink_twin(folder, other, n.at[i])
    return errors.as_list()


def new_files(int folder, contents):
    """Create a nameless file (O_TMPFILE) for each of `contents`.

    Returns
    -------
    list of int
        Their descriptors.  At the first failure the list ends with the negated errno.

    """
    cdef list held = list(contents)
    cdef Py_ssize_t i, made = 0, count = len(held)
    cdef const char** data = <const char**>_memory(count * sizeof(char*))
    cdef int64_t* sizes = NULL
    cdef Numbers fds = Numbers(count)
    try:
        sizes = <int64_t*>_memory(count * sizeof(int64_t))
        for i in range(count):
            # The pointers stay valid without the GIL because `held` keeps a reference to each object.
            data[i] = PyBytes_AS_STRING(<bytes?>held[i])
            sizes[i] = PyBytes_GET_SIZE(held[i])
        with nogil:
            while made < count:
                fds.at[made] = new_file(folder, data[made], sizes[made])
                made += 1
                if fds.at[made - 1] < 0:
                    break
    finally:
        free(data)
        free(sizes)
    return fds.as_list()[:made]


def writeback_errors(fds):
    """Return the errno of each open file's failed write-back, each error once per descriptor."""
    cdef Numbers files = _numbers(fds)
    cdef Numbers errors = Numbers(files.count)
    cdef Py_ssize_t i
    with nogil:
        for i in range(files.count):
            errors.at[i] = writeback_error(files.at[i])
    return errors.as_list()


def sync_filesystem(int fd):
    """Sync the whole file system of a descriptor; return an errno, ENOSYS where the system has no syncfs."""
    cdef int error
    with nogil:
        error = sync_volume(fd)
    return error


def close_all(fds):
    """Close descriptors."""
    cdef Numbers files = _numbers(fds)
    cdef Py_ssize_t i
    with nogil:
        for i in range(files.count):
            close(files.at[i])


def read_all(int folder, names, int64_t most):
    """Read regular files of at most `most` bytes each; None for any other file and for an unreadable one."""
    cdef Names n = Names(names)
    # One buffer with `most` bytes for each file, so that the loop below neither allocates nor needs the GIL.
    cdef char* data = <char*>_memory(n.count * most)
    cdef int64_t* sizes = NULL
    cdef Py_ssize_t i
    try:
        sizes = <int64_t*>_memory(n.count * sizeof(int64_t))
        with nogil:
            for i in range(n.count):
                sizes[i] = read_file(folder, n.at[i], data + i * most, most)
        return [
            None if sizes[i] < 0 else PyBytes_FromStringAndSize(data + i * most, sizes[i])
            for i in range(n.count)
        ]
    finally:
        free(data)
        free(sizes)


cdef Numbers _numbers(values):
    cdef list held = list(values)
    cdef Numbers numbers = Numbers(len(held))
    cdef Py_ssize_t i
    for i in range(numbers.count):
        numbers.at[i] = held[i]
    return numbers


cdef Py_ssize_t _equal(Py_ssize_t a, Py_ssize_t b) except -1:
    if a != b:
        raise ValueError(f"{a} files and {b} names")
    return a
