/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts and stops recordings, and makes records of what the engine says.
 *
 *   submit ──▶ ready ──▶ entry ─────────────▶ done
 *              │ NEGOTIATED │ EXECUTED, phases │
 *
 * The leader records negotiations as it hears them, with the moment each rank was ready; the other
 * ranks record their own. When the leader records, all ranks of its node say in their announcements
 * when they were ready (the arena's `timed`): it may hear several at once, long after.
 */
#include "coordinator/timeline.h"

#include <sched.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "coordinator/ballot.h"
#include "coordinator/context.h"
#include "coordinator/path.h"
#include "coordinator/timeline_file.h"

/* How often the end of a recording tries to get the submit lock, a microsecond or so apart. */
#define LOCK_TRIES 10000

/* ---- inside ---- */

/* The recording, which stays until leave(); or NULL. */
static struct ronde_recording *enter(struct ronde_timeline *t)
{
	if (!ronde_timeline_is_on(t))
		return NULL;
	atomic_fetch_add_explicit(&t->inside, 1, memory_order_seq_cst);
	struct ronde_recording *rec = atomic_load_explicit(&t->recording, memory_order_seq_cst);
	if (rec && !atomic_load_explicit(&rec->finished, memory_order_relaxed))
		return rec;
	atomic_fetch_sub_explicit(&t->inside, 1, memory_order_release);
	return NULL;
}

static void leave(struct ronde_timeline *t)
{
	atomic_fetch_sub_explicit(&t->inside, 1, memory_order_release);
}

/* ---- records ---- */

/* A record about a tensor, its arrays and figures still to be filled in; or NULL. */
static struct ronde_timeline_record *new_record(struct ronde_recording *rec,
						enum ronde_timeline_type type, size_t nready,
						size_t nspans, const struct ronde_key_head *key,
						const char *name, uint32_t members)
{
	struct ronde_timeline_record *r = ronde_recording_reserve(
		rec, ronde_timeline_record_bytes(nready, nspans, key->name_bytes));
	if (!r)
		return NULL;
	*r = (struct ronde_timeline_record){.type = (uint8_t)type,
					    .nready = (uint32_t)nready,
					    .nspans = (uint16_t)nspans,
					    .slowest = -1,
					    .entry = RONDE_TIMELINE_NO_ENTRY,
					    .members = members,
					    .key = *key};
	memcpy(ronde_timeline_name(r), name, key->name_bytes);
	return r;
}

static const struct ronde_key_head *key_of(const struct ronde_request *r)
{
	return r->tensor ? &r->tensor->key.head : &r->key;
}

static const char *name_of(const struct ronde_request *r)
{
	return r->tensor ? r->tensor->key.name : "";
}

uint64_t ronde_timeline_ready(const struct ronde_context *ctx)
{
	if (!ronde_timeline_is_on(&ctx->timeline) &&
	    !atomic_load_explicit(&ctx->node->arena.header->timed, memory_order_relaxed))
		return 0;
	return ronde_nanoseconds();
}

struct ronde_phases *ronde_timeline_begin(struct ronde_context *ctx, struct ronde_phases *phases)
{
	if (!ronde_timeline_is_on(&ctx->timeline))
		return NULL;
	ronde_phases_start(phases);
	return phases;
}

void ronde_timeline_cycle(struct ronde_context *ctx)
{
	static const struct ronde_key_head nothing;
	struct ronde_recording *rec = enter(&ctx->timeline);
	if (!rec)
		return;
	struct ronde_timeline_record *r =
		rec->mark_cycles ? new_record(rec, RONDE_TIMELINE_CYCLE, 0, 0, &nothing, "", 0)
				 : NULL;
	if (r) {
		r->begin = r->end = ronde_nanoseconds();
		ronde_recording_publish(rec);
	}
	leave(&ctx->timeline);
}

/* Only votes that came while somebody recorded have a time. */
static int count_times(const struct ronde_ballot *b, int members, uint64_t start)
{
	int n = 0;
	for (int m = 0; m < members; m++)
		n += b->votes[m].ready_ns >= start;
	return n;
}

void ronde_timeline_decided(struct ronde_context *ctx, const struct ronde_process_set *set,
			    const struct ronde_ballot *b, uint64_t index, int status)
{
	struct ronde_recording *rec = enter(&ctx->timeline);
	if (!rec)
		return;
	int n = count_times(b, set->n, rec->start);
	struct ronde_timeline_record *r =
		n == set->n ? new_record(rec, RONDE_TIMELINE_NEGOTIATED, (size_t)n, 0, &b->key.head,
					 b->key.name, b->round.members)
			    : NULL;
	if (r) {
		struct ronde_timeline_ready *ready = ronde_timeline_readies(r);
		r->begin = UINT64_MAX;
		for (int m = 0; m < n; m++) {
			ready[m] = (struct ronde_timeline_ready){.at = b->votes[m].ready_ns,
								 .rank = set->ranks[m]};
			if (ready[m].at < r->begin)
				r->begin = ready[m].at;
		}
		r->end = ronde_nanoseconds();
		r->entry = index;
		r->status = status;
		ronde_recording_publish(rec);
	}
	leave(&ctx->timeline);
}

/* This rank's own part of a negotiation. */
static void record_wait(struct ronde_context *ctx, struct ronde_recording *rec,
			const struct ronde_request *request, uint64_t index, int status)
{
	if (request->ready_ns < rec->start)
		return;
	struct ronde_timeline_record *r =
		new_record(rec, RONDE_TIMELINE_NEGOTIATED, 1, 0, key_of(request), name_of(request),
			   request->desc.members);
	if (!r)
		return;
	*ronde_timeline_readies(r) =
		(struct ronde_timeline_ready){.at = request->ready_ns, .rank = ctx->node->rank};
	r->begin = request->ready_ns;
	r->end = ronde_nanoseconds();
	r->entry = index;
	r->status = status;
	ronde_recording_publish(rec);
}

void ronde_timeline_answered(struct ronde_context *ctx, const struct ronde_request *request,
			     uint64_t index, int status)
{
	bool leaders = ctx->leader && index != RONDE_TIMELINE_NO_ENTRY;
	struct ronde_recording *rec = leaders ? NULL : enter(&ctx->timeline);
	if (!rec)
		return;
	record_wait(ctx, rec, request, index, status);
	leave(&ctx->timeline);
}

/* Members of the operation to ranks. */
static int rank_of(const struct ronde_context *ctx, const struct ronde_plan *plan, int member)
{
	return member < 0 ? -1 : ctx->node->ranks[plan->members[member]];
}

static void record_executed(struct ronde_context *ctx, struct ronde_recording *rec,
			    const struct ronde_active *a, const struct ronde_request *request,
			    int status)
{
	const struct ronde_phases *p = a->operation.plan.phases;
	struct ronde_timeline_record *r =
		new_record(rec, RONDE_TIMELINE_EXECUTED, 0, (size_t)p->nspans, key_of(request),
			   name_of(request), request->desc.members);
	if (!r)
		return;
	struct ronde_phase_span *spans = ronde_timeline_spans(r);
	memcpy(spans, p->spans, (size_t)p->nspans * sizeof *spans);
	for (int i = 0; i < p->nspans; i++)
		spans[i].member = rank_of(ctx, &a->operation.plan, spans[i].member);
	memcpy(r->total, p->total, sizeof r->total);
	r->slowest = rank_of(ctx, &a->operation.plan, p->slowest);
	r->begin = p->begin;
	r->end = p->end;
	r->entry = a->index;
	r->path = (uint8_t)a->operation.plan.path;
	r->bytes = request->bytes;
	r->tensors = a->operation.plan.npieces;
	r->status = status;
	ronde_recording_publish(rec);
}

void ronde_timeline_executed(struct ronde_context *ctx, const struct ronde_active *a, int status)
{
	const struct ronde_plan *plan = &a->operation.plan;
	struct ronde_recording *rec = plan->phases ? enter(&ctx->timeline) : NULL;
	if (!rec)
		return;
	ronde_phases_finish(plan->phases);
	for (size_t i = 0; plan->phases->begin >= rec->start && i < plan->npieces; i++)
		record_executed(ctx, rec, a, a->requests[i], status);
	leave(&ctx->timeline);
}

/* What no entry has answered. Under the submit lock, and as the only producer. */
static void record_pending(struct ronde_context *ctx, struct ronde_recording *rec, int status)
{
	for (const struct ronde_request *r = ctx->submissions.pool.live; r; r = r->next_live)
		if (!r->answered)
			record_wait(ctx, rec, r, RONDE_TIMELINE_NO_ENTRY, status);
}

void ronde_timeline_end(struct ronde_context *ctx, int status)
{
	struct ronde_recording *rec = enter(&ctx->timeline);
	if (!rec)
		return;
	leave(&ctx->timeline);
	for (struct ronde_active *a = ctx->schedule.first; a; a = a->next)
		ronde_timeline_executed(ctx, a, status);
	if (!(rec = enter(&ctx->timeline)))
		return;
	pthread_mutex_lock(&ctx->submissions.lock);
	record_pending(ctx, rec, status);
	pthread_mutex_unlock(&ctx->submissions.lock);
	ronde_recording_finish(rec);
	leave(&ctx->timeline);
}

/* ---- starting ---- */

/* Equal on ranks with the same monotonic clock: the machine since it was started, and the time
 * namespace. */
static void name_clock(char *text, size_t bytes)
{
	char boot[64] = "?";
	struct stat space = {0};
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (f) {
		if (!fgets(boot, sizeof boot, f))
			strcpy(boot, "?");
		fclose(f);
	}
	boot[strcspn(boot, "\n")] = '\0';
	stat("/proc/self/ns/time", &space);
	snprintf(text, bytes, "%s/%llu", boot, (unsigned long long)space.st_ino);
}

static struct ronde_timeline_head describe(const struct ronde_context *ctx)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	struct ronde_timeline_head head = {.rank = ctx->node->rank,
					   .size = ctx->node->size,
					   .local_rank = ctx->node->local_rank,
					   .host = ctx->log ? ctx->log->host : "?",
					   .run = ctx->node->arena.header->run,
					   .start = ronde_nanoseconds(),
					   .start_since_epoch_in_us =
						   (uint64_t)now.tv_sec * 1000000u +
						   (uint64_t)now.tv_nsec / 1000};
	name_clock(head.clock, sizeof head.clock);
	return head;
}

/* Puts ".what" before the file's extension. */
static int insert(char *path, const char *what, int number)
{
	char part[16];
	size_t length = strlen(path);
	int n = snprintf(part, sizeof part, ".%s%d", what, number);
	char *file = strrchr(path, '/');
	char *dot = strrchr(file ? file : path, '.');
	size_t at = dot && dot != (file ? file + 1 : path) ? (size_t)(dot - path) : length;
	if (length + (size_t)n >= PATH_MAX)
		return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
				   "the timeline's path is longer than %d bytes", PATH_MAX - 1);
	memmove(path + at + n, path + at, length - at + 1);
	memcpy(path + at, part, (size_t)n);
	return RONDE_OK;
}

static int make_path(const struct ronde_context *ctx, char *path, const char *pattern,
		     bool all_ranks, int life)
{
	int status = ronde_path_expand(path, PATH_MAX, pattern, ctx->node->rank,
				       ctx->log ? ctx->log->host : "?", "the timeline's path",
				       RONDE_ERR_INVALID_ARGUMENT);
	if (!status && all_ranks && !ronde_path_names_rank(pattern))
		status = insert(path, "", ctx->node->rank);
	if (!status && life > 1)
		status = insert(path, "l", life);
	return status;
}

static int open_recording(struct ronde_context *ctx, const char *pattern, bool all_ranks,
			  bool mark_cycles, int life)
{
	char path[PATH_MAX];
	struct ronde_recording *rec =
		atomic_load_explicit(&ctx->timeline.recording, memory_order_relaxed);
	if (rec)
		return ronde_error(RONDE_ERR_BUSY,
				   "a timeline is being recorded to \"%s\"; stop it first",
				   rec->path);
	int status = make_path(ctx, path, pattern, all_ranks, life);
	if (status)
		return status;
	struct ronde_timeline_head head = describe(ctx);
	status = ronde_recording_start(&rec, path, &head, (size_t)ctx->config.timeline_buffer_bytes,
				       mark_cycles, ctx->log);
	if (status)
		return status;
	atomic_store_explicit(&ctx->timeline.recording, rec, memory_order_seq_cst);
	if (ctx->leader)
		atomic_store_explicit(&ctx->node->arena.header->timed, 1, memory_order_relaxed);
	ronde_log(ctx->log, INFO, "recording a timeline to \"%s\"", path);
	return RONDE_OK;
}

int ronde_timeline_open(struct ronde_context *ctx, const char *path, bool all_ranks,
			bool mark_cycles, int life)
{
	if (ctx->node->rank != 0 && !all_ranks)
		return RONDE_OK;
	pthread_mutex_lock(&ctx->timeline.control);
	int status = open_recording(ctx, path, all_ranks, mark_cycles, life);
	pthread_mutex_unlock(&ctx->timeline.control);
	return status;
}

void ronde_timeline_configure(struct ronde_context *ctx, int life)
{
	const struct ronde_config *c = &ctx->config;
	if (!*c->timeline || strcasecmp(c->timeline, "DYNAMIC") == 0)
		return;
	if (ronde_timeline_open(ctx, c->timeline, c->timeline_ranks != 0, c->timeline_mark_cycles,
				life))
		ronde_log(ctx->log, WARN, "no timeline is recorded (RONDE_TIMELINE): %s",
			  ronde_error_message());
}

/* ---- stopping ---- */

/* The caller is the only producer now. At exit() another thread may hold the lock for ever. */
static void record_rest(struct ronde_context *ctx, struct ronde_recording *rec)
{
	pthread_mutex_t *lock = &ctx->submissions.lock;
	int tries = 0;
	while (pthread_mutex_trylock(lock)) {
		if (++tries == LOCK_TRIES)
			return;
		sched_yield();
	}
	record_pending(ctx, rec, RONDE_OK);
	pthread_mutex_unlock(lock);
}

void ronde_timeline_close(struct ronde_context *ctx)
{
	struct ronde_timeline *t = &ctx->timeline;
	if (!t->made || !ronde_timeline_is_on(t))
		return;
	pthread_mutex_lock(&t->control);
	struct ronde_recording *rec =
		atomic_exchange_explicit(&t->recording, NULL, memory_order_seq_cst);
	if (rec && ctx->leader)
		atomic_store_explicit(&ctx->node->arena.header->timed, 0, memory_order_relaxed);
	while (atomic_load_explicit(&t->inside, memory_order_seq_cst))
		sched_yield();
	if (rec && !atomic_load_explicit(&rec->finished, memory_order_relaxed))
		record_rest(ctx, rec);
	ronde_recording_destroy(rec);
	pthread_mutex_unlock(&t->control);
}

int ronde_timeline_init(struct ronde_timeline *t)
{
	if (pthread_mutex_init(&t->control, NULL))
		return ronde_error(RONDE_ERR_SYSTEM, "cannot make a lock");
	t->made = true;
	return RONDE_OK;
}

void ronde_timeline_finish(struct ronde_timeline *t)
{
	if (t->made)
		pthread_mutex_destroy(&t->control);
}
