/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one default context behind the public functions: with the heap, the only state of the process
 * that Ronde keeps.
 *
 * A public function enters, uses the context, and leaves. ronde_shutdown() first stops the context,
 * which makes every wait in it return, and then frees it once all have left.
 */
#ifndef RONDE_DEFAULT_H
#define RONDE_DEFAULT_H

#include "coordinator/context.h"

/*
 * The default context, which stays alive until ronde_default_leave(); or NULL, with
 * ERR_NOT_INITIALIZED described, naming the function that was called.
 */
struct ronde_context *ronde_default_enter(const char *function);
void ronde_default_leave(void);
/* For functions that enter by others: OK, or ERR_NOT_INITIALIZED described as above. */
int ronde_default_check(const char *function);

/*
 * The process's heap (memory.c); the configuration and settings of ronde_init() count if this call
 * makes it. Errors: CONFIGURATION (also if the settings ask for more than the heap has that is
 * there), OUT_OF_MEMORY, SYSTEM.
 */
int ronde_default_heap(const struct ronde_config *config, const char *const *settings,
		       struct ronde_heap **heap);

#endif
