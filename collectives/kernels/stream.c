/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/kernels/stream.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

void ronde_stream_end(void)
{
#if defined(__x86_64__)
	_mm_sfence();
#endif
}
