/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an entry of the log: libFuzzer. */
#include "tests/wire_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const struct ronde_desc desc = {
		.kind = RONDE_KIND_ALLREDUCE, .dtype = RONDE_FLOAT32, .ndim = 1, .dims = {8}};
	walk_entry(data, bytes, &walk_limits);
	walk_brief(data, bytes, &desc);
	return 0;
}
