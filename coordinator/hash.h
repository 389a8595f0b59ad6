/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uthash with Hsieh's hash function: the default one falls through between switch labels, of which
 * clang warns wherever the macro is used.
 */
#ifndef RONDE_HASH_H
#define RONDE_HASH_H

#define HASH_FUNCTION HASH_SFH
#include <uthash.h>

#include <stddef.h>
#include <stdint.h>

#define RONDE_HASH_START 0xcbf29ce484222325ULL

/* FNV-1a: goes on from `hash`, at first RONDE_HASH_START. */
static inline uint64_t ronde_hash_bytes(uint64_t hash, const void *data, size_t bytes)
{
	for (const unsigned char *at = data; bytes; bytes--)
		hash = (hash ^ *at++) * 0x100000001b3ULL;
	return hash;
}

#endif
