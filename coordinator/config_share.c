/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ranks tell each other about their configuration when they meet, in one exchange.
 *
 * Each rank says its values for the job, what looks like a mistyped variable in its environment,
 * and whether it can start at all. Then all know the same:
 *
 *   rank 0: lanes 8    rank 1: lanes 4 (given)    rank 2: RONDE_LANE is set    rank 3: can start
 *
 * and all take 8 lanes, while rank 0, for the job, tells about rank 1's 4 and rank 2's RONDE_LANE.
 * If a rank cannot start, none does, and all return the same error, which names the rank: else the
 * others would wait for it until they lose patience, and then know no more than that it is missing.
 */
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "coordinator/config.h"
#include "coordinator/text.h"

/* Mistyped variables of a rank that it can tell about. */
#define MISTYPED 16
/* Room for a list of ranks, and for a line of the log. */
#define WHO_BYTES 128
#define LINE_BYTES 1024

struct word {
	unsigned char block[RONDE_CONFIG_BLOCK_BYTES]; /* see ronde_config_encode() */
	uint64_t given;                                /* bit i: entry i is not the default */
	int32_t status;                                /* why this rank cannot start, or OK */
	char why[RONDE_CONFIG_WHY_BYTES];
	char mistyped[MISTYPED][RONDE_CONFIG_NAME_BYTES]; /* "" where there are no more */
};
_Static_assert(RONDE_CONFIG_COUNT <= 64, "more entries than bits of `given`");

/* What all ranks have said. */
struct words {
	const struct word *of; /* [size] */
	bool *which;           /* [size] for lists of ranks */
	int size;
};

static void say(struct word *word, const struct ronde_config *config, int status, const char *why)
{
	ronde_config_encode(config, word->block);
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++)
		if (config->origin[i] != RONDE_CONFIG_FROM_DEFAULT)
			word->given |= 1ull << i;
	ronde_config_mistyped(word->mistyped, MISTYPED);
	word->status = status;
	if (status &&
	    ronde_text_append(word->why, sizeof word->why, 0, "%s", why) == sizeof word->why)
		ronde_text_mark_cut(word->why, sizeof word->why);
}

/* ---- ranks that cannot start ---- */

static bool same_failure(const struct word *a, const struct word *b)
{
	return a->status == b->status && strcmp(a->why, b->why) == 0;
}

/* The first rank that says what rank r says is the one to tell it. */
static bool told_before(const struct words *words, int r)
{
	for (int i = 0; i < r; i++)
		if (same_failure(&words->of[i], &words->of[r]))
			return true;
	return false;
}

/* "rank 1: RONDE_LANES is "x": allowed is …", a line for each reason; only that if all have it. */
static int refuse(const struct words *words)
{
	char text[RONDE_ERROR_BYTES] = "", who[WHO_BYTES];
	size_t used = 0;
	int status = RONDE_OK;
	for (int r = 0; r < words->size; r++) {
		const struct word *word = &words->of[r];
		int n = 0;
		if (!word->status || told_before(words, r))
			continue;
		for (int i = 0; i < words->size; i++)
			n += words->which[i] = same_failure(&words->of[i], word);
		if (n == words->size)
			return ronde_error(word->status, "%s", word->why);
		status = status ? status : word->status;
		ronde_ranks_text(who, sizeof who, words->which, words->size);
		used = ronde_text_append(text, sizeof text, used, "%s%s: %s", used ? "\n" : "", who,
					 word->why);
	}
	if (used == sizeof text)
		ronde_text_mark_cut(text, sizeof text);
	return status ? ronde_error(status, "%s", text) : RONDE_OK;
}

/* ---- what looks like a mistake ---- */

static bool has_mistyped(const struct word *word, const char *name)
{
	for (int i = 0; i < MISTYPED; i++)
		if (strcmp(word->mistyped[i], name) == 0)
			return true;
	return false;
}

/* Tells about rank r's mistyped variables, but for those that a rank before it has too. */
static void tell_mistyped(const struct words *words, int r, struct ronde_log *log)
{
	for (int k = 0; k < MISTYPED && *words->of[r].mistyped[k]; k++) {
		const char *name = words->of[r].mistyped[k];
		char who[WHO_BYTES], variable[RONDE_CONFIG_VARIABLE_BYTES];
		int n = 0, first = words->size;
		for (int i = words->size - 1; i >= 0; i--) {
			words->which[i] = has_mistyped(&words->of[i], name);
			n += words->which[i];
			first = words->which[i] ? i : first;
		}
		const struct ronde_config_entry *near = ronde_config_nearest(name);
		if (first < r || !near)
			continue;
		ronde_ranks_text(who, sizeof who, words->which, words->size);
		ronde_log(log, WARN, "RONDE_%s is set%s%s, but nothing reads it: did you mean %s?",
			  name, n < words->size ? " on " : "", n < words->size ? who : "",
			  ronde_config_variable(near, variable));
	}
}

/* Marks rank r, and those after it that were given the same value of the entry, which is not rank
 * 0's. Returns false if there is none, or a rank before has been given it too. */
static bool given_alike(const struct words *words, const struct ronde_config *configs, int entry,
			int r)
{
	const struct ronde_config_entry *e = &ronde_config_entries[entry];
	char own[RONDE_CONFIG_TEXT_BYTES], other[RONDE_CONFIG_TEXT_BYTES];
	ronde_config_format(e, &configs[r], own);
	for (int i = 0; i < words->size; i++) {
		bool same = strcmp(ronde_config_format(e, &configs[i], other), own) == 0;
		words->which[i] = i > 0 && same && words->of[i].given >> entry & 1;
		if (i < r && (words->which[i] || (i == 0 && same)))
			return false;
	}
	return words->which[r];
}

static void tell_overruled(const struct words *words, const struct ronde_config *configs, int entry,
			   struct ronde_log *log)
{
	const struct ronde_config_entry *e = &ronde_config_entries[entry];
	char text[LINE_BYTES] = "", who[WHO_BYTES], value[RONDE_CONFIG_TEXT_BYTES];
	char variable[RONDE_CONFIG_VARIABLE_BYTES];
	size_t used = 0;
	for (int r = 1; r < words->size; r++) {
		if (!given_alike(words, configs, entry, r))
			continue;
		ronde_ranks_text(who, sizeof who, words->which, words->size);
		used = ronde_text_append(text, sizeof text, used, "%s%s \"%s\"", used ? ", " : "",
					 who, ronde_config_format(e, &configs[r], value));
	}
	if (used == sizeof text)
		ronde_text_mark_cut(text, sizeof text);
	if (used)
		ronde_log(log, WARN,
			  "%s: rank 0's \"%s\" holds for the whole job, other ranks were given "
			  "another value: %s",
			  ronde_config_variable(e, variable),
			  ronde_config_format(e, &configs[0], value), text);
}

/* Values for the job that were given to ranks and are not rank 0's. */
static void tell_all_overruled(const struct words *words, const struct ronde_config *mine,
			       struct ronde_log *log)
{
	bool alike = true;
	for (int r = 1; r < words->size; r++)
		alike = alike && memcmp(words->of[r].block, words->of[0].block,
					RONDE_CONFIG_BLOCK_BYTES) == 0;
	struct ronde_config *configs = alike ? NULL : calloc((size_t)words->size, sizeof *configs);
	bool known = configs != NULL;
	for (int r = 0; known && r < words->size; r++) {
		configs[r] = *mine;
		known = ronde_config_decode(&configs[r], words->of[r].block) == RONDE_OK;
	}
	for (int i = 0; known && i < RONDE_CONFIG_COUNT; i++)
		if (ronde_config_entries[i].scope == RONDE_CONFIG_JOB)
			tell_overruled(words, configs, i, log);
	free(configs);
}

/* ---- the exchange ---- */

/* The same on all ranks, but for the log, which rank 0 writes for the job. */
static int judge(const struct words *words, struct ronde_config *config, struct ronde_log *log)
{
	const struct ronde_config mine = *config;
	int status = ronde_config_decode(config, words->of[0].block);
	if (status == RONDE_ERR_VERSION)
		return status; /* what the others say means something else */
	int refused = refuse(words);
	if (refused || status)
		return refused ? refused : status;
	if (!ronde_log_speaks_for_job(log))
		return RONDE_OK;
	for (int r = 0; r < words->size; r++)
		tell_mistyped(words, r, log);
	tell_all_overruled(words, &mine, log);
	return RONDE_OK;
}

int ronde_config_share(struct ronde_bootstrap *b, struct ronde_config *config, int status,
		       const char *why, struct ronde_log *log)
{
	const size_t size = (size_t)b->size;
	struct word *all = calloc(size, sizeof *all), *mine = calloc(1, sizeof *mine);
	bool *which = calloc(size, sizeof *which);
	int result;
	if (all && mine && which) {
		say(mine, config, status, why);
		result = b->ops->exchange(b, mine, all, sizeof *mine);
		if (!result)
			result = judge(&(struct words){all, which, b->size}, config, log);
		else if (status)
			result = ronde_error(status, "%s", mine->why);
	} else {
		result = ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for %d ranks", b->size);
	}
	free(all);
	free(mine);
	free(which);
	return result;
}
