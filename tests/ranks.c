/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ranks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/fabric/loopback.h"
#include "collectives/status.h"
#include "tests/shape.h"

/* Address space of one rank's heap; several ranks and sanitizers share one process. */
#define HEAP_BYTES ((size_t)256 << 20)

struct start {
	struct rank rank;
	struct ronde_inprocess *world;
	const char *const *settings;
	rank_body body;
	pthread_t thread;
};

void must(int status, const char *what)
{
	if (status == RONDE_OK)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, ronde_status_name(status), ronde_error_message());
	abort();
}

void must_fail(const struct rank *r, int status, int expected, const char *text)
{
	if (status == expected && strcmp(ronde_error_message(), text) == 0)
		return;
	fprintf(stderr, "rank %d: %s: %s\nexpected: %s\n", r->rank, ronde_status_name(status),
		ronde_error_message(), text);
	abort();
}

static void *rank_main(void *arg)
{
	struct start *s = arg;
	struct ronde_bootstrap *bootstrap;
	struct ronde_config config;
	struct ronde_log log;
	must(ronde_config_load(&config, s->settings), "configuration");
	must(ronde_log_open(&log, config.log, NULL, s->rank.rank), "log");
	must(ronde_heap_create(&s->rank.heap, HEAP_BYTES), "heap");
	must(ronde_bootstrap_inprocess(&bootstrap, s->world, s->rank.rank), "bootstrap");
	must(ronde_context_create(&s->rank.context, bootstrap, &config, &log, s->rank.heap),
	     "context");
	s->body(&s->rank);
	ronde_context_destroy(s->rank.context);
	ronde_log_close(&log);
	return NULL;
}

void run_ranks_on(const char *shape, uint64_t seed, uint64_t delay_ns, int n,
		  const char *const *settings, rank_body body, void *arg)
{
	struct start *ranks = calloc((size_t)n, sizeof *ranks);
	int *nodes = calloc((size_t)n, sizeof *nodes);
	if (!nodes)
		abort();
	shape_nodes(shape, n, nodes);
	struct ronde_inprocess *world = ronde_inprocess_create(n, nodes);
	free(nodes);
	if (!ranks || !world)
		abort();
	struct ronde_loopback_settings fabric = RONDE_LOOPBACK_SETTINGS;
	fabric.seed = seed;
	fabric.delay_ns = delay_ns;
	ronde_inprocess_set_fabric(world, &fabric);
	for (int i = 0; i < n; i++) {
		ranks[i] = (struct start){.rank = {.rank = i, .size = n, .arg = arg},
					  .world = world,
					  .settings = settings,
					  .body = body};
		if (pthread_create(&ranks[i].thread, NULL, rank_main, &ranks[i]))
			abort();
	}
	for (int i = 0; i < n; i++)
		pthread_join(ranks[i].thread, NULL);
	for (int i = 0; i < n; i++)
		ronde_heap_destroy(ranks[i].rank.heap);
	ronde_inprocess_destroy(world);
	free(ranks);
}

void run_ranks(int n, const char *const *settings, rank_body body, void *arg)
{
	run_ranks_on(test_shape(), 1, 0, n, settings, body, arg);
}

int wait_for(struct rank *r, ronde_handle handle)
{
	return ronde_submit_wait(r->context, handle);
}

int submit_allreduce(struct rank *r, const char *name, const void *input, void *output,
		     uint64_t count, ronde_dtype dtype, ronde_reduction reduction,
		     ronde_handle *handle)
{
	struct ronde_submission s = {
		.name = name, .input = input, .output = output, .count = count};
	s.desc = (struct ronde_desc){.kind = RONDE_KIND_ALLREDUCE,
				     .dtype = (uint8_t)dtype,
				     .reduction = (uint8_t)reduction,
				     .ndim = 1,
				     .prescale = 1,
				     .postscale = 1,
				     .dims = {(int64_t)count}};
	return ronde_submit(r->context, &s, handle);
}

int allreduce(struct rank *r, const char *name, const void *input, void *output, uint64_t count,
	      ronde_dtype dtype, ronde_reduction reduction)
{
	ronde_handle h;
	int status = submit_allreduce(r, name, input, output, count, dtype, reduction, &h);
	return status ? status : wait_for(r, h);
}

int submit_broadcast(struct rank *r, const char *name, const void *input, void *output,
		     uint64_t count, ronde_dtype dtype, int root, ronde_handle *handle)
{
	struct ronde_submission s = {.name = name,
				     .input = r->rank == root ? input : NULL,
				     .output = output,
				     .count = count};
	s.desc = (struct ronde_desc){.kind = RONDE_KIND_BROADCAST,
				     .dtype = (uint8_t)dtype,
				     .root = root,
				     .ndim = 1,
				     .prescale = 1,
				     .postscale = 1,
				     .dims = {(int64_t)count}};
	return ronde_submit(r->context, &s, handle);
}

int submit_allgather(struct rank *r, const char *name, const void *input, int64_t rows,
		     int64_t columns, ronde_dtype dtype, ronde_gathered *output,
		     ronde_handle *handle)
{
	struct ronde_submission s = {.name = name,
				     .input = input,
				     .count = (uint64_t)(rows * columns),
				     .rows = rows,
				     .gathered = output};
	s.desc = (struct ronde_desc){.kind = RONDE_KIND_ALLGATHER,
				     .dtype = (uint8_t)dtype,
				     .ndim = 2,
				     .prescale = 1,
				     .postscale = 1,
				     .dims = {0, columns}};
	return ronde_submit(r->context, &s, handle);
}

int barrier(struct rank *r)
{
	struct ronde_submission s = {.will_wait = true};
	s.desc = (struct ronde_desc){
		.kind = RONDE_KIND_BARRIER, .ndim = 1, .prescale = 1, .postscale = 1};
	ronde_handle h;
	int status = ronde_submit(r->context, &s, &h);
	return status ? status : wait_for(r, h);
}
