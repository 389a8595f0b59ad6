/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/c/flight.h"

#include <stdlib.h>

int ronde_flight_init(struct ronde_flight *flight, size_t room)
{
	flight->count = 0;
	flight->first.status = RONDE_OK;
	flight->handles = calloc(room + 1, sizeof *flight->handles);
	if (flight->handles)
		return RONDE_OK;
	return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for %zu operations", room);
}

void ronde_flight_add(struct ronde_flight *flight, int status, ronde_handle handle)
{
	ronde_first_error_note(&flight->first, status);
	if (status == RONDE_OK)
		flight->handles[flight->count++] = handle;
}

int ronde_flight_land(struct ronde_flight *flight)
{
	for (size_t i = 0; i < flight->count; i++)
		ronde_first_error_note(&flight->first, ronde_wait(flight->handles[i]));
	free(flight->handles);
	return ronde_first_error_return(&flight->first);
}
