/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/process_set.h"

#include <stdlib.h>

#include "collectives/status.h"

int ronde_process_set_global(struct ronde_process_set *set, const struct ronde_node *node)
{
	int *local = calloc((size_t)node->local_size, sizeof *local);
	if (!local)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory for the process set of all ranks");
	for (int i = 0; i < node->local_size; i++)
		local[i] = i;
	*set = (struct ronde_process_set){.id = 0,
					  .size = node->size,
					  .n = node->local_size,
					  .me = node->local_rank,
					  .local = local};
	return RONDE_OK;
}

void ronde_process_set_finish(struct ronde_process_set *set)
{
	free(set->local);
	set->local = NULL;
}

int ronde_process_set_member(const struct ronde_process_set *set, int local_rank)
{
	for (int i = 0; i < set->n; i++)
		if (set->local[i] == local_rank)
			return i;
	return -1;
}
