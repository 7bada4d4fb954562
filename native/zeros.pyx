# cython: language_level=3
"""Scans for NUL bytes, with the GIL released."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t


cdef extern from "csrc/zeros.h" nogil:
    int zeros_is_zero(const uint8_t *data, size_t size)
    size_t zeros_trimmed_size(const uint8_t *data, size_t size)
    void zeros_flags(const uint8_t *data, size_t size, size_t grain, uint8_t *flags)
    int zeros_is_zero_scalar(const uint8_t *data, size_t size)
    size_t zeros_trimmed_size_scalar(const uint8_t *data, size_t size)


cdef extern from "csrc/byte_runs.h" nogil:
    size_t byte_run_end(const uint8_t *bytes, size_t start, size_t size)


def is_zero(data, *, bint scalar=False):
    cdef Py_buffer view
    cdef bint result
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    with nogil:
        if scalar:
            result = zeros_is_zero_scalar(<const uint8_t *>view.buf, <size_t>view.len)
        else:
            result = zeros_is_zero(<const uint8_t *>view.buf, <size_t>view.len)
    PyBuffer_Release(&view)
    return result


def trimmed_length(data, *, bint scalar=False):
    cdef Py_buffer view
    cdef size_t result
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    with nogil:
        if scalar:
            result = zeros_trimmed_size_scalar(<const uint8_t *>view.buf, <size_t>view.len)
        else:
            result = zeros_trimmed_size(<const uint8_t *>view.buf, <size_t>view.len)
    PyBuffer_Release(&view)
    return result


def zero_runs(data, Py_ssize_t grain):
    cdef Py_buffer view
    if grain <= 0:
        raise ValueError("grain must be positive")
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return runs_of_view(&view, grain)
    finally:
        PyBuffer_Release(&view)


cdef list runs_of_view(Py_buffer *view, Py_ssize_t grain):
    cdef Py_ssize_t count = view.len // grain + (view.len % grain != 0)
    cdef Py_ssize_t start = 0, end, end_offset
    cdef list runs = []
    cdef uint8_t *flags = <uint8_t *>PyMem_Malloc(count + 1)
    if flags == NULL:
        raise MemoryError()
    try:
        with nogil:
            zeros_flags(<const uint8_t *>view.buf, <size_t>view.len, <size_t>grain, flags)
        while start < count:
            end = <Py_ssize_t>byte_run_end(flags, <size_t>start, <size_t>count)
            end_offset = view.len if end == count else end * grain
            runs.append((start * grain, end_offset - start * grain, flags[start] == 1))
            start = end
        return runs
    finally:
        PyMem_Free(flags)
