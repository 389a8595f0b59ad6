/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an entry of the log: libFuzzer. */
#include "tests/wire_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	walk_entry(data, bytes, &walk_limits);
	return 0;
}
