/* SPDX-License-Identifier: Apache-2.0 */
/* Initial weights: one broadcast per parameter, all in flight at once so that they are fused. */
#include "bindings/c/default.h"
#include "bindings/c/flight.h"
#include "bindings/c/parameters.h"

static int broadcast(const char *function, const ronde_parameter *parameters, size_t count,
		     int root, int process_set)
{
	struct ronde_flight flight;
	ronde_options options = RONDE_OPTIONS_INIT;
	options.process_set = process_set;
	int status = ronde_default_check(function);
	if (status == RONDE_OK)
		status = ronde_parameters_check(parameters, count, RONDE_PARAMETER_DATA, 0);
	if (status == RONDE_OK)
		status = ronde_flight_init(&flight, count);
	if (status != RONDE_OK)
		return status;
	for (size_t i = 0; i < count; i++) {
		const ronde_parameter *p = &parameters[i];
		ronde_handle handle = 0;
		status = ronde_broadcast_async(p->name, p->data, p->data, p->count, p->dtype, root,
					       &options, &handle);
		ronde_flight_add(&flight, status, handle);
	}
	return ronde_flight_land(&flight);
}

int ronde_broadcast_parameters(const ronde_parameter *parameters, size_t count, int root)
{
	return broadcast("ronde_broadcast_parameters", parameters, count, root, 0);
}

int ronde_broadcast_parameters_on(const ronde_parameter *parameters, size_t count, int root,
				  int process_set)
{
	return broadcast("ronde_broadcast_parameters_on", parameters, count, root, process_set);
}
