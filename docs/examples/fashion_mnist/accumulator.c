/* SPDX-License-Identifier: Apache-2.0 */
#include "accumulator.h"

#include <stdlib.h>

int accumulator_init(struct accumulator *accumulator, float *result, size_t count,
		     uint32_t max_parts)
{
	*accumulator = (struct accumulator){0};
	accumulator->result = result;
	/* The last part's number has no bit above these. */
	for (int l = 0; (max_parts - 1) >> l; l++) {
		accumulator->levels[l] = malloc(count * sizeof(float));
		if (!accumulator->levels[l]) {
			accumulator_finish(accumulator);
			return -1;
		}
	}
	return 0;
}

void accumulator_finish(struct accumulator *accumulator)
{
	for (int l = 0; l < ACCUMULATOR_LEVELS; l++)
		free(accumulator->levels[l]);
	*accumulator = (struct accumulator){0};
}

static bool is_last(const struct accumulator *accumulator)
{
	return accumulator->part + 1 == accumulator->parts;
}

/* The sum that this part completes: of 2^level parts; the last part completes everything. */
static int completed_level(const struct accumulator *accumulator)
{
	int level = 0;

	while (is_last(accumulator) ? accumulator->part >> level : accumulator->part >> level & 1)
		level++;
	return level;
}

static float *target(const struct accumulator *accumulator)
{
	if (is_last(accumulator))
		return accumulator->result;
	return accumulator->levels[completed_level(accumulator)];
}

float *accumulator_begin(struct accumulator *accumulator, uint32_t part, uint32_t parts)
{
	accumulator->part = part;
	accumulator->parts = parts;
	return target(accumulator);
}

bool accumulator_add(struct accumulator *accumulator, size_t first, size_t count)
{
	float *restrict sum = target(accumulator) + first;

	for (int l = 0; l < completed_level(accumulator); l++) {
		const float *restrict earlier;

		if (!(accumulator->part >> l & 1))
			continue;
		earlier = accumulator->levels[l] + first;
		for (size_t i = 0; i < count; i++)
			sum[i] += earlier[i];
	}
	return is_last(accumulator);
}
