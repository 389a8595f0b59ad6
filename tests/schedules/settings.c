/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/schedules/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/kernels/kernels.h"
#include "tests/schedules/program.h"

/* A tensor is not cut into more chunks than this, or the test takes too long. */
#define MOST_CHUNKS 2048

void set(struct settings *s, const char *name, const char *value)
{
	if (s->n == SETTINGS_MAX)
		abort();
	s->pairs[2 * s->n] = name;
	s->pairs[2 * s->n + 1] = value;
	s->n++;
}

static void set_one_of(uint64_t *state, struct settings *s, const char *name,
		       const char *const *values, uint64_t n)
{
	set(s, name, values[below(state, n)]);
}

#define ONE_OF(state, s, name, ...)                                                                \
	do {                                                                                       \
		static const char *const values_[] = {__VA_ARGS__};                                \
		set_one_of(state, s, name, values_, sizeof values_ / sizeof *values_);             \
	} while (0)

static void set_chunk(uint64_t *state, uint64_t most_bytes, struct settings *s)
{
	static const uint64_t sizes[] = {64, 1000, 4096, 0};
	uint64_t chunk = sizes[below(state, 4)];
	if (chunk && chunk * MOST_CHUNKS < most_bytes)
		chunk = most_bytes / MOST_CHUNKS;
	snprintf(s->chunk, sizeof s->chunk, "%llu", (unsigned long long)chunk);
	set(s, "chunk_bytes", s->chunk);
}

void random_settings(uint64_t *state, uint64_t most_bytes, struct settings *s)
{
	memset(s, 0, sizeof *s);
	ONE_OF(state, s, "cache_capacity", "0", "1", "3", "3", "1024");
	ONE_OF(state, s, "fusion_threshold", "0", "1K", "1M", "128M");
	ONE_OF(state, s, "carry_bytes", "0", "64", "4K");
	ONE_OF(state, s, "ring_bytes", "16K", "16K", "256K");
	if (strcmp(s->pairs[2 * s->n - 1], "256K") == 0 && once_in(state, 2))
		set(s, "carry_bytes", "16K"); /* the last one wins */
	ONE_OF(state, s, "staging_bytes", "64K", "256K", "4M");
	ONE_OF(state, s, "lanes", "1", "2", "8");
	ONE_OF(state, s, "batch_delay_us", "0", "0", "0", "300");
	ONE_OF(state, s, "zero_copy", "yes", "yes", "no");
	set_chunk(state, most_bytes, s);
}

void style_settings(const struct program_style *style, struct settings *s)
{
	set(s, "join_divisor", style->active ? "active" : "all");
	if (style->adasum) /* its chunks are whole blocks */
		set(s, "staging_bytes", "4M");
}

void random_rank_settings(uint64_t *state, struct settings *s)
{
	size_t n;
	const struct ronde_kernels *const *kernels = ronde_kernels_available(&n);
	set(s, "isa", kernels[below(state, n)]->name);
	ONE_OF(state, s, "spin", "0", "20", "-1");
}

const char *settings_text(const struct settings *s)
{
	static _Thread_local char text[600];
	size_t at = 0;
	for (int i = 0; i < s->n && at < sizeof text; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%s=%s ", s->pairs[2 * i],
				       s->pairs[2 * i + 1]);
	return text;
}
