/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions and conversions out of a set's loops. The same for all sets, so what a result means is
 * decided here and in element.h, once.
 *
 * What a reduction of sources s0 … s(n-1) means, T being their type:
 *
 *   type            prescale p     combined in   SUM MIN MAX PRODUCT   AVERAGE over d
 *   float64         × p            float64       × q                   sum × (q/d)
 *   float32         × (float)p     float32       × (float)q            sum × (float)(q/d)
 *   float16, bf16   × (float)p     float32       × (float)q, rounded   sum × (float)(q/d), rounded
 *   integers        T(s × p)       T             T(r × q)              T(sum × q / d), sum in
 * float64 bool            no effect      0 or 1        no effect             all of them
 *
 * - q is the postscale, d the divisor. A factor of exactly 1 is not applied at all, which matters
 *   for 64-bit integers only; AVERAGE of one integer with q = d = 1 is that integer.
 * - Sources are combined as a binary tree over their index, low bit first: ((s0·s1)·(s2·s3))·…;
 *   an absent one (NULL) passes its neighbour through. A single one is scaled and copied.
 * - "rounded": once, to nearest, ties to even; too large is infinite; denormals are kept. Float
 *   arithmetic is IEEE 754's, to nearest even, never fused.
 * - T(x) is computed in float64, truncated toward zero, saturated to T's range, and 0 for NaN.
 *   Unscaled integer SUM and PRODUCT wrap around.
 * - MIN and MAX of floats are NaN if an input is, and −0 is less than +0. Which NaN is not defined,
 *   but it is a quiet one if anything was computed.
 * - In parts (kernels.h): PARTIAL does what stands before the combined values, FINISH what stands
 *   behind them, and both combine.
 * - bool: any byte but 0 counts as 1, the result is 0 or 1; SUM and MAX are or, the others and.
 *
 * How: the sources are walked in blocks small enough that partial results stay in the first cache.
 * In a block each source is brought into the working type (`leaf`), the tree is walked recursively
 * (`subtree`), and the result is brought back into T on its way to the destinations. The case that
 * zero-copy on two ranks lives on, two sources and no partial results, is one pass without blocks.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "collectives/kernels/kernels.h"
#include "collectives/kernels/loops.h"
#include "collectives/kernels/stream.h"

/* Of one partial result. A tree of n sources needs log2(n) + 2 of them, on the stack. */
#define BLOCK_BYTES 4096
#define LINE_BYTES 64

/* A spec translated into loops. A NULL loop is a step that is not needed. */
struct recipe {
	ronde_map_fn scale_in;   /* T → T, × prescale */
	ronde_map_fn widen;      /* T → working type */
	ronde_map_fn scale_wide; /* in the working type, × prescale */
	ronde_combine_fn combine;
	ronde_map_fn finish;   /* working type → T, × factor / divisor */
	ronde_sum2_fn sum2;    /* all of the above, for two sources … */
	ronde_sum2_fn stream2; /* … past the caches */
	double prescale, factor, divisor;
	size_t source, element; /* bytes of an element of sources, of destinations */
	size_t block;           /* elements in a block */
};

/* A reduction of one block: source k at offset bytes. */
struct job {
	const struct recipe *recipe;
	const void *const *sources;
	int nsource;
	size_t offset, count;
};

static const unsigned char element_bytes[RONDE_DTYPE_COUNT] = {
#define BYTES(name, value, bytes, text) [RONDE_##name] = bytes,
	RONDE_DTYPE_MAP(BYTES)
#undef BYTES
};

static bool is_16_bit_float(ronde_dtype t)
{
	return t == RONDE_FLOAT16 || t == RONDE_BFLOAT16;
}

static bool is_float(ronde_dtype t)
{
	return is_16_bit_float(t) || t == RONDE_FLOAT32 || t == RONDE_FLOAT64;
}

static void recipe_for_bool(struct recipe *r, const struct ronde_loops *loops,
			    ronde_reduction reduction)
{
	bool any = reduction == RONDE_SUM || reduction == RONDE_MAX;
	r->scale_in = loops->scale[RONDE_BOOL];
	r->combine = loops->combine[RONDE_UINT8][any ? RONDE_MAX : RONDE_MIN];
}

static void recipe_for_float(struct recipe *r, const struct ronde_loops *loops,
			     const struct ronde_reduce_spec *spec, int present)
{
	ronde_dtype t = spec->dtype, work = is_16_bit_float(t) ? RONDE_FLOAT32 : t;
	bool average = spec->reduction == RONDE_AVERAGE;
	ronde_reduction reduction = average ? RONDE_SUM : spec->reduction;
	bool whole = work == t || spec->part == RONDE_REDUCE_WHOLE;
	r->factor = average ? spec->postscale / spec->divisor : spec->postscale;
	r->combine = loops->combine[work][reduction];
	if (reduction == RONDE_SUM && whole) {
		r->sum2 = loops->sum2[t];
		r->stream2 = loops->stream2[t];
	}
	if (present == 1 && spec->prescale == 1 && r->factor == 1 && whole)
		return;
	if (work != t) {
		r->widen = loops->widen[t];
		r->scale_wide = spec->prescale == 1 ? NULL : loops->scale[work];
		r->finish = loops->narrow[t];
	} else {
		r->scale_in = spec->prescale == 1 ? NULL : loops->scale[t];
		r->finish = r->factor == 1 ? NULL : loops->scale[t];
	}
}

static void recipe_for_integer(struct recipe *r, const struct ronde_loops *loops,
			       const struct ronde_reduce_spec *spec, int present)
{
	ronde_dtype t = spec->dtype;
	r->factor = spec->postscale;
	r->scale_in = spec->prescale == 1 ? NULL : loops->scale[t];
	if (spec->reduction == RONDE_AVERAGE) {
		bool itself = present == 1 && spec->postscale == 1 && spec->divisor == 1 &&
			      spec->part == RONDE_REDUCE_WHOLE;
		r->divisor = spec->divisor;
		r->widen = itself ? NULL : loops->widen[t];
		r->finish = itself ? NULL : loops->narrow[t];
		r->combine = loops->combine[RONDE_FLOAT64][RONDE_SUM];
	} else {
		r->finish = spec->postscale == 1 ? NULL : loops->scale[t];
		r->combine = loops->combine[t][spec->reduction];
	}
}

static ronde_dtype working_type(const struct ronde_reduce_spec *spec)
{
	if (is_16_bit_float(spec->dtype))
		return RONDE_FLOAT32;
	if (spec->dtype == RONDE_BOOL) /* whose average is no sum */
		return RONDE_BOOL;
	return spec->reduction == RONDE_AVERAGE && !is_float(spec->dtype) ? RONDE_FLOAT64
									  : spec->dtype;
}

size_t ronde_partial_bytes(const struct ronde_reduce_spec *spec)
{
	return element_bytes[working_type(spec)];
}

/* Leaves out what the other part of a reduction does. */
static void take_part(struct recipe *r, const struct ronde_reduce_spec *spec)
{
	size_t work = ronde_partial_bytes(spec);
	if (spec->part == RONDE_REDUCE_PARTIAL) {
		r->element = work;
		r->finish = NULL;
		r->factor = r->divisor = 1;
	} else if (spec->part == RONDE_REDUCE_FINISH) {
		r->source = work;
		r->scale_in = r->widen = r->scale_wide = NULL;
		r->prescale = 1;
	}
}

static struct recipe recipe_for(const struct ronde_loops *loops,
				const struct ronde_reduce_spec *spec, int present)
{
	struct recipe r = {.prescale = spec->prescale,
			   .factor = 1,
			   .divisor = 1,
			   .source = element_bytes[spec->dtype],
			   .element = element_bytes[spec->dtype]};
	if (spec->dtype == RONDE_BOOL)
		recipe_for_bool(&r, loops, spec->reduction);
	else if (is_float(spec->dtype))
		recipe_for_float(&r, loops, spec, present);
	else
		recipe_for_integer(&r, loops, spec, present);

	size_t widest = r.widen ? ronde_partial_bytes(spec) : r.element;
	take_part(&r, spec);
	if (spec->part != RONDE_REDUCE_WHOLE)
		widest = ronde_partial_bytes(spec);
	r.block = BLOCK_BYTES / widest;
	return r;
}

static const void *source_at(const struct job *job, int k)
{
	const unsigned char *s = k < job->nsource ? job->sources[k] : NULL;
	return s ? s + job->offset : NULL;
}

/* Source k in the working type: in `room`, or where it lies. NULL if it is absent. */
static const void *leaf(const struct job *job, int k, void *room)
{
	const struct recipe *r = job->recipe;
	unsigned char scaled[BLOCK_BYTES];
	const void *s = source_at(job, k);
	if (!s || !(r->scale_in || r->widen))
		return s;
	if (!r->widen) {
		r->scale_in(room, s, r->prescale, 1, job->count);
		return room;
	}
	if (r->scale_in)
		r->scale_in(scaled, s, r->prescale, 1, job->count);
	r->widen(room, r->scale_in ? scaled : s, 1, 1, job->count);
	if (r->scale_wide)
		r->scale_wide(room, room, r->prescale, 1, job->count);
	return room;
}

/* Four neighbours that can be read where they lie, in one pass. */
static bool combine_four(const struct job *job, int first, void *out)
{
	const struct recipe *r = job->recipe;
	const void *four[4];
	if (r->scale_in || r->widen)
		return false;
	for (int k = 0; k < 4; k++) {
		four[k] = source_at(job, first + k);
		if (!four[k])
			return false;
	}
	r->combine(out, NULL, four, 4, job->count);
	return true;
}

/*
 * Combines sources [first, first + width), width a power of two. Returns where the values are: in
 * `out`, in `room`, or in the only source; NULL if all are absent. Nothing is written to `out`
 * before every source of the block has been read.
 */
static const void *subtree(const struct job *job, int first, int width, void *out, void *room)
{
	unsigned char block[BLOCK_BYTES];
	const void *two[2];
	if (first >= job->nsource)
		return NULL;
	if (width == 1)
		return leaf(job, first, room);
	if (width == 4 && combine_four(job, first, out))
		return out;
	two[0] = subtree(job, first, width / 2, room, room);
	void *right = two[0] ? block : room;
	two[1] = subtree(job, first + width / 2, width / 2, right, right);
	if (!two[0] || !two[1])
		return two[0] ? two[0] : two[1];
	job->recipe->combine(out, NULL, two, 2, job->count);
	return out;
}

/* The general case: any number of sources, absent ones, partial results. */
static void reduce_block(const struct job *job, unsigned char *destination)
{
	const struct recipe *r = job->recipe;
	unsigned char room[BLOCK_BYTES];
	int width = 1;
	while (width < job->nsource)
		width *= 2;
	const void *result = subtree(job, 0, width, r->finish ? room : destination, room);
	if (r->finish)
		r->finish(destination, result, r->factor, r->divisor, job->count);
	else if (result != destination)
		memcpy(destination, result, job->count * r->element);
}

/* Two sources that need no room, in one pass over everything, into one or two destinations. */
static void reduce_pair(const struct job *job, void *first, void *second)
{
	const struct recipe *r = job->recipe;
	const void *two[2] = {source_at(job, 0), source_at(job, 1)};
	if (r->sum2)
		r->sum2(first, second, two[0], two[1], r->prescale, r->factor, job->count);
	else
		r->combine(first, second, two, 2, job->count);
}

/* Elements up to the first one at the start of a cache line, where a block should end. */
static size_t up_to_line(const void *memory, size_t element)
{
	size_t bytes = -(uintptr_t)memory % LINE_BYTES;
	return bytes % element ? 0 : bytes / element;
}

/*
 * Two sources summed into one or two destinations, each line as soon as it is there: loads and
 * stores keep going side by side. False if the destinations don't begin at the same place of a
 * line.
 */
static bool stream_pair(struct job *job, void *const *destinations, int ndestination, size_t count)
{
	const struct recipe *r = job->recipe;
	unsigned char *x = destinations[0], *y = ndestination > 1 ? destinations[1] : NULL;
	if (!r->stream2 || ndestination > 2 || (y && ((uintptr_t)x - (uintptr_t)y) % LINE_BYTES))
		return false;

	size_t head = up_to_line(x, r->element), run = RONDE_RUN_BYTES / r->element;
	if ((uintptr_t)x % r->element)
		return false;
	if (head > count)
		head = count;
	size_t whole = (count - head) / run * run;
	size_t parts[3] = {head, whole, count - head - whole};
	job->offset = 0;
	for (int part = 0; part < 3; part++) {
		job->count = parts[part];
		const unsigned char *a = source_at(job, 0), *b = source_at(job, 1);
		(part == 1 ? r->stream2 : r->sum2)(x + job->offset, y ? y + job->offset : NULL, a,
						   b, r->prescale, r->factor, job->count);
		job->offset += job->count * r->element;
	}
	ronde_stream_end();
	return true;
}

/* Block by block, by way of the first cache. */
static void reduce_streaming(const struct ronde_loops *loops, struct job *job, bool pair,
			     void *const *destinations, int ndestination, size_t count)
{
	const struct recipe *r = job->recipe;
	_Alignas(LINE_BYTES) unsigned char block[BLOCK_BYTES];
	for (size_t done = 0; done < count; done += job->count) {
		job->offset = done * r->source;
		job->count = count - done < r->block ? count - done : r->block;
		if (pair)
			reduce_pair(job, block, NULL);
		else
			reduce_block(job, block);
		for (int k = 0; k < ndestination; k++)
			loops->stream((unsigned char *)destinations[k] + done * r->element, block,
				      job->count * r->element);
	}
	ronde_stream_end();
}

void ronde_reduce_with(const struct ronde_loops *loops, const struct ronde_reduce_spec *spec,
		       void *const *destinations, int ndestination, const void *const *sources,
		       int nsource, size_t count)
{
	const void *two[2] = {NULL, NULL};
	int present = 0;
	for (int k = 0; k < nsource; k++) {
		if (!sources[k])
			continue;
		if (present < 2)
			two[present] = sources[k];
		present++;
	}
	if (present == 0 || ndestination == 0)
		return;

	const struct recipe r = recipe_for(loops, spec, present);
	bool pair = present == 2 && (r.sum2 || !(r.scale_in || r.widen || r.finish));
	struct job job = {
		.recipe = &r, .sources = pair ? two : sources, .nsource = pair ? 2 : nsource};
	if (spec->streaming) {
		if (!(pair && stream_pair(&job, destinations, ndestination, count)))
			reduce_streaming(loops, &job, pair, destinations, ndestination, count);
		return;
	}
	size_t block = pair && ndestination <= 2 ? count : r.block;
	size_t head = up_to_line(destinations[0], r.element);
	for (size_t done = 0; done < count; done += job.count) {
		unsigned char *out[2] = {(unsigned char *)destinations[0] + done * r.element, NULL};
		size_t limit = done == 0 && head > 0 ? head : block;
		job.offset = done * r.source;
		job.count = count - done < limit ? count - done : limit;
		if (pair && ndestination > 1)
			out[1] = (unsigned char *)destinations[1] + done * r.element;
		if (pair)
			reduce_pair(&job, out[0], out[1]);
		else
			reduce_block(&job, out[0]);
		for (int k = pair ? 2 : 1; k < ndestination; k++)
			memcpy((unsigned char *)destinations[k] + done * r.element, out[0],
			       job.count * r.element);
	}
}
