/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one default context behind the public functions: the only state of the process that Ronde
 * keeps.
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

#endif
