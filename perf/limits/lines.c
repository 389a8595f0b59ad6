/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/limits/lines.h"

#include <string.h>

size_t perf_lines_bytes(int size)
{
	return (size_t)(size + 1) * sizeof(struct perf_line);
}

static const float *hear(const struct perf_lines *lines, int who, void (*relax)(void *), void *arg)
{
	const struct perf_line *line = &lines->line[who];

	while (atomic_load_explicit(&line->turn, memory_order_acquire) != lines->turn)
		relax(arg);
	return line->floats;
}

static void say(struct perf_lines *lines, int who, const float *floats, size_t count)
{
	struct perf_line *line = &lines->line[who];

	memcpy(line->floats, floats, count * sizeof(*floats));
	atomic_store_explicit(&line->turn, lines->turn, memory_order_release);
}

void perf_lines_add(struct perf_lines *lines, const float *input, float *output, size_t count,
		    void (*relax)(void *arg), void *arg)
{
	float sum[PERF_LINE_FLOATS];

	lines->turn++;
	if (lines->rank != 0) {
		say(lines, lines->rank, input, count);
		memcpy(output, hear(lines, lines->size, relax, arg), count * sizeof(*output));
		return;
	}
	memcpy(sum, input, count * sizeof(*sum));
	for (int who = 1; who < lines->size; who++) {
		const float *floats = hear(lines, who, relax, arg);

		for (size_t i = 0; i < count; i++)
			sum[i] += floats[i];
	}
	say(lines, lines->size, sum, count);
	memcpy(output, sum, count * sizeof(*output));
}
