/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Picks a set at run time. To add one: a row here, a row in meson.build, its declaration in
 * loops.h; and if it converts 16-bit floats by instruction, a branch in f16.h.
 */
#include "collectives/kernels/kernels.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "collectives/kernels/loops.h"
#include "collectives/status.h"

#ifdef __x86_64__
#include <cpuid.h>

static bool has_avx2(void)
{
	/* clang 14 cannot be asked for f16c by name */
	unsigned int a, b, c, d;
	return __builtin_cpu_supports("avx2") && __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
}

static bool has_avx512(void)
{
	return has_avx2() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512dq");
}
#endif

static bool always(void)
{
	return true;
}

/* Best first. A processor that has what a set needs has what all sets after it need. */
static const struct ronde_kernels *const sets[] = {
#ifdef __x86_64__
	&ronde_kernels_avx512,
	&ronde_kernels_avx2,
#elif defined(__aarch64__)
	&ronde_kernels_neon,
#endif
	&ronde_kernels_c,
};

static bool (*const runs_here[])(void) = {
#ifdef __x86_64__
	has_avx512,
	has_avx2,
#elif defined(__aarch64__)
	always,
#endif
	always,
};

#define SETS (sizeof sets / sizeof sets[0])
_Static_assert(SETS == sizeof runs_here / sizeof runs_here[0], "a test for every set");

const struct ronde_kernels *const *ronde_kernels_available(size_t *count)
{
	size_t best = 0;
	while (!runs_here[best]())
		best++;
	*count = SETS - best;
	return sets + best;
}

/* Writes "avx512, avx2, c". */
static void list_names(char *text, size_t room, const struct ronde_kernels *const *list, size_t n)
{
	size_t used = 0;
	text[0] = 0;
	for (size_t i = 0; i < n && used < room; i++)
		used += (size_t)snprintf(text + used, room - used, "%s%s", i ? ", " : "",
					 list[i]->name);
}

const struct ronde_kernels *ronde_kernels_select(const char *cap)
{
	size_t n;
	const struct ronde_kernels *const *available = ronde_kernels_available(&n);
	if (!cap || !cap[0])
		return available[0];
	for (size_t i = 0; i < n; i++)
		if (!strcmp(available[i]->name, cap))
			return available[i];

	char names[128];
	list_names(names, sizeof names, available, n);
	for (size_t i = 0; i < SETS; i++) {
		if (strcmp(sets[i]->name, cap))
			continue;
		ronde_error(RONDE_ERR_CONFIGURATION,
			    "the reduction kernels \"%s\" need instructions that this processor "
			    "does not have; it can run: %s. Name one of these (RONDE_ISA), or none "
			    "to get the best.",
			    cap, names);
		return NULL;
	}
	ronde_error(RONDE_ERR_CONFIGURATION,
		    "there are no reduction kernels called \"%.64s\"; this processor can run: %s. "
		    "Name one of these (RONDE_ISA), or none to get the best.",
		    cap, names);
	return NULL;
}
