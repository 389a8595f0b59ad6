/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results must not depend on how the application has set rounding or the flushing of denormals:
 * turns run under the default mode, and the thread's own comes back after them.
 */
#ifndef RONDE_FLOATING_H
#define RONDE_FLOATING_H

#if defined(__x86_64__)

#include <xmmintrin.h>

#define RONDE_FLOATING_DEFAULT 0x1f80u /* MXCSR at program start: exceptions masked, nearest */
#define RONDE_FLOATING_STICKY 0x3fu    /* exceptions that have occurred: no part of the mode */

/* Writing MXCSR costs more than reading it, and mostly nothing has changed. */
static inline unsigned int ronde_floating_enter(void)
{
	unsigned int mode = _mm_getcsr();
	if ((mode & ~RONDE_FLOATING_STICKY) != RONDE_FLOATING_DEFAULT)
		_mm_setcsr(RONDE_FLOATING_DEFAULT);
	return mode;
}

static inline void ronde_floating_leave(unsigned int mode)
{
	if (_mm_getcsr() != mode)
		_mm_setcsr(mode);
}

#elif defined(__aarch64__)

static inline void ronde_floating_leave(unsigned int mode)
{
	unsigned long fpcr = mode;
	__asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
}

static inline unsigned int ronde_floating_enter(void)
{
	unsigned long fpcr;
	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	ronde_floating_leave(0);
	return (unsigned int)fpcr;
}

#endif

#endif
