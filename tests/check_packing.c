/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a rank chooses the stores it packs with, on machines that are made up: a rank packs one
 * operation after the other, and is told what that took.
 */
#include "collectives/algorithms/packing.h"
#include "tests/suite.h"

#define BYTES ((uint64_t)1 << 20)

/* What a machine takes for BYTES, in nanoseconds, by way. */
struct machine {
	uint64_t ns[2];
};

static const struct machine one_cache = {{30000, 100000}};
static const struct machine no_cache = {{430000, 100000}};
static const struct machine draw = {{250000, 100000}};

/* Packs an operation; which way. */
static enum ronde_stores_way pack(struct ronde_stores *stores, const struct machine *machine,
				  uint64_t bytes)
{
	struct ronde_plan plan = {.stores = stores};
	struct ronde_packing packing;
	ronde_packing_start(&packing, &plan, bytes);
	enum ronde_stores_way way = (enum ronde_stores_way)packing.way;
	if (packing.class)
		ronde_stores_tell(packing.class, way, machine->ns[way] * bytes / BYTES, bytes);
	return way;
}

/* How many of n operations were packed past the caches. */
static int streamed(struct ronde_stores *stores, const struct machine *machine, int n)
{
	int count = 0;
	for (int i = 0; i < n; i++)
		count += pack(stores, machine, BYTES) == RONDE_STORES_STREAMING;
	return count;
}

START_TEST(the_faster_is_found)
{
	struct ronde_stores shared = {0}, apart = {0};
	ck_assert_int_le(streamed(&shared, &one_cache, 1000), 40);
	ck_assert_int_ge(streamed(&shared, &one_cache, 1000), 3); /* it goes on looking */
	ck_assert_int_ge(streamed(&apart, &no_cache, 1000), 950);
	ck_assert_int_le(streamed(&apart, &no_cache, 1000), 997);
}
END_TEST

/* The first operations meet untouched memory, which says nothing. */
START_TEST(first_ones_do_not_count)
{
	static const struct machine untouched = {{9000000, 9000000}};
	struct ronde_stores stores = {0};
	ck_assert_int_eq(streamed(&stores, &untouched, 4), 0);
	ck_assert_int_le(streamed(&stores, &one_cache, 100), 12);
}
END_TEST

START_TEST(a_machine_may_change)
{
	struct ronde_stores stores = {0};
	for (int turn = 0; turn < 5; turn++) {
		streamed(&stores, &one_cache, 3000);
		/* Ordinary stores have become slow, which shows at once. */
		ck_assert_int_ge(streamed(&stores, &no_cache, 100), 60);
		streamed(&stores, &no_cache, 3000);
		/* That they are fast again shows when they are tried. */
		streamed(&stores, &one_cache, 600);
		ck_assert_int_le(streamed(&stores, &one_cache, 100), 12);
	}
}
END_TEST

START_TEST(a_draw_changes_nothing)
{
	struct ronde_stores stores = {0};
	ck_assert_int_le(streamed(&stores, &draw, 1000), 40);
	streamed(&stores, &no_cache, 1000);
	ck_assert_int_ge(streamed(&stores, &draw, 1000), 300);
}
END_TEST

/* Somebody else had the core for a while. */
START_TEST(interruptions_change_nothing)
{
	static const struct machine interrupted = {{40000000, 40000000}};
	struct ronde_stores stores = {0};
	int wrong = 0;
	streamed(&stores, &no_cache, 1000);
	for (int i = 0; i < 100; i++) {
		pack(&stores, &interrupted, BYTES);
		wrong += 30 - streamed(&stores, &no_cache, 30);
	}
	ck_assert_int_le(wrong, 300);
}
END_TEST

START_TEST(sizes_are_apart)
{
	struct ronde_stores stores = {0};
	streamed(&stores, &no_cache, 100);
	int small = 0, larger = 0;
	for (int i = 0; i < 100; i++) {
		small += pack(&stores, &no_cache, RONDE_STORES_LEAST - 1);
		larger += pack(&stores, &one_cache, 2 * BYTES);
	}
	ck_assert_int_eq(small, 0);
	ck_assert_int_le(larger, 12);
	ck_assert_int_ge(streamed(&stores, &no_cache, 100), 90);
	/* However large. */
	for (int i = 0; i < 10; i++)
		pack(&stores, &no_cache, UINT64_MAX / 1000000);
}
END_TEST

START_TEST(as_told)
{
	struct ronde_stores always = {.mode = RONDE_STORES_ALWAYS};
	struct ronde_stores never = {.mode = RONDE_STORES_NEVER};
	ck_assert_int_eq(streamed(&always, &one_cache, 100), 100);
	ck_assert_int_eq(streamed(&never, &no_cache, 100), 0);
	ck_assert_int_eq(pack(NULL, &no_cache, BYTES), RONDE_STORES_ORDINARY);
}
END_TEST

#define RESULTS ((uint64_t)4 << 20)

/* How many of n operations wrote their results past the caches; a result takes as long as packing.
 */
static int streamed_results(struct ronde_stores *stores, const struct machine *machine, int n,
			    uint64_t bytes)
{
	struct ronde_plan plan = {.stores = stores};
	int count = 0;
	for (int i = 0; i < n; i++) {
		struct ronde_packing results;
		ronde_packing_start_results(&results, &plan, bytes);
		count += results.way == RONDE_STORES_STREAMING;
		if (results.class)
			ronde_stores_tell(results.class, (enum ronde_stores_way)results.way,
					  machine->ns[results.way] * bytes / BYTES, bytes);
	}
	return count;
}

/* Large ones go past the caches unless that is measured to be no faster: nobody else reads them. */
START_TEST(results)
{
	static const struct machine equal = {{96000, 100000}};
	static const struct machine slower = {{130000, 100000}};
	struct ronde_stores stores = {0}, other = {0};
	struct ronde_stores always = {.mode = RONDE_STORES_ALWAYS};
	struct ronde_stores never = {.mode = RONDE_STORES_NEVER};
	ck_assert_int_eq(streamed_results(&stores, &slower, 100, RESULTS - 1), 0);
	ck_assert_int_ge(streamed_results(&stores, &slower, 100, RESULTS), 90);
	ck_assert_int_le(streamed_results(&stores, &one_cache, 100, RESULTS), 40);
	ck_assert_int_le(streamed_results(&stores, &one_cache, 1000, RESULTS), 60);
	ck_assert_int_ge(streamed_results(&stores, &slower, 1000, RESULTS), 900);
	ck_assert_int_ge(streamed_results(&other, &equal, 1000, RESULTS), 940);
	ck_assert_int_eq(streamed_results(NULL, &one_cache, 10, RESULTS), 10);
	ck_assert_int_eq(streamed_results(&always, &one_cache, 10, RESULTS), 10);
	ck_assert_int_eq(streamed_results(&never, &slower, 10, RESULTS), 0);
	/* What is packed is another matter. */
	ck_assert_int_eq(streamed(&stores, &one_cache, 4), 0);
}
END_TEST

/* Operations in flight at once: what one says must not be taken for the other's. */
START_TEST(two_in_flight)
{
	struct ronde_stores stores = {0};
	struct ronde_plan plan = {.stores = &stores};
	int count = 0;
	for (int i = 0; i < 1000; i++) {
		struct ronde_packing p[2];
		for (int k = 0; k < 2; k++)
			ronde_packing_start(&p[k], &plan, BYTES);
		for (int k = 1; k >= 0; k--) {
			if (p[k].class)
				ronde_stores_tell(p[k].class, (enum ronde_stores_way)p[k].way,
						  no_cache.ns[p[k].way], BYTES);
			count += p[k].way;
		}
	}
	ck_assert_int_ge(count, 1900);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{the_faster_is_found, ONCE},
		{first_ones_do_not_count, ONCE},
		{a_machine_may_change, ONCE},
		{a_draw_changes_nothing, ONCE},
		{interruptions_change_nothing, ONCE},
		{sizes_are_apart, ONCE},
		{as_told, ONCE},
		{results, ONCE},
		{two_in_flight, ONCE},
	};
	return SUITE_RUN("packing", 60, tests);
}
