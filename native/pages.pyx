# cython: language_level=3
"""Runs of equal bytes, as in an array of page states."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t


cdef extern from "csrc/byte_runs.h" nogil:
    size_t byte_run_end(const uint8_t *bytes, size_t start, size_t size)
    size_t byte_run_end_scalar(const uint8_t *bytes, size_t start, size_t size)


def runs(states, *, bint scalar=False):
    cdef Py_buffer view
    cdef const uint8_t *bytes_
    cdef size_t start = 0, end, size
    cdef list found = []
    PyObject_GetBuffer(states, &view, PyBUF_SIMPLE)
    try:
        bytes_ = <const uint8_t *>view.buf
        size = <size_t>view.len
        # The GIL is kept: the array is its owner's mutable state, and must not change under us.
        while start < size:
            if scalar:
                end = byte_run_end_scalar(bytes_, start, size)
            else:
                end = byte_run_end(bytes_, start, size)
            found.append((start, end - start, bytes_[start]))
            start = end
    finally:
        PyBuffer_Release(&view)
    return found
