/* SPDX-License-Identifier: Apache-2.0 */
/* Judging a tensor once every member has spoken: the text that says who disagrees about what. */
#ifndef RONDE_VALIDATE_H
#define RONDE_VALIDATE_H

#include "coordinator/ballot.h"

/*
 * Describes the disagreement of a ballot whose n members are the given ranks of a job of `size`:
 *   tensor "w": ranks 0-2 submitted float32[64,32], rank 3 submitted float32[32,64]
 * Returns the text's length, < bytes.
 */
size_t ronde_mismatch_text(const struct ronde_ballot *ballot, const int *ranks, int n, int size,
			   char *text, size_t bytes);

/*
 * Describes that members of the set have submitted a group with different numbers of tensors:
 *   group "g": ranks 0-2 submitted a group of 3, rank 3 submitted a group of 4; …
 */
size_t ronde_group_mismatch_text(const struct ronde_group *group, const int *ranks, int n, int size,
				 char *text, size_t bytes);

#endif
