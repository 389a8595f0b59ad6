/* SPDX-License-Identifier: Apache-2.0 */
/* Machines that are only described: where ranks are on them, in which groups, and what is refused.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectives/topology.h"
#include "tests/node_ranks.h"
#include "tests/suite.h"

/* ---- the machine ---- */

static const struct {
	const char *machine;
	int packages, numas, caches, cache_level, cores, processors;
	struct ronde_core last;
} machines[] = {
	{"pack:2 numa:4 core:8 pu:1", 2, 8, 0, 0, 64, 64, {1, 7, -1, 63, 1}},
	{"pack:3 core:5 pu:1", 3, 1, 0, 0, 15, 15, {2, 0, -1, 14, 1}},
	{"numa:2 pack:1 l3:2(size=32MB) core:3 pu:2", 2, 2, 4, 3, 12, 24, {1, 1, 3, 22, 2}},
	{"pack:1 l2:4(size=2MB) core:2 pu:1", 1, 1, 4, 2, 8, 8, {0, 0, 3, 7, 1}},
	{"pu:4", 0, 1, 0, 0, 4, 4, {-1, 0, -1, 3, 1}},
};
#define MACHINES (int)(sizeof machines / sizeof *machines)

START_TEST(a_description_is_read)
{
	struct ronde_topology *t;
	ck_assert_int_eq(ronde_topology_open(&t, machines[_i].machine), RONDE_OK);
	ck_assert(!t->real);
	ck_assert_int_eq(t->packages, machines[_i].packages);
	ck_assert_int_eq(t->numas, machines[_i].numas);
	ck_assert_int_eq(t->caches, machines[_i].caches);
	ck_assert_int_eq(t->cache_level, machines[_i].cache_level);
	ck_assert_int_eq(t->ncores, machines[_i].cores);
	ck_assert_int_eq(t->processors, machines[_i].processors);
	ck_assert_mem_eq(&t->cores[t->ncores - 1], &machines[_i].last, sizeof *t->cores);
	ronde_topology_close(t);
}
END_TEST

START_TEST(this_machine_is_read)
{
	struct ronde_topology *t;
	ck_assert_int_eq(ronde_topology_open(&t, ""), RONDE_OK);
	ck_assert(t->real);
	ck_assert_int_ge(t->ncores, 1);
	ck_assert_int_ge(t->processors, t->ncores);
	/* Bound to one processor, a rank is on its core. */
	const struct ronde_core *last = &t->cores[t->ncores - 1];
	cpu_set_t one, around;
	CPU_ZERO(&one);
	CPU_SET((size_t)last->processor, &one);
	struct ronde_place place;
	ck_assert_int_eq(ronde_topology_locate(t, "", 0, &one, &place), RONDE_OK);
	ck_assert_int_eq(place.core, t->ncores - 1);
	ck_assert_int_eq(place.numa, last->numa);
	ronde_topology_processors(t, place.numa, &around);
	ck_assert(place.numa < 0 || CPU_ISSET((size_t)last->processor, &around));
	ronde_topology_close(t);
}
END_TEST

/* A container may forbid it; where it does not the system has the request. */
START_TEST(memory_is_really_bound)
{
	struct ronde_topology *t;
	size_t bytes = (size_t)sysconf(_SC_PAGESIZE) * 4;
	unsigned char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(memory != MAP_FAILED);
	ck_assert_int_eq(ronde_topology_open(&t, ""), RONDE_OK);
	ck_assert_int_eq(ronde_topology_bind_memory(t, memory, bytes, 0), RONDE_OK);
	ck_assert_uint_eq(t->nrequests, 1);
	ck_assert_ptr_eq(t->requests[0].address, memory);
	int mode = 0, error = t->requests[0].error;
	ck_assert_msg(error == 0 || error == EPERM || error == ENOSYS, "%s", strerror(error));
	if (!error && syscall(SYS_get_mempolicy, &mode, NULL, 0, memory, 2 /* MPOL_F_ADDR */) == 0)
		ck_assert_int_ne(mode, 0);
	memset(memory, 1, bytes);
	ronde_topology_close(t);
	munmap(memory, bytes);
}
END_TEST

START_TEST(a_file_is_read)
{
	char path[] = "/tmp/ronde-machine-XXXXXX.xml";
	int fd = mkstemps(path, 4);
	static const char text[] =
		"<?xml version=\"1.0\"?><!DOCTYPE topology SYSTEM \"hwloc2.dtd\">"
		"<topology version=\"2.0\"><object type=\"Machine\" os_index=\"0\" "
		"cpuset=\"0x3\" complete_cpuset=\"0x3\" allowed_cpuset=\"0x3\" nodeset=\"0x1\" "
		"complete_nodeset=\"0x1\" allowed_nodeset=\"0x1\" gp_index=\"1\">"
		"<object type=\"NUMANode\" os_index=\"0\" cpuset=\"0x3\" "
		"complete_cpuset=\"0x3\" nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"5\" "
		"local_memory=\"1000\"/>"
		"<object type=\"PU\" os_index=\"0\" cpuset=\"0x1\" complete_cpuset=\"0x1\" "
		"nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"3\"/>"
		"<object type=\"PU\" os_index=\"1\" cpuset=\"0x2\" complete_cpuset=\"0x2\" "
		"nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"4\"/>"
		"</object></topology>";
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, sizeof text - 1), sizeof text - 1);
	close(fd);
	struct ronde_topology *t;
	int status = ronde_topology_open(&t, path);
	unlink(path);
	ck_assert_msg(!status, "%s", ronde_error_message());
	ck_assert_int_eq(t->processors, 2);
	ck_assert(!t->real);
	ronde_topology_close(t);
}
END_TEST

static const struct {
	const char *machine, *text;
} refused[] = {
	{"pack:2 nothing:3",
	 "RONDE_TOPOLOGY is \"pack:2 nothing:3\", which describes no machine: give hwloc's words, "
	 "such "
	 "as \"pack:2 numa:4 core:8 pu:1\", or the name of a file that ends in .xml"},
	{"pack:0",
	 "RONDE_TOPOLOGY is \"pack:0\", which describes no machine: give hwloc's words, such as "
	 "\"pack:2 numa:4 core:8 pu:1\", or the name of a file that ends in .xml"},
	{"/nowhere/machine.xml",
	 "RONDE_TOPOLOGY is \"/nowhere/machine.xml\": this file cannot be read as a machine; "
	 "`lstopo FILE.xml` writes one"},
};

START_TEST(what_is_no_machine_is_refused)
{
	struct ronde_topology *t;
	ck_assert_int_eq(ronde_topology_open(&t, refused[_i].machine), RONDE_ERR_CONFIGURATION);
	ck_assert_str_eq(ronde_error_message(), refused[_i].text);
}
END_TEST

/* ---- places ---- */

static const struct {
	const char *machine, *placement;
	int local_rank;
	struct ronde_place place;
	const char *error;
} places[] = {
	{"pack:2 numa:4 core:8 pu:1", "", 33, {1, 4, -1, 33}, NULL},
	{"pack:2 numa:4 core:8 pu:1", "cores", 0, {0, 0, -1, 0}, NULL},
	{"pack:2 numa:4 core:8 pu:1", "0-31,32-63", 1, {1, -1, -1, -1}, NULL},
	{"pack:2 numa:4 core:8 pu:1", "0-31,32-63", 0, {0, -1, -1, -1}, NULL},
	{"pack:2 numa:4 core:8 pu:1", "0-63", 0, {-1, -1, -1, -1}, NULL},
	{"pack:2 numa:4 core:8 pu:1", "7,8-15,40", 1, {0, 1, -1, -1}, NULL},
	{"pack:1 l3:2 core:2 pu:2", "0,1-2,6-7", 1, {0, 0, 0, -1}, NULL},
	{"pack:1 l3:2 core:2 pu:2", "0,1-2,6-7", 2, {0, 0, 1, 3}, NULL},
	{"pack:3 core:5 pu:1",
	 "cores",
	 15,
	 {0, 0, 0, 0},
	 "RONDE_TOPOLOGY has 15 cores, and none for local rank 15: describe a larger machine, or "
	 "say "
	 "by RONDE_PLACEMENT which processors the ranks share"},
	{"pack:3 core:5 pu:1",
	 "1,2",
	 2,
	 {0, 0, 0, 0},
	 "RONDE_PLACEMENT is \"1,2\", which has no place for local rank 2: give one for each rank "
	 "of "
	 "the node, commas between them"},
	{"pack:3 core:5 pu:1",
	 "1,14-15",
	 1,
	 {0, 0, 0, 0},
	 "RONDE_PLACEMENT is \"1,14-15\": the machine has 15 processors, and not all of 14 to 15, "
	 "where "
	 "it puts local rank 1"},
	{"pack:3 core:5 pu:1",
	 "0-99999999999999999999",
	 0,
	 {0, 0, 0, 0},
	 "RONDE_PLACEMENT is \"0-99999999999999999999\": the machine has 15 processors, and not "
	 "all of "
	 "0 to 18446744073709551615, where it puts local rank 0"},
#define MALFORMED(list, rank)                                                                      \
	{                                                                                          \
		"pack:3 core:5 pu:1", list, rank, {0, 0, 0, 0},                                    \
			"RONDE_PLACEMENT is \"" list "\": what it says for local rank " #rank      \
			" is neither a processor nor a range of them; allowed is a list such as "  \
			"\"0-3,4-7\", or "                                                         \
			"\"cores\""                                                                \
	}
	MALFORMED("1,x", 1),
	MALFORMED("1,,2", 1),
	MALFORMED("3-2", 0),
	MALFORMED("3-", 0),
	MALFORMED("-1", 0),
	MALFORMED("1 2", 0),
	MALFORMED("core", 0),
};
#define PLACES (int)(sizeof places / sizeof *places)

START_TEST(ranks_are_placed)
{
	struct ronde_topology *t;
	struct ronde_place place;
	cpu_set_t nothing;
	CPU_ZERO(&nothing);
	ck_assert_int_eq(ronde_topology_open(&t, places[_i].machine), RONDE_OK);
	int status = ronde_topology_locate(t, places[_i].placement, places[_i].local_rank, &nothing,
					   &place);
	if (places[_i].error) {
		ck_assert_int_eq(status, RONDE_ERR_CONFIGURATION);
		ck_assert_str_eq(ronde_error_message(), places[_i].error);
	} else {
		ck_assert_int_eq(status, RONDE_OK);
		ck_assert_mem_eq(&place, &places[_i].place, sizeof place);
	}
	ronde_topology_close(t);
}
END_TEST

/* ---- ranks of a node ---- */

static const struct layout {
	const char *machine, *placement;
	int n;
	const char *domains; /* of each rank, a letter each; "": there are none */
	int one, other;      /* on one core; equal: nobody is */
} layouts[] = {
	{"pack:2 numa:4 core:8 pu:1", "", 64,
	 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 0, 0},
	{"pack:2 numa:4 core:8 pu:1", "", 32, "aaaaaaaabbbbbbbbccccccccdddddddd", 0, 0},
	{"pack:2 numa:4 core:8 pu:1", "", 8, "", 0, 0},
	{"pack:3 core:5 pu:1", NULL, 15, "aaaaabbbbbccccc", 0, 0},
	{"pack:3 core:5 pu:1", "0,5,10,1", 4, "abca", 0, 0},
	{"pack:3 core:5 pu:1", "0,5,10,0", 4, "abca", 0, 3},
	{"pack:3 core:5 pu:1", "3,3,3", 3, "", 0, 0},
	{"pack:1 core:2 pu:2", "0,2,3", 3, "", 1, 2},
	{"pack:2 core:2 pu:1", "0-3,0-1,2-3", 3, "", 0, 0},
	{"pack:2 core:2 pu:1", "0-1,2-3", 2, "ab", 0, 0},
};
#define LAYOUTS (int)(sizeof layouts / sizeof *layouts)

static const struct layout *current;

static void on_layout(int rank, struct ronde_node_options *options)
{
	(void)rank;
	/* Only the leader's count. */
	options->machine = rank ? "nothing" : current->machine;
	options->placement = rank ? "nothing" : current->placement;
}

static int agrees(struct node_rank *r)
{
	const struct layout *l = current;
	const struct ronde_node *node = r->node;
	if (!*l->domains != !node->domains || !node->topology != (r->rank > 0))
		return __LINE__;
	for (int i = 0; node->domains && i < l->n; i++)
		if (node->domains[i] != l->domains[i] - 'a')
			return __LINE__;
	int one = -1, other = -1;
	bool crowded = ronde_node_crowded(node, &one, &other);
	if (crowded != (l->one != l->other) || (crowded && (one != l->one || other != l->other)))
		return __LINE__;
	/* Two rings of each rank whose domain is known, on it; both begin and end with pages. */
	size_t requests = 0;
	for (int i = 0; !r->rank && i < l->n && node->arena.shape.page; i++) {
		const void *rings[] = {ronde_announce_ring(&node->arena, i),
				       ronde_log_ring(&node->arena, i)};
		for (int k = 0; k < 2 && node->arena.ranks[i].place.numa >= 0; k++) {
			const struct ronde_memory_request *q =
				&node->topology->requests[requests++];
			if (requests > node->topology->nrequests || q->address != rings[k] ||
			    q->numa != node->arena.ranks[i].place.numa || q->error ||
			    (uintptr_t)q->address % 4096 || q->bytes % 4096 ||
			    q->bytes != ronde_ring_stride(&node->arena.shape))
				return __LINE__;
		}
	}
	if (node->topology && (requests != node->topology->nrequests ||
			       (node->topology->numas > 1) != (node->arena.shape.page > 0)))
		return __LINE__;
	for (int i = 0; i < l->n; i++)
		if (CPU_COUNT(&node->arena.ranks[i].domain))
			return __LINE__;
	return 0;
}

static int layout_run(int number, bool threads)
{
	current = &layouts[number];
	struct node_ranks ranks = {.body = agrees, .prepare = on_layout};
	return threads ? node_ranks_threads(current->n, NULL, &ranks)
		       : node_ranks_fork(current->n, &ranks);
}

START_TEST(threads_agree_on_places)
{
	ck_assert_int_eq(layout_run(_i, true), 0);
}
END_TEST

START_TEST(processes_agree_on_places)
{
	ck_assert_int_eq(layout_run(_i, false), 0);
}
END_TEST

/* ---- errors of the leader are everybody's ---- */

static void too_small(int rank, struct ronde_node_options *options)
{
	(void)rank;
	options->machine = "pack:1 core:2 pu:1";
}

static void no_machine(int rank, struct ronde_node_options *options)
{
	(void)rank;
	options->machine = "core";
}

static int all_are_told(struct node_rank *r)
{
	if (r->status != RONDE_ERR_CONFIGURATION)
		return __LINE__;
	return strncmp(ronde_error_message(), "rank 0: RONDE_TOPOLOGY ", 23) ? __LINE__ : 0;
}

START_TEST(an_error_is_everybodys)
{
	struct node_ranks ranks = {
		.body = all_are_told, .prepare = _i ? too_small : no_machine, .may_fail = true};
	ck_assert_int_eq(node_ranks_threads(3, NULL, &ranks), 0);
	ck_assert_int_eq(node_ranks_fork(3, &ranks), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{a_description_is_read, 0, MACHINES},
		{this_machine_is_read, ONCE},
		{memory_is_really_bound, ONCE},
		{a_file_is_read, ONCE},
		{what_is_no_machine_is_refused, 0, sizeof refused / sizeof *refused},
		{ranks_are_placed, 0, PLACES},
		{threads_agree_on_places, 0, LAYOUTS},
		{processes_agree_on_places, 0, LAYOUTS},
		{an_error_is_everybodys, 0, 2},
	};
	return SUITE_RUN("topology", 60, tests);
}
