/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that calculate in another floating-point mode than the default. */
#ifndef RONDE_TESTS_FLOATING_MODE_H
#define RONDE_TESTS_FLOATING_MODE_H

#include "coordinator/floating.h"

#if defined(__x86_64__)
#define FLOATING_FLUSH_TO_ZERO 0x8040u /* and denormals are zero */
#elif defined(__aarch64__)
#define FLOATING_FLUSH_TO_ZERO (1u << 24)
#endif

#endif
