/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program has the runtime in itself (it is linked with the core, not with libronde.so), so it
 * can ask the context behind the public functions where the other ranks' heaps are mapped. Rank 0
 * allocates the memory of the second arena from its heap, and all find it by its place there.
 */
#include "perf/limits/inside.h"

#include "bindings/c/default.h"
#include "collectives/algorithms/layout.h"
#include "collectives/operation.h"

#include <string.h>
#include <unistd.h>

#define PAGE ((size_t)4096)

static size_t up_to_pages(size_t bytes)
{
	return (bytes + PAGE - 1) & ~(PAGE - 1);
}

/* Each rank's distance of `mine` from the base of its heap; 0 where `mine` is NULL. */
static void exchange_places(const struct perf_run *run, const struct ronde_node *node,
			    const unsigned char *mine, double *places)
{
	memset(places, 0, (size_t)run->world->size * sizeof(*places));
	if (mine)
		places[run->world->rank] = (double)(mine - node->heaps[node->local_rank]);
	run->world->transport->max(run->world, places, (size_t)run->world->size);
}

/* The arena of the bare algorithms, and behind it the lines. */
static void share_arena(struct perf_inside *inside, const struct perf_run *run,
			const struct ronde_node *node)
{
	struct ronde_arena_shape shape = node->arena.shape;
	double places[MAX_RANKS];
	unsigned char *memory = NULL, *page;
	size_t bytes;

	shape.lanes = LANES;
	bytes = up_to_pages(ronde_arena_bytes(&shape));
	if (run->world->rank == 0) {
		inside->shared = perf_memory_get(run->world, PERF_HEAP,
						 bytes + perf_lines_bytes(run->world->size) + PAGE);
		memory = inside->shared;
	}
	exchange_places(run, node, memory, places);
	page = node->heaps[0] + up_to_pages((size_t)places[0]);
	if (run->world->rank == 0)
		ronde_arena_format(page, &shape);
	run->world->transport->barrier(run->world);
	perf_check(run->world, ronde_arena_attach(&inside->rank.arena, page), "arena");
	inside->lines = (struct perf_lines){
		.line = (void *)(page + bytes), .rank = run->world->rank, .size = run->world->size};
}

static void share_tensors(struct perf_inside *inside, const struct perf_run *run,
			  const struct ronde_node *node, size_t bytes)
{
	double places[MAX_RANKS];

	inside->heap = perf_memory_get(run->world, PERF_HEAP, 2 * bytes);
	inside->input = perf_memory_get(run->world, PERF_ORDINARY, bytes);
	inside->output = perf_memory_get(run->world, PERF_ORDINARY, bytes);
	inside->copy = perf_memory_get(run->world, PERF_ORDINARY, bytes);
	exchange_places(run, node, inside->heap, places);
	for (int m = 0; m < run->world->size; m++) {
		inside->tensors[m] = node->heaps[m] + (size_t)places[m];
		inside->rank.members[m] = m;
	}
}

void perf_inside_open(struct perf_inside *inside, const struct perf_run *run, size_t bytes)
{
	struct ronde_context *ctx = ronde_default_enter("ronde-perf-limits");
	int size = run->world->size;
	size_t chunk;

	if (!ctx)
		perf_check(run->world, RONDE_ERR_NOT_INITIALIZED, "runtime");
	if (ctx->node->local_size != size || size > MAX_RANKS)
		perf_die(run->world,
			 "%d of %d ranks are on this node: it takes up to %d, all on one",
			 ctx->node->local_size, size, MAX_RANKS);
	chunk = (size_t)ctx->config.chunk_bytes;
	*inside = (struct perf_inside){
		.options = {.ranks = size,
			    .to = bytes,
			    .staging = (size_t)ctx->node->arena.shape.staging_bytes},
		.stores = {.mode = ctx->schedule.stores.mode},
		.rank = {.kernels = ctx->kernels,
			 .me = run->world->rank,
			 .crowded = size > sysconf(_SC_NPROCESSORS_ONLN),
			 .chunk = chunk ? chunk : RONDE_CHUNK_REDUCE},
	};
	share_tensors(inside, run, ctx->node, bytes);
	share_arena(inside, run, ctx->node);
	inside->rank.options = &inside->options;
	inside->rank.heaps = inside->tensors;
	inside->rank.input = inside->input;
	inside->rank.output = inside->output;
	ronde_default_leave();
}

void perf_inside_close(struct perf_inside *inside)
{
	perf_memory_put(PERF_ORDINARY, inside->copy);
	perf_memory_put(PERF_ORDINARY, inside->output);
	perf_memory_put(PERF_ORDINARY, inside->input);
	perf_memory_put(PERF_HEAP, inside->heap);
	if (inside->shared)
		perf_memory_put(PERF_HEAP, inside->shared);
}

struct candidate perf_inside_bare(struct perf_inside *inside, enum ronde_path path, size_t bytes)
{
	const struct rank *r = &inside->rank;
	size_t limit = ronde_chunk_limit(inside->options.staging, inside->options.ranks);
	struct ronde_piece piece = {.count = bytes / sizeof(float)};
	struct ronde_plan plan = {
		.kind = RONDE_KIND_ALLREDUCE,
		.path = path,
		.n = inside->options.ranks,
		.element = sizeof(float),
		.spec = {RONDE_FLOAT32, RONDE_SUM, 1.0, 1.0, 1, false, RONDE_REDUCE_WHOLE},
		.pieces = &piece,
		.npieces = 1};

	return (struct candidate){.algorithm = ronde_algorithm_select(&plan),
				  .kind = RONDE_KIND_ALLREDUCE,
				  .path = path,
				  .stores = &inside->stores,
				  .chunk = r->chunk < limit ? r->chunk : limit};
}
