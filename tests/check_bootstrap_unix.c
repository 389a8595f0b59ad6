/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange between processes of one machine, without MPI, and what happens when one is lost. */
#include <signal.h>
#include <string.h>

#include "collectives/bootstrap/wait.h"
#include "tests/process_ranks.h"
#include "tests/suite.h"

START_TEST(test_unix)
{
	static const int sizes[] = {1, 2, 3, 8};
	int n = sizes[_i];
	struct process_rank *p = process_ranks(n);
	run_processes(p, n, unix_body);
	for (int i = 0; i < n; i++) {
		ck_assert_str_eq(p[i].text, "");
		ck_assert_int_eq(p[i].bad, 0);
	}
}
END_TEST

/* Rank 2 is killed while the others exchange. */
static void killed_body(struct process_rank *p)
{
	struct ronde_bootstrap *b;
	if (open_rank(p, &b) || exchange_byte(p, b))
		return;
	if (p->rank == 2) {
		usleep(100000);
		raise(SIGKILL);
	}
	exchange_byte(p, b);
	char first[sizeof p->text];
	strcpy(first, p->text);
	if (exchange_byte(p, b) == RONDE_OK || strcmp(first, p->text) != 0)
		p->bad = __LINE__;
	b->ops->close(b, false);
}

START_TEST(test_unix_killed)
{
	struct process_rank *p = process_ranks(4);
	double start = ronde_seconds();
	run_processes(p, 4, killed_body);
	ck_assert_double_lt(ronde_seconds() - start, 5);
	expect_all(p, 2, RONDE_ERR_PEER_LOST, "rank 2 was lost: its connection ended");
	expect_all(p + 3, 1, RONDE_ERR_PEER_LOST, "rank 2 was lost: its connection ended");
	ck_assert_int_eq(p[0].bad + p[1].bad + p[3].bad, 0);
}
END_TEST

static void root_killed_body(struct process_rank *p)
{
	struct ronde_bootstrap *b;
	if (open_rank(p, &b))
		return;
	if (p->rank == 0)
		raise(SIGKILL);
	exchange_byte(p, b);
	b->ops->close(b, false);
}

START_TEST(test_unix_root_killed)
{
	struct process_rank *p = process_ranks(3);
	run_processes(p, 3, root_killed_body);
	expect_all(p + 1, 2, RONDE_ERR_PEER_LOST, "rank 0 was lost: its connection ended");
}
END_TEST

/* Rank 1 comes, and does not exchange. */
static void late_body(struct process_rank *p)
{
	struct ronde_bootstrap *b;
	if (open_rank(p, &b))
		return;
	if (p->rank == 1)
		usleep(1500000);
	exchange_byte(p, b);
	b->ops->close(b, false);
}

START_TEST(test_unix_late)
{
	struct process_rank *p = process_ranks(3);
	for (int i = 0; i < 3; i++)
		p[i].timeout = 0.4;
	run_processes(p, 3, late_body);
	expect_all(p, 3, RONDE_ERR_PEER_LOST, "rank 1 did not come to the exchange within 0.4 s");
}
END_TEST

static void unequal_process_body(struct process_rank *p)
{
	struct ronde_bootstrap *b;
	char mine[2] = {0}, all[4];
	if (open_rank(p, &b))
		return;
	p->status = b->ops->exchange(b, mine, all, (size_t)p->rank + 1);
	snprintf(p->text, sizeof p->text, "%s", ronde_error_message());
	b->ops->close(b, false);
}

START_TEST(test_unix_unequal)
{
	struct process_rank *p = process_ranks(2);
	run_processes(p, 2, unequal_process_body);
	expect_all(p, 2, RONDE_ERR_VERSION,
		   "rank 1 exchanges 2 bytes in exchange 0 where rank 0 exchanges 1 in exchange 0: "
		   "they run different programs");
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{test_unix, 0, 4},      {test_unix_killed, ONCE},  {test_unix_root_killed, ONCE},
		{test_unix_late, ONCE}, {test_unix_unequal, ONCE},
	};
	return SUITE_RUN("bootstrap_unix", 60, tests);
}
