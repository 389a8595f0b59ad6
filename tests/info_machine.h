/* SPDX-License-Identifier: Apache-2.0 */
/* For each test of ronde-info's checks a machine that is made up, and what a check is to say of it.
 */
#ifndef RONDE_TESTS_INFO_MACHINE_H
#define RONDE_TESTS_INFO_MACHINE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bindings/cli/checks.h"

static char root[] = "/tmp/ronde-info-XXXXXX";
static struct ronde_config config;
static struct rank_facts ranks[4];
static const int numbers[4] = {0, 1, 2, 5};
static struct machine machine;
static struct checks checks;

static inline void setup(void)
{
	strcpy(strrchr(root, '-'), "-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	ck_assert_int_eq(ronde_config_load(&config, NULL), RONDE_OK);
	memset(ranks, 0, sizeof ranks);
	for (int r = 0; r < 4; r++)
		for (int cpu = 0; cpu < 8; cpu++)
			CPU_SET(cpu, &ranks[r].cores.allowed);
	machine = (struct machine){.root = root,
				   .config = &config,
				   .launched = true,
				   .ranks = ranks,
				   .rank_numbers = numbers,
				   .nranks = 4};
	memset(&checks, 0, sizeof checks);
}

static inline void teardown(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", root);
	ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c) */
}

/* A file of the machine, with the folders above it. */
static inline void put(const char *path, const char *text)
{
	char whole[256];
	snprintf(whole, sizeof whole, "%s%s", root, path);
	for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(whole, 0700);
		*slash = '/';
	}
	FILE *file = fopen(whole, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static inline const struct check *find(const char *name)
{
	for (int i = 0; i < checks.n; i++)
		if (!strcmp(checks.list[i].name, name))
			return &checks.list[i];
	ck_abort_msg("there is no check \"%s\"", name);
	return NULL;
}

static inline void expect(const char *name, enum check_state state, const char *found,
			  const char *advice)
{
	const struct check *c = find(name);
	ck_assert_msg(c->state == state && strstr(c->found, found) && strstr(c->advice, advice),
		      "%s is \"%s\": \"%s\", advice \"%s\"; wanted \"%s\": \"%s\", \"%s\"", name,
		      check_state_name(c->state), c->found, c->advice, check_state_name(state),
		      found, advice);
}

#endif
