/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks as processes, some of which die. A scene is one job: the test (the director) starts its
 * ranks, waits until they have come so far, kills or stops them, and looks at what the others say.
 * Ranks and director see the scene's memory. They meet through the environment, so no launcher
 * hides from the survivors that one of them is gone.
 */
#ifndef RONDE_TESTS_FAULT_RANKS_H
#define RONDE_TESTS_FAULT_RANKS_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/fork_ranks.h"

#define FAULT_RANKS_MAX 8
#define FAULT_TEXT 512

/* What issue 2 promises, in seconds; a checker makes everything slower. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define FAULT_CHECKED 1
#define FAULT_SECONDS 5.0
#else
#define FAULT_CHECKED 0
#define FAULT_SECONDS 1.0
#endif

struct fault_rank {
	pid_t pid;
	_Atomic int phase;        /* how far it says it is */
	double told_lost;         /* scene_lost() then */
	_Atomic uint64_t told_at; /* nanoseconds: its call returned with an error */
	char text[FAULT_TEXT];    /* that error's text */
	_Atomic uint64_t
		left_at; /* nanoseconds: just before it left of its own will; 0: it did not */
	/* The director's: */
	bool ended;
	int status;
	uint64_t ended_at;
	_Atomic double used; /* seconds of cores it has had, as far as seen */
};

struct scene {
	int n;
	pid_t director;
	double busy, used; /* when it was opened: see tests/lost_time.h; used: by the director */
	char address[64];  /* of the first world */
	char address2[64]; /* of the second */
	const void *arg;
	_Atomic int go;           /* the director says: now */
	_Atomic uint64_t died_at; /* nanoseconds: just before the first death */
	struct fault_rank ranks[FAULT_RANKS_MAX];
};

/* A time in nanoseconds, and what had been lost to others by then: see scene_lost(). */
struct moment {
	uint64_t at;
	double lost;
};

typedef void (*scene_body)(struct scene *scene, int rank);

/* ---- for the director ---- */

/* Starts n ranks; each runs body with the environment of its rank set, and ends by exit(0). */
struct scene *scene_open(int n, scene_body body, const void *arg);
/* Waits until the rank has reached the phase; fails the test if it does not. */
void scene_await(struct scene *scene, int rank, int phase);
/* Sends a signal to a rank; the first SIGKILL is noted as the time of death. */
void scene_signal(struct scene *scene, int rank, int number);
/* True if the rank still runs. */
bool scene_runs(struct scene *scene, int rank);
/* Waits until all but the victims were told; seconds from the death to the last of them, less
 * scene_lost(). */
double scene_slowest(struct scene *scene, unsigned victims);
/*
 * Waits for all ranks' ends. All but the victims (bit r: rank r) must end well, and whoever left of
 * its own will, victims too, soon after; no file, no process may be left over.
 */
void scene_close(struct scene *scene, unsigned victims);

/* ---- for ranks ---- */

void scene_reach(struct scene *scene, int rank, int phase);
/* True once all ranks but this one have reached the phase: a rank that leaves before it may spoil
 * the others' last common operation, which they have not seen to be complete. */
bool scene_others_reached(struct scene *scene, int rank, int phase);
void scene_wait_go(struct scene *scene);
/* Where the next ronde_init() goes. */
void scene_world(int rank, int size, const char *address);
/* The rank leaves now: by exit(), abort() or a crash of its own. Waits for nobody. */
void scene_leaves(struct scene *scene, int rank);
/* The rank was told of an error: keeps time and text. */
void scene_told(struct scene *scene, int rank);

/* ---- for both ---- */

uint64_t scene_now(void);
/* Seconds lost to others since the scene was opened. */
double scene_lost(void);
/* Now; seconds from one to the other; of them, those that were not lost. */
struct moment scene_mark(void);
double scene_seconds(struct moment from, struct moment to);
double scene_own_seconds(struct moment from, struct moment to);
void sleep_ms(long ms);

#endif
