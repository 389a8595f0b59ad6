/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration's table, and where its values come from. */
#include "coordinator/config.h"

#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"

#define RANGE(low, high) .min = (double)(low), .max = (double)(high)
#define POWER_OF_TWO(low, high) RANGE(low, high), .power_of_two = true
#define ONE_OF(list) .choices = list
#define ONE_OF_AS(list, others) .choices = list, .aliases = others
#define NUMBERS(low, high) RANGE(low, high), .numbers = true
#define ANY .choices = NULL

#define ENTRY(entry_name, entry_type, entry_scope, alias, value, allowed, text)                    \
	{.name = #entry_name,                                                                      \
	 .horovod = alias,                                                                         \
	 .type = RONDE_CONFIG_##entry_type,                                                        \
	 .scope = RONDE_CONFIG_##entry_scope,                                                      \
	 .initial = value,                                                                         \
	 allowed,                                                                                  \
	 .help = text,                                                                             \
	 .offset = offsetof(struct ronde_config, entry_name)},

const struct ronde_config_entry ronde_config_entries[] = {RONDE_CONFIG_MAP(ENTRY)};

static const struct ronde_config_entry *find_entry(const char *name)
{
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++)
		if (strcmp(name, ronde_config_entries[i].name) == 0)
			return &ronde_config_entries[i];
	return NULL;
}

/* All names must be known before any value is looked at, or a typing error would pass unseen. */
static int check_settings(const char *const *settings)
{
	for (; settings && settings[0]; settings += 2) {
		const char *name = settings[0];
		if (!find_entry(name)) {
			const struct ronde_config_entry *near = ronde_config_nearest(name);
			return ronde_error(
				RONDE_ERR_CONFIGURATION,
				"ronde_init() was given the unknown setting \"%s\"%s%s%s; "
				"docs/configuration.md lists them all",
				name, near ? " (did you mean \"" : "", near ? near->name : "",
				near ? "\"?)" : "");
		}
		if (!settings[1])
			return ronde_error(RONDE_ERR_CONFIGURATION,
					   "ronde_init() was given the setting \"%s\" without a "
					   "value: settings are pairs name, value, ..., NULL",
					   name);
	}
	return RONDE_OK;
}

/* The last one wins, as with options of a command. */
static const char *find_setting(const char *const *settings, const char *name)
{
	const char *value = NULL;
	for (; settings && settings[0]; settings += 2)
		if (strcmp(settings[0], name) == 0)
			value = settings[1];
	return value;
}

static void set_default(struct ronde_config *config, int index)
{
	const struct ronde_config_entry *entry = &ronde_config_entries[index];
	config->origin[index] = RONDE_CONFIG_FROM_DEFAULT;
	(void)ronde_config_parse(entry, config, entry->initial, "the default");
}

int ronde_config_load_entry(struct ronde_config *config, int index, const char *const *settings)
{
	const struct ronde_config_entry *entry = &ronde_config_entries[index];
	char variable[RONDE_CONFIG_VARIABLE_BYTES], given_as[RONDE_CONFIG_ORIGIN_BYTES];
	ronde_config_variable(entry, variable);
	enum ronde_config_origin origin = RONDE_CONFIG_FROM_SETTINGS;
	snprintf(given_as, sizeof given_as, "the setting \"%s\" of ronde_init()", entry->name);
	const char *value = find_setting(settings, entry->name);
	if (!value) {
		origin = RONDE_CONFIG_FROM_VARIABLE;
		snprintf(given_as, sizeof given_as, "%s", variable);
		value = getenv(variable);
	}
	if (!value && entry->horovod) {
		origin = RONDE_CONFIG_FROM_HOROVOD;
		snprintf(given_as, sizeof given_as, "%s", entry->horovod);
		value = getenv(entry->horovod);
	}
	if (!value) {
		origin = RONDE_CONFIG_FROM_DEFAULT;
		snprintf(given_as, sizeof given_as, "the default of %s", variable);
		value = entry->initial;
	}
	int status = ronde_config_parse(entry, config, value, given_as);
	if (status)
		set_default(config, index);
	else
		config->origin[index] = (unsigned char)origin;
	return status;
}

void ronde_config_salvage(struct ronde_config *config)
{
	memset(config, 0, sizeof *config);
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++)
		(void)ronde_config_load_entry(config, i, NULL);
}

/* Entries that limit each other. */
static int check_together(const struct ronde_config *config)
{
	if (config->chunk_bytes > config->staging_bytes)
		return ronde_error(RONDE_ERR_CONFIGURATION,
				   "RONDE_CHUNK_BYTES (%lld) is larger than RONDE_STAGING_BYTES "
				   "(%lld): make the chunks smaller or the staging larger",
				   (long long)config->chunk_bytes,
				   (long long)config->staging_bytes);
	if (config->carry_bytes > config->ring_bytes / 4)
		return ronde_error(RONDE_ERR_CONFIGURATION,
				   "RONDE_CARRY_BYTES (%lld) is more than a quarter of "
				   "RONDE_RING_BYTES (%lld): carry less or make the rings larger",
				   (long long)config->carry_bytes, (long long)config->ring_bytes);
	return RONDE_OK;
}

int ronde_config_load(struct ronde_config *config, const char *const *settings)
{
	struct ronde_config loaded;
	memset(&loaded, 0, sizeof loaded);
	int status = check_settings(settings);
	for (int i = 0; status == RONDE_OK && i < RONDE_CONFIG_COUNT; i++)
		status = ronde_config_load_entry(&loaded, i, settings);
	if (status == RONDE_OK)
		status = check_together(&loaded);
	if (status == RONDE_OK)
		*config = loaded;
	return status;
}
