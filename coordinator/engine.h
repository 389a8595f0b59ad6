/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: who runs turns, and when everybody may sleep.
 *
 * One thread at a time runs turns, the holder of the engine lock: the coordinator thread, or a
 * thread of the application that waits and helps. A waiting thread that does not get the lock
 * sleeps on the turnstile until something completes or the lock is dropped. The coordinator thread
 * never waits for the lock, for it has completion functions to call: it leaves word (`wanted`) and
 * sleeps on its bell.
 *
 * Nobody of this rank polls while all its threads sleep or compute. Then the rank block's `parked`
 * says which events are worth a system call to whoever causes them: none while nothing of ours is
 * in flight, for nothing can complete; else entries and progress, and at the leader announcements.
 */
#ifndef RONDE_ENGINE_H
#define RONDE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ronde/ronde.h"

struct ronde_context;
struct ronde_request;

/* A function of the application that the coordinator thread is to call. */
struct ronde_call {
	/* Takes the call; no lock is held. `leaving`: the process is in exit(), and what the
	 * function needs may be gone: it must not be called any more. */
	void (*make)(struct ronde_context *context, struct ronde_call *call, bool leaving);
	struct ronde_call *next;
};

/* The one of ronde_handle_on_done(). */
struct ronde_call_back {
	struct ronde_call call;
	ronde_done_fn fn;
	void *arg;
	ronde_handle handle;
	int status;
	char *message;
};

struct ronde_engine {
	pthread_mutex_t lock;
	_Atomic uint32_t
		running;         /* somebody holds the lock and will look at everything once more */
	_Atomic uint32_t kicked; /* the coordinator thread has been woken and is on its way */
	_Atomic uint32_t turnstile; /* futex: counts completions and drops of the lock */
	_Atomic uint32_t waiters;   /* threads that want to help, or sleep on the turnstile */
	_Atomic uint32_t wanted;    /* the coordinator thread did not get the lock: ring for it */
	_Atomic bool
		backlogged; /* submissions wait for room in the ring, or a shutdown to be said */
	_Atomic bool stop;
	bool started;
	pthread_t thread;
	int spins;                             /* looks between two yields of a waiting thread */
	unsigned int saved_mode;               /* of the thread that runs turns */
	struct ronde_call *calls, **calls_end; /* under the submit lock */
	_Atomic bool due;     /* calls, or lines for the log function, wait to be made */
	_Atomic bool calling; /* the coordinator thread is at it */
};

/* spins: see RONDE_SPIN; cores_per_rank decides when it is negative. Starts no thread. */
int ronde_engine_init(struct ronde_engine *engine, int spins, double cores_per_rank);
/* An engine that is all zero was never made, and is fine. */
void ronde_engine_finish(struct ronde_engine *engine);
/* The coordinator thread. Errors: SYSTEM. */
int ronde_engine_start(struct ronde_context *context);
void ronde_engine_join(struct ronde_context *context);

/* Runs turns, or lets another thread do so, until the request is done. */
void ronde_engine_wait(struct ronde_context *context, struct ronde_request *request);
/* Likewise until *flag, at most `seconds`. */
bool ronde_engine_wait_flag(struct ronde_context *context, _Atomic bool *flag, double seconds);

/* One more request is in flight, and not yet announced. Under the submit lock. */
void ronde_engine_expect(struct ronde_context *context, bool will_wait);
/* There is work for this rank's own engine. */
void ronde_engine_poke(struct ronde_context *context);
/* The same when the caller will wait next: only a helper that sleeps with the lock has to be woken.
 */
void ronde_engine_poke_helper(struct ronde_context *context);
/* Requests were completed. */
void ronde_engine_completed(struct ronde_context *context);

/* ---- functions of the application (callback.c) ---- */

/* Hands a call to the coordinator thread. Under the submit lock. */
void ronde_engine_call(struct ronde_context *context, struct ronde_call *call);
/* Makes the calls that are due. By the coordinator thread, with no lock held. */
void ronde_engine_make_calls(struct ronde_context *context);
/* There is something due. Any thread, any lock. */
void ronde_engine_due(struct ronde_context *context);
/* False: a call is due, or has not returned. */
bool ronde_engine_calls_made(struct ronde_context *context);

/* Room for a completion function, kept with the request. Under the submit lock. Errors:
 * OUT_OF_MEMORY. */
int ronde_engine_prepare_call_back(struct ronde_request *request, ronde_done_fn fn, void *arg);
/* The request is done: hands its call over. Under the submit lock. */
void ronde_engine_call_back(struct ronde_context *context, struct ronde_request *request);

#endif
