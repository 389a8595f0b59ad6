/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes docs/configuration.md from the configuration's table, or with --check PAGE compares the
 * page with it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/config.h"

static const char head[] =
	"<!-- Made by ronde-config-reference from coordinator/config.h; do not edit. -->\n"
	"# Configuration\n"
	"\n"
	"Every entry has a name and a variable of the environment, the name in capitals after\n"
	"`RONDE_`. Its value is, first found wins:\n"
	"\n"
	"1. the setting of that name given to `ronde_init()`;\n"
	"2. the variable `RONDE_…`;\n"
	"3. Horovod's variable, where the entry has one of the same meaning;\n"
	"4. the default.\n"
	"\n"
	"Entries of the whole job are taken from rank 0: if other ranks were given other values a\n"
	"warning tells which, and they follow rank 0. Sizes are in bytes and may end in K, M or G\n"
	"(1024, 1024², 1024³). A value that is not allowed is an error that names the variable,\n"
	"the value and what is allowed; on whichever rank it is, no rank starts, and all return\n"
	"that error with the ranks it is on. A variable that looks like a mistyped entry gives a\n"
	"warning, with the ranks that have it. Warnings are rank 0's, once for the job.\n"
	"\n"
	"`RONDE_RANK`, `RONDE_SIZE`, `RONDE_ADDRESS` and `RONDE_MPI_MODULE` are no entries: they\n"
	"tell a rank how to find the others.\n";

static void write_page(FILE *file)
{
	fputs(head, file);
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		const struct ronde_config_entry *e = &ronde_config_entries[i];
		char variable[RONDE_CONFIG_VARIABLE_BYTES], allowed[RONDE_CONFIG_ALLOWED_BYTES];
		fprintf(file, "\n## %s\n\n%s\n\n", e->name, e->help);
		fprintf(file, "- Variable: `%s`", ronde_config_variable(e, variable));
		if (e->horovod)
			fprintf(file, ", else `%s`", e->horovod);
		if (*e->initial)
			fprintf(file, "\n- Default: `%s`\n", e->initial);
		else
			fprintf(file, "\n- Default: empty\n");
		fprintf(file, "- Allowed: %s\n", ronde_config_allowed(e, allowed));
		fprintf(file, "- Holds for: %s\n",
			e->scope == RONDE_CONFIG_JOB ? "the whole job" : "each rank by itself");
	}
}

/* Reads a whole text file; NULL if there is none. */
static char *read_page(const char *path)
{
	FILE *file = fopen(path, "r");
	if (!file)
		return NULL;
	char *text = NULL;
	size_t bytes = 0;
	if (getdelim(&text, &bytes, 0, file) < 0) {
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}

static int check_page(const char *path)
{
	char *wanted = NULL;
	size_t bytes = 0;
	FILE *file = open_memstream(&wanted, &bytes);
	if (!file) {
		perror("ronde-config-reference");
		return EXIT_FAILURE;
	}
	write_page(file);
	fclose(file);
	char *found = read_page(path);
	int same = found && strcmp(found, wanted) == 0;
	if (!same)
		fprintf(stderr,
			"%s is not what the table in coordinator/config.h says; write it anew:\n"
			"    BUILD/docs/ronde-config-reference > docs/configuration.md\n",
			path);
	free(found);
	free(wanted);
	return same ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--check") == 0)
		return check_page(argv[2]);
	if (argc != 1) {
		fprintf(stderr, "usage: ronde-config-reference [--check PAGE]\n");
		return EXIT_FAILURE;
	}
	write_page(stdout);
	return EXIT_SUCCESS;
}
