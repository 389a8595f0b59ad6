/* SPDX-License-Identifier: Apache-2.0 */
/* The process's one heap: made by the first who needs it, kept for ever. */
#include <pthread.h>
#include <stdatomic.h>

#include "bindings/c/default.h"
#include "collectives/status.h"

static pthread_mutex_t heap_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct ronde_heap *) the_heap;

static int make_heap(const char *const *settings)
{
	struct ronde_config config;
	struct ronde_heap *heap = NULL;
	int status = ronde_config_load(&config, settings);
	if (!status)
		status = ronde_heap_create(&heap, (size_t)config.heap_reserve_bytes);
	if (!status)
		atomic_store_explicit(&the_heap, heap, memory_order_release);
	return status;
}

/* The settings are those of ronde_init(), or NULL: they count if this call makes the heap. */
static int get_heap(const char *const *settings, struct ronde_heap **heap)
{
	int status = RONDE_OK;
	*heap = atomic_load_explicit(&the_heap, memory_order_acquire);
	if (*heap)
		return RONDE_OK;
	pthread_mutex_lock(&heap_lock);
	if (!atomic_load_explicit(&the_heap, memory_order_relaxed))
		status = make_heap(settings);
	*heap = atomic_load_explicit(&the_heap, memory_order_relaxed);
	pthread_mutex_unlock(&heap_lock);
	return status;
}

int ronde_default_heap(const struct ronde_config *config, const char *const *settings,
		       struct ronde_heap **heap)
{
	int status = get_heap(settings, heap);
	if (!status &&
	    config->origin[RONDE_CONFIG_heap_reserve_bytes] == RONDE_CONFIG_FROM_SETTINGS &&
	    ronde_heap_reserve(*heap) < (size_t)config->heap_reserve_bytes)
		status = ronde_error(
			RONDE_ERR_CONFIGURATION,
			"heap_reserve_bytes is %lld, but the process's heap was made "
			"before, with %zu: call ronde_alloc() after ronde_init(), or set "
			"RONDE_HEAP_RESERVE_BYTES",
			(long long)config->heap_reserve_bytes, ronde_heap_reserve(*heap));
	return status;
}

void *ronde_alloc(size_t bytes)
{
	struct ronde_heap *heap;
	return get_heap(NULL, &heap) == RONDE_OK ? ronde_heap_alloc(heap, bytes) : NULL;
}

int ronde_free(void *memory)
{
	if (!memory)
		return RONDE_OK;
	struct ronde_heap *heap = atomic_load_explicit(&the_heap, memory_order_acquire);
	if (!heap)
		return ronde_error(
			RONDE_ERR_INVALID_ARGUMENT,
			"ronde_free: %p is not memory of ronde_alloc(), which was never called",
			memory);
	return ronde_heap_free(heap, memory);
}
