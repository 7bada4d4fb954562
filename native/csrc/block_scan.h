/* Digests and checksums of blocks: one pass over the data in slices that stay in the cache. */
#ifndef ARCHIPELAGO_BLOCK_SCAN_H
#define ARCHIPELAGO_BLOCK_SCAN_H

#include <stddef.h>
#include <stdint.h>

#define BLOCK_DIGEST_SIZE 32

enum block_hash { BLOCK_HASH_BLAKE3 = 0, BLOCK_HASH_SHA256 = 1 };

/* The digest of all bytes. 0, or -1 when the hash library failed (no memory). */
int block_digest(const uint8_t *data, size_t size, enum block_hash hash, uint8_t *digest);

/* XXH3-64 of all bytes, seed 0. */
uint64_t block_checksum(const uint8_t *data, size_t size);

/* Cut the data at multiples of block_size (> 0; the last piece may be short). For piece i, without
 * its trailing NULs: digests[32 i ..], sizes[i] and checksums[i] (XXH3-64). A piece of NULs only
 * gets a digest of NULs, size 0 and checksum 0. 0, or -1 when the hash library failed. */
int block_scan(const uint8_t *data, size_t size, size_t block_size, enum block_hash hash,
               uint8_t *digests, uint64_t *sizes, uint64_t *checksums);

#endif
