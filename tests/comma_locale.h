/* SPDX-License-Identifier: Apache-2.0 */
/* A language that writes 1,5 for one and a half, on any machine. */
#ifndef RONDE_TESTS_COMMA_LOCALE_H
#define RONDE_TESTS_COMMA_LOCALE_H

#include <check.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* A system without Debian's package `locales` has no character set that localedef could look up. */
static const char comma_language[] = "LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \".\"\n"
				     "grouping 3;3\nEND LC_NUMERIC\n";
static const char comma_letters[] = "<code_set_name> TWO\nCHARMAP\n<U002C> \\x2c COMMA\n"
				    "<U002E> \\x2e FULL STOP\nEND CHARMAP\n";

static inline void comma_write(const char *folder, const char *name, const char *text)
{
	char path[64];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	ck_assert_int_eq(fclose(file), 0);
}

/*
 * Has this process write numbers so; false: it cannot be done here. localedef, which is part of the
 * C library, complains of all that the language lacks, and with -c writes it nevertheless.
 */
static inline bool comma_locale(void)
{
	char folder[] = "/tmp/ronde-locale-XXXXXX", command[256];
	ck_assert_ptr_nonnull(mkdtemp(folder));
	comma_write(folder, "language", comma_language);
	comma_write(folder, "letters", comma_letters);
	snprintf(command, sizeof command,
		 "cd %s && localedef -c --no-archive -f ./letters -i ./language ./comma >log 2>&1; "
		 "test -s comma/LC_NUMERIC",
		 folder);
	bool made = system(command) == 0; /* NOLINT(cert-env33-c) */
	setenv("LOCPATH", folder, 1);
	bool set = made && setlocale(LC_NUMERIC, "comma");
	snprintf(command, sizeof command, "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c) */
	return set;
}

#endif
