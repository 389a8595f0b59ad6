/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disagreement, made from a seed: what each rank submits under one name, and what all of them are
 * told.
 */
#ifndef RONDE_TESTS_DISAGREEMENTS_DISAGREEMENT_H
#define RONDE_TESTS_DISAGREEMENTS_DISAGREEMENT_H

#include "collectives/status.h"
#include "tests/schedules/program.h"

#define PARTIES 3
#define DISAGREEMENT_RANKS 5 /* at most */
#define DISAGREEMENT_SETS 2

/* Of a job of so many ranks, in the order in which they are made; n 0: none. None has one member.
 */
extern const struct op_set disagreement_sets[DISAGREEMENT_RANKS + 1][DISAGREEMENT_SETS];

/* What each rank gives. The same on all ranks, out of a seed. */
struct disagreement {
	uint64_t seed;
	int ranks;
	const struct op_set *set; /* NULL: all ranks */
	int joins;                /* this rank has joined meanwhile; -1: none has */
	struct op parties[PARTIES];
	int party[RANKS_MAX]; /* of each rank that takes part, else -1 */
	char name[80];
	char text[RONDE_ERROR_BYTES];
};

void make_disagreement(uint64_t seed, int ranks, struct disagreement *d);

/* For one whose parties somebody else has made: who is of which, and the text. */
void choose_parties(uint64_t *state, struct disagreement *d);
/* False: they agree after all. */
bool say_all(struct disagreement *d);

#endif
