/* SPDX-License-Identifier: Apache-2.0 */
/* One value of the configuration: text to field, field to text, and what is allowed. */
#include "coordinator/config.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "collectives/status.h"
#include "coordinator/text.h"

/* Of a value that is refused so much is shown, with the final zero. */
#define SHOWN_BYTES 160

/* Parses a whole number up to 2^63 - 1, with K, M or G (powers of 1024, also "KiB") if it is a
 * size. */
static bool parse_integer(const char *value, bool size, int64_t *result)
{
	char *end;
	if (!isdigit((unsigned char)value[*value == '-']))
		return false; /* strtoll would skip blanks */
	errno = 0;
	long long number = strtoll(value, &end, 10);
	if (errno)
		return false;
	const char *letters = "KMG", *letter;
	if (size && *end && (letter = strchr(letters, toupper((unsigned char)*end)))) {
		int shift = 10 * (int)(letter - letters + 1);
		if (number > INT64_MAX >> shift || number < 0)
			return false;
		number <<= shift;
		end++;
		if (strcmp(end, "iB") == 0)
			end += 2;
	}
	*result = number;
	return *end == 0;
}

/* The application's locale must not decide what a decimal point is. */
static bool parse_double(const char *value, double *result)
{
	char *end;
	if (!isdigit((unsigned char)value[*value == '-']) || strpbrk(value, "xX"))
		return false; /* strtod would skip blanks, and take words and hexadecimal */
	locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!plain)
		return false;
	errno = 0;
	*result = strtod_l(value, &end, plain);
	bool exact = errno != ERANGE; /* 1e-999 is not 0 */
	freelocale(plain);
	return exact && *end == 0;
}

static bool parse_bool(const char *value, bool *result)
{
	static const char *const words[] = {"0", "1", "false", "true", "no", "yes", "off", "on"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcasecmp(value, words[i]) == 0) {
			*result = i & 1;
			return true;
		}
	return false;
}

/* The word at a position of "a|b|c" up to the next "|"; NULL: there are not so many. */
static const char *find_word(const char *choices, int position)
{
	while (position-- > 0) {
		choices = strchr(choices, '|');
		if (!choices)
			return NULL;
		choices++;
	}
	return choices;
}

/* Position of the value in "a|b|c", or -1. */
static int find_choice(const char *choices, const char *value)
{
	size_t length = strlen(value);
	const char *word;
	for (int i = 0; (word = find_word(choices, i)); i++)
		if (strcspn(word, "|") == length && strncasecmp(word, value, length) == 0)
			return i;
	return -1;
}

/* The same, also by another word for one of the choices. */
static int find_meaning(const struct ronde_config_entry *entry, const char *value)
{
	char word[32];
	int choice = find_choice(entry->choices, value);
	int alias = choice < 0 && entry->aliases ? find_choice(entry->aliases, value) : -1;
	if (alias < 0)
		return choice;
	const char *meaning = find_word(entry->aliases, alias + 1);
	snprintf(word, sizeof word, "%.*s", (int)strcspn(meaning, "|"), meaning);
	return find_choice(entry->choices, word);
}

static bool valid_number(const struct ronde_config_entry *entry, int64_t number)
{
	if (entry->power_of_two && (number & (number - 1)) != 0)
		return false;
	return (double)number >= entry->min && (double)number <= entry->max;
}

/* "1,2,3", each in the entry's range. */
static bool valid_numbers(const struct ronde_config_entry *entry, const char *text)
{
	for (const char *at = text;; at++) {
		char *end;
		errno = 0;
		if (!isdigit((unsigned char)*at))
			return false;
		double number = (double)strtoull(at, &end, 10);
		if (errno || number < entry->min || number > entry->max)
			return false;
		at = end;
		if (*at != ',')
			return *at == 0;
	}
}

static bool valid_text(const struct ronde_config_entry *entry, const char *text)
{
	if (!memchr(text, 0, RONDE_CONFIG_TEXT_BYTES))
		return false;
	if (!*text)
		return true;
	if (entry->numbers)
		return valid_numbers(entry, text);
	return !entry->choices || find_choice(entry->choices, text) >= 0;
}

bool ronde_config_valid(const struct ronde_config_entry *entry, const struct ronde_config *config)
{
	const void *field = (const char *)config + entry->offset;
	switch (entry->type) {
	case RONDE_CONFIG_INT:
	case RONDE_CONFIG_SIZE:
		return valid_number(entry, *(const int64_t *)field);
	case RONDE_CONFIG_DOUBLE:
		return *(const double *)field >= entry->min && *(const double *)field <= entry->max;
	case RONDE_CONFIG_BOOL:
		return true;
	case RONDE_CONFIG_CHOICE:
		return *(const int *)field >= 0 && find_word(entry->choices, *(const int *)field);
	case RONDE_CONFIG_TEXT:
		return valid_text(entry, field);
	}
	return false;
}

static bool parse_text(const struct ronde_config_entry *entry, const char *value, char *field)
{
	if (strlen(value) >= RONDE_CONFIG_TEXT_BYTES)
		return false;
	memset(field, 0, RONDE_CONFIG_TEXT_BYTES);
	for (size_t i = 0; value[i]; i++)
		field[i] = entry->choices ? (char)tolower((unsigned char)value[i]) : value[i];
	return true;
}

static bool parse_field(const struct ronde_config_entry *entry, const char *value, void *field)
{
	switch (entry->type) {
	case RONDE_CONFIG_INT:
	case RONDE_CONFIG_SIZE:
		return parse_integer(value, entry->type == RONDE_CONFIG_SIZE, field);
	case RONDE_CONFIG_DOUBLE:
		return parse_double(value, field);
	case RONDE_CONFIG_BOOL:
		return parse_bool(value, field);
	case RONDE_CONFIG_CHOICE:
		*(int *)field = find_meaning(entry, value);
		return true;
	case RONDE_CONFIG_TEXT:
		return parse_text(entry, value, field);
	}
	return false;
}

int ronde_config_parse(const struct ronde_config_entry *entry, struct ronde_config *config,
		       const char *value, const char *given_as)
{
	if (parse_field(entry, value, (char *)config + entry->offset) &&
	    ronde_config_valid(entry, config))
		return RONDE_OK;
	char allowed[RONDE_CONFIG_ALLOWED_BYTES], shown[SHOWN_BYTES];
	if (ronde_text_append(shown, sizeof shown, 0, "%s", value) == sizeof shown)
		ronde_text_mark_cut(shown, sizeof shown);
	return ronde_error(RONDE_ERR_CONFIGURATION, "%s is \"%s\": allowed is %s", given_as, shown,
			   ronde_config_allowed(entry, allowed));
}

/* "128M" for 134217728: the largest suffix that loses nothing. */
static void format_size(int64_t number, char *text, size_t bytes)
{
	const char *suffix[] = {"", "K", "M", "G"};
	int i = 0;
	for (; i < 3 && number && number % 1024 == 0; i++)
		number /= 1024;
	snprintf(text, bytes, "%lld%s", (long long)number, suffix[i]);
}

const char *ronde_config_format(const struct ronde_config_entry *entry,
				const struct ronde_config *config, char *text)
{
	const size_t bytes = RONDE_CONFIG_TEXT_BYTES;
	const void *field = (const char *)config + entry->offset;
	const char *word;
	switch (entry->type) {
	case RONDE_CONFIG_INT:
		snprintf(text, bytes, "%lld", (long long)*(const int64_t *)field);
		break;
	case RONDE_CONFIG_SIZE:
		format_size(*(const int64_t *)field, text, bytes);
		break;
	case RONDE_CONFIG_DOUBLE:
		snprintf(text, bytes, "%g", *(const double *)field);
		break;
	case RONDE_CONFIG_BOOL:
		snprintf(text, bytes, "%s", *(const bool *)field ? "yes" : "no");
		break;
	case RONDE_CONFIG_CHOICE:
		word = find_word(entry->choices, *(const int *)field);
		snprintf(text, bytes, "%.*s", (int)strcspn(word, "|"), word);
		break;
	case RONDE_CONFIG_TEXT:
		snprintf(text, bytes, "%s", (const char *)field);
		break;
	}
	return text;
}

/* "error, warn or info", of "error|warn|info". */
static void list_choices(const char *choices, const char *last, char *text, size_t bytes)
{
	size_t used = 0;
	while (*choices && used < bytes) {
		size_t word = strcspn(choices, "|");
		const char *rest = choices + word + (choices[word] == '|');
		const char *next = !*rest ? "" : strchr(rest, '|') ? ", " : last;
		used += (size_t)snprintf(text + used, bytes - used, "%.*s%s", (int)word, choices,
					 next);
		choices = rest;
	}
}

/* "; also fatal (error)", of "fatal|error". */
static void list_aliases(const char *aliases, char *text, size_t bytes)
{
	size_t used = 0;
	const char *word, *meaning;
	for (int i = 0; aliases && used < bytes && (word = find_word(aliases, i)); i += 2) {
		meaning = find_word(aliases, i + 1);
		used += (size_t)snprintf(text + used, bytes - used, "%s%.*s (%.*s)",
					 i ? ", " : "; also ", (int)strcspn(word, "|"), word,
					 (int)strcspn(meaning, "|"), meaning);
	}
}

const char *ronde_config_allowed(const struct ronde_config_entry *entry, char *text)
{
	const size_t bytes = RONDE_CONFIG_ALLOWED_BYTES;
	char low[32], high[32], words[96], others[64] = "";
	format_size((int64_t)entry->min, low, sizeof low);
	format_size((int64_t)entry->max, high, sizeof high);
	if (entry->choices)
		list_choices(entry->choices, entry->type == RONDE_CONFIG_TEXT ? ", " : " or ",
			     words, sizeof words);
	list_aliases(entry->aliases, others, sizeof others);
	switch (entry->type) {
	case RONDE_CONFIG_INT:
		snprintf(text, bytes, "a whole number from %.0f to %.0f", entry->min, entry->max);
		break;
	case RONDE_CONFIG_SIZE:
		snprintf(text, bytes, "%s from %s to %s, also with K, M or G",
			 entry->power_of_two ? "a power of two of bytes" : "a number of bytes", low,
			 high);
		break;
	case RONDE_CONFIG_DOUBLE:
		snprintf(text, bytes, "a number from %g to %g", entry->min, entry->max);
		break;
	case RONDE_CONFIG_BOOL:
		snprintf(text, bytes, "1, true, yes, on, 0, false, no or off");
		break;
	case RONDE_CONFIG_CHOICE:
		snprintf(text, bytes, "%s%s", words, others);
		break;
	case RONDE_CONFIG_TEXT:
		if (entry->choices)
			snprintf(text, bytes, "%s or nothing", words);
		else if (entry->numbers)
			snprintf(text, bytes,
				 "whole numbers from %.0f to %.0f with commas between them, or "
				 "nothing",
				 entry->min, entry->max);
		else
			snprintf(text, bytes, "a text of at most %d bytes",
				 RONDE_CONFIG_TEXT_BYTES - 1);
		break;
	}
	return text;
}

const char *ronde_config_variable(const struct ronde_config_entry *entry, char *text)
{
	size_t n = (size_t)snprintf(text, RONDE_CONFIG_VARIABLE_BYTES, "RONDE_%s", entry->name);
	for (size_t i = 0; i < n; i++)
		text[i] = (char)toupper((unsigned char)text[i]);
	return text;
}
