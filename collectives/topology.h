/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topology: packages, NUMA domains, shared caches and cores of a machine, which of them a rank is
 * on, and memory bound to them. The machine is this one, or one that is only described: then ranks
 * have the places that they are told, and nothing is really bound.
 *
 * A node's leader has one, and tells the others what they need (node_places.c).
 */
#ifndef RONDE_TOPOLOGY_H
#define RONDE_TOPOLOGY_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Objects are numbered from 0 over the whole machine, in hwloc's logical order. */
struct ronde_core {
	int32_t package, numa, cache; /* that it belongs to; -1: none */
	int32_t processor;            /* its first one, by the system's number */
	int32_t processors;           /* hardware threads */
};

/* Where a rank may run. -1: on more than one of the sort, or not known. */
struct ronde_place {
	int32_t package, numa, cache, core;
};

#define RONDE_PLACE_UNKNOWN ((struct ronde_place){-1, -1, -1, -1})

/* That memory be on a NUMA domain. */
struct ronde_memory_request {
	const void *address;
	size_t bytes;
	int numa;
	int error; /* errno; 0: granted, or the machine is only described */
};

struct ronde_topology {
	bool real; /* this machine: what is bound is really bound */
	int packages, numas, caches, ncores, processors;
	int cache_level;      /* of the caches: 3, or 2 where there is no third; 0: none */
	uint64_t cache_bytes; /* of one */
	struct ronde_core *cores;
	struct ronde_memory_request *requests; /* all there have been */
	size_t nrequests;
	struct hwloc_topology *hwloc;
};

/*
 * machine: "" for this one, a machine as hwloc describes one ("pack:2 numa:4 core:8 pu:1"), or the
 * name of a file that lstopo has written, ending in ".xml". Where this one cannot be looked at it
 * has no cores and nobody's place is known. Errors: CONFIGURATION, OUT_OF_MEMORY.
 */
int ronde_topology_open(struct ronde_topology **topology, const char *machine);
void ronde_topology_close(struct ronde_topology *topology);

/*
 * The place of one of the node's ranks. placement: "cores", each rank on the core of its local
 * rank; or for each of them a processor or a range of processors, "0-3,4-7"; "": those that it may
 * run on, `allowed`, or "cores" if the machine is only described. Errors: CONFIGURATION: there is
 * no such processor, or not enough for all.
 */
int ronde_topology_locate(const struct ronde_topology *topology, const char *placement,
			  int local_rank, const cpu_set_t *allowed, struct ronde_place *place);

/* Processors of a NUMA domain of this machine; none if it is only described, or for -1. */
void ronde_topology_processors(const struct ronde_topology *topology, int numa, cpu_set_t *set);

/*
 * Prefers a NUMA domain for pages that nobody has touched yet, in all processes that share them.
 * All requests are made here and kept. A refusal is no error, see ronde_memory_request. Errors:
 * OUT_OF_MEMORY.
 */
int ronde_topology_bind_memory(struct ronde_topology *topology, void *address, size_t bytes,
			       int numa);

#endif
