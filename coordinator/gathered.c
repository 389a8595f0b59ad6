/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/gathered.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "coordinator/context.h"
#include "coordinator/submit.h"

void ronde_gathered_begin(struct ronde_active *a)
{
	atomic_store_explicit(&a->gathered.state, RONDE_GATHERED_NOT_ASKED, memory_order_relaxed);
}

/* ---- the application's function ---- */

/*
 * On the coordinator thread, no lock held. The request is not completed meanwhile, whatever
 * happens; if the runtime has ended when the function returns, that is done here.
 */
static void call_alloc(struct ronde_context *ctx, struct ronde_call *call, bool leaving)
{
	struct ronde_gathered_call *g = (struct ronde_gathered_call *)call;
	struct ronde_submissions *s = &ctx->submissions;
	struct ronde_request *r = g->request;
	ronde_gathered *out = r->gathered;
	bool calls = !leaving && !atomic_load_explicit(&s->ended, memory_order_acquire);
	void *data = calls ? out->alloc(g->bytes, out->alloc_arg) : NULL;

	pthread_mutex_lock(&s->lock);
	r->in_call = false;
	if (calls) {
		out->data = g->data = data;
		atomic_store_explicit(&g->state, RONDE_GATHERED_ANSWERED, memory_order_release);
	}
	bool ended = s->ended != RONDE_OK;
	if (ended)
		ronde_submit_complete(ctx, r, s->ended, s->ended_text);
	pthread_mutex_unlock(&s->lock);
	if (ended)
		ronde_engine_completed(ctx);
	ronde_bell_ring(&ctx->node->arena, ctx->node->local_rank);
}

static void ask(struct ronde_active *a, size_t bytes)
{
	struct ronde_context *ctx = a->context;
	struct ronde_gathered_call *g = &a->gathered;
	g->call.make = call_alloc;
	g->request = a->requests[0];
	g->bytes = bytes;
	atomic_store_explicit(&g->state, RONDE_GATHERED_ASKED, memory_order_relaxed);
	pthread_mutex_lock(&ctx->submissions.lock);
	g->request->in_call = true;
	ronde_engine_call(ctx, &g->call);
	pthread_mutex_unlock(&ctx->submissions.lock);
}

/* ---- errors ---- */

/* Keeps the text with the request: it is described where that is waited for. */
static int fail(struct ronde_request *r, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct ronde_request *r, int status, const char *format, ...)
{
	char name[RONDE_MAX_NAME + 1], why[400], text[sizeof name + sizeof why + 20];
	va_list args;
	va_start(args, format);
	vsnprintf(why, sizeof why, format, args);
	va_end(args);
	ronde_request_text(r, name, sizeof name);
	snprintf(text, sizeof text, "tensor \"%s\": %s", name, why);
	r->message = strdup(text);
	return status;
}

static const char *kind_of(const struct ronde_request *r)
{
	return ronde_kind_name((enum ronde_kind)r->desc.kind);
}

/* Member number of the k-th that takes part, and which of those this rank is. */
static int number(const struct ronde_active *a, int k)
{
	return a->numbers ? a->numbers[k] : k;
}

static int own(const struct ronde_active *a)
{
	int k = 0;
	while (k + 1 < a->taking && number(a, k) != a->set->self)
		k++;
	return k;
}

/* Rows of nothing can be any number. */
static int add_up(const struct ronde_active *a, const int64_t *rows, struct ronde_request *r,
		  int64_t *total, size_t *bytes)
{
	const struct ronde_plan *plan = &a->operation.plan;
	*total = 0;
	for (int i = 0; i < a->taking; i++)
		if (__builtin_add_overflow(*total, rows[i], total))
			return fail(
				r, RONDE_ERR_INVALID_ARGUMENT,
				"the %s's result has more than %" PRId64
				" rows: the ranks' %s, %" PRId64 " on this one, add up to too many",
				kind_of(r), INT64_MAX,
				r->splits ? "rows for this rank" : "first extents", rows[own(a)]);
	if (__builtin_mul_overflow((size_t)*total, plan->row_bytes, bytes) || *bytes > INT64_MAX)
		return fail(r, RONDE_ERR_INVALID_ARGUMENT,
			    "the %s's result, %" PRId64
			    " rows of %zu bytes, is more than memory can have",
			    kind_of(r), *total, plan->row_bytes);
	return RONDE_OK;
}

/* No rows of an alltoall can go to ranks that have joined. All members find the same. */
static int check_astray(const struct ronde_active *a, struct ronde_request *r)
{
	const struct ronde_plan *plan = &a->operation.plan;
	const int size = a->context->node->size, joined = a->set->size - a->taking;
	char who[120] = "some", whose[120] = "some";
	bool some = false, *absent = NULL, *senders = NULL;
	for (int m = 0; joined && r->splits && m < a->taking; m++)
		some |= plan->astray[m] != 0;
	if (!some)
		return RONDE_OK;
	absent = calloc((size_t)size, sizeof *absent);
	senders = calloc((size_t)size, sizeof *senders);
	if (absent && senders) {
		for (int m = 0; m < a->set->size; m++)
			absent[a->set->ranks[m]] = true;
		for (int m = 0; m < a->taking; m++) {
			int rank = a->set->ranks[number(a, m)];
			absent[rank] = false;
			senders[rank] = plan->astray[m] != 0;
		}
		ronde_ranks_text(who, sizeof who, absent, size);
		ronde_ranks_text(whose, sizeof whose, senders, size);
	}
	free(absent);
	free(senders);
	return fail(r, RONDE_ERR_MISMATCH,
		    "%s %s joined and can take no rows, but the splits of %s give %s some; the "
		    "splits of an alltoall for ranks that have joined must be 0",
		    who, joined == 1 ? "has" : "have", whose, joined == 1 ? "it" : "them");
}

/* ---- the operation asks ---- */

/* False: the application has not answered yet. *memory NULL: there is none. */
static bool find_memory(struct ronde_active *a, size_t bytes, void **memory)
{
	struct ronde_request *r = a->requests[0];
	switch (atomic_load_explicit(&a->gathered.state, memory_order_acquire)) {
	case RONDE_GATHERED_ASKED:
		return false;
	case RONDE_GATHERED_ANSWERED:
		*memory = a->gathered.data;
		return true;
	default:
		if (r->gathered->data) {
			*memory = r->gathered->data;
		} else if (r->gathered->alloc) {
			ask(a, bytes);
			return false;
		} else {
			*memory = r->allocated = malloc(bytes ? bytes : 1);
		}
		return true;
	}
}

bool ronde_gathered_allocate(void *arg, const int64_t *rows, void **memory, int *status)
{
	struct ronde_active *a = arg;
	const struct ronde_plan *plan = &a->operation.plan;
	struct ronde_request *r = a->requests[0];
	ronde_gathered *out = r->gathered;
	bool asked = atomic_load_explicit(&a->gathered.state, memory_order_acquire) !=
		     RONDE_GATHERED_NOT_ASKED;
	int64_t total = 0;
	size_t bytes = 0;
	*memory = NULL;
	*status = check_astray(a, r);
	if (!*status)
		*status = add_up(a, rows, r, &total, &bytes);
	if (!*status && !asked && out->data && out->capacity_bytes < bytes)
		*status = fail(r, RONDE_ERR_TRUNCATED,
			       "the %s's result has %zu bytes (%" PRId64
			       " rows of %zu), the memory given for it %zu",
			       kind_of(r), bytes, total, plan->row_bytes, out->capacity_bytes);
	if (*status)
		return true;
	if (!find_memory(a, bytes, memory))
		return false;
	if (!*memory) {
		*status = fail(r, RONDE_ERR_OUT_OF_MEMORY,
			       "no memory for the %s's result of %zu bytes", kind_of(r), bytes);
		return true;
	}
	out->data = *memory;
	out->rows = total;
	out->divisor = plan->spec.divisor;
	if (out->rows_per_rank && a->taking < a->set->size)
		memset(out->rows_per_rank, 0, (size_t)a->set->size * sizeof *rows);
	for (int m = 0; out->rows_per_rank && m < a->taking; m++)
		out->rows_per_rank[number(a, m)] = rows[m];
	return true;
}
