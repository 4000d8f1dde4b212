"""File-system calls on many names at a time, without the GIL: threads that pass it on at every call of a file do little else.

Each function does for its names, in order, what one call would do for one.  The functions never raise for the disk: they
give error numbers (0: done), and whoever asked deals with the few that are none.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_AsStringAndSize, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from posix.unistd cimport close

cdef extern from "Python.h":
    bytes PyUnicode_EncodeFSDefault(object)

cdef extern from "_calls.h":
    ctypedef struct Look:
        int64_t size, mtime_ns, ctime_ns
        int mode, gone, unopened, unleased
    void look_at(int folder, const char* name, int leases, Look* look) noexcept nogil
    int link_name(int source, const char* name, int target, const char* new_name) noexcept nogil
    int link_open(int fd, int target, const char* new_name) noexcept nogil
    int unlink_name(int folder, const char* name) noexcept nogil
    int unlink_twin(int folder, int other, const char* name) noexcept nogil
    int new_file(int folder, const char* data, int64_t size) noexcept nogil
    int not_written(int fd) noexcept nogil
    int64_t read_file(int folder, const char* name, char* data, int64_t most) noexcept nogil


cdef class Names:
    """Names as the system takes them."""

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
            # Without a place for the length, a name with a zero in it is refused.
            PyBytes_AsStringAndSize(self._held[i], &text, NULL)
            self.at[i] = text

    def __dealloc__(self):
        free(self.at)


cdef class Numbers:
    """Numbers: descriptors, or what came of the calls."""

    cdef int* at
    cdef Py_ssize_t count

    def __cinit__(self, Py_ssize_t count):
        self.count = count
        self.at = <int*>_memory(count * sizeof(int))

    def __dealloc__(self):
        free(self.at)

    cdef list given(self):
        return [self.at[i] for i in range(self.count)]


cdef void* _memory(size_t size) except NULL:
    cdef void* memory = malloc(size or 1)
    if memory == NULL:
        raise MemoryError
    return memory


def look_all(int folder, names, bint leases):
    """Look at names, never at what they point to.

    Returns
    -------
    list of tuples
        Error number of the look; mode, size in bytes, mtime and ctime in ns; and, of regular files where `leases` asks
        for it, the error numbers of opening to read and of a read lease, which is given back at once.

    """
    cdef Names n = Names(names)
    cdef Look* looks = <Look*>_memory(n.count * sizeof(Look))
    cdef Py_ssize_t i
    try:
        with nogil:
            for i in range(n.count):
                look_at(folder, n.at[i], leases, &looks[i])
        return [
            (
                looks[i].gone,
                looks[i].mode,
                looks[i].size,
                looks[i].mtime_ns,
                looks[i].ctime_ns,
                looks[i].unopened,
                looks[i].unleased,
            )
            for i in range(n.count)
        ]
    finally:
        free(looks)


def link_all(int source, names, int target, new_names):
    """Give files a second name each; refuses to overwrite and follows no symlink."""
    cdef Names old = Names(names), new = Names(new_names)
    cdef Numbers errors = Numbers(_equal(old.count, new.count))
    cdef Py_ssize_t i
    with nogil:
        for i in range(old.count):
            errors.at[i] = link_name(source, old.at[i], target, new.at[i])
    return errors.given()


def link_open_all(fds, int target, new_names):
    """Give open files a name each, also those that have none yet; refuses to overwrite."""
    cdef Names new = Names(new_names)
    cdef Numbers files = _numbers(fds)
    cdef Numbers errors = Numbers(_equal(files.count, new.count))
    cdef Py_ssize_t i
    with nogil:
        for i in range(new.count):
            errors.at[i] = link_open(files.at[i], target, new.at[i])
    return errors.given()


def unlink_all(int folder, names):
    """Remove names; one that is not there is no error."""
    cdef Names n = Names(names)
    cdef Numbers errors = Numbers(n.count)
    cdef Py_ssize_t i
    with nogil:
        for i in range(n.count):
            errors.at[i] = unlink_name(folder, n.at[i])
    return errors.given()


def unlink_twins(int folder, int other, names):
    """Remove those names in a folder that name the same file in another folder."""
    cdef Names n = Names(names)
    cdef Numbers errors = Numbers(n.count)
    cdef Py_ssize_t i
    with nogil:
        for i in range(n.count):
            errors.at[i] = unlink_twin(folder, other, n.at[i])
    return errors.given()


def new_files(int folder, contents):
    """Make nameless files with these bytes.

    Returns
    -------
    list of int
        Their descriptors; after the first that fails, its error number negated, and no more.

    """
    cdef list held = list(contents)
    cdef Py_ssize_t i, made = 0, count = len(held)
    cdef const char** data = <const char**>_memory(count * sizeof(char*))
    cdef int64_t* sizes = NULL
    cdef Numbers fds = Numbers(count)
    try:
        sizes = <int64_t*>_memory(count * sizeof(int64_t))
        for i in range(count):
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
    return fds.given()[:made]


def not_written_all(fds):
    """Say what could not be written of open files; for those that were synced with others, whose sync told others."""
    cdef Numbers files = _numbers(fds)
    cdef Numbers errors = Numbers(files.count)
    cdef Py_ssize_t i
    with nogil:
        for i in range(files.count):
            errors.at[i] = not_written(files.at[i])
    return errors.given()


def close_all(fds):
    """Close descriptors."""
    cdef Numbers files = _numbers(fds)
    cdef Py_ssize_t i
    with nogil:
        for i in range(files.count):
            close(files.at[i])


def read_all(int folder, names, int64_t most):
    """Read regular files of at most `most` bytes; None for any other, and for what cannot be read."""
    cdef Names n = Names(names)
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
