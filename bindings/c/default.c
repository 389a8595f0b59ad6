/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/c/default.h"

#include <pthread.h>
#include <stdlib.h>

#include "collectives/status.h"
#include "coordinator/application.h"
#include "coordinator/log.h"

static struct {
	pthread_mutex_t starting; /* held by init and shutdown */
	pthread_rwlock_t use;     /* read: a function is inside; write: the context comes or goes */
	struct ronde_context *context;
	struct ronde_log log; /* for ever: its function may be set before, between and after */
	bool hooked;          /* exit and fork handlers are installed */
	_Atomic bool forked;  /* this is a child of the process that initialised */
	pthread_mutex_t heap_lock;
	_Atomic(struct ronde_heap *) heap;
} state = {.starting = PTHREAD_MUTEX_INITIALIZER,
	   .use = PTHREAD_RWLOCK_INITIALIZER,
	   .log = RONDE_LOG_INIT,
	   .heap_lock = PTHREAD_MUTEX_INITIALIZER};

struct ronde_context *ronde_default_enter(const char *function)
{
	if (atomic_load_explicit(&state.forked, memory_order_relaxed)) {
		ronde_error(RONDE_ERR_NOT_INITIALIZED,
			    "%s: this process was forked from one that runs Ronde; a child cannot "
			    "take part",
			    function);
		return NULL;
	}
	pthread_rwlock_rdlock(&state.use);
	if (state.context)
		return state.context;
	pthread_rwlock_unlock(&state.use);
	ronde_error(RONDE_ERR_NOT_INITIALIZED,
		    "%s: Ronde is not initialised; call ronde_init() first", function);
	return NULL;
}

void ronde_default_leave(void)
{
	pthread_rwlock_unlock(&state.use);
}

/* ---- memory ---- */

static int make_heap(const char *const *settings)
{
	struct ronde_config config;
	struct ronde_heap *heap = NULL;
	int status = ronde_config_load(&config, settings);
	if (!status)
		status = ronde_heap_create(&heap, (size_t)config.heap_reserve_bytes);
	if (!status)
		atomic_store_explicit(&state.heap, heap, memory_order_release);
	return status;
}

/* The settings are those of ronde_init(), or NULL: they count if this call makes the heap. */
static struct ronde_heap *get_heap(const char *const *settings)
{
	struct ronde_heap *heap = atomic_load_explicit(&state.heap, memory_order_acquire);
	if (heap)
		return heap;
	pthread_mutex_lock(&state.heap_lock);
	heap = atomic_load_explicit(&state.heap, memory_order_relaxed);
	if (!heap && make_heap(settings) == RONDE_OK)
		heap = atomic_load_explicit(&state.heap, memory_order_relaxed);
	pthread_mutex_unlock(&state.heap_lock);
	return heap;
}

void *ronde_alloc(size_t bytes)
{
	struct ronde_heap *heap = get_heap(NULL);
	return heap ? ronde_heap_alloc(heap, bytes) : NULL;
}

int ronde_free(void *memory)
{
	if (!memory)
		return RONDE_OK;
	struct ronde_heap *heap = atomic_load_explicit(&state.heap, memory_order_acquire);
	if (!heap)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"ronde_free: %p is not memory of ronde_alloc(), which was never called",
			memory);
	return ronde_heap_free(heap, memory);
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
	if (pthread_rwlock_trywrlock(&state.use) == 0) {
		struct ronde_context *context = state.context;
		state.context = NULL;
		pthread_rwlock_unlock(&state.use);
		ronde_context_destroy(context);
	}
	pthread_mutex_unlock(&state.starting);
}

/*
 * A process that ends without ronde_shutdown() tells the others, and waits for nobody. Another
 * thread may be inside a call for ever, or just be shutting down: no lock is waited for.
 */
static void at_exit(void)
{
	if (atomic_load(&state.forked) || pthread_rwlock_tryrdlock(&state.use))
		return;
	bool ended = has_ended();
	if (state.context && !ended)
		ronde_context_leave(state.context);
	pthread_rwlock_unlock(&state.use);
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

static int check_options(const ronde_init_options *options)
{
	if (options && options->size < sizeof options->size + sizeof options->settings)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"ronde_init: the options' size is %zu; start from RONDE_INIT_OPTIONS_INIT",
			options->size);
	return RONDE_OK;
}

/* The program calls MPI_Finalize() while Ronde runs on that MPI. */
static void on_finalizing(void *arg)
{
	(void)arg;
	ronde_shutdown();
}

static int start(const ronde_init_options *options)
{
	struct ronde_config config;
	struct ronde_bootstrap *bootstrap;
	struct ronde_context *context;
	int status = check_options(options);
	if (!status)
		status = ronde_config_load(&config, options ? options->settings : NULL);
	if (status)
		return status;
	struct ronde_heap *heap = get_heap(options ? options->settings : NULL);
	if (!heap)
		return RONDE_ERR_OUT_OF_MEMORY;
	if (config.origin[RONDE_CONFIG_heap_reserve_bytes] == RONDE_CONFIG_FROM_SETTINGS &&
	    ronde_heap_reserve(heap) < (size_t)config.heap_reserve_bytes)
		return ronde_error(
			RONDE_ERR_CONFIGURATION,
			"heap_reserve_bytes is %lld, but the process's heap was made "
			"before, with %zu: call ronde_alloc() after ronde_init(), or set "
			"RONDE_HEAP_RESERVE_BYTES",
			(long long)config.heap_reserve_bytes, ronde_heap_reserve(heap));
	status = ronde_bootstrap_open(&bootstrap, config.init_timeout_seconds);
	if (status)
		return status;
	status = ronde_log_reopen(&state.log, config.log, config.log_file, bootstrap->rank);
	if (status) {
		bootstrap->ops->close(bootstrap, false);
		return status;
	}
	bootstrap->finalizing = on_finalizing;
	status = ronde_context_create(&context, bootstrap, &config, &state.log, heap);
	if (status)
		return status;
	install_hooks();
	pthread_rwlock_wrlock(&state.use);
	state.context = context;
	pthread_rwlock_unlock(&state.use);
	return RONDE_OK;
}

static void stop(void)
{
	struct ronde_context *context = state.context;
	if (!context)
		return;
	ronde_context_stop(context); /* every wait inside returns now */
	pthread_rwlock_wrlock(&state.use);
	state.context = NULL;
	pthread_rwlock_unlock(&state.use);
	ronde_context_destroy(context);
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
	pthread_mutex_lock(&state.starting);
	if (has_ended()) /* another rank shut down: this init begins a new life */
		stop();
	int status = state.context ? RONDE_OK : start(options);
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
	stop();
	pthread_mutex_unlock(&state.starting);
	ronde_log_deliver(&state.log);
	return RONDE_OK;
}

int ronde_is_initialized(void)
{
	if (atomic_load(&state.forked))
		return 0;
	pthread_rwlock_rdlock(&state.use);
	int is = state.context != NULL && !has_ended();
	pthread_rwlock_unlock(&state.use);
	return is;
}

int ronde_set_log_function(ronde_log_fn fn, void *arg)
{
	ronde_log_set_function(&state.log, fn, arg);
	return RONDE_OK;
}
