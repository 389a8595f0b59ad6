/* SPDX-License-Identifier: Apache-2.0 */
/* What users get to see of the configuration: help, values with their origin, warnings. */
#include "coordinator/config.h"

#include <string.h>
#include <strings.h>

extern char **environ;

/* Variables that bootstrap and the tools read themselves, without "RONDE_". */
static const char *const foreign[] = {"RANK", "SIZE", "ADDRESS", "MPI_MODULE", "TOPOLOGY"};

#define MAX_NAME (RONDE_CONFIG_NAME_BYTES - 1)

static int least(int a, int b, int c)
{
	int ab = a < b ? a : b;
	return ab < c ? ab : c;
}

/* Levenshtein distance, without regard to case. */
static int distance(const char *a, const char *b)
{
	int row[MAX_NAME + 1];
	int m = (int)strnlen(a, MAX_NAME), n = (int)strnlen(b, MAX_NAME);
	for (int j = 0; j <= n; j++)
		row[j] = j;
	for (int i = 1; i <= m; i++) {
		int diagonal = row[0];
		row[0] = i;
		for (int j = 1; j <= n; j++) {
			int above = row[j];
			int same = strncasecmp(&a[i - 1], &b[j - 1], 1) == 0;
			row[j] = least(above + 1, row[j - 1] + 1, diagonal + !same);
			diagonal = above;
		}
	}
	return row[n];
}

/* "fusion" for fusion_threshold, and "log_level" for log: whole words that one has more. */
static bool extends(const char *longer, const char *shorter)
{
	size_t n = strlen(shorter);
	return n >= 3 && strncasecmp(longer, shorter, n) == 0 && longer[n] == '_';
}

const struct ronde_config_entry *ronde_config_nearest(const char *name)
{
	const struct ronde_config_entry *nearest = NULL;
	int best = (int)strnlen(name, MAX_NAME) / 4 + 1; /* further away is not a typing error */
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		const struct ronde_config_entry *e = &ronde_config_entries[i];
		int d = distance(name, e->name);
		if (d > 1 && (extends(name, e->name) || extends(e->name, name)))
			d = 1;
		if (d < best) {
			best = d;
			nearest = e;
		}
	}
	return nearest;
}

/* True if the variable (without "RONDE_") is one that somebody reads. */
static bool is_read(const char *name)
{
	char variable[RONDE_CONFIG_VARIABLE_BYTES];
	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
		if (strcmp(name, foreign[i]) == 0)
			return true;
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		ronde_config_variable(&ronde_config_entries[i], variable);
		if (strcmp(name, variable + strlen("RONDE_")) == 0)
			return true;
	}
	return false;
}

int ronde_config_mistyped(char (*names)[RONDE_CONFIG_NAME_BYTES], int room)
{
	static const char prefix[] = "RONDE_";
	int n = 0;
	for (char **v = environ; v && *v && n < room; v++) {
		if (strncmp(*v, prefix, sizeof prefix - 1) != 0)
			continue;
		const char *rest = *v + sizeof prefix - 1;
		snprintf(names[n], sizeof *names, "%.*s", (int)strcspn(rest, "="), rest);
		if (!is_read(names[n]) && ronde_config_nearest(names[n]))
			n++;
		else
			memset(names[n], 0, sizeof *names);
	}
	return n;
}

const char *ronde_config_origin(const struct ronde_config_entry *entry,
				const struct ronde_config *config, char *text)
{
	const size_t bytes = RONDE_CONFIG_ORIGIN_BYTES;
	char variable[RONDE_CONFIG_VARIABLE_BYTES];
	switch ((enum ronde_config_origin)config->origin[entry - ronde_config_entries]) {
	case RONDE_CONFIG_FROM_DEFAULT:
		snprintf(text, bytes, "default");
		break;
	case RONDE_CONFIG_FROM_VARIABLE:
		snprintf(text, bytes, "%s", ronde_config_variable(entry, variable));
		break;
	case RONDE_CONFIG_FROM_HOROVOD:
		snprintf(text, bytes, "%s", entry->horovod);
		break;
	case RONDE_CONFIG_FROM_SETTINGS:
		snprintf(text, bytes, "ronde_init()");
		break;
	case RONDE_CONFIG_FROM_RANK0:
		snprintf(text, bytes, "rank 0");
		break;
	case RONDE_CONFIG_RANK0_WINS:
		snprintf(text, bytes, "rank 0, against this rank's own setting");
		break;
	}
	return text;
}

void ronde_config_report(const struct ronde_config *config, struct ronde_log *log)
{
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		const struct ronde_config_entry *e = &ronde_config_entries[i];
		char value[RONDE_CONFIG_TEXT_BYTES], origin[RONDE_CONFIG_ORIGIN_BYTES];
		if (config->origin[i] != RONDE_CONFIG_FROM_DEFAULT)
			ronde_log(log, DEBUG, "%s is \"%s\" (%s)", e->name,
				  ronde_config_format(e, config, value),
				  ronde_config_origin(e, config, origin));
	}
}

void ronde_config_print(const struct ronde_config *config, FILE *file)
{
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		const struct ronde_config_entry *e = &ronde_config_entries[i];
		char value[RONDE_CONFIG_TEXT_BYTES], origin[RONDE_CONFIG_ORIGIN_BYTES];
		fprintf(file, "%-22s %-14s %s\n", e->name, ronde_config_format(e, config, value),
			ronde_config_origin(e, config, origin));
	}
}

/* Writes the text in lines of at most 80 columns, indented. */
static void wrap(FILE *file, const char *text)
{
	static const char indent[] = "\n        ";
	size_t column = 80;
	while (*text) {
		size_t word = strcspn(text, " ");
		if (column + 1 + word > 80) {
			fputs(indent, file);
			column = sizeof indent - 2;
		} else {
			fputc(' ', file);
			column++;
		}
		fprintf(file, "%.*s", (int)word, text);
		column += word;
		text += word + (text[word] == ' ');
	}
}

void ronde_config_help(FILE *file)
{
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		const struct ronde_config_entry *e = &ronde_config_entries[i];
		char variable[RONDE_CONFIG_VARIABLE_BYTES], allowed[RONDE_CONFIG_ALLOWED_BYTES];
		fprintf(file, "  %s=%s", ronde_config_variable(e, variable),
			*e->initial ? e->initial : "\"\"");
		wrap(file, e->help);
		fprintf(file, "\n        Allowed: %s.\n", ronde_config_allowed(e, allowed));
	}
}
