/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying past the caches. An ordinary store to a line that is not cached first reads it from
 * memory; for large results that nobody reads soon, that is a third of all traffic.
 */
#ifndef RONDE_STREAM_H
#define RONDE_STREAM_H

#include <stddef.h>

/*
 * memcpy() by streaming stores where the processor has them. The caller must call
 * ronde_stream_end() before it tells anybody that the bytes are there.
 */
void ronde_stream_copy(void *destination, const void *source, size_t bytes);

/* Orders all streaming stores of this thread before its later stores. */
void ronde_stream_end(void);

#endif
