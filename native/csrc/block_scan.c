#define XXH_INLINE_ALL
#include "block_scan.h"

#include <blake3.h>
#include <openssl/evp.h>
#include <string.h>
#include <xxhash.h>

#include "zeros.h"

/* Checksum and digest take turns on slices of this size, so that the second one reads from the
 * level-2 cache. Measured best at 128 to 256 KiB. */
#define SLICE_SIZE ((size_t)256 * 1024)

static int sha256_digest(const uint8_t *data, size_t size, uint8_t *digest) {
    return EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL) == 1 ? 0 : -1;
}

static void blake3_digest(const uint8_t *data, size_t size, uint8_t *digest) {
    blake3_hasher hasher;

    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, data, size);
    blake3_hasher_finalize(&hasher, digest, BLOCK_DIGEST_SIZE);
}

int block_digest(const uint8_t *data, size_t size, enum block_hash hash, uint8_t *digest) {
    if (hash == BLOCK_HASH_SHA256)
        return sha256_digest(data, size, digest);
    blake3_digest(data, size, digest);
    return 0;
}

uint64_t block_checksum(const uint8_t *data, size_t size) {
    return XXH3_64bits(data, size);
}

static int scan_piece_sliced(const uint8_t *data, size_t size, uint8_t *digest,
                             uint64_t *checksum) {
    blake3_hasher hasher;
    XXH3_state_t *state = XXH3_createState();

    if (state == NULL)
        return -1;
    XXH3_64bits_reset(state);
    blake3_hasher_init(&hasher);
    while (size > 0) {
        size_t slice = size < SLICE_SIZE ? size : SLICE_SIZE;

        XXH3_64bits_update(state, data, slice);
        blake3_hasher_update(&hasher, data, slice);
        data += slice;
        size -= slice;
    }
    *checksum = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    blake3_hasher_finalize(&hasher, digest, BLOCK_DIGEST_SIZE);
    return 0;
}

static int scan_piece(const uint8_t *data, size_t size, enum block_hash hash, uint8_t *digest,
                      uint64_t *checksum) {
    /* SHA-256 is slow enough that a second read from memory does not show. */
    if (hash == BLOCK_HASH_BLAKE3 && size > SLICE_SIZE)
        return scan_piece_sliced(data, size, digest, checksum);
    *checksum = block_checksum(data, size);
    return block_digest(data, size, hash, digest);
}

int block_scan(const uint8_t *data, size_t size, size_t block_size, enum block_hash hash,
               uint8_t *digests, uint64_t *sizes, uint64_t *checksums) {
    while (size > 0) {
        size_t piece = size < block_size ? size : block_size;
        size_t trimmed = zeros_trimmed_size(data, piece);

        *sizes = trimmed;
        if (trimmed == 0) {
            memset(digests, 0, BLOCK_DIGEST_SIZE);
            *checksums = 0;
        } else if (scan_piece(data, trimmed, hash, digests, checksums) != 0) {
            return -1;
        }
        data += piece;
        size -= piece;
        digests += BLOCK_DIGEST_SIZE;
        sizes++;
        checksums++;
    }
    return 0;
}
