/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/c/default.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindings/c/process_sets.h"
#include "collectives/bootstrap/wait.h"
#include "collectives/status.h"
#include "coordinator/application.h"
#include "coordinator/log.h"

#define CLOSED (1u << 31)

/* How long ronde_shutdown() waits for threads and functions of the application inside; when it says
 * that it waits. */
#define LEAVE_SECONDS 5.0
#define LEAVE_NOTICE_SECONDS 1.0

static struct {
	pthread_mutex_t starting; /* held by init and shutdown */
	_Atomic uint32_t inside;  /* functions that use the context; CLOSED: no more may */
	struct ronde_context *context;
	struct ronde_log log; /* for ever: its function may be set before, between and after */
	int lives;            /* contexts started */
	bool hooked;          /* exit and fork handlers are installed */
	_Atomic bool forked;  /* this is a child of the process that initialised */
} state = {.starting = PTHREAD_MUTEX_INITIALIZER, .inside = CLOSED, .log = RONDE_LOG_INIT};

/* ---- inside and outside ---- */

/* Enters if there is a context that is not about to go. */
static struct ronde_context *enter(void)
{
	uint32_t before = atomic_fetch_add_explicit(&state.inside, 1, memory_order_acquire);
	if (!(before & CLOSED))
		return state.context;
	atomic_fetch_sub_explicit(&state.inside, 1, memory_order_release);
	return NULL;
}

struct ronde_context *ronde_default_enter(const char *function)
{
	if (atomic_load_explicit(&state.forked, memory_order_relaxed)) {
		ronde_error(RONDE_ERR_NOT_INITIALIZED,
			    "%s: this process was forked from one that runs Ronde; a child cannot "
			    "take part",
			    function);
		return NULL;
	}
	struct ronde_context *context = enter();
	if (!context)
		ronde_error(RONDE_ERR_NOT_INITIALIZED,
			    "%s: Ronde is not initialised; call ronde_init() first", function);
	return context;
}

void ronde_default_leave(void)
{
	atomic_fetch_sub_explicit(&state.inside, 1, memory_order_release);
}

int ronde_default_check(const char *function)
{
	if (!ronde_default_enter(function))
		return RONDE_ERR_NOT_INITIALIZED;
	ronde_default_leave();
	return RONDE_OK;
}

static void open_context(struct ronde_context *context)
{
	state.context = context;
	atomic_fetch_and_explicit(&state.inside, ~CLOSED, memory_order_release);
}

/* From here on nobody enters. */
static void close_context(void)
{
	atomic_fetch_or_explicit(&state.inside, CLOSED, memory_order_acq_rel);
}

static bool all_have_left(void)
{
	return atomic_load_explicit(&state.inside, memory_order_acquire) == CLOSED &&
	       ronde_engine_calls_made(state.context);
}

/* ---- exit and fork ---- */

static bool has_ended(void)
{
	return state.context && ronde_context_ended(state.context);
}

/* After another rank's shutdown: ends this rank's part as ronde_shutdown() would, if nobody is
 * inside. */
static void close_ended(void)
{
	if (ronde_application_is_called() || pthread_mutex_trylock(&state.starting))
		return;
	if (state.context) {
		close_context();
		if (all_have_left()) {
			ronde_context_destroy(state.context);
			state.context = NULL;
		} else {
			open_context(state.context);
		}
	}
	pthread_mutex_unlock(&state.starting);
}

/*
 * A process that ends without ronde_shutdown() tells the others, and waits for nobody. Another
 * thread may be inside a call for ever, or just be shutting down: no lock is waited for.
 */
static void at_exit(void)
{
	struct ronde_context *context = atomic_load(&state.forked) ? NULL : enter();
	if (!context)
		return;
	bool ended = ronde_context_ended(context);
	if (!ended)
		ronde_context_leave(context);
	ronde_default_leave();
	if (ended)
		close_ended();
}

static void after_fork_in_child(void)
{
	if (state.context)
		atomic_store(&state.forked, true);
}

static void install_hooks(void)
{
	if (state.hooked)
		return;
	state.hooked = true;
	atexit(at_exit);
	pthread_atfork(NULL, NULL, after_fork_in_child);
}

/* ---- starting and stopping ---- */

/* The options' size in the first version. */
#define INIT_OPTIONS_1 (offsetof(ronde_init_options, settings) + sizeof(const char *const *))

/* Fills `all` with the defaults and what the caller's struct, maybe of an older version, says. */
static int read_options(ronde_init_options *all, const ronde_init_options *options)
{
	*all = (ronde_init_options)RONDE_INIT_OPTIONS_INIT;
	if (!options)
		return RONDE_OK;
	if (options->size < INIT_OPTIONS_1)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"ronde_init: the options' size is %zu; start from RONDE_INIT_OPTIONS_INIT",
			options->size);
	memcpy(all, options, options->size < sizeof *all ? options->size : sizeof *all);
	return RONDE_OK;
}

static int check_options(const ronde_init_options *all)
{
	for (size_t i = 0; i < all->process_set_count; i++)
		if (!all->process_sets ||
		    (!all->process_sets[i].ranks && all->process_sets[i].count))
			return ronde_error(RONDE_ERR_INVALID_ARGUMENT,
					   "ronde_init: the ranks of process set %zu are NULL",
					   i + 1);
	return RONDE_OK;
}

/* The program calls MPI_Finalize() while Ronde runs on that MPI. */
static void on_finalizing(void *arg)
{
	(void)arg;
	ronde_shutdown();
}

/*
 * Finds the other ranks, and everything this one needs by itself. A rank that fails in the latter
 * meets the others all the same, to tell them; so they fail with it, and at once.
 */
static int meet(const ronde_init_options *given, ronde_init_options *options,
		struct ronde_config *config, struct ronde_heap **heap,
		struct ronde_bootstrap **bootstrap)
{
	char why[RONDE_CONFIG_WHY_BYTES];
	int status = read_options(options, given);
	if (status)
		return status; /* it is not known where to meet */
	ronde_config_salvage(config);
	status = check_options(options);
	if (!status)
		status = ronde_config_load(config, options->settings);
	if (!status)
		status = ronde_default_heap(config, options->settings, heap);
	snprintf(why, sizeof why, "%s", ronde_error_message());
	int met = ronde_bootstrap_open(bootstrap, config->init_timeout_seconds,
				       options->mpi_communicator);
	if (met)
		return status ? ronde_error(status, "%s", why) : met;
	if (!status) {
		status = ronde_log_reopen(&state.log, config->log, config->log_file,
					  (*bootstrap)->rank);
		snprintf(why, sizeof why, "%s", ronde_error_message());
	}
	if (status) {
		status = ronde_config_share(*bootstrap, config, status, why, NULL);
		(*bootstrap)->ops->close(*bootstrap, false);
	}
	return status;
}

static int start(const ronde_init_options *given)
{
	ronde_init_options options;
	struct ronde_config config;
	struct ronde_heap *heap = NULL;
	struct ronde_bootstrap *bootstrap;
	struct ronde_context *context;
	int status = meet(given, &options, &config, &heap, &bootstrap);
	if (status)
		return status;
	bootstrap->finalizing = on_finalizing;
	status = ronde_context_create(&context, bootstrap, &config, &state.log, heap);
	if (status)
		return status;
	status = ronde_process_sets_begin(context, &options);
	if (status) {
		ronde_context_destroy(context);
		return status;
	}
	ronde_timeline_configure(context, ++state.lives);
	install_hooks();
	open_context(context);
	return RONDE_OK;
}

static int still_inside(void)
{
	uint32_t threads = atomic_load(&state.inside) & ~CLOSED;
	bool calls = !ronde_engine_calls_made(state.context);
	open_context(state.context); /* calls tell again how it ended */
	return ronde_error(
		RONDE_ERR_BUSY,
		"ronde_shutdown: Ronde has ended, but after %g s %u thread(s) are still inside its "
		"functions%s; let them return and call ronde_shutdown() again",
		LEAVE_SECONDS, threads,
		calls ? ", and a function of the application that it called has not returned" : "");
}

/* What could make a thread stay is over, but for functions of the application. */
static int wait_until_left(void)
{
	double since = ronde_seconds();
	bool said = false;
	close_context();
	for (int looks = 0; !all_have_left(); looks++) {
		double waited = ronde_seconds() - since;
		if (waited > LEAVE_SECONDS)
			return still_inside();
		if (waited > LEAVE_NOTICE_SECONDS && !said) {
			said = true;
			ronde_log(
				&state.log, WARN,
				"ronde_shutdown waits for threads inside Ronde's functions, or for "
				"a function of the application that Ronde called");
		}
		if (looks < 100)
			sched_yield();
		else
			usleep(200);
	}
	return RONDE_OK;
}

/* Errors: BUSY. */
static int stop(void)
{
	if (!state.context)
		return RONDE_OK;
	ronde_context_stop(state.context); /* every wait inside returns now */
	int status = wait_until_left();
	if (status)
		return status;
	ronde_context_destroy(state.context);
	state.context = NULL;
	return RONDE_OK;
}

int ronde_init(const ronde_init_options *options)
{
	if (ronde_application_is_called())
		return ronde_application_refuse("ronde_init");
	if (atomic_load(&state.forked))
		return ronde_error(
			RONDE_ERR_NOT_INITIALIZED,
			"ronde_init: this process was forked from one that runs Ronde; start ranks "
			"before ronde_init(), or by a launcher");
	int status = RONDE_OK;
	pthread_mutex_lock(&state.starting);
	if (has_ended()) /* another rank shut down: this init begins a new life */
		status = stop();
	if (!status && !state.context)
		status = start(options);
	pthread_mutex_unlock(&state.starting);
	ronde_log_deliver(&state.log);
	return status;
}

int ronde_shutdown(void)
{
	if (ronde_application_is_called())
		return ronde_application_refuse("ronde_shutdown");
	if (atomic_load(&state.forked))
		return RONDE_OK;
	pthread_mutex_lock(&state.starting);
	int status = stop();
	pthread_mutex_unlock(&state.starting);
	ronde_log_deliver(&state.log);
	return status;
}

int ronde_is_initialized(void)
{
	if (atomic_load(&state.forked))
		return 0;
	struct ronde_context *context = enter();
	if (!context)
		return 0;
	int is = !ronde_context_ended(context);
	ronde_default_leave();
	return is;
}

int ronde_set_log_function(ronde_log_fn fn, void *arg)
{
	ronde_log_set_function(&state.log, fn, arg);
	return RONDE_OK;
}
