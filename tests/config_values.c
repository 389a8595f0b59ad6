/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/config_values.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/seed.h"

/* Of a longer value that is refused so many bytes are shown, then "…". */
#define SHOWN 156

#define YES_OR_NO "1, true, yes, on, 0, false, no or off"
#define ANY_TEXT "a text of at most 511 bytes"
#define BYTES(rest) "a number of bytes from " rest ", also with K, M or G"
#define POWER(rest) "a power of two of bytes from " rest ", also with K, M or G"
#define WHOLE(rest) "a whole number from " rest

static const struct {
	const char *name, *allowed;
} texts[] = {
	{"log", "error, warn, info, debug or trace; also fatal (error), warning (warn)"},
	{"log_file", ANY_TEXT},
	{"fusion_threshold", BYTES("0 to 1024G")},
	{"cache_capacity", WHOLE("0 to 1048576")},
	{"disable_group_fusion", YES_OR_NO},
	{"batch_delay_us", WHOLE("0 to 10000000")},
	{"carry_bytes", BYTES("0 to 16M")},
	{"chunk_bytes", BYTES("0 to 1G")},
	{"staging_bytes", BYTES("64K to 1G")},
	{"lanes", WHOLE("1 to 64")},
	{"ring_bytes", POWER("16K to 256M")},
	{"heap_reserve_bytes", BYTES("1M to 16384G")},
	{"isa", "c, avx2, avx512, neon or nothing"},
	{"init_timeout_seconds", "a number from 0.1 to 86400"},
	{"spin", WHOLE("-1 to 1000000")},
	{"thread_affinity", "whole numbers from 0 to 1023 with commas between them, or nothing"},
	{"topology", ANY_TEXT},
	{"placement", ANY_TEXT},
	{"zero_copy", YES_OR_NO},
	{"wire_16bit", YES_OR_NO},
	{"streaming_stores", "auto, always or never"},
	{"timeline", ANY_TEXT},
	{"timeline_ranks", "0 or all"},
	{"timeline_mark_cycles", YES_OR_NO},
	{"timeline_buffer_bytes", POWER("256K to 1G")},
	{"join_divisor", "all or active"},
	{"stall_check_disable", YES_OR_NO},
	{"stall_check_time_seconds", "a number from 0.1 to 1e+06"},
	{"stall_shutdown_time_seconds", "a number from 0 to 1e+06"},
	{"test_no_memfd", YES_OR_NO},
	{"test_no_pidfd", YES_OR_NO},
};

const char *allowed_text(const struct ronde_config_entry *entry)
{
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (strcmp(texts[i].name, entry->name) == 0)
			return texts[i].allowed;
	return "(tests/config_values.c does not know this entry)";
}

void refusal_text(char *text, const struct ronde_config_entry *entry, const char *given,
		  const char *value)
{
	int shown = (int)strlen(value), all = shown;
	if (all > SHOWN + 3) { /* the mark has three bytes */
		shown = SHOWN;
		while (shown > 0 && ((unsigned char)value[shown] & 0xc0) == 0x80)
			shown--;
	}
	snprintf(text, REFUSAL_BYTES, "%s is \"%.*s%s\": allowed is %s", given, shown, value,
		 shown < all ? "…" : "", allowed_text(entry));
}

/* ---- the judge ---- */

static bool matches(const char *pattern, const char *value)
{
	regex_t compiled;
	if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB))
		abort();
	bool found = regexec(&compiled, value, 0, NULL, 0) == 0;
	regfree(&compiled);
	return found;
}

static bool judge_number(const struct ronde_config_entry *e, const char *value,
			 long double *meaning)
{
	static const char *const patterns[] = {
		[RONDE_CONFIG_INT] = "^-?[0123456789]+$",
		[RONDE_CONFIG_SIZE] = "^-?[0123456789]+([KMGkmg](iB)?)?$",
		[RONDE_CONFIG_DOUBLE] =
			"^-?[0123456789]+(\\.[0123456789]*)?([eE][-+]?[0123456789]+)?$",
	};
	char *end;
	if (!matches(patterns[e->type], value))
		return false;
	long double number = strtold(value, &end);
	if (*end && e->type == RONDE_CONFIG_SIZE)
		number *= strchr("Gg", *end) ? 1 << 30 : strchr("Mm", *end) ? 1 << 20 : 1 << 10;
	if (e->type == RONDE_CONFIG_DOUBLE) {
		if (number != 0 && number < 1e-300L && number > -1e-300L)
			return false; /* no double is that small */
		number = (double)number;
	}
	if (!(number >= (long double)e->min && number <= (long double)e->max))
		return false;
	if (e->power_of_two && ((int64_t)number & ((int64_t)number - 1)))
		return false;
	*meaning = number;
	return true;
}

/* The position of the value in "a|b|c". */
static bool judge_choice(const char *choices, const char *value, long double *meaning)
{
	char list[128], *rest = list, *word;
	snprintf(list, sizeof list, "%s", choices);
	for (int i = 0; (word = strsep(&rest, "|")); i++)
		if (strcasecmp(word, value) == 0) {
			*meaning = i;
			return true;
		}
	return false;
}

static bool judge_numbers(const struct ronde_config_entry *e, const char *value)
{
	char list[512], *rest = list, *word;
	if (!*value)
		return true;
	if (!matches("^[0123456789]+(,[0123456789]+)*$", value))
		return false;
	snprintf(list, sizeof list, "%s", value);
	while ((word = strsep(&rest, ",")))
		if (strtold(word, NULL) < (long double)e->min ||
		    strtold(word, NULL) > (long double)e->max)
			return false;
	return true;
}

bool judge_value(const struct ronde_config_entry *e, const char *value, long double *meaning)
{
	*meaning = 0;
	switch (e->type) {
	case RONDE_CONFIG_BOOL:
		if (!judge_choice("0|1|no|yes|false|true|off|on", value, meaning))
			return false;
		*meaning = (int)*meaning % 2;
		return true;
	case RONDE_CONFIG_CHOICE:
		return judge_choice(e->choices, value, meaning);
	case RONDE_CONFIG_TEXT:
		if (e->choices)
			return !*value || judge_choice(e->choices, value, meaning);
		if (e->numbers)
			return strlen(value) < 512 && judge_numbers(e, value);
		return strlen(value) < 512;
	default:
		return judge_number(e, value, meaning);
	}
}

long double held_value(const struct ronde_config_entry *e, const struct ronde_config *config)
{
	const char *field = (const char *)config + e->offset;
	long double meaning = 0;
	switch (e->type) {
	case RONDE_CONFIG_DOUBLE:
		return *(const double *)field;
	case RONDE_CONFIG_BOOL:
		return *(const bool *)field;
	case RONDE_CONFIG_CHOICE:
		return *(const int *)field;
	case RONDE_CONFIG_TEXT:
		judge_value(e, field, &meaning);
		return meaning;
	default:
		return *(const int64_t *)field;
	}
}

/* ---- values ---- */

static bool is_number(const struct ronde_config_entry *e)
{
	return e->type == RONDE_CONFIG_INT || e->type == RONDE_CONFIG_SIZE ||
	       e->type == RONDE_CONFIG_DOUBLE;
}

/* Values that are bad for whatever is not just any text; %s stands for the entry's default. */
static const char *const spoilt[] = {
	" ",
	"\t",
	" %s",
	"%s ",
	"%s\n",
	"\xc2\xa0%s",
	"+%s",
	"--%s",
	"%sx",
	"%s,",
	"\"%s\"",
	"%s;%s",
	"%s|%s",
	"%s=%s",
	"$%s",
	"${X}",
	"nan",
	"NaN",
	"inf",
	"-inf",
	"NULL",
	"none",
	"True1",
	"maybe",
	"%s KB",
	"%sKB",
	"%sT",
	"%sB",
	"%sms",
	"%s%%",
	"0x%s",
	"1_000",
	"1,000",
	"1'000",
	"1.2.3",
	"1e",
	"e1",
	".",
	"-",
	"K",
	"\xef\xbc\x95", /* a full-width five */
	"\xd9\xa3",     /* an Arabic three */
	"f\xc3\xbcnf",
	"\xff\xfe",
	"\x1b[31m%s",
	"1e999",
	"-1e999",
	"1e-999",
	"99999999999999999999",
	"-99999999999999999999",
	"9223372036854775808",
	"18446744073709551616",
	"9007199254740993G",
	"17179869184G",
	"9999999999999999999K",
};
#define SPOILT ((int)(sizeof spoilt / sizeof *spoilt))

enum { EMPTY = SPOILT, BELOW, ABOVE, HUGE_DIGITS, HUGE_LETTERS, NOT_A_POWER, LIST, KINDS };

int bad_kinds(void)
{
	return KINDS;
}

/* The default, or what stands for it where that is empty. */
static const char *start_of(const struct ronde_config_entry *e)
{
	return *e->initial ? e->initial : e->numbers ? "7" : "c";
}

static void write_spoilt(const char *pattern, const char *start, char *value)
{
	size_t used = 0;
	for (; *pattern; pattern++) {
		if (strncmp(pattern, "%s", 2) == 0) {
			used += (size_t)snprintf(value + used, VALUE_BYTES - used, "%s", start);
			pattern++;
		} else {
			value[used++] = *pattern;
			pattern += strncmp(pattern, "%%", 2) == 0;
		}
	}
	value[used] = 0;
}

static void write_run(char *value, char byte, size_t n)
{
	memset(value, byte, n);
	value[n] = 0;
}

bool bad_value(uint64_t *state, const struct ronde_config_entry *e, int kind, char *value)
{
	long double meaning;
	*value = 0;
	if (kind < SPOILT)
		write_spoilt(spoilt[kind], start_of(e), value);
	else if (kind == BELOW && is_number(e))
		snprintf(value, VALUE_BYTES, "%.0Lf",
			 (long double)e->min - 1 - (long double)(next_random(state) % 1000));
	else if (kind == ABOVE && is_number(e))
		snprintf(value, VALUE_BYTES, "%.0Lf",
			 (long double)e->max + 1 + (long double)(next_random(state) % 1000));
	else if (kind == HUGE_DIGITS)
		write_run(value, '7', 512 + next_random(state) % (VALUE_BYTES - 513));
	else if (kind == HUGE_LETTERS)
		write_run(value, 'y', 512 + next_random(state) % (VALUE_BYTES - 513));
	else if (kind == NOT_A_POWER && e->power_of_two)
		snprintf(value, VALUE_BYTES, "%.0f", e->min + 1);
	else if (kind == LIST && e->choices)
		snprintf(value, VALUE_BYTES, "%s", e->choices);
	else if (kind != EMPTY)
		return false;
	/* A few are good for an entry, as "1e-999" is for a text. */
	return !judge_value(e, value, &meaning);
}

void any_value(uint64_t *state, const struct ronde_config_entry *e, char *value)
{
	static const char bytes[] = "0123456789.-+eExXkKmMgGiBnN _,yost\xc3";
	char good[64];
	if (is_number(e)) {
		long double span = (long double)e->max - (long double)e->min;
		long double part = (long double)(next_random(state) >> 11) / 9007199254740992.0L;
		snprintf(good, sizeof good, e->type == RONDE_CONFIG_DOUBLE ? "%.3Lf" : "%.0Lf",
			 (long double)e->min + span * part * part * part * part);
	} else {
		snprintf(good, sizeof good, "%s", start_of(e));
	}
	snprintf(value, VALUE_BYTES, "%s", good);
	for (uint64_t changes = next_random(state) % 3; changes; changes--) {
		size_t n = strlen(value), at = next_random(state) % (n + 1);
		char byte = bytes[next_random(state) % (sizeof bytes - 1)];
		switch (next_random(state) % 4) {
		case 0: /* take one away */
			memmove(value + at, value + at + (at < n), n - at + (at == n));
			break;
		case 1: /* exchange one */
			if (at < n)
				value[at] = byte;
			break;
		default: /* put one in */
			memmove(value + at + 1, value + at, n - at + 1);
			value[at] = byte;
		}
	}
}

static bool limit_word(const char *words, int number, char *value)
{
	char list[128], *rest = list, *word = NULL;
	snprintf(list, sizeof list, "%s", words);
	for (int i = 0; i <= number; i++)
		if (!(word = strsep(&rest, "|")))
			return false;
	snprintf(value, VALUE_BYTES, "%s", word);
	return true;
}

bool limit_value(const struct ronde_config_entry *e, int number, char *value)
{
	if (e->type == RONDE_CONFIG_BOOL)
		return limit_word("0|1|no|yes|false|true|off|on|NO|True|oN", number, value);
	if (e->choices)
		return limit_word(e->choices, number, value);
	if (e->numbers) {
		snprintf(value, VALUE_BYTES, number == 0 ? "%.0f" : "%.0f,%.0f,007", e->min,
			 e->max);
		return number < 2;
	}
	if (e->type == RONDE_CONFIG_TEXT) {
		write_run(value, 'z', number == 0 ? 0 : number == 1 ? 1 : 511);
		return number < 3;
	}
	double limit = number == 0 ? e->min : e->max;
	if (e->type == RONDE_CONFIG_DOUBLE)
		snprintf(value, VALUE_BYTES, "%.17g", limit);
	else
		snprintf(value, VALUE_BYTES, "%.0f", limit);
	if (number == 2 && e->type == RONDE_CONFIG_SIZE)
		snprintf(value, VALUE_BYTES, "%.0fKiB", limit / 1024);
	return number < 2 + (e->type == RONDE_CONFIG_SIZE);
}
