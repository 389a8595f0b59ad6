/* SPDX-License-Identifier: Apache-2.0 */
/* The measuring tools themselves: a benchmark that counts wrongly is worse than none. */
#include "perf/ronde-perf/data.h"
#include "perf/ronde-perf/measure.h"
#include "perf/ronde-perf/models.h"
#include "perf/ronde-perf/number.h"
#include "tests/suite.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(numbers_of_16_bits)
{
	static const struct {
		ronde_dtype dtype;
		double value;
		uint16_t bits;
	} rows[] = {
		{RONDE_FLOAT16, 1, 0x3c00},      {RONDE_FLOAT16, -2, 0xc000},
		{RONDE_FLOAT16, 2049, 0x6800}, /* between 2048 and 2050: to even */
		{RONDE_FLOAT16, 2051, 0x6802},   {RONDE_FLOAT16, 0, 0x0000},
		{RONDE_BFLOAT16, 1, 0x3f80},     {RONDE_BFLOAT16, 257, 0x4380},
		{RONDE_BFLOAT16, 259, 0x4382},   {RONDE_BFLOAT16, -0.5, 0xbf00},
		{RONDE_BFLOAT16, 511.5, 0x4400}, /* rounds up into the next exponent */
	};
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint16_t bits;

		perf_number_store(rows[i].dtype, &bits, rows[i].value);
		wrong += bits != rows[i].bits;
		if (i != 2 && i != 3 && i < 6)
			wrong += perf_number_load(rows[i].dtype, &bits) != rows[i].value;
	}
	ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* A naive reduction of what the ranks fill, element by element, then one element spoilt. */
START_TEST(wrong_elements_are_counted)
{
	enum { COUNT = 5001, RANKS = 3, ROUND = 17 };
	ronde_dtype dtype = (ronde_dtype)_i;
	size_t bytes = perf_dtype_bytes(dtype);
	struct perf_data *data = malloc(sizeof(*data));
	unsigned char *inputs[RANKS], *output = malloc(COUNT * bytes);

	perf_data_init(data, dtype, RONDE_SUM, RANKS);
	for (int rank = 0; rank < RANKS; rank++) {
		inputs[rank] = malloc(COUNT * bytes);
		perf_data_fill(data, inputs[rank], COUNT, rank, ROUND);
	}
	for (size_t i = 0; i < COUNT * bytes; i += bytes) {
		double sum = 0;

		for (int rank = 0; rank < RANKS; rank++)
			sum += perf_number_load(dtype, inputs[rank] + i);
		perf_number_store(dtype, output + i, sum);
	}
	ck_assert_uint_eq(perf_data_wrong_reduced(data, output, 0, COUNT, ROUND), 0);
	ck_assert_uint_eq(perf_data_wrong_copy(data, inputs[1], 0, COUNT, 1, ROUND), 0);
	ck_assert_uint_gt(perf_data_wrong_copy(data, inputs[1], 0, COUNT, 2, ROUND), COUNT / 4);
	ck_assert_uint_gt(perf_data_wrong_reduced(data, output, 0, COUNT, ROUND + 1), COUNT / 8);
	output[(COUNT - 1) * bytes] ^= 1;
	output[0] ^= 1;
	ck_assert_uint_eq(perf_data_wrong_reduced(data, output, 0, COUNT, ROUND), 2);
	for (int rank = 0; rank < RANKS; rank++)
		free(inputs[rank]);
	free(output);
	free(data);
}
END_TEST

START_TEST(figures)
{
	double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2}, many[200];
	struct perf_figures f;

	ck_assert(perf_figures_of(odd, 3).median == 2);
	ck_assert(perf_figures_of(even, 4).median == 2.5);
	for (int i = 0; i < 200; i++)
		many[i] = 199 - i;
	f = perf_figures_of(many, 200);
	ck_assert(f.min == 0 && f.max == 199 && f.p99 == 197 && f.mean == 99.5);
}
END_TEST

static int64_t elements_of(const struct perf_model_tensor *tensors, size_t count)
{
	int64_t elements = 0;

	for (size_t i = 0; i < count; i++)
		elements += tensors[i].count;
	return elements;
}

START_TEST(models_have_their_sizes)
{
	struct perf_model_tensor tensors[PERF_MODEL_TENSORS];

	ck_assert_uint_eq(perf_model("vgg", tensors), 0);
	ck_assert_uint_eq(perf_model("lenet5", tensors), 10);
	ck_assert_int_eq(elements_of(tensors, 10), 61706);
	ck_assert_uint_eq(perf_model("resnet50", tensors), 161);
	ck_assert_int_eq(elements_of(tensors, 161), 25557032);
	ck_assert_str_eq(tensors[0].name, "fc.bias");
	ck_assert_str_eq(tensors[160].name, "conv1.weight");
	ck_assert_int_eq(tensors[160].count, 9408);
}
END_TEST

/* Each rank adds to its own counter between meetings; at no meeting may two counters differ. */
static int meet_often(struct perf_meeting *meeting, volatile int *counters, int rank, int size)
{
	for (int round = 1; round <= 200; round++) {
		counters[rank] = round;
		if (!perf_meeting_wait(meeting))
			return 1;
		for (int i = 0; i < size; i++)
			if (counters[i] != round)
				return 2;
		if (!perf_meeting_wait(meeting))
			return 1;
	}
	return 0;
}

START_TEST(ranks_meet_and_miss_the_dead)
{
	enum { RANKS = 3 };
	char path[PERF_MEETING_PATH];
	struct perf_meeting *meeting = perf_meeting_host(RANKS, path);
	volatile int *counters;
	int failures = 0;

	ck_assert_ptr_nonnull(meeting);
	counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(counters != MAP_FAILED);
	for (int rank = 1; rank < RANKS; rank++) {
		pid_t pid = fork();

		if (pid == 0) {
			struct perf_meeting *mine = perf_meeting_join(rank, RANKS, path);
			int result = mine ? meet_often(mine, counters, rank, RANKS) : 3;

			_exit(result);
		}
	}
	failures += meet_often(meeting, counters, 0, RANKS);
	/* The others have left without a word. */
	failures += perf_meeting_wait(meeting) ? 1 : 0;
	for (int rank = 1; rank < RANKS; rank++) {
		int status;

		failures += wait(&status) < 0 || status != 0;
	}
	ck_assert_int_eq(failures, 0);
	munmap((void *)counters, 4096);
	perf_meeting_close(meeting);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{numbers_of_16_bits, ONCE},
		/* Not bool: a sum of it is an or. */
		{wrong_elements_are_counted, 0, RONDE_BOOL},
		{figures, ONCE},
		{models_have_their_sizes, ONCE},
		{ranks_meet_and_miss_the_dead, ONCE},
	};
	return SUITE_RUN("perf", 60, tests);
}
