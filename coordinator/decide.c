/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes into the next entry, and when.
 *
 * Batching needs no timer: an idle engine starts at once what is ready; while an operation is being
 * executed more tensors become ready, and the next entry takes them all, up to the fusion
 * threshold. A second operation is started behind the first only if it is large: it then packs
 * while the first waits for its peers, and what is small has more time to gather.
 */
#include <string.h>
#include <utlist.h>

#include "collectives/algorithms/adasum.h"
#include "collectives/bootstrap/wait.h"
#include "collectives/operation.h"
#include "coordinator/leader.h"
#include "coordinator/submit.h"

/* Operations of a set in flight at most, and what a second one has to bring. */
#define DEPTH 2
#define SECOND_BYTES ((uint64_t)1 << 20)

/*
 * Chunks of a staged operation, where the user has not set their size: what of it is in flight
 * stays in a core's cache. Measure it anew by `ronde-perf-algorithms -c SIZE`. A broadcast copies
 * only, and gains by a finer pipeline.
 * RONDE_CHUNK_REDUCE is that of all others.
 */
#define CHUNK_COPY ((size_t)128 << 10)
#define CHUNK_COPY_SMALL ((size_t)64 << 10)
#define COPY_SMALL_BYTES ((uint64_t)256 << 10)

/* True if others can reach what this member reads and writes in its heap. */
static bool member_in_heap(const struct ronde_ballot *b, int member)
{
	const struct ronde_location *at = &b->votes[member].location;
	switch ((enum ronde_kind)b->round.kind) {
	case RONDE_KIND_ALLREDUCE:
		return at->input != RONDE_NOT_IN_HEAP && at->output != RONDE_NOT_IN_HEAP;
	case RONDE_KIND_ALLGATHER:
	case RONDE_KIND_ALLTOALL:
		return at->input != RONDE_NOT_IN_HEAP;
	case RONDE_KIND_REDUCESCATTER:
		/* A result at the start of an input overwrites what other ranks read there. */
		return at->input != RONDE_NOT_IN_HEAP && (member == 0 || at->output != at->input);
	case RONDE_KIND_BROADCAST:
	case RONDE_KIND_BARRIER:
	case RONDE_KIND_COUNT:
		break;
	}
	return false;
}

/* Those of the members that take part are. */
static bool in_heap(const struct ronde_leader *l, const struct ronde_ballot *b)
{
	if (b->round.kind == RONDE_KIND_BROADCAST) {
		int root = l->view->local_of_rank[b->round.root];
		return b->votes[ronde_process_set_member(b->set, root)].location.input !=
		       RONDE_NOT_IN_HEAP;
	}
	for (int m = 0; m < b->set->n; m++)
		if (b->votes[m].heard && !member_in_heap(b, m))
			return false;
	return true;
}

static enum ronde_path path_of(const struct ronde_leader *l, const struct ronde_ballot *b)
{
	if (ronde_rides(l->context, &b->round))
		return RONDE_PATH_CARRIED;
	if (b->set->nodes > 1)
		return RONDE_PATH_STAGED;
	return l->context->config.zero_copy && in_heap(l, b) ? RONDE_PATH_ZERO_COPY
							     : RONDE_PATH_STAGED;
}

/* What has sizes that differ per rank goes alone, and so does an adasum, with factors of its
 * own. */
static bool can_fuse(const struct ronde_ballot *first, const struct ronde_ballot *next)
{
	const struct ronde_desc *a = &first->round, *b = &next->round;
	return ronde_leader_same_present(first, next) && a->kind == b->kind &&
	       !ronde_kind_has_own_rows((enum ronde_kind)a->kind) && a->reduction != RONDE_ADASUM &&
	       a->dtype == b->dtype && a->reduction == b->reduction && a->root == b->root &&
	       a->set == b->set && a->prescale == b->prescale && a->postscale == b->postscale;
}

/* Whether tensors of a group share entries with others. */
static bool may_mix(const struct ronde_leader *l, const struct ronde_ballot *a,
		    const struct ronde_ballot *b)
{
	return !l->context->config.disable_group_fusion ||
	       (a->round.members ? a->group : NULL) == (b->round.members ? b->group : NULL);
}

static bool has_own_rows(const struct ronde_ballot *b)
{
	return ronde_kind_has_own_rows((enum ronde_kind)b->round.kind);
}

static bool may_start(const struct ronde_leader *l, const struct ronde_queue *q)
{
	const struct ronde_config *config = &l->context->config;
	if (config->batch_delay_us &&
	    ronde_seconds() - q->ready_since < 1e-6 * (double)config->batch_delay_us)
		return false;
	if (q->busy == 0)
		return true;
	/* The application's alloc may take its time: others do not wait for it. */
	if (q->busy == q->own_rows && !has_own_rows(q->ready))
		return true;
	return q->busy < DEPTH && q->ready_bytes >= SECOND_BYTES;
}

/*
 * A lane for the set, or -1. An operation of a set with a stopped rank keeps its lane for as long
 * as that rank is stopped, and other sets must get on. So a second lane is given only if as many
 * are left as there are sets without one, but at most half of all lanes are kept back for those.
 * Then a set can always start if there are at most lanes / 2 + 1 sets, or fewer than lanes / 2 are
 * held up.
 */
static int free_lane(const struct ronde_leader *l, const struct ronde_queue *q)
{
	int lanes = (int)l->context->node->arena.shape.lanes, i = 0;
	int kept = l->idle_sets < lanes / 2 ? l->idle_sets : lanes / 2;
	if (lanes - l->busy <= (q->busy ? kept : 0))
		return -1;
	while (l->lanes[i].set)
		i++;
	return i;
}

/* Other nodes that take part. */
static int nodes_away(const struct ronde_leader *l, const struct ronde_ballot *b)
{
	const struct ronde_node *node = l->context->node;
	const struct ronde_process_set *set = b->set;
	int nodes = 0;
	if (!l->home)
		return 0;
	/* The first present member of each node counts for it. */
	memset(l->away, 0, (size_t)node->nodes * sizeof *l->away);
	for (int m = 0; m < set->n; m++) {
		int at = node->node_of_rank[set->ranks[m]];
		if (b->votes[m].heard && at != node->node && !l->away[at]++)
			nodes++;
	}
	return nodes;
}

static void take_lane(struct ronde_leader *l, struct ronde_queue *q, int lane)
{
	const struct ronde_ballot *first = l->batch[0];
	l->lanes[lane].set = ronde_process_set_hold(q->set);
	for (int m = 0; m < q->set->n; m++)
		l->lanes[lane].absent[q->set->local[m]] = !first->votes[m].heard;
	l->lanes[lane].away = nodes_away(l, first);
	l->lanes[lane].end = 0;
	l->lanes[lane].own_rows = has_own_rows(first);
	q->own_rows += l->lanes[lane].own_rows;
	l->busy++;
	if (q->busy++ == 0)
		l->idle_sets--;
}

/* Fills the batch with the first ready tensor and all that go with it; returns an upper bound of
 * the entry's bytes. */
static size_t gather(struct ronde_leader *l, const struct ronde_queue *q, struct ronde_decision *d,
		     uint64_t *data_bytes)
{
	const uint64_t threshold = (uint64_t)l->context->config.fusion_threshold;
	const struct ronde_ballot *first = q->ready;
	size_t record = ronde_leader_head_bytes(q->ready);
	uint64_t bytes = 0;
	for (struct ronde_ballot *b = q->ready; b && d->nbatch < RONDE_ENTRY_ITEMS; b = b->next) {
		uint64_t more = ronde_desc_data_bytes(&b->round);
		if (b != first &&
		    (!can_fuse(first, b) || !may_mix(l, first, b) || bytes + more > threshold ||
		     threshold == 0 || path_of(l, b) != d->path))
			continue;
		size_t item = ronde_leader_item_bytes(b, d->path);
		if (b != first && record + item > l->record_limit)
			break;
		record += item;
		bytes += more;
		l->batch[d->nbatch++] = b;
	}
	*data_bytes = bytes;
	return record;
}

static size_t choose_chunk(const struct ronde_leader *l, const struct ronde_queue *q,
			   uint64_t bytes)
{
	enum ronde_kind kind = (enum ronde_kind)q->ready->round.kind;
	const struct ronde_arena_shape *shape = &l->context->node->arena.shape;
	size_t limit = ronde_chunk_limit(shape->staging_bytes, q->set->most);
	size_t chunk = (size_t)l->context->config.chunk_bytes;
	if (!chunk)
		chunk = kind != RONDE_KIND_BROADCAST ? RONDE_CHUNK_REDUCE
			: bytes <= COPY_SMALL_BYTES  ? CHUNK_COPY_SMALL
						     : CHUNK_COPY;
	chunk = (chunk + 63) & ~(size_t)63;
	if (q->set->nodes > 1 && chunk < ronde_span_least(q->set->nodes))
		chunk = ronde_span_least(q->set->nodes);
	return chunk < limit ? chunk : limit;
}

/* Chunks of an adasum are whole blocks. */
static size_t choose_adasum_chunk(const struct ronde_leader *l, const struct ronde_queue *q)
{
	const struct ronde_arena_shape *shape = &l->context->node->arena.shape;
	const size_t block = RONDE_ORDERED_BLOCK * sizeof(double);
	size_t limit = ronde_adasum_chunk_limit(shape->staging_bytes, q->set->n);
	size_t chunk = (size_t)l->context->config.chunk_bytes;
	if (!chunk)
		chunk = RONDE_CHUNK_REDUCE;
	chunk = chunk < block ? block : chunk - chunk % block;
	return chunk < limit ? chunk : limit;
}

bool ronde_leader_room(struct ronde_leader *l, const struct ronde_process_set *set, size_t record)
{
	for (int m = 0; m < set->n; m++) {
		int local = ronde_leader_home(l, set->local[m]);
		if (local >= 0 && !ronde_ring_has_room(&l->log[local], record))
			return false;
	}
	return true;
}

static bool decide_error(struct ronde_leader *l, struct ronde_queue *q)
{
	struct ronde_decision d = {.type = RONDE_ENTRY_ERROR, .lane = -1, .nbatch = 1};
	struct ronde_ballot *b = l->batch[0] = q->disagreed;
	if (!ronde_leader_room(l, q->set, l->record_limit))
		return false;
	ronde_leader_append(l, &d);
	DL_DELETE(q->disagreed, b);
	ronde_ballots_close(&l->ballots, b);
	return true;
}

static bool decide_data(struct ronde_leader *l, struct ronde_queue *q)
{
	if (!may_start(l, q))
		return false;
	struct ronde_decision d = {
		.type = RONDE_ENTRY_DATA, .path = path_of(l, q->ready), .lane = -1};
	uint64_t bytes;
	if (d.path != RONDE_PATH_CARRIED && (d.lane = free_lane(l, q)) < 0)
		return false;
	size_t record = gather(l, q, &d, &bytes);
	if (!ronde_leader_room(l, q->set, record))
		return false;
	if (d.lane >= 0)
		d.chunk_bytes = q->ready->round.reduction == RONDE_ADASUM
					? choose_adasum_chunk(l, q)
					: choose_chunk(l, q, bytes);
	ronde_leader_append(l, &d);
	if (d.lane >= 0)
		take_lane(l, q, d.lane);
	for (int i = 0; i < d.nbatch; i++) {
		struct ronde_ballot *b = l->batch[i];
		DL_DELETE(q->ready, b);
		q->ready_bytes -= ronde_desc_data_bytes(&b->round);
		ronde_ballots_touch(&l->ballots, b);
		ronde_ballots_close(&l->ballots, b);
	}
	return true;
}

void ronde_leader_enqueue(struct ronde_leader *l, struct ronde_ballot *b)
{
	struct ronde_queue *q = b->set->queue;
	if (!q->waiting)
		DL_APPEND(l->waiting, q);
	q->waiting = true;
	b->queued = true;
	b->refused = !b->disagreed && (ronde_leader_refuses(l, b) || !ronde_leader_can_span(l, b));
	if (b->disagreed || b->refused) {
		DL_APPEND(q->disagreed, b);
		return;
	}
	if (!q->ready && l->context->config.batch_delay_us)
		q->ready_since = ronde_seconds();
	q->ready_bytes += ronde_desc_data_bytes(&b->round);
	DL_APPEND(q->ready, b);
}

/* Every queue once; one that was served goes behind the others, so that lanes go round. */
bool ronde_leader_decide(struct ronde_leader *l)
{
	struct ronde_queue *q = l->waiting, *last = q->prev, *next;
	bool some = false;
	for (;; q = next) {
		bool served = false, end = q == last;
		next = q->next;
		while ((q->disagreed && decide_error(l, q)) || (q->ready && decide_data(l, q)))
			served = true;
		q->waiting = q->ready || q->disagreed;
		if (served || !q->waiting)
			DL_DELETE(l->waiting, q);
		if (served && q->waiting)
			DL_APPEND(l->waiting, q);
		some |= served;
		if (end)
			return some;
	}
}
