/* SPDX-License-Identifier: Apache-2.0 */
/* Initial weights: one broadcast per parameter, all in flight at once so that they are fused. */
#include <stdlib.h>

#include "bindings/c/first_error.h"
#include "bindings/c/parameters.h"

struct transfer {
	ronde_handle handle;
	int submitted;
};

/* Submits every parameter, also after an error: other ranks wait for those that can go. */
static void submit_all(const ronde_parameter *parameters, size_t count, int root,
		       struct transfer *transfers, struct ronde_first_error *first)
{
	for (size_t i = 0; i < count; i++) {
		const ronde_parameter *p = &parameters[i];
		int status = ronde_broadcast_async(p->name, p->data, p->data, p->count, p->dtype,
						   root, NULL, &transfers[i].handle);
		transfers[i].submitted = status == RONDE_OK;
		ronde_first_error_note(first, status);
	}
}

int ronde_broadcast_parameters(const ronde_parameter *parameters, size_t count, int root)
{
	int status = ronde_size();
	if (status >= 0)
		status = ronde_parameters_check(parameters, count, RONDE_PARAMETER_DATA, 0);
	if (status != RONDE_OK)
		return status;
	struct transfer *transfers = calloc(count + 1, sizeof *transfers);
	if (!transfers)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory to broadcast a list of %zu parameters", count);
	struct ronde_first_error first = {.status = RONDE_OK};
	submit_all(parameters, count, root, transfers, &first);
	for (size_t i = 0; i < count; i++)
		if (transfers[i].submitted)
			ronde_first_error_note(&first, ronde_wait(transfers[i].handle));
	free(transfers);
	return ronde_first_error_return(&first);
}
