/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allreduce's loads and stores and nothing else: every byte is read, added up and written just
 * as an operation does it, with the same kernels, but no rank ever waits for another, looks at a
 * counter, or decides anything. What an operation takes beyond the fastest of them is what its
 * ranks tell each other; what these take is the machine's part.
 *
 *   heap        every rank adds up its part of all inputs and writes it into all outputs: one slice
 *               each, or blocks by turns
 *   heap-direct every rank adds up everything into its own output
 *   slices      through the staging, chunk by chunk: the others' slices in, the own slice added up,
 *               into the staging and out, the others' results out
 *   direct      through the staging: everything in; everything added up by everybody
 *   …/p         what goes into the staging goes past the caches; …/s: the results do; …/b: in
 * blocks
 *
 * Through the staging and without waiting a rank may find what a peer put there for another chunk,
 * so those results are wrong; the bytes that move are as many, from and to the same places.
 */
#include <string.h>

#include "collectives/algorithms/lane.h"
#include "collectives/kernels/stream.h"
#include "perf/algorithms/rig.h"

/* Added up at once, as in allreduce_staged.c. */
#define REDUCE_BYTES ((size_t)8 << 10)

static struct ronde_reduce_spec spec_of(bool streaming)
{
	return (struct ronde_reduce_spec){RONDE_FLOAT32, RONDE_SUM,         1.0, 1.0, 1,
					  streaming,     RONDE_REDUCE_WHOLE};
}

static void add_heaps(struct rank *r, struct ronde_range range, bool streaming)
{
	const void *sources[MAX_RANKS];
	void *destinations[MAX_RANKS];
	struct ronde_reduce_spec spec = spec_of(streaming);
	int n = r->options->ranks;
	for (int m = 0; m < n; m++) {
		sources[m] = r->heaps[m] + range.begin;
		destinations[m] = perf_heap_output(r, m) + range.begin;
	}
	r->kernels->reduce(&spec, destinations, n, sources, n,
			   (range.end - range.begin) / sizeof(float));
}

static void heap(struct rank *r, const struct moves *moves)
{
	size_t block = moves->block ? moves->block * (size_t)r->options->ranks : r->bytes;
	for (size_t at = 0; at < r->bytes; at += block) {
		size_t end = at + block < r->bytes ? at + block : r->bytes;
		struct ronde_range mine =
			ronde_slice((struct ronde_range){at, end}, r->options->ranks, r->me);
		/* In place the outputs have just been read. */
		add_heaps(r, mine, moves->streaming && r->options->out_of_place);
	}
}

static void heap_direct(struct rank *r, const struct moves *moves)
{
	const void *sources[MAX_RANKS];
	void *own = perf_heap_output(r, r->me);
	struct ronde_reduce_spec spec = spec_of(moves->streaming && r->options->out_of_place);
	for (int m = 0; m < r->options->ranks; m++)
		sources[m] = r->heaps[m];
	r->kernels->reduce(&spec, &own, 1, sources, r->options->ranks, r->bytes / sizeof(float));
}

/* What a plan has to say of where the staging is. Those that write it past the caches have one of
 * their own: the others would find their lines nowhere. */
static struct ronde_plan staging_of(struct rank *r, bool packing)
{
	size_t limit = ronde_chunk_limit(r->options->staging, r->options->ranks);
	return (struct ronde_plan){.arena = &r->arena,
				   .lane = packing ? LANE_STREAMED : LANE_STORED,
				   .n = r->options->ranks,
				   .me = r->me,
				   .chunk_bytes = r->chunk < limit ? r->chunk : limit};
}

static void move(const struct rank *r, bool streaming, void *to, const void *from, size_t bytes)
{
	if (streaming)
		r->kernels->stream(to, from, bytes);
	else
		memcpy(to, from, bytes);
}

/* Adds up [begin, end) of a chunk that starts at `at`, the own part from the input. */
static void add_areas(const struct rank *r, const struct ronde_plan *plan, uint64_t c,
		      struct ronde_range range, void *result, bool streaming)
{
	const void *sources[MAX_RANKS];
	struct ronde_reduce_spec spec = spec_of(streaming);
	uint64_t at = range.begin - c * plan->chunk_bytes;
	for (int m = 0; m < plan->n; m++)
		sources[m] = ronde_staging_area(plan, c, m) + at;
	sources[plan->me] = r->input + range.begin;
	r->kernels->reduce(&spec, &result, 1, sources, plan->n,
			   (range.end - range.begin) / sizeof(float));
}

static void slices_chunk(struct rank *r, const struct ronde_plan *plan, uint64_t c, bool streaming,
			 bool packing)
{
	unsigned char *output = r->options->out_of_place ? r->output : r->input;
	struct ronde_range chunk = ronde_layout_chunk(r->bytes, plan->chunk_bytes, c);
	struct ronde_range mine = ronde_slice(chunk, plan->n, plan->me);
	unsigned char *area = ronde_staging_area(plan, c, plan->me);
	move(r, packing, area, r->input + chunk.begin, mine.begin - chunk.begin);
	move(r, packing, area + (mine.end - chunk.begin), r->input + mine.end,
	     chunk.end - mine.end);
	for (uint64_t at = mine.begin; at < mine.end; at += REDUCE_BYTES) {
		uint64_t end = at + REDUCE_BYTES < mine.end ? at + REDUCE_BYTES : mine.end;
		unsigned char *result = area + (at - chunk.begin);
		/* What goes past the caches is copied from where it stays in one. */
		unsigned char *kept = packing && !streaming ? output + at : result;
		add_areas(r, plan, c, (struct ronde_range){at, end}, kept, false);
		if (kept == result)
			move(r, streaming, output + at, result, end - at);
		else
			move(r, true, result, kept, end - at);
	}
	for (int m = 0; m < plan->n; m++) {
		struct ronde_range slice = ronde_slice(chunk, plan->n, m);
		if (m != plan->me)
			move(r, streaming, output + slice.begin,
			     ronde_staging_area(plan, c, m) + (slice.begin - chunk.begin),
			     slice.end - slice.begin);
	}
}

static void direct_chunk(struct rank *r, const struct ronde_plan *plan, uint64_t c, bool streaming,
			 bool packing)
{
	unsigned char *output = r->options->out_of_place ? r->output : r->input;
	struct ronde_range chunk = ronde_layout_chunk(r->bytes, plan->chunk_bytes, c);
	move(r, packing, ronde_staging_area(plan, c, plan->me), r->input + chunk.begin,
	     chunk.end - chunk.begin);
	add_areas(r, plan, c, chunk, output + chunk.begin, streaming);
}

static void staged(struct rank *r, const struct moves *moves,
		   void (*do_chunk)(struct rank *, const struct ronde_plan *, uint64_t, bool, bool))
{
	struct ronde_plan plan = staging_of(r, moves->packing);
	uint64_t chunks = ronde_chunk_count(r->bytes, plan.chunk_bytes);
	for (uint64_t c = 0; c < chunks; c++)
		do_chunk(r, &plan, c, moves->streaming && r->options->out_of_place, moves->packing);
	ronde_stream_end();
}

static void slices(struct rank *r, const struct moves *moves)
{
	staged(r, moves, slices_chunk);
}

static void direct(struct rank *r, const struct moves *moves)
{
	staged(r, moves, direct_chunk);
}

/* Whose names hold "allreduce", so that one option finds an operation and its moves. */
#define BLOCK ((size_t)128 << 10)
static const struct moves table[] = {
	{"allreduce-moves-heap", true, true, false, false, 0, heap},
	{"allreduce-moves-heap/s", true, true, true, false, 0, heap},
	{"allreduce-moves-heap/b", true, true, false, false, BLOCK, heap},
	{"allreduce-moves-heap/bs", true, true, true, false, BLOCK, heap},
	{"allreduce-moves-heap-direct", true, false, false, false, 0, heap_direct},
	{"allreduce-moves-heap-direct/s", true, false, true, false, 0, heap_direct},
	{"allreduce-moves-slices", false, false, false, false, 0, slices},
	{"allreduce-moves-slices/s", false, false, true, false, 0, slices},
	{"allreduce-moves-slices/p", false, false, false, true, 0, slices},
	{"allreduce-moves-slices/ps", false, false, true, true, 0, slices},
	{"allreduce-moves-direct", false, false, false, false, 0, direct},
	{"allreduce-moves-direct/s", false, false, true, false, 0, direct},
	{"allreduce-moves-direct/p", false, false, false, true, 0, direct},
	{"allreduce-moves-direct/ps", false, false, true, true, 0, direct},
};

const struct moves *perf_moves(size_t *count)
{
	*count = sizeof table / sizeof table[0];
	return table;
}
