/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/cli/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/cli/places.h"

static const char *environment(const char *name, void *arg)
{
	(void)arg;
	return getenv(name);
}

static void keep_note(ronde_log_level level, const char *message, void *arg)
{
	struct job *job = arg;
	if (level <= RONDE_LOG_WARN && job->nnotes < JOB_NOTES)
		snprintf(job->notes[job->nnotes++], sizeof job->notes[0], "%s", message);
}

/* A world of one begins with a mistake too, to look at the rest. */
static int share_config(struct job *job, struct ronde_bootstrap *b, struct ronde_config *config,
			const char *mistake)
{
	struct ronde_log log;
	int refused = b->size > 1 && *mistake ? RONDE_ERR_CONFIGURATION : RONDE_OK;
	int status = ronde_log_open(&log, RONDE_LOG_WARN, NULL, b->rank);
	if (status)
		return status;
	ronde_log_set_function(&log, keep_note, job);
	status = ronde_config_share(b, config, refused, mistake, &log);
	ronde_log_close(&log);
	return status;
}

/* The steps of ronde_init() that are collective. */
static int open_all(struct job *job, struct ronde_config *config, const char *mistake)
{
	int status = ronde_launch_read(&job->launch, environment, NULL);
	if (!status)
		status = ronde_bootstrap_open(&job->bootstrap, config->init_timeout_seconds, NULL);
	if (!status)
		status = share_config(job, job->bootstrap, config, mistake);
	if (status)
		return status;
	/* A rank without a heap says so in the end; the others must not wait for it here. */
	int heap_status = ronde_heap_create(&job->heap, (size_t)config->heap_reserve_bytes);
	char heap_text[512];
	snprintf(heap_text, sizeof heap_text, "%s", ronde_error_message());
	struct ronde_node_options options = ronde_context_node_options(config);
	status = ronde_node_open(&job->node, job->bootstrap, job->heap, &options);
	return status ? status : heap_status ? ronde_error(heap_status, "%s", heap_text) : RONDE_OK;
}

static int alone(struct job *job, struct ronde_config *config)
{
	struct ronde_bootstrap *none;
	job->nnotes = 0;
	if (ronde_bootstrap_none(&none) == RONDE_OK) {
		(void)share_config(job, none, config, "");
		none->ops->close(none, true);
	}
	job->rank = 0;
	job->size = job->nodes = job->nlocal = 1;
	job->ranks[0].place = RONDE_PLACE_UNKNOWN;
	rank_facts_own(&job->ranks[0].facts, "");
	job->local[0] = job->ranks[0].facts;
	job->local_numbers[0] = 0;
	return RONDE_OK;
}

static int gather(struct job *job)
{
	const struct ronde_node *node = job->node;
	struct job_rank *mine = calloc(1, sizeof *mine);
	if (!mine)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for %d ranks", job->size);
	rank_facts_own(&mine->facts, "");
	mine->place = node->arena.ranks[node->local_rank].place;
	const char *apart = ronde_node_apart(node);
	snprintf(mine->apart, sizeof mine->apart, "%s", apart ? apart : "");
	int status = job->bootstrap->ops->exchange(job->bootstrap, mine, job->ranks, sizeof *mine);
	free(mine);
	job->nodes = node->nodes;
	job->nlocal = node->local_size;
	for (int l = 0; l < node->local_size; l++) {
		job->local_numbers[l] = node->ranks[l];
		job->local[l] = job->ranks[node->ranks[l]].facts;
	}
	return status;
}

int job_open(struct job *job, struct ronde_config *config, const char *mistake)
{
	memset(job, 0, sizeof *job);
	job->status = open_all(job, config, mistake);
	if (job->status)
		snprintf(job->text, sizeof job->text, "%s", ronde_error_message());
	size_t size = job->bootstrap ? (size_t)job->bootstrap->size : 1;
	job->rank = job->bootstrap ? job->bootstrap->rank : 0;
	job->size = (int)size;
	job->ranks = calloc(size, sizeof *job->ranks);
	job->local = calloc(size, sizeof *job->local);
	job->local_numbers = calloc(size, sizeof *job->local_numbers);
	if (!job->ranks || !job->local || !job->local_numbers) {
		job_close(job);
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for %zu ranks", size);
	}
	if (job->status || !job->node)
		return alone(job, config);
	job->status = gather(job);
	if (job->status) {
		snprintf(job->text, sizeof job->text, "%s", ronde_error_message());
		return alone(job, config);
	}
	return RONDE_OK;
}

void job_close(struct job *job)
{
	places_free(job);
	ronde_node_close(job->node);
	ronde_heap_destroy(job->heap);
	if (job->bootstrap)
		job->bootstrap->ops->close(job->bootstrap, job->status == RONDE_OK);
	free(job->ranks);
	free(job->local);
	free(job->local_numbers);
	memset(job, 0, sizeof *job);
}

/* A job that can't be opened has no ranks; the launchers' own numbers serve to say it once. */
bool job_speaks(const struct job *job)
{
	static const char *const numbers[] = {"RONDE_RANK",          "OMPI_COMM_WORLD_RANK",
					      "MV2_COMM_WORLD_RANK", "PMI_RANK",
					      "PMIX_RANK",           "SLURM_PROCID"};
	if (job->status == RONDE_OK)
		return job->rank == 0;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		const char *number = getenv(numbers[i]);
		if (number && *number)
			return !strcmp(number, "0");
	}
	return true;
}
