# cython: language_level=3
"""Digests and checksums of buffers, with the GIL released."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint64_t


cdef extern from "csrc/block_scan.h" nogil:
    cdef enum block_hash:
        BLOCK_HASH_BLAKE3
        BLOCK_HASH_SHA256
    enum: BLOCK_DIGEST_SIZE
    int block_digest(const uint8_t *data, size_t size, block_hash hash, uint8_t *digest)
    uint64_t block_checksum(const uint8_t *data, size_t size)
    int block_scan(const uint8_t *data, size_t size, size_t block_size, block_hash hash,
                   uint8_t *digests, uint64_t *sizes, uint64_t *checksums)


cdef block_hash hash_of_name(str hash_name) except *:
    if hash_name == "blake3":
        return BLOCK_HASH_BLAKE3
    if hash_name == "sha256":
        return BLOCK_HASH_SHA256
    raise ValueError(f"unknown hash {hash_name!r}")


def digest(data, str hash_name):
    cdef block_hash hash = hash_of_name(hash_name)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, BLOCK_DIGEST_SIZE)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(result)
    cdef Py_buffer view
    cdef int failed
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    with nogil:
        failed = block_digest(<const uint8_t *>view.buf, <size_t>view.len, hash, out)
    PyBuffer_Release(&view)
    if failed:
        raise MemoryError("the hash library failed")
    return result


def checksum(data):
    cdef Py_buffer view
    cdef uint64_t result
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    with nogil:
        result = block_checksum(<const uint8_t *>view.buf, <size_t>view.len)
    PyBuffer_Release(&view)
    return result


def scan_blocks(data, Py_ssize_t block_size, str hash_name):
    cdef block_hash hash = hash_of_name(hash_name)
    cdef Py_buffer view
    if block_size <= 0:
        raise ValueError("block_size must be positive")
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return scan_view(&view, block_size, hash)
    finally:
        PyBuffer_Release(&view)


cdef tuple scan_view(Py_buffer *view, Py_ssize_t block_size, block_hash hash):
    # Not (len + block_size - 1) // block_size, which a huge block_size would overflow.
    cdef Py_ssize_t count = view.len // block_size + (view.len % block_size != 0)
    cdef bytes digests = PyBytes_FromStringAndSize(NULL, count * BLOCK_DIGEST_SIZE)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(digests)
    cdef int failed
    cdef Py_ssize_t i
    cdef uint64_t *numbers = <uint64_t *>PyMem_Malloc((2 * count + 1) * sizeof(uint64_t))
    if numbers == NULL:
        raise MemoryError()
    try:
        with nogil:
            failed = block_scan(<const uint8_t *>view.buf, <size_t>view.len, <size_t>block_size,
                                hash, out, numbers, numbers + count)
        if failed:
            raise MemoryError("the hash library failed")
        return (
            digests,
            [numbers[i] for i in range(count)],
            [numbers[count + i] for i in range(count)],
        )
    finally:
        PyMem_Free(numbers)
