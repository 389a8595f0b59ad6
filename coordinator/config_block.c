/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The job's part of the configuration as a flat block of bytes:
 *
 *   u64 fingerprint of the table | every JOB entry in the table's order: 8 bytes, or a text's bytes
 *
 * The fingerprint covers names, types and Ronde's version, so ranks that were built from different
 * tables find out instead of reading each other's values wrongly.
 */
#include "coordinator/config.h"

#include <string.h>

#include "collectives/status.h"
#include "coordinator/hash.h"

#define FIELD_BYTES_INT 8
#define FIELD_BYTES_SIZE 8
#define FIELD_BYTES_DOUBLE 8
#define FIELD_BYTES_BOOL 8
#define FIELD_BYTES_CHOICE 8
#define FIELD_BYTES_TEXT RONDE_CONFIG_TEXT_BYTES
#define IF_JOB(bytes) bytes
#define IF_RANK(bytes) 0
#define FIELD_BYTES(name, type, scope, ...) +IF_##scope(FIELD_BYTES_##type)
_Static_assert(8 RONDE_CONFIG_MAP(FIELD_BYTES) <= RONDE_CONFIG_BLOCK_BYTES,
	       "RONDE_CONFIG_BLOCK_BYTES is too small for the table");

static uint64_t hash_text(uint64_t hash, const char *text)
{
	return ronde_hash_bytes(hash, text, strlen(text) + 1);
}

static uint64_t fingerprint(void)
{
	uint64_t hash = hash_text(RONDE_HASH_START, ronde_version());
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		const struct ronde_config_entry *e = &ronde_config_entries[i];
		const char kind[] = {(char)('a' + e->type), (char)('a' + e->scope), 0};
		hash = hash_text(hash_text(hash, e->name), kind);
	}
	return hash;
}

/* Every field but a text travels as 8 bytes. */
static uint64_t get_bits(const struct ronde_config_entry *entry, const struct ronde_config *config)
{
	const void *field = (const char *)config + entry->offset;
	uint64_t bits = 0;
	switch (entry->type) {
	case RONDE_CONFIG_BOOL:
		return *(const bool *)field;
	case RONDE_CONFIG_CHOICE:
		return (uint64_t) * (const int *)field;
	default:
		memcpy(&bits, field, sizeof bits);
		return bits;
	}
}

static void put_bits(const struct ronde_config_entry *entry, struct ronde_config *config,
		     uint64_t bits)
{
	void *field = (char *)config + entry->offset;
	switch (entry->type) {
	case RONDE_CONFIG_BOOL:
		*(bool *)field = bits != 0;
		break;
	case RONDE_CONFIG_CHOICE:
		*(int *)field = (int)bits;
		break;
	default:
		memcpy(field, &bits, sizeof bits);
	}
}

void ronde_config_encode(const struct ronde_config *config, unsigned char *block)
{
	memset(block, 0, RONDE_CONFIG_BLOCK_BYTES);
	uint64_t print = fingerprint();
	memcpy(block, &print, sizeof print);
	block += sizeof print;
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		const struct ronde_config_entry *e = &ronde_config_entries[i];
		if (e->scope != RONDE_CONFIG_JOB)
			continue;
		if (e->type == RONDE_CONFIG_TEXT) {
			memcpy(block, (const char *)config + e->offset, RONDE_CONFIG_TEXT_BYTES);
			block += RONDE_CONFIG_TEXT_BYTES;
		} else {
			uint64_t bits = get_bits(e, config);
			memcpy(block, &bits, sizeof bits);
			block += sizeof bits;
		}
	}
}

/* Reads the entry's field from the block; *changed: it is another value than the field had. */
static const unsigned char *decode_entry(const struct ronde_config_entry *entry,
					 struct ronde_config *config, const unsigned char *block,
					 bool *changed)
{
	if (entry->type == RONDE_CONFIG_TEXT) {
		char *field = (char *)config + entry->offset;
		*changed = strncmp(field, (const char *)block, RONDE_CONFIG_TEXT_BYTES) != 0;
		memcpy(field, block, RONDE_CONFIG_TEXT_BYTES);
		return block + RONDE_CONFIG_TEXT_BYTES;
	}
	uint64_t bits;
	memcpy(&bits, block, sizeof bits);
	*changed = bits != get_bits(entry, config);
	put_bits(entry, config, bits);
	return block + sizeof bits;
}

int ronde_config_decode(struct ronde_config *config, const unsigned char *block)
{
	uint64_t print;
	memcpy(&print, block, sizeof print);
	if (print != fingerprint())
		return ronde_error(RONDE_ERR_VERSION,
				   "rank 0 runs another version of Ronde than this rank's %s: all "
				   "ranks must load the same libronde.so",
				   ronde_version());
	block += sizeof print;
	struct ronde_config taken = *config;
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		const struct ronde_config_entry *e = &ronde_config_entries[i];
		if (e->scope != RONDE_CONFIG_JOB)
			continue;
		bool changed;
		block = decode_entry(e, &taken, block, &changed);
		if (!ronde_config_valid(e, &taken))
			return ronde_error(RONDE_ERR_CONFIGURATION,
					   "rank 0 sent a value for %s that is not allowed: its "
					   "configuration was damaged on the way",
					   e->name);
		if (changed)
			taken.origin[i] = taken.origin[i] == RONDE_CONFIG_FROM_DEFAULT
						  ? RONDE_CONFIG_FROM_RANK0
						  : RONDE_CONFIG_RANK0_WINS;
	}
	*config = taken;
	return RONDE_OK;
}
