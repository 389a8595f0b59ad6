/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every entry of the configuration, given every kind of bad value and good ones at the limits, by
 * the environment, by Horovod's variable and by the settings: refused with exactly the right text,
 * or taken as exactly what it means.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/config_values.h"
#include "tests/seed.h"
#include "tests/suite.h"

/* Random values of each entry. */
#define RANDOM 400

enum way { VARIABLE, HOROVOD, SETTING, WAYS };

static uint64_t seed;

/* Loads one entry given so. Fills `given` with how the error calls it; false: no such way. */
static bool load(const struct ronde_config_entry *e, enum way way, const char *value, char *given,
		 struct ronde_config *config, int *status)
{
	const char *settings[] = {e->name, value, NULL};
	char variable[RONDE_CONFIG_VARIABLE_BYTES];
	ronde_config_variable(e, variable);
	if (way == HOROVOD && !e->horovod)
		return false;
	const char *name = way == HOROVOD ? e->horovod : variable;
	if (way == SETTING) {
		snprintf(given, REFUSAL_BYTES, "the setting \"%s\" of ronde_init()", e->name);
		setenv(variable, "not looked at", 1);
	} else {
		snprintf(given, REFUSAL_BYTES, "%s", name);
		setenv(name, value, 1);
	}
	*status = ronde_config_load(config, way == SETTING ? settings : NULL);
	unsetenv(variable);
	unsetenv(name);
	return true;
}

/* Entries that limit each other (check_config knows them). */
static bool refused_together(const struct ronde_config_entry *e, long double meaning)
{
	return (strcmp(e->name, "chunk_bytes") == 0 && meaning > 4 << 20) ||
	       (strcmp(e->name, "carry_bytes") == 0 && meaning > 64 << 10) ||
	       (strcmp(e->name, "ring_bytes") == 0 && meaning < 64 << 10);
}

static void expect(const struct ronde_config_entry *e, enum way way, const char *value)
{
	char given[REFUSAL_BYTES], text[REFUSAL_BYTES];
	struct ronde_config config, before;
	long double meaning;
	int status;
	memset(&config, 0x5a, sizeof config);
	before = config;
	if (!load(e, way, value, given, &config, &status))
		return;
	if (judge_value(e, value, &meaning)) {
		if (refused_together(e, meaning)) {
			ck_assert_int_eq(status, RONDE_ERR_CONFIGURATION);
			return;
		}
		ck_assert_msg(status == RONDE_OK, "%s = '%s': %s", given, value,
			      ronde_error_message());
		ck_assert_msg(held_value(e, &config) == meaning, "%s = '%s' became %Lg, not %Lg",
			      given, value, held_value(e, &config), meaning);
		if (e->type == RONDE_CONFIG_TEXT && !e->choices)
			ck_assert_str_eq((const char *)&config + e->offset, value);
		return;
	}
	refusal_text(text, e, given, value);
	ck_assert_msg(status == RONDE_ERR_CONFIGURATION, "%s: accepted", text);
	ck_assert_str_eq(ronde_error_message(), text);
	ck_assert_mem_eq(&config, &before, sizeof config);
}

START_TEST(bad_values)
{
	const struct ronde_config_entry *e = &ronde_config_entries[_i];
	uint64_t state = seed + (uint64_t)_i;
	char value[VALUE_BYTES];
	int bad = 0;
	for (int kind = 0; kind < bad_kinds(); kind++)
		for (enum way way = 0; way < WAYS; way++)
			if (bad_value(&state, e, kind, value)) {
				expect(e, way, value);
				bad++;
			}
	/* Most are bad for all but texts, of which only the length can be. */
	ck_assert_int_ge(bad, e->type == RONDE_CONFIG_TEXT && !e->choices ? 2 * WAYS : 45 * WAYS);
}
END_TEST

START_TEST(good_at_the_limits)
{
	const struct ronde_config_entry *e = &ronde_config_entries[_i];
	char value[VALUE_BYTES];
	long double meaning;
	for (int i = 0; limit_value(e, i, value); i++)
		for (enum way way = 0; way < WAYS; way++) {
			ck_assert_msg(judge_value(e, value, &meaning), "'%s'", value);
			expect(e, way, value);
		}
}
END_TEST

START_TEST(random_values)
{
	const struct ronde_config_entry *e = &ronde_config_entries[_i];
	uint64_t state = seed + 1000 + (uint64_t)_i;
	char value[VALUE_BYTES];
	for (int i = 0; i < RANDOM; i++) {
		any_value(&state, e, value);
		expect(e, (enum way)(next_random(&state) % WAYS), value);
	}
}
END_TEST

/* A salvaged configuration has what can be had, and defaults for the rest. */
START_TEST(salvage)
{
	struct ronde_config config;
	setenv("RONDE_LANES", "x", 1);
	setenv("RONDE_SPIN", "12", 1);
	ronde_config_salvage(&config);
	ck_assert_int_eq(config.lanes, 8);
	ck_assert_int_eq(config.spin, 12);
	ck_assert_int_eq(config.origin[RONDE_CONFIG_lanes], RONDE_CONFIG_FROM_DEFAULT);
	ck_assert_int_eq(config.origin[RONDE_CONFIG_spin], RONDE_CONFIG_FROM_VARIABLE);
}
END_TEST

int main(void)
{
	seed = test_seed();
	const struct suite_test tests[] = {
		{bad_values, 0, RONDE_CONFIG_COUNT},
		{good_at_the_limits, 0, RONDE_CONFIG_COUNT},
		{random_values, 0, RONDE_CONFIG_COUNT},
		{salvage, ONCE},
	};
	return SUITE_RUN("config_values", 60, tests);
}
