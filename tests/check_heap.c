/* SPDX-License-Identifier: Apache-2.0 */
/* The heap: sizes, errors, limits of the process, children. (check_heap_random: a model, threads.)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collectives/heap.h"
#include "collectives/heap_spans.h"
#include "collectives/memory_file.h"
#include "collectives/memory_room.h"
#include "collectives/status.h"
#include "tests/heap_fixture.h"
#include "tests/suite.h"

static uint64_t seed;

/* ---- properties ---- */

START_TEST(size_classes)
{
	int bad = 0;
	for (size_t bytes = 0; bytes <= RONDE_SMALL_LIMIT; bytes++) {
		int c = ronde_small_class(bytes);
		bad += c < 0 || c >= RONDE_SMALL_CLASSES || ronde_small_size(c) < bytes ||
		       (c > 0 && ronde_small_size(c - 1) >= bytes) || ronde_small_size(c) % 64;
	}
	ck_assert_int_eq(bad, 0);
}
END_TEST

START_TEST(memory_is_present)
{
	static const size_t sizes[] = {100, 4096, 16384, 1 * MIB, 32 * MIB};
	long faults = 0;
	int zeros = open("/dev/zero", O_RDONLY);
	size_t total = 0;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		unsigned char *memory = ronde_heap_alloc(heap, sizes[i]);
		struct rusage before, after;
		getrusage(RUSAGE_SELF, &before);
		/* Written by the kernel: our own writes would touch a sanitizer's memory as well.
		 */
		ck_assert_int_eq(syscall(SYS_read, zeros, memory, sizes[i]), (long)sizes[i]);
		getrusage(RUSAGE_SELF, &after);
		faults += after.ru_minflt - before.ru_minflt;
		total += sizes[i];
	}
	/* A few belong to the test itself; a heap that is not there has 8,000. */
	close(zeros);
	ck_assert_int_lt(faults, 100);
	ck_assert(memory_used() == 0 || memory_used() >= total);
}
END_TEST

START_TEST(zero_bytes_are_unique)
{
	void *a = ronde_heap_alloc(heap, 0), *b = ronde_heap_alloc(heap, 0);
	uint64_t offset;
	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_nonnull(b);
	ck_assert_ptr_ne(a, b);
	ck_assert(ronde_heap_find(heap, a, 0, &offset));
	ck_assert(!ronde_heap_find(heap, a, 1, &offset));
	ck_assert_int_eq(ronde_heap_free(heap, a), RONDE_OK);
	ck_assert_int_eq(ronde_heap_free(heap, b), RONDE_OK);
	ck_assert_int_eq(ronde_heap_free(heap, NULL), RONDE_OK);
}
END_TEST

/* Free neighbours join: afterwards the whole is one piece again. */
START_TEST(neighbours_join)
{
	struct ronde_heap *small;
	ck_assert_int_eq(ronde_heap_create(&small, 32 * MIB), RONDE_OK);
	uint64_t state = seed;
	for (int round = 0; round < 5; round++) {
		void *pieces[2000];
		int n = 0;
		while (n < 2000 && (pieces[n] = ronde_heap_alloc(small, random_size(&state, 20))))
			n++;
		for (; n > 0; n--) {
			int i = (int)(next_random(&state) % (uint64_t)n);
			ck_assert_int_eq(ronde_heap_free(small, pieces[i]), RONDE_OK);
			pieces[i] = pieces[n - 1];
		}
		void *whole = ronde_heap_alloc(small, 32 * MIB);
		ck_assert_msg(whole != NULL, "seed %llu: %s", (unsigned long long)seed,
			      ronde_error_message());
		ronde_heap_free(small, whole);
	}
	ronde_heap_destroy(small);
}
END_TEST

/* ---- errors ---- */

static void expect_text(const char *part)
{
	const char *text = ronde_error_message();
	ck_assert_msg(strstr(text, part), "\"%s\" lacks \"%s\"", text, part);
}

static void expect_refusal(void *memory, const char *part)
{
	ck_assert_int_eq(ronde_heap_free(heap, memory), RONDE_ERR_INVALID_ARGUMENT);
	expect_text(part);
}

START_TEST(wrong_pointers)
{
	static const size_t sizes[] = {1, 300, 16384, 16385, 3 * MIB};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		unsigned char *memory = ronde_heap_alloc(heap, sizes[i]);
		char text[64];
		snprintf(text, sizeof text, "1 bytes into an allocation of %zu bytes", sizes[i]);
		expect_refusal(memory + 1, text);
		ck_assert_int_eq(ronde_heap_free(heap, memory), RONDE_OK);
		expect_refusal(memory, "was it freed before?");
		expect_refusal(memory + 1, "was it freed before?");
	}
	int local;
	expect_refusal(&local, "outside the heap");
	expect_refusal(ronde_heap_base(heap) + ronde_heap_reserve(heap), "outside the heap");
	expect_refusal(ronde_heap_base(heap) - 1, "outside the heap");
	expect_refusal(ronde_heap_base(heap) + 100 * MIB, "was it freed before?");
	uint64_t offset;
	ck_assert(!ronde_heap_find(heap, &local, 1, &offset));
	ck_assert(!ronde_heap_find(heap, NULL, 0, &offset));
	ck_assert(!ronde_heap_hold(heap, &local, 1, &offset));
}
END_TEST

START_TEST(held_memory_stays)
{
	static const size_t sizes[] = {64, 5000, 2 * MIB};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		unsigned char *memory = ronde_heap_alloc(heap, sizes[i]);
		uint64_t first, second;
		ck_assert(ronde_heap_hold(heap, memory, sizes[i], &first));
		ck_assert(ronde_heap_hold(heap, memory + 32, 32, &second));
		ck_assert_uint_eq(second, first + 32);
		ck_assert(!ronde_heap_hold(heap, memory + 32, sizes[i], &second));
		memory[0] = 7;
		ck_assert_int_eq(ronde_heap_free(heap, memory), RONDE_ERR_BUSY);
		expect_text("2 operation(s) in flight");
		ronde_heap_release(heap, first);
		ck_assert_int_eq(ronde_heap_free(heap, memory), RONDE_ERR_BUSY);
		ck_assert_int_eq(memory[0], 7);
		ronde_heap_release(heap, second);
		ck_assert_int_eq(ronde_heap_free(heap, memory), RONDE_OK);
		ck_assert(!ronde_heap_hold(heap, memory, 1, &first));
	}
}
END_TEST

START_TEST(too_much)
{
	struct ronde_memory_room room;
	ronde_memory_room(&room, "");
	if (room.bytes < (uint64_t)1 << 39) {
		ck_assert_ptr_null(ronde_heap_alloc(heap, (size_t)1 << 39));
		expect_text("ronde_alloc(549755813888): 549755813888 bytes (512.0 GiB) wanted, ");
		expect_text(" available by ");
	}
	ck_assert_ptr_null(ronde_heap_alloc(heap, (size_t)1 << 41));
	expect_text("RONDE_HEAP_RESERVE_BYTES");
	ck_assert_ptr_null(ronde_heap_alloc(heap, SIZE_MAX));
	struct ronde_heap *small;
	ck_assert_int_eq(ronde_heap_create(&small, MIB), RONDE_OK);
	void *half = ronde_heap_alloc(small, MIB / 2);
	ck_assert_ptr_nonnull(half);
	ck_assert_ptr_null(ronde_heap_alloc(small, MIB * 3 / 4));
	expect_text("has 524288 bytes free, at most 524288 of them in one piece");
	ck_assert_ptr_nonnull(ronde_heap_alloc(small, MIB / 2));
	ronde_heap_destroy(small);
	/* Nothing of it is left in the heap's books. */
	ck_assert_uint_eq(memory_used(), 0);
}
END_TEST

START_TEST(limits_of_the_process)
{
	struct ronde_heap *other;
	struct rlimit before, little;
	getrlimit(RLIMIT_FSIZE, &before);
	little = before;
	little.rlim_cur = 1000000;
	setrlimit(RLIMIT_FSIZE, &little);
	int status = ronde_heap_create(&other, 64 * MIB);
	setrlimit(RLIMIT_FSIZE, &before);
	ck_assert_int_eq(status, RONDE_ERR_SYSTEM);
	expect_text("ulimit -f");
	ck_assert_int_eq(ronde_heap_create(&other, (size_t)1 << 62), RONDE_ERR_OUT_OF_MEMORY);
	expect_text("RONDE_HEAP_RESERVE_BYTES");
}
END_TEST

static int in_child(int *memory)
{
	if (memory[3] != 33)
		return __LINE__;
	memory[4] = 44;
	if (ronde_heap_alloc(heap, 8) || !strstr(ronde_error_message(), "forked"))
		return __LINE__;
	if (ronde_heap_free(heap, memory) != RONDE_ERR_INVALID_ARGUMENT)
		return __LINE__;
	return strstr(ronde_error_message(), "forked") ? 0 : __LINE__;
}

START_TEST(a_child_may_read_and_write)
{
	int *memory = ronde_heap_alloc(heap, 4096);
	memory[3] = 33;
	pid_t child = fork();
	if (child == 0)
		_exit(in_child(memory) % 256);
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(memory[4], 44);
	ck_assert_int_eq(ronde_heap_free(heap, memory), RONDE_OK);
}
END_TEST

/* madvise() refuses an address within a page, as old kernels do what they do not know. */
START_TEST(fallbacks_of_old_kernels)
{
	bool memfd;
	int fd = ronde_memory_file_create("a test", MIB, false, &memfd);
	ck_assert_int_ge(fd, 0);
	unsigned char *memory = ronde_memory_file_map(fd, MIB);
	ck_assert_ptr_nonnull(memory);
	ck_assert_int_eq(ronde_memory_file_populate(fd, 64, memory + 64, 8192 - 64), 0);
	struct stat file;
	fstat(fd, &file);
	ck_assert_int_eq((int)file.st_blocks * 512, 8192);
	memset(memory, 5, 8192);
	ronde_memory_file_punch(fd, 64, memory + 64, 8192 - 64);
	fstat(fd, &file);
	ck_assert_int_eq((int)file.st_blocks * 512, 4096);
	ck_assert(all_bytes(memory, 64, 5) && all_bytes(memory + 64, 8192 - 64, 0));
	close(fd);
}
END_TEST

/* Memory that others have mapped must not shrink under them: touching it would be a SIGBUS. */
START_TEST(nobody_can_resize_it)
{
	int fd = ronde_heap_fd(heap);
	struct stat before, after;
	ck_assert_int_eq(fstat(fd, &before), 0);
	errno = 0;
	ck_assert(ftruncate(fd, before.st_size - 4096) == -1 && errno == EPERM);
	errno = 0;
	ck_assert(ftruncate(fd, before.st_size + 4096) == -1 && errno == EPERM);
	errno = 0;
	ck_assert(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EPERM);
	ck_assert_int_eq(fstat(fd, &after), 0);
	ck_assert_int_eq(after.st_size, before.st_size);
}
END_TEST

int main(void)
{
	seed = test_seed();
	const struct suite_test tests[] = {
		{size_classes, ONCE},
		{memory_is_present, ONCE},
		{zero_bytes_are_unique, ONCE},
		{neighbours_join, ONCE},
		{wrong_pointers, ONCE},
		{held_memory_stays, ONCE},
		{too_much, ONCE},
		{limits_of_the_process, ONCE},
		{a_child_may_read_and_write, ONCE},
		{fallbacks_of_old_kernels, ONCE},
		{nobody_can_resize_it, ONCE},
	};
	Suite *suite = suite_create("heap");
	tcase_add_checked_fixture(SUITE_ADD(suite, "heap", 60, tests), make_heap, destroy_heap);
	return suite_end(suite);
}
