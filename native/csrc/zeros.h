/* Scans for NUL bytes. All functions take any alignment and any size, 0 included. */
#ifndef ARCHIPELAGO_ZEROS_H
#define ARCHIPELAGO_ZEROS_H

#include <stddef.h>
#include <stdint.h>

/* 1 when all bytes are NUL (also of an empty buffer), else 0. */
int zeros_is_zero(const uint8_t *data, size_t size);

/* Bytes up to and including the last that is not NUL; 0 when there is none. */
size_t zeros_trimmed_size(const uint8_t *data, size_t size);

/* flags[i] = 1 where the i-th piece of `grain` bytes (the last may be short) is all NUL, else 0.
 * `flags` holds ceil(size / grain) bytes; grain > 0. */
void zeros_flags(const uint8_t *data, size_t size, size_t grain, uint8_t *flags);

/* References of one byte at a time, for the tests. */
int zeros_is_zero_scalar(const uint8_t *data, size_t size);
size_t zeros_trimmed_size_scalar(const uint8_t *data, size_t size);

#endif
