/* SPDX-License-Identifier: Apache-2.0 */
/* Which packages, domains, caches and cores a rank is on. */
#include <ctype.h>
#include <hwloc.h>
#include <hwloc/glibc-sched.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"
#include "collectives/topology.h"

/* The one number of all that are seen; -1 if they differ. */
static void see(int32_t *number, bool first, int32_t seen)
{
	*number = first || *number == seen ? seen : -1;
}

static bool touches(const struct ronde_topology *t, int core, hwloc_const_bitmap_t set)
{
	hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(t->hwloc, (unsigned)t->cores[core].processor);
	hwloc_obj_t object = hwloc_get_ancestor_obj_by_type(t->hwloc, HWLOC_OBJ_CORE, pu);
	return hwloc_bitmap_intersects((object ? object : pu)->cpuset, set);
}

static struct ronde_place place_of(const struct ronde_topology *t, hwloc_const_bitmap_t set)
{
	struct ronde_place place = RONDE_PLACE_UNKNOWN;
	bool first = true;
	for (int i = 0; i < t->ncores; i++) {
		const struct ronde_core *core = &t->cores[i];
		if (!touches(t, i, set))
			continue;
		see(&place.package, first, core->package);
		see(&place.numa, first, core->numa);
		see(&place.cache, first, core->cache);
		see(&place.core, first, i);
		first = false;
	}
	return place;
}

static int no_set(void)
{
	return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for a set of processors");
}

static int locate_on_core(const struct ronde_topology *t, int local_rank, struct ronde_place *place)
{
	if (local_rank >= t->ncores)
		return ronde_error(RONDE_ERR_CONFIGURATION,
				   "RONDE_TOPOLOGY has %d cores, and none for local rank %d: "
				   "describe a larger machine, or say by RONDE_PLACEMENT which "
				   "processors the ranks share",
				   t->ncores, local_rank);
	const struct ronde_core *core = &t->cores[local_rank];
	*place = (struct ronde_place){core->package, core->numa, core->cache, local_rank};
	return RONDE_OK;
}

enum item { MISSING, MALFORMED, GIVEN };

/* The processors of the list's item for a rank, "7" or "4-7". */
static enum item item_at(const char *list, int local_rank, unsigned long *from, unsigned long *to)
{
	for (; local_rank > 0; local_rank--) {
		list = strchr(list, ',');
		if (!list)
			return MISSING;
		list++;
	}
	char *end = NULL;
	if (!isdigit((unsigned char)*list))
		return MALFORMED;
	*from = *to = strtoul(list, &end, 10);
	if (*end == '-' && isdigit((unsigned char)end[1]))
		*to = strtoul(end + 1, &end, 10);
	return (*end && *end != ',') || *to < *from ? MALFORMED : GIVEN;
}

static bool are_there(const struct ronde_topology *t, unsigned long from, unsigned long to)
{
	for (unsigned long p = from; p <= to; p++)
		if (p > INT_MAX || !hwloc_get_pu_obj_by_os_index(t->hwloc, (unsigned)p))
			return false;
	return true;
}

static int locate_by_list(const struct ronde_topology *t, const char *list, int local_rank,
			  struct ronde_place *place)
{
	unsigned long from, to;
	switch (item_at(list, local_rank, &from, &to)) {
	case MISSING:
		return ronde_error(RONDE_ERR_CONFIGURATION,
				   "RONDE_PLACEMENT is \"%s\", which has no place for local rank "
				   "%d: give one for each rank of the node, commas between them",
				   list, local_rank);
	case MALFORMED:
		return ronde_error(
			RONDE_ERR_CONFIGURATION,
			"RONDE_PLACEMENT is \"%s\": what it says for local rank %d is "
			"neither a processor nor a range of them; allowed is a list such "
			"as \"0-3,4-7\", or \"cores\"",
			list, local_rank);
	case GIVEN:
		break;
	}
	if (!are_there(t, from, to))
		return ronde_error(RONDE_ERR_CONFIGURATION,
				   "RONDE_PLACEMENT is \"%s\": the machine has %d processors, and "
				   "not all of %lu to %lu, where it puts local rank %d",
				   list, t->processors, from, to, local_rank);
	hwloc_bitmap_t set = hwloc_bitmap_alloc();
	if (!set || hwloc_bitmap_set_range(set, (unsigned)from, (int)to)) {
		hwloc_bitmap_free(set);
		return no_set();
	}
	*place = place_of(t, set);
	hwloc_bitmap_free(set);
	return RONDE_OK;
}

int ronde_topology_locate(const struct ronde_topology *t, const char *placement, int local_rank,
			  const cpu_set_t *allowed, struct ronde_place *place)
{
	*place = RONDE_PLACE_UNKNOWN;
	if (!t->hwloc)
		return RONDE_OK;
	if (strcmp(placement, "cores") == 0 || (!*placement && !t->real))
		return locate_on_core(t, local_rank, place);
	if (*placement)
		return locate_by_list(t, placement, local_rank, place);
	hwloc_bitmap_t set = hwloc_bitmap_alloc();
	if (!set)
		return no_set();
	if (hwloc_cpuset_from_glibc_sched_affinity(t->hwloc, set, allowed, sizeof *allowed) == 0)
		*place = place_of(t, set);
	hwloc_bitmap_free(set);
	return RONDE_OK;
}

void ronde_topology_processors(const struct ronde_topology *t, int numa, cpu_set_t *set)
{
	CPU_ZERO(set);
	if (!t->hwloc || !t->real || numa < 0)
		return;
	hwloc_obj_t domain = hwloc_get_obj_by_type(t->hwloc, HWLOC_OBJ_NUMANODE, (unsigned)numa);
	for (int p = -1; domain && (p = hwloc_bitmap_next(domain->cpuset, p)) >= 0;)
		if (p < CPU_SETSIZE)
			CPU_SET((size_t)p, set);
}
