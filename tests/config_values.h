/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values for the configuration's entries, good and bad, and a judge of them that shares nothing
 * with the code under test: patterns, long double, and the table's texts written down once more.
 */
#ifndef RONDE_TESTS_CONFIG_VALUES_H
#define RONDE_TESTS_CONFIG_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/config.h"

/* Room for a value. Some are longer than the configuration takes. */
#define VALUE_BYTES 6000
/* Room for an error's text. */
#define REFUSAL_BYTES 1024

/* What is allowed, as it stands in errors: "a whole number from 1 to 64". */
const char *allowed_text(const struct ronde_config_entry *entry);

/* Kinds of bad values; every one has a value for every entry, or none that is bad for it. */
int bad_kinds(void);
/* Writes a value of the kind. Returns false if the kind has none for this entry. */
bool bad_value(uint64_t *state, const struct ronde_config_entry *entry, int kind, char *value);
/* Writes a value near one that is allowed: which it is, the judge says. */
void any_value(uint64_t *state, const struct ronde_config_entry *entry, char *value);
/* Values at the limits of what is allowed: number 0, 1, …; false: there are no more. */
bool limit_value(const struct ronde_config_entry *entry, int number, char *value);

/* Whether the value is allowed; then *meaning is its number (also of a choice or a bool). */
bool judge_value(const struct ronde_config_entry *entry, const char *value, long double *meaning);
/* The same of a value that the configuration holds. */
long double held_value(const struct ronde_config_entry *entry, const struct ronde_config *config);

/* "GIVEN is "VALUE": allowed is …", with what is cut of a long value. */
void refusal_text(char *text, const struct ronde_config_entry *entry, const char *given,
		  const char *value);

#endif
