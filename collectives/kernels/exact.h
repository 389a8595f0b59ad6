/* SPDX-License-Identifier: Apache-2.0 */
/* For whatever rounds: compilers may not take liberties. See -ffp-contract=off in meson.build. */
#ifndef RONDE_EXACT_H
#define RONDE_EXACT_H

#ifdef __FAST_MATH__
#error "the kernels' results are defined to the bit: do not compile them with -ffast-math"
#endif

#endif
