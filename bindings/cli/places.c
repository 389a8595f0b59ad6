/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/cli/places.h"

#include <stdlib.h>
#include <string.h>

/* ---- gathering ---- */

static void describe(struct job_machine *m, const struct ronde_topology *t)
{
	*m = (struct job_machine){.packages = t->packages,
				  .numas = t->numas,
				  .caches = t->caches,
				  .cache_level = t->cache_level,
				  .ncores = t->ncores,
				  .processors = t->processors,
				  .real = t->real,
				  .cache_bytes = t->cache_bytes};
}

static int no_memory(void)
{
	return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the machines of the job");
}

/* A rank alone has no topology of its node's. */
static int look_alone(struct job *job, const struct ronde_config *config)
{
	struct ronde_topology *t;
	int status = ronde_topology_open(&t, config->topology);
	if (status)
		return status;
	status = ronde_topology_locate(t, config->placement, 0, &job->ranks[0].facts.cores.allowed,
				       &job->ranks[0].place);
	describe(&job->machines[0], t);
	job->machines[0].cores = t->cores;
	t->cores = NULL;
	ronde_topology_close(t);
	return status;
}

/* Every rank sends as many cores as the largest machine has; of each node the leader's count. */
static int exchange_cores(struct job *job, const struct ronde_topology *t,
			  const struct job_machine *heads, int most)
{
	size_t size = (size_t)job->size, each = (size_t)most * sizeof(struct ronde_core);
	struct ronde_core *mine = calloc((size_t)most, sizeof *mine);
	struct ronde_core *all = calloc(size * (size_t)most, sizeof *all);
	int status = mine && all ? RONDE_OK : no_memory();
	if (!status && t)
		memcpy(mine, t->cores, (size_t)t->ncores * sizeof *mine);
	if (!status)
		status = job->bootstrap->ops->exchange(job->bootstrap, mine, all, each);
	for (int r = 0; r < job->size && !status; r++) {
		struct job_machine *m = &job->machines[job->node->node_of_rank[r]];
		if (job->node->local_of_rank[r] != 0)
			continue;
		*m = heads[r];
		m->cores = malloc(each + 1);
		if (!m->cores)
			status = no_memory();
		else
			memcpy(m->cores, all + (size_t)r * (size_t)most, each);
	}
	free(mine);
	free(all);
	return status;
}

int places_gather(struct job *job, const struct ronde_config *config)
{
	job->machines = calloc((size_t)job->nodes, sizeof *job->machines);
	if (!job->machines)
		return no_memory();
	if (job->size == 1)
		return look_alone(job, config);
	const struct ronde_topology *t = job->node->topology;
	struct ronde_topology *own = NULL;
	if (!t && job->node->local_size == 1 && !ronde_topology_open(&own, config->topology))
		t = own;
	struct job_machine head = {0}, *heads = calloc((size_t)job->size, sizeof *heads);
	if (t)
		describe(&head, t);
	int most = 1, status = heads ? RONDE_OK : no_memory();
	if (!status)
		status = job->bootstrap->ops->exchange(job->bootstrap, &head, heads, sizeof head);
	for (int r = 0; r < job->size && !status; r++)
		most = heads[r].ncores > most ? heads[r].ncores : most;
	if (!status)
		status = exchange_cores(job, t, heads, most);
	free(heads);
	ronde_topology_close(own);
	return status;
}

void places_free(struct job *job)
{
	for (int n = 0; job->machines && n < job->nodes; n++)
		free(job->machines[n].cores);
	free(job->machines);
	job->machines = NULL;
}

/* ---- words ---- */

static bool same(const struct ronde_place *a, const struct ronde_place *b)
{
	return a->package == b->package && a->numa == b->numa && a->cache == b->cache &&
	       a->core == b->core;
}

static int node_of(const struct job *job, int rank)
{
	return job->node ? job->node->node_of_rank[rank] : 0;
}

const char *places_ranks(const struct job *job, int node, const struct ronde_place *object,
			 char *text, size_t bytes)
{
	size_t used = 0;
	int found = 0;
	text[0] = 0;
	for (int r = 0; r < job->size; r++) {
		if (node_of(job, r) != node || !same(&job->ranks[r].place, object))
			continue;
		found++;
		if (used + 16 < bytes)
			used += (size_t)snprintf(text + used, bytes - used, " %d", r);
	}
	if (found) {
		const char *word = found > 1 ? "ranks" : "rank";
		size_t length = strlen(word);
		if (used + length < bytes) {
			memmove(text + length, text, used + 1);
			memcpy(text, word, length);
		}
	}
	return text;
}

const char *places_host(const struct job *job, int node)
{
	for (int r = 0; r < job->size; r++)
		if (node_of(job, r) == node)
			return job->ranks[r].facts.host;
	return "";
}

static const char *many(int n)
{
	return n == 1 ? "" : "s";
}

const char *places_summary(const struct job_machine *m, char *text, size_t bytes)
{
	char caches[64] = "";
	if (m->caches)
		snprintf(caches, sizeof caches, ", %d L%d cache%s of %.4g MiB", m->caches,
			 m->cache_level, many(m->caches), (double)m->cache_bytes / 0x1p20);
	snprintf(text, bytes, "%d package%s, %d NUMA domain%s%s, %d core%s, %d processor%s%s",
		 m->packages, many(m->packages), m->numas, many(m->numas), caches, m->ncores,
		 many(m->ncores), m->processors, many(m->processors),
		 m->real || !m->ncores ? "" : " (only described, by RONDE_TOPOLOGY)");
	return text;
}

/* ---- text ---- */

static void write_object(FILE *file, const struct job *job, int node, int depth,
			 const struct ronde_place *object, const char *name, int number)
{
	char ranks[512];
	places_ranks(job, node, object, ranks, sizeof ranks);
	fprintf(file, "%*s%s %d%s%s\n", 4 + 2 * depth, "", name, number, *ranks ? ": " : "", ranks);
}

/* Cores without ranks, [from, to). */
static void write_empty(FILE *file, int from, int to)
{
	if (to == from + 1)
		fprintf(file, "          core %d\n", from);
	else if (to > from)
		fprintf(file, "          cores %d-%d\n", from, to - 1);
}

static void write_machine(FILE *file, const struct job *job, int node)
{
	const struct job_machine *m = &job->machines[node];
	struct ronde_core last = {-2, -2, -2, 0, 0};
	int empty = 0;
	char ranks[512], level[16];
	snprintf(level, sizeof level, "L%d cache", m->cache_level);
	for (int i = 0; i < m->ncores; i++) {
		const struct ronde_core *c = &m->cores[i];
		bool package = c->package != last.package, numa = package || c->numa != last.numa;
		bool cache = numa || c->cache != last.cache;
		struct ronde_place at = {c->package, c->numa, c->cache, i};
		if (cache) {
			write_empty(file, empty, i);
			empty = i;
		}
		if (package && c->package >= 0)
			write_object(file, job, node, 0,
				     &(struct ronde_place){c->package, -1, -1, -1}, "package",
				     c->package);
		if (numa && c->numa >= 0)
			write_object(file, job, node, 1,
				     &(struct ronde_place){c->package, c->numa, -1, -1},
				     "NUMA domain", c->numa);
		if (cache && c->cache >= 0)
			write_object(file, job, node, 2,
				     &(struct ronde_place){c->package, c->numa, c->cache, -1},
				     level, c->cache);
		if (*places_ranks(job, node, &at, ranks, sizeof ranks)) {
			write_empty(file, empty, i);
			empty = i + 1;
			fprintf(file, "          core %d: %s\n", i, ranks);
		}
		last = *c;
	}
	write_empty(file, empty, m->ncores);
}

void places_write_text(FILE *file, const struct job *job)
{
	char text[512];
	for (int n = 0; n < job->nodes; n++) {
		fprintf(file, "  node %d on %s: %s\n", n, places_host(job, n),
			places_summary(&job->machines[n], text, sizeof text));
		/* Those that may run in several places, or whose place nobody knows. */
		for (int r = 0; r < job->size; r++)
			if (node_of(job, r) == n && job->ranks[r].place.core < 0)
				fprintf(file, "    rank %d may run on more than one core\n", r);
		write_machine(file, job, n);
	}
}
