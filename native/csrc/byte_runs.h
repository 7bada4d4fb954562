/* Runs of equal bytes, as in an array of page states. */
#ifndef ARCHIPELAGO_BYTE_RUNS_H
#define ARCHIPELAGO_BYTE_RUNS_H

#include <stddef.h>
#include <stdint.h>

/* Index after the last byte of the run of equal bytes that begins at `start` (< size). */
size_t byte_run_end(const uint8_t *bytes, size_t start, size_t size);

/* Reference of one byte at a time, for the tests. */
size_t byte_run_end_scalar(const uint8_t *bytes, size_t start, size_t size);

#endif
