/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "collectives/memory_file.h"
#include "collectives/node_private.h"
#include "collectives/status.h"

/*
 * Opening goes in attempts, because which ranks are a node is known only once they have shared
 * memory. An attempt has three exchanges over the whole world, in which every rank takes part
 * whatever happened to it, so that nobody waits for a rank that gave up:
 *
 *   hello      leaders have made arena and socket; everybody learns sizes, pids, where to meet
 *   reached    everybody has connected to its leader, or can't
 *   shared     everybody has mapped what it got, or couldn't
 *
 * A rank that can't share becomes a node of its own, and the attempt is made again with the new
 * nodes; each attempt but the last makes at least one rank such a node. A status that is not OK in
 * any rank's words ends the opening on every rank, with that rank's text.
 */
struct hello {
	uint64_t magic;
	int32_t status, pid;
	uint64_t heap_bytes;
	struct ronde_meeting meeting; /* leaders */
	uint64_t arena_address;       /* leaders, threads */
	uint64_t heap_address;        /* threads */
	cpu_set_t allowed;            /* processors it may run on */
	char text[RONDE_NODE_TEXT];
};

#define HELLO_MAGIC (RONDE_ARENA_MAGIC + RONDE_ARENA_VERSION)

struct opening {
	struct ronde_node *node;
	struct ronde_bootstrap *bootstrap;
	struct ronde_heap *heap;
	const struct ronde_node_options *options;
	int *group; /* [size] ranks with equal numbers shall be a node */
	struct hello *hellos;
	struct ronde_verdict *verdicts;
	struct ronde_pass *pass;
	int arena_fd;
};

/* ---- one attempt ---- */

/* Undoes what an attempt built; what remains are the arrays. */
static void let_go(struct ronde_node *node)
{
	struct ronde_node_private *p = node->priv;
	for (int l = 0; l < node->local_size; l++) {
		if (node->heaps[l] && l != node->local_rank && !p->threads)
			munmap(node->heaps[l], node->heap_bytes[l]);
		node->heaps[l] = NULL;
		if (p->life_fds[l] >= 0)
			close(p->life_fds[l]);
		p->life_fds[l] = -1;
	}
	if (p->common) {
		if (atomic_fetch_sub(&p->common->users, 1) == 1)
			munmap(p->common, p->common->bytes);
	} else if (p->arena) {
		munmap(p->arena, p->arena_bytes);
	}
	p->common = NULL;
	p->arena = NULL;
	ronde_topology_close(node->topology);
	node->topology = NULL;
	ronde_lifeline_close(&p->lifeline);
}

static int own_part(struct opening *o, struct hello *hello)
{
	struct ronde_node *node = o->node;
	struct ronde_node_private *p = node->priv;
	bool alone = p->threads || node->local_size == 1;
	int status = RONDE_OK;
	if (node->local_rank == 0)
		status = ronde_node_look(node, o->options);
	if (node->local_rank == 0 && status == RONDE_OK)
		status = ronde_node_make_arena(node, o->options, &o->arena_fd);
	if (status == RONDE_OK && !alone)
		status = ronde_lifeline_open(&p->lifeline, o->options->no_pidfd);
	if (status == RONDE_OK && !alone)
		status = ronde_pass_open(&o->pass, node, &hello->meeting,
					 o->options->timeout_seconds);
	return status;
}

static int exchange_hellos(struct opening *o)
{
	struct ronde_node *node = o->node;
	struct ronde_node_private *p = node->priv;
	struct hello mine = {.magic = HELLO_MAGIC, .pid = getpid()};
	if (o->heap) {
		mine.heap_bytes = ronde_heap_reserve(o->heap);
		mine.heap_address = (uint64_t)(uintptr_t)ronde_heap_base(o->heap);
	}
	if (sched_getaffinity(0, sizeof mine.allowed, &mine.allowed))
		CPU_ZERO(&mine.allowed); /* of more processors than it has room for */
	mine.status = own_part(o, &mine);
	if (mine.status != RONDE_OK)
		snprintf(mine.text, sizeof mine.text, "%s", ronde_error_message());
	mine.arena_address = (uint64_t)(uintptr_t)p->arena;
	int status = o->bootstrap->ops->exchange(o->bootstrap, &mine, o->hellos, sizeof mine);
	if (status != RONDE_OK)
		return status;
	for (int r = 0; r < node->size; r++)
		if (o->hellos[r].magic != HELLO_MAGIC)
			return ronde_error(RONDE_ERR_VERSION,
					   "rank %d runs another version of Ronde than rank %d: "
					   "start all ranks with one libronde.so",
					   r, node->rank);
	/* Thread-ranks take the arena even if something failed, so that the last one unmaps it. */
	const struct hello *leader = &o->hellos[node->ranks[0]];
	if (p->threads && leader->arena_address) {
		p->arena = (void *)(uintptr_t)leader->arena_address;
		p->common = (struct ronde_common_arena *)(void *)((unsigned char *)p->arena -
								  ronde_page_bytes());
	}
	for (int r = 0; r < node->size; r++)
		if (o->hellos[r].status != RONDE_OK)
			return ronde_error(o->hellos[r].status, "rank %d: %s", r,
					   o->hellos[r].text);
	for (int l = 0; l < node->local_size; l++) {
		const struct hello *h = &o->hellos[node->ranks[l]];
		node->pids[l] = h->pid;
		node->heap_bytes[l] = h->heap_bytes;
		if (p->threads)
			node->heaps[l] = (unsigned char *)(uintptr_t)h->heap_address;
	}
	if (o->heap)
		node->heaps[node->local_rank] = ronde_heap_base(o->heap);
	return RONDE_OK;
}

/* The rank whose words explain the failure; -1: all is well. That a rank lost another is most
 * likely a consequence of what the other has to say. */
static int first_cause(const struct ronde_verdict *verdicts, int size)
{
	int lost = -1;
	for (int r = 0; r < size; r++) {
		if (verdicts[r].status != RONDE_OK && verdicts[r].status != RONDE_ERR_PEER_LOST)
			return r;
		if (verdicts[r].status != RONDE_OK && lost < 0)
			lost = r;
	}
	return lost;
}

/* Everybody's verdict; *again if some rank has become a node of its own. */
static int exchange_verdicts(struct opening *o, const struct ronde_verdict *mine, bool *again)
{
	struct ronde_node *node = o->node;
	int status = o->bootstrap->ops->exchange(o->bootstrap, mine, o->verdicts, sizeof *mine);
	if (status != RONDE_OK)
		return status;
	int worst = first_cause(o->verdicts, node->size);
	if (worst >= 0)
		return ronde_error(o->verdicts[worst].status, "rank %d: %s", worst,
				   o->verdicts[worst].text);
	for (int r = 0; r < node->size; r++)
		if (o->verdicts[r].apart) {
			*again = true;
			o->group[r] = -1 - r; /* a number nobody else has */
		}
	if (mine->apart)
		memcpy(node->priv->apart, mine->text, sizeof mine->text);
	return RONDE_OK;
}

/* This rank has mapped the arena. */
static int furnish(struct opening *o)
{
	struct ronde_node *node = o->node;
	int status = ronde_arena_attach(&node->arena, node->priv->arena);
	if (status)
		return status;
	node->arena.ranks[node->local_rank].pid = (uint32_t)getpid();
	for (int l = 0; node->local_rank == 0 && l < node->local_size && !status; l++)
		status = ronde_node_place(node, o->options, l, &o->hellos[node->ranks[l]].allowed);
	return status;
}

static int attempt(struct opening *o, bool *again)
{
	struct ronde_node *node = o->node;
	*again = false;
	int status = exchange_hellos(o);
	if (status != RONDE_OK)
		return status;
	struct ronde_verdict verdict = {0};
	if (o->pass && node->local_rank != 0)
		ronde_pass_reach(o->pass, &o->hellos[node->ranks[0]].meeting,
				 o->heap ? ronde_heap_fd(o->heap) : -1, &verdict);
	status = exchange_verdicts(o, &verdict, again);
	if (status != RONDE_OK || *again)
		return status;
	if (o->pass)
		ronde_pass_run(o->pass, o->arena_fd, o->heap ? ronde_heap_fd(o->heap) : -1,
			       &verdict);
	if (verdict.status == RONDE_OK && !verdict.apart) {
		verdict.status = furnish(o);
		if (verdict.status != RONDE_OK)
			snprintf(verdict.text, sizeof verdict.text, "%s", ronde_error_message());
	}
	status = exchange_verdicts(o, &verdict, again);
	if (status == RONDE_OK && !*again)
		status = ronde_node_group(node);
	return status;
}

/* Descriptors that are of no use once an attempt has ended. */
static void end_attempt(struct opening *o)
{
	ronde_pass_close(o->pass);
	o->pass = NULL;
	if (o->arena_fd >= 0)
		close(o->arena_fd);
	o->arena_fd = -1;
	ronde_lifeline_given(&o->node->priv->lifeline);
}

/* ---- the whole ---- */

static void free_node(struct ronde_node *node)
{
	if (!node)
		return;
	if (node->priv)
		free(node->priv->life_fds);
	free(node->priv);
	free(node->ranks);
	free(node->node_of_rank);
	free(node->local_of_rank);
	free(node->domains);
	free(node->heaps);
	free(node->heap_bytes);
	free(node->pids);
	free(node);
}

static struct ronde_node *new_node(const struct ronde_bootstrap *bootstrap)
{
	size_t size = (size_t)bootstrap->size;
	struct ronde_node *node = calloc(1, sizeof *node);
	if (!node)
		return NULL;
	node->rank = bootstrap->rank;
	node->size = bootstrap->size;
	node->ranks = calloc(size, sizeof *node->ranks);
	node->node_of_rank = calloc(size, sizeof *node->node_of_rank);
	node->local_of_rank = calloc(size, sizeof *node->local_of_rank);
	node->heaps = calloc(size, sizeof *node->heaps);
	node->heap_bytes = calloc(size, sizeof *node->heap_bytes);
	node->pids = calloc(size, sizeof *node->pids);
	node->priv = calloc(1, sizeof *node->priv);
	if (node->priv) {
		node->priv->threads = bootstrap->inprocess != NULL;
		node->priv->lifeline = (struct ronde_lifeline)RONDE_LIFELINE_NONE;
		node->priv->life_fds = malloc(size * sizeof *node->priv->life_fds);
	}
	if (!node->ranks || !node->node_of_rank || !node->local_of_rank || !node->heaps ||
	    !node->heap_bytes || !node->pids || !node->priv || !node->priv->life_fds) {
		free_node(node);
		return NULL;
	}
	memset(node->priv->life_fds, -1, size * sizeof *node->priv->life_fds);
	return node;
}

/* Attempts until one holds. */
static int open_node(struct opening *o)
{
	for (bool again = true; again;) {
		ronde_node_layout(o->node, o->group);
		int status = attempt(o, &again);
		end_attempt(o);
		if (status != RONDE_OK || again)
			let_go(o->node);
		if (status != RONDE_OK)
			return status;
	}
	return RONDE_OK;
}

int ronde_node_open(struct ronde_node **node, struct ronde_bootstrap *bootstrap,
		    struct ronde_heap *heap, const struct ronde_node_options *options)
{
	size_t size = (size_t)bootstrap->size;
	int status;
	struct opening o = {
		.node = new_node(bootstrap),
		.bootstrap = bootstrap,
		.heap = heap,
		.options = options,
		.group = malloc(size * sizeof *o.group),
		.hellos = malloc(size * sizeof *o.hellos),
		.verdicts = malloc(size * sizeof *o.verdicts),
		.arena_fd = -1,
	};
	if (o.node && o.group && o.hellos && o.verdicts) {
		memcpy(o.group, bootstrap->node_of_rank, size * sizeof *o.group);
		status = open_node(&o);
	} else {
		status = ronde_error(RONDE_ERR_OUT_OF_MEMORY,
				     "no memory for the description of a world of %zu ranks", size);
	}
	free(o.group);
	free(o.hellos);
	free(o.verdicts);
	if (status == RONDE_OK)
		*node = o.node;
	else
		free_node(o.node);
	return status;
}

const char *ronde_node_apart(const struct ronde_node *node)
{
	return node->priv->apart[0] ? node->priv->apart : NULL;
}

void ronde_node_close(struct ronde_node *node)
{
	if (!node)
		return;
	let_go(node);
	free_node(node);
}
