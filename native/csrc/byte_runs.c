#include "byte_runs.h"

#include <string.h>

size_t byte_run_end_scalar(const uint8_t *bytes, size_t start, size_t size) {
    size_t end = start + 1;

    while (end < size && bytes[end] == bytes[start])
        end++;
    return end;
}

size_t byte_run_end(const uint8_t *bytes, size_t start, size_t size) {
    const uint64_t pattern = 0x0101010101010101ULL * bytes[start];
    size_t end = start;
    uint64_t words[4];

    while (size - end >= sizeof words) {
        memcpy(words, bytes + end, sizeof words);
        if (((words[0] ^ pattern) | (words[1] ^ pattern) | (words[2] ^ pattern) |
             (words[3] ^ pattern)) != 0)
            break;
        end += sizeof words;
    }
    while (end < size && bytes[end] == bytes[start])
        end++;
    return end;
}
