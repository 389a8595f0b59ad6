/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing past the caches. An ordinary store to a line that is not cached first reads it from
 * memory; for large results that nobody reads soon, that is a third of all traffic. The kernels do
 * it where the processor can: kernels.h's stream(), and reduce() if it is asked to.
 */
#ifndef RONDE_STREAM_H
#define RONDE_STREAM_H

/*
 * Orders all streaming stores of this thread before its later stores. Whoever has called stream()
 * does this before telling anybody that the bytes are there; reduce() does it by itself.
 */
void ronde_stream_end(void);

#endif
