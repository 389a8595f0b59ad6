/* SPDX-License-Identifier: Apache-2.0 */
/* Random configurations: results may not depend on any of them. */
#ifndef RONDE_TESTS_SCHEDULES_SETTINGS_H
#define RONDE_TESTS_SCHEDULES_SETTINGS_H

#include <stdint.h>

#define SETTINGS_MAX 20

struct settings {
	const char *pairs[2 * SETTINGS_MAX + 1]; /* name, value, …, NULL: for ronde_init() */
	int n;
	char chunk[32];
};

void set(struct settings *settings, const char *name, const char *value);

/* What concerns the whole job; most_bytes of one tensor limits how small its chunks may get. */
void random_settings(uint64_t *state, uint64_t most_bytes, struct settings *settings);
/* What the style of a program needs. */
struct program_style;
void style_settings(const struct program_style *style, struct settings *settings);
/* What each rank may have its own value of. */
void random_rank_settings(uint64_t *state, struct settings *settings);

/* "cache_capacity=3 lanes=1 …". Static per thread. */
const char *settings_text(const struct settings *settings);

#endif
