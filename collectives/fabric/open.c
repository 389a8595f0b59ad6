/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/bootstrap.h"
#include "collectives/fabric.h"
#include "collectives/status.h"

int ronde_fabric_open(struct ronde_fabric **fabric, struct ronde_bootstrap *bootstrap)
{
	if (!bootstrap->ops->open_fabric)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "ranks that find each other by \"%s\" are all on one machine: "
				   "nothing carries bytes between nodes",
				   bootstrap->ops->name);
	return bootstrap->ops->open_fabric(bootstrap, fabric);
}
