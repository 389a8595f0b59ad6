/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of the machine: what Ronde needs of it, what was found, and what to do about it. Each
 * looks, and tries where looking is not enough: a call that a container refuses shows in no file.
 */
#ifndef RONDE_CLI_CHECKS_H
#define RONDE_CLI_CHECKS_H

#include <stdbool.h>
#include <stddef.h>

#include "coordinator/config.h"
#include "coordinator/cores.h"

enum check_state {
	CHECK_OK,
	CHECK_NOTICE,  /* works; worth knowing */
	CHECK_WARNING, /* works, and costs speed or safety */
	CHECK_PROBLEM  /* does not work */
};

/* "ok", "notice", "warning", "problem". */
const char *check_state_name(enum check_state state);

#define CHECKS_MAX 40
#define CHECK_TEXT_BYTES 768

struct check {
	const char *name;
	enum check_state state;
	char found[CHECK_TEXT_BYTES];
	char advice[CHECK_TEXT_BYTES]; /* "": nothing to do */
};

struct checks {
	int n;
	struct check list[CHECKS_MAX];
};

/* What one rank says of itself. Travels as it lies in memory. */
struct rank_facts {
	char host[65];
	int pid;
	struct ronde_cores_report cores;
};

/* What the checks look at. */
struct machine {
	const char *root; /* in front of /proc, /sys, /dev and /run: "" except in tests */
	const struct ronde_config *config;
	bool launched; /* under a launcher: more ranks than this one are known of */
	const struct rank_facts *ranks; /* of this node, this rank among them */
	const int *rank_numbers;        /* their ranks in the job */
	int nranks;
	const char (*notes)[CHECK_TEXT_BYTES]; /* what the job says of its configuration */
	int nnotes;
};

/* Fills in what can be asked about this process. */
void rank_facts_own(struct rank_facts *facts, const char *root);

/* Adds a check and returns it, for its advice. */
struct check *check_add(struct checks *checks, const char *name, enum check_state state,
			const char *format, ...) __attribute__((format(printf, 4, 5)));
void check_advise(struct check *check, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* One file each. */
void check_shared_memory(struct checks *checks, const struct machine *machine);
void check_cores(struct checks *checks, const struct machine *machine);
void check_system(struct checks *checks, const struct machine *machine);

/* All of them. */
void check_machine(struct checks *checks, const struct machine *machine);
/* The worst state among them. */
enum check_state check_worst(const struct checks *checks);

/* The first line of a small file under root, without its end; false: it can't be read. */
bool check_read_line(const char *root, const char *path, char *text, size_t bytes);

#endif
