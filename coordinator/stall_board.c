/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ranks put on their boards for others to read. A report is copied word by word between two
 * steps of its version, so that a reader sees a whole one, or tries again.
 */
#include <stdio.h>
#include <string.h>

#include "coordinator/context.h"
#include "coordinator/stall.h"
#include "coordinator/stall_afar.h"
#include "coordinator/text.h"

/* Longest part of a name in a report. */
#define NAME_BYTES 80

void ronde_stall_what(const struct ronde_key_head *head, const char *name, uint32_t members,
		      char *text, size_t bytes)
{
	size_t used;
	if (!head->named) {
		ronde_key_head_text(head, NULL, members, text, bytes);
		used = strlen(text);
	} else {
		const char *kind = ronde_kind_name((enum ronde_kind)head->kind);
		char cut[NAME_BYTES];
		snprintf(cut, sizeof cut, "%.*s", (int)head->name_bytes, name);
		if (head->name_bytes >= sizeof cut)
			ronde_text_mark_cut(cut, sizeof cut);
		used = ronde_text_append(text, bytes, 0, "%s \"%s\"", kind, cut);
	}
	if (head->set)
		ronde_text_append(text, bytes, used, " of set %u", head->set);
}

uint64_t ronde_stall_key(const struct ronde_key_head *head, const char *name)
{
	uint64_t hash = ronde_hash_bytes(RONDE_HASH_START, head, sizeof *head);
	return ronde_hash_bytes(hash, name, head->name_bytes);
}

void ronde_stall_process_text(const struct ronde_context *ctx, int local, char *text, size_t bytes)
{
	int pid;
	char state = ronde_node_process_state(ctx->node, local, &pid);
	switch (state) {
	case 'T':
		snprintf(
			text, bytes,
			"is stopped (SIGSTOP or job control; process %d): kill -CONT lets it go on",
			pid);
		break;
	case 't':
		snprintf(text, bytes, "is stopped by a debugger (process %d)", pid);
		break;
	case 'Z':
	case 'X':
		snprintf(text, bytes, "is dead (process %d)", pid);
		break;
	case 'D':
		snprintf(text, bytes,
			 "does not answer: it sleeps in the kernel and cannot be interrupted "
			 "(state D, process %d), most often for a disk or a network file system",
			 pid);
		break;
	case 0:
		snprintf(text, bytes,
			 "does not answer, and process %d cannot be looked at from here (another "
			 "PID namespace?)",
			 pid);
		break;
	default:
		snprintf(text, bytes,
			 "does not answer (state %c, process %d): its threads get no time, or a "
			 "function of the application that Ronde called does not return",
			 state, pid);
	}
}

/* ---- reports ---- */

static void write_board(struct ronde_board *board, const char *text)
{
	uint64_t version = atomic_load_explicit(&board->version, memory_order_relaxed);
	uint64_t words[RONDE_BOARD_TEXT / 8] = {0};
	snprintf((char *)words, sizeof words, "%s", text);
	atomic_store_explicit(&board->version, version + 1, memory_order_relaxed);
	for (size_t i = 0; i < RONDE_BOARD_TEXT / 8; i++)
		atomic_store_explicit(&board->text[i], words[i], memory_order_release);
	atomic_store_explicit(&board->version, version + 2, memory_order_release);
}

/* False: it was being written. */
static bool read_board(const struct ronde_board *board, char *text)
{
	uint64_t before = atomic_load_explicit(&board->version, memory_order_acquire);
	for (size_t i = 0; i < RONDE_BOARD_TEXT / 8; i++) {
		uint64_t word = atomic_load_explicit(&board->text[i], memory_order_acquire);
		memcpy(text + 8 * i, &word, sizeof word);
	}
	text[RONDE_BOARD_TEXT - 1] = 0;
	return before % 2 == 0 &&
	       atomic_load_explicit(&board->version, memory_order_relaxed) == before;
}

/* A writer may be stopped in the middle: then there is no text. */
#define LOOKS 1000

static void read_report(const struct ronde_context *ctx, uint32_t reporter, char *text)
{
	text[0] = 0;
	if (!reporter || reporter > ctx->node->arena.shape.local_size)
		return;
	for (int i = 0; i < LOOKS; i++)
		if (read_board(&ctx->node->arena.boards[reporter - 1], text))
			return;
	text[0] = 0;
}

void ronde_stall_publish(struct ronde_context *ctx, const char *text)
{
	const struct ronde_arena *arena = &ctx->node->arena;
	uint32_t me = (uint32_t)ctx->node->local_rank + 1;
	if (atomic_load_explicit(&arena->header->stalled, memory_order_acquire) == me)
		return; /* it is the reason of the end, and stays */
	write_board(&arena->boards[me - 1], text);
	atomic_store_explicit(&arena->header->reporter, me, memory_order_release);
}

void ronde_stall_last_report(const struct ronde_context *ctx, char *text)
{
	const struct ronde_arena_header *header = ctx->node->arena.header;
	uint32_t ended = atomic_load_explicit(&header->stalled, memory_order_acquire);
	uint32_t reporter = atomic_load_explicit(&header->reporter, memory_order_acquire);
	/* Of two that notice a silent leader at once one ends the runtime: its report holds. */
	read_report(ctx, ended ? ended : reporter, text);
}

void ronde_stall_end(struct ronde_context *ctx, const char *text)
{
	char why[RONDE_BOARD_TEXT];
	snprintf(why, sizeof why, "Ronde has ended (RONDE_STALL_SHUTDOWN_TIME_SECONDS is %g): %s",
		 ctx->config.stall_shutdown_time_seconds, text);
	ronde_stall_afar_end(ctx, why);
	ronde_stall_end_here(ctx, why);
}

void ronde_stall_end_here(struct ronde_context *ctx, const char *why)
{
	const struct ronde_node *node = ctx->node;
	ronde_stall_publish(ctx, why);
	uint32_t nobody = 0;
	if (!atomic_compare_exchange_strong_explicit(&node->arena.header->stalled, &nobody,
						     (uint32_t)node->local_rank + 1,
						     memory_order_seq_cst, memory_order_seq_cst))
		return;
	ronde_log(ctx->log, ERROR, "%s", why);
	for (int i = 0; i < node->local_size; i++)
		ronde_bell_ring(&node->arena, i);
}

void ronde_stall_story(struct ronde_context *ctx, char *text)
{
	read_report(ctx,
		    atomic_load_explicit(&ctx->node->arena.header->stalled, memory_order_acquire),
		    text);
}
