/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a value of any setting, and any bytes as rank 0's block: libFuzzer. What is taken is
 * allowed, and means the same when it is written down and read again.
 */
#include "coordinator/config.h"
#include "tests/wire_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void text(const struct ronde_config_entry *entry, const char *value)
{
	struct ronde_config config = {0}, again = {0};
	char written[RONDE_CONFIG_TEXT_BYTES], rewritten[RONDE_CONFIG_TEXT_BYTES];
	ronde_config_nearest(value);
	if (ronde_config_parse(entry, &config, value, "fuzzed"))
		return;
	walk_must(ronde_config_valid(entry, &config));
	ronde_config_format(entry, &config, written);
	if (entry->type == RONDE_CONFIG_DOUBLE) /* written with six digits */
		return;
	walk_must(!ronde_config_parse(entry, &again, written, "written"));
	walk_must(strcmp(written, ronde_config_format(entry, &again, rewritten)) == 0);
}

/* The block of the defaults with the fuzzer's bytes behind its fingerprint. */
static void block(const uint8_t *data, size_t bytes)
{
	struct ronde_config config;
	unsigned char block[RONDE_CONFIG_BLOCK_BYTES], before[sizeof block], after[sizeof block];
	if (ronde_config_load(&config, NULL))
		return;
	ronde_config_encode(&config, block);
	memcpy(before, block, sizeof block);
	memcpy(block + 8, data, bytes < sizeof block - 8 ? bytes : sizeof block - 8);
	if (ronde_config_decode(&config, block)) {
		ronde_config_encode(&config, after);
		walk_must(memcmp(before, after, sizeof after) == 0); /* nothing was changed */
		return;
	}
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++)
		walk_must(ronde_config_valid(&ronde_config_entries[i], &config));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes == 0)
		return 0;
	if (data[0] % 4 == 0) {
		block(data + 1, bytes - 1);
		return 0;
	}
	char *value = malloc(bytes);
	walk_must(value);
	memcpy(value, data + 1, bytes - 1);
	value[bytes - 1] = 0;
	text(&ronde_config_entries[data[0] / 4 % RONDE_CONFIG_COUNT], value);
	free(value);
	return 0;
}
