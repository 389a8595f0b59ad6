/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/status.h"

/* ---- the machine ---- */

/* Without what nobody here asks for: it takes time to find. */
static hwloc_topology_t new_hwloc(void)
{
	static const hwloc_obj_type_t kept[] = {HWLOC_OBJ_PACKAGE, HWLOC_OBJ_L3CACHE,
						HWLOC_OBJ_L2CACHE, HWLOC_OBJ_CORE};
	hwloc_topology_t h;
	if (hwloc_topology_init(&h))
		return NULL;
	hwloc_topology_set_all_types_filter(h, HWLOC_TYPE_FILTER_KEEP_NONE);
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		hwloc_topology_set_type_filter(h, kept[i], HWLOC_TYPE_FILTER_KEEP_ALL);
	/* A NUMA domain that is a part of a package hangs on one. */
	hwloc_topology_set_type_filter(h, HWLOC_OBJ_GROUP, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
	return h;
}

static bool is_file(const char *machine)
{
	size_t length = strlen(machine);
	return length > 4 && strcmp(machine + length - 4, ".xml") == 0;
}

static int describe(hwloc_topology_t h, const char *machine)
{
	if (is_file(machine)) {
		if (hwloc_topology_set_xml(h, machine) || hwloc_topology_load(h))
			return ronde_error(
				RONDE_ERR_CONFIGURATION,
				"RONDE_TOPOLOGY is \"%s\": this file cannot be read as a machine; "
				"`lstopo FILE.xml` writes one",
				machine);
		return RONDE_OK;
	}
	if (hwloc_topology_set_synthetic(h, machine) || hwloc_topology_load(h))
		return ronde_error(RONDE_ERR_CONFIGURATION,
				   "RONDE_TOPOLOGY is \"%s\", which describes no machine: give "
				   "hwloc's words, such as \"pack:2 numa:4 core:8 pu:1\", or the "
				   "name of a file that ends in .xml",
				   machine);
	return RONDE_OK;
}

/* ---- its cores ---- */

static int count(hwloc_topology_t h, hwloc_obj_type_t type)
{
	int n = hwloc_get_nbobjs_by_type(h, type);
	return n > 0 ? n : 0;
}

static int number_above(hwloc_topology_t h, hwloc_obj_t object, hwloc_obj_type_t type)
{
	hwloc_obj_t above = hwloc_get_ancestor_obj_by_type(h, type, object);
	return above ? (int)above->logical_index : -1;
}

/* The smallest domain around it; of several with the same processors (such as of two sorts of
 * memory) the first. */
static int numa_around(hwloc_topology_t h, hwloc_obj_t object)
{
	int found = -1, least = 0;
	for (hwloc_obj_t numa = NULL;
	     (numa = hwloc_get_next_obj_by_type(h, HWLOC_OBJ_NUMANODE, numa));) {
		int weight = hwloc_bitmap_weight(numa->cpuset);
		if (hwloc_bitmap_isincluded(object->cpuset, numa->cpuset) &&
		    (found < 0 || weight < least)) {
			found = (int)numa->logical_index;
			least = weight;
		}
	}
	return found;
}

/* Some virtual machines have processors and no cores. */
static hwloc_obj_type_t core_type(hwloc_topology_t h)
{
	return count(h, HWLOC_OBJ_CORE) ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
}

static void look_at_caches(struct ronde_topology *t)
{
	hwloc_obj_type_t type = count(t->hwloc, HWLOC_OBJ_L3CACHE)   ? HWLOC_OBJ_L3CACHE
				: count(t->hwloc, HWLOC_OBJ_L2CACHE) ? HWLOC_OBJ_L2CACHE
								     : HWLOC_OBJ_MACHINE;
	if (type == HWLOC_OBJ_MACHINE)
		return;
	t->cache_level = type == HWLOC_OBJ_L3CACHE ? 3 : 2;
	t->caches = count(t->hwloc, type);
	t->cache_bytes = hwloc_get_obj_by_type(t->hwloc, type, 0)->attr->cache.size;
}

static int look_at(struct ronde_topology *t)
{
	hwloc_topology_t h = t->hwloc;
	t->ncores = count(h, core_type(h));
	t->cores = calloc((size_t)t->ncores + 1, sizeof *t->cores);
	if (!t->cores)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for %d cores", t->ncores);
	t->packages = count(h, HWLOC_OBJ_PACKAGE);
	t->numas = count(h, HWLOC_OBJ_NUMANODE);
	t->processors = count(h, HWLOC_OBJ_PU);
	t->real = hwloc_topology_is_thissystem(h);
	look_at_caches(t);
	hwloc_obj_type_t cache = t->cache_level == 2 ? HWLOC_OBJ_L2CACHE : HWLOC_OBJ_L3CACHE;
	for (int i = 0; i < t->ncores; i++) {
		hwloc_obj_t core = hwloc_get_obj_by_type(h, core_type(h), (unsigned)i);
		t->cores[i] =
			(struct ronde_core){.package = number_above(h, core, HWLOC_OBJ_PACKAGE),
					    .numa = numa_around(h, core),
					    .cache = number_above(h, core, cache),
					    .processor = hwloc_bitmap_first(core->cpuset),
					    .processors = hwloc_bitmap_weight(core->cpuset)};
	}
	return RONDE_OK;
}

int ronde_topology_open(struct ronde_topology **topology, const char *machine)
{
	struct ronde_topology *t = calloc(1, sizeof *t);
	int status = RONDE_OK;
	if (!t || !(t->hwloc = new_hwloc()))
		status = ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				     "no memory for a description of this machine");
	else if (*machine)
		status = describe(t->hwloc, machine);
	else if (hwloc_topology_load(t->hwloc)) {
		hwloc_topology_destroy(t->hwloc);
		t->hwloc = NULL;
	}
	if (!status && t->hwloc)
		status = look_at(t);
	if (status)
		ronde_topology_close(t);
	else
		*topology = t;
	return status;
}

void ronde_topology_close(struct ronde_topology *t)
{
	if (!t)
		return;
	if (t->hwloc)
		hwloc_topology_destroy(t->hwloc);
	free(t->cores);
	free(t->requests);
	free(t);
}

/* ---- memory ---- */

static int prefer(const struct ronde_topology *t, void *address, size_t bytes, int numa)
{
	hwloc_obj_t domain = hwloc_get_obj_by_type(t->hwloc, HWLOC_OBJ_NUMANODE, (unsigned)numa);
	if (!t->real || !domain)
		return 0;
	/* Not strict: where the domain is full, memory of another one is better than none. */
	return hwloc_set_area_membind(t->hwloc, address, bytes, domain->nodeset, HWLOC_MEMBIND_BIND,
				      HWLOC_MEMBIND_BYNODESET)
		       ? errno
		       : 0;
}

int ronde_topology_bind_memory(struct ronde_topology *t, void *address, size_t bytes, int numa)
{
	struct ronde_memory_request *more = realloc(t->requests, (t->nrequests + 1) * sizeof *more);
	if (!more)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				   "no memory to note where memory shall be");
	t->requests = more;
	more[t->nrequests++] = (struct ronde_memory_request){address, bytes, numa,
							     prefer(t, address, bytes, numa)};
	return RONDE_OK;
}
