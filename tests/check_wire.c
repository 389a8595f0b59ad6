/* SPDX-License-Identifier: Apache-2.0 */
/* Announcements: what is written is read, and what is damaged is refused. */
#include <stdlib.h>
#include <string.h>

#include "tests/suite.h"
#include "tests/wire_random.h"

struct said {
	struct ronde_announcement head;
	struct ronde_desc desc;
	char name[RONDE_MAX_NAME + 1];
	struct ronde_location location;
	uint64_t ready_ns;
	unsigned char payload[4096];
};

static size_t random_announcement(unsigned *seed, struct said *s, unsigned char *record)
{
	bool full = below(seed, 2);
	s->head = (struct ronde_announcement){
		.type = full ? RONDE_ANNOUNCE_FULL : RONDE_ANNOUNCE_READY,
		.located = below(seed, 2) & 1,
		.timed = below(seed, 2) & 1,
		.payload_bytes = below(seed, 2) ? (uint32_t)below(seed, sizeof s->payload) : 0,
		.slot = (uint32_t)rand_r(seed),
		.generation = (uint32_t)rand_r(seed)};
	s->desc = random_desc(seed);
	if (full && below(seed, 3))
		s->head.name_bytes = (uint16_t)random_name(seed, s->name);
	else
		s->head.ordinal = below(seed, UINT64_MAX);
	s->location = (struct ronde_location){below(seed, UINT64_MAX), below(seed, UINT64_MAX)};
	s->ready_ns = 1 + below(seed, UINT64_MAX - 1);
	random_bytes(seed, s->payload, s->head.payload_bytes);
	size_t bytes = ronde_announcement_bytes(&s->head, &s->desc);
	ronde_announcement_write(record, &s->head, &s->desc, s->name, &s->location, s->ready_ns,
				 s->payload);
	return bytes;
}

/* What differs from what was said; NULL: nothing. */
static const char *compare(const struct said *s, const struct ronde_heard *h)
{
	struct ronde_location nowhere = {RONDE_NOT_IN_HEAP, RONDE_NOT_IN_HEAP};
	const struct ronde_location *location = s->head.located ? &s->location : &nowhere;
	if (memcmp(&s->head, &h->head, sizeof s->head) != 0)
		return "head";
	if (memcmp(location, &h->location, sizeof *location) != 0)
		return "location";
	if (h->ready_ns != (s->head.timed ? s->ready_ns : 0))
		return "time";
	if (memcmp(s->payload, h->payload, s->head.payload_bytes) != 0)
		return "payload";
	if (s->head.type != RONDE_ANNOUNCE_FULL)
		return NULL;
	if (!ronde_desc_equal(&s->desc, &h->desc))
		return "description";
	if (memcmp(s->desc.dims, h->desc.dims, sizeof s->desc.dims) != 0)
		return "extents beyond those given";
	struct ronde_key key;
	ronde_key_set(&key, (enum ronde_kind)s->desc.kind, s->desc.set,
		      s->head.name_bytes ? s->name : NULL, s->head.name_bytes, s->head.ordinal);
	if (memcmp(&key, &h->key, ronde_key_bytes(&key)) != 0 ||
	    strncmp(key.name, h->key.name, sizeof key.name) != 0)
		return "key";
	return NULL;
}

START_TEST(announcements_come_back)
{
	static struct said s;
	static alignas(8) unsigned char record[RECORD_BYTES];
	unsigned seed = seed_of(_i);
	const char *wrong = NULL;
	int k = 0;
	for (; k < 5000 && !wrong; k++) {
		struct ronde_heard h;
		memset(&h, 0x5a, sizeof h);
		size_t bytes = random_announcement(&seed, &s, record);
		ck_assert_uint_eq(bytes % 8, 0);
		wrong = ronde_announcement_read(record, bytes, &h) ? compare(&s, &h) : "refused";
	}
	ck_assert_msg(!wrong, "seed %u, announcement %d: %s", seed_of(_i), k, wrong);
}
END_TEST

START_TEST(damaged_announcements)
{
	static struct said s;
	static alignas(8) unsigned char record[RECORD_BYTES];
	unsigned seed = seed_of(_i);
	int taken = 0, refused = 0;
	for (int k = 0; k < 5000; k++) {
		size_t bytes = damage(&seed, record, random_announcement(&seed, &s, record));
		*(walk_announcement(record, bytes) ? &taken : &refused) += 1;
		bytes = below(&seed, 200);
		random_bytes(&seed, record, bytes);
		record[0] = (unsigned char)(1 + k % 3);
		walk_announcement(record, bytes);
	}
	ck_assert_int_gt(taken, 100); /* else the damage shows nothing */
	ck_assert_int_gt(refused, 1000);
}
END_TEST

/* A name that is longer than names are, in a record that is as long as it says. */
START_TEST(long_names)
{
	static alignas(8) unsigned char record[RECORD_BYTES];
	static char name[UINT16_MAX];
	static const struct ronde_desc desc = {.kind = RONDE_KIND_BARRIER};
	struct ronde_heard h;
	memset(name, 'n', sizeof name);
	for (uint16_t n = RONDE_MAX_NAME - 1; n < RONDE_MAX_NAME + 3; n++) {
		struct ronde_announcement head = {.type = RONDE_ANNOUNCE_FULL, .name_bytes = n};
		ronde_announcement_write(record, &head, &desc, name, NULL, 0, NULL);
		bool taken =
			ronde_announcement_read(record, ronde_announcement_bytes(&head, &desc), &h);
		ck_assert_int_eq(taken, n <= RONDE_MAX_NAME);
	}
}
END_TEST

/* A record's size is exactly what its head says. */
START_TEST(sizes_of_announcements)
{
	static struct said s;
	static alignas(8) unsigned char record[RECORD_BYTES];
	unsigned seed = seed_of(_i);
	struct ronde_heard h;
	for (int k = 0; k < 300; k++) {
		size_t bytes = random_announcement(&seed, &s, record);
		for (size_t cut = 0; cut < bytes; cut += 8)
			ck_assert(!ronde_announcement_read(record, cut, &h));
		ck_assert(!ronde_announcement_read(record, bytes + 8, &h));
		ck_assert(ronde_announcement_read(record, bytes, &h));
	}
}
END_TEST

START_TEST(descriptions_refused)
{
	static alignas(8) unsigned char record[RECORD_BYTES];
	struct ronde_announcement head = {.type = RONDE_ANNOUNCE_FULL};
	const struct ronde_desc good = {.kind = RONDE_KIND_ALLREDUCE,
					.dtype = RONDE_FLOAT64,
					.ndim = 2,
					.dims = {1 << 20, 1 << 20}};
	struct ronde_desc bad[6];
	for (int i = 0; i < 6; i++)
		bad[i] = good;
	bad[0].kind = RONDE_KIND_COUNT;
	bad[1].dtype = RONDE_DTYPE_COUNT;
	bad[2].reduction = RONDE_REDUCTION_COUNT;
	bad[3].dims[1] = -1;
	bad[4].dims[1] = INT64_C(1) << 41; /* 2^64 bytes */
	bad[5].dims[1] = INT64_C(1) << 40; /* 2^63 bytes */
	struct ronde_heard h;
	ronde_announcement_write(record, &head, &good, NULL, NULL, 0, NULL);
	ck_assert(ronde_announcement_read(record, ronde_announcement_bytes(&head, &good), &h));
	for (int i = 0; i < 6; i++) {
		ronde_announcement_write(record, &head, &bad[i], NULL, NULL, 0, NULL);
		ck_assert_msg(!ronde_announcement_read(
				      record, ronde_announcement_bytes(&head, &bad[i]), &h),
			      "description %d", i);
	}
	record[sizeof head + offsetof(struct ronde_desc, ndim)] = RONDE_MAX_DIMS + 1;
	ck_assert(!ronde_announcement_read(record, RECORD_BYTES, &h));
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{announcements_come_back, 0, 3},
		{damaged_announcements, 0, 6},
		{sizes_of_announcements, 0, 1},
		{descriptions_refused, ONCE},
		{long_names, ONCE},
	};
	return SUITE_RUN("wire", 100, tests);
}
