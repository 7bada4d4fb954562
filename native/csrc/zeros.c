#include "zeros.h"

#include <string.h>

/* Bytes looked at between two branches: four vectors of SSE2, and the compiler unrolls the loop. */
#define STRIDE 64

static int stride_is_zero(const uint8_t *data) {
    uint64_t words[STRIDE / 8];
    uint64_t any = 0;

    memcpy(words, data, STRIDE);
    for (size_t i = 0; i < STRIDE / 8; i++)
        any |= words[i];
    return any == 0;
}

int zeros_is_zero_scalar(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (data[i] != 0)
            return 0;
    return 1;
}

size_t zeros_trimmed_size_scalar(const uint8_t *data, size_t size) {
    while (size > 0 && data[size - 1] == 0)
        size--;
    return size;
}

int zeros_is_zero(const uint8_t *data, size_t size) {
    while (size >= STRIDE) {
        if (!stride_is_zero(data))
            return 0;
        data += STRIDE;
        size -= STRIDE;
    }
    return zeros_is_zero_scalar(data, size);
}

size_t zeros_trimmed_size(const uint8_t *data, size_t size) {
    while (size >= STRIDE && stride_is_zero(data + size - STRIDE))
        size -= STRIDE;
    return zeros_trimmed_size_scalar(data, size);
}

void zeros_flags(const uint8_t *data, size_t size, size_t grain, uint8_t *flags) {
    for (size_t offset = 0; offset < size; offset += grain) {
        size_t piece = size - offset < grain ? size - offset : grain;

        *flags++ = (uint8_t)zeros_is_zero(data + offset, piece);
    }
}
