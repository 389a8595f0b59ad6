/* SPDX-License-Identifier: Apache-2.0 */
/* How processes of one machine find each other, and everything that can be wrong with that. */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/bootstrap/wire.h"
#include "tests/process_ranks.h"
#include "tests/skip.h"
#include "tests/suite.h"

START_TEST(test_unix_missing)
{
	struct process_rank *p = process_ranks(8);
	for (int i = 0; i < 3; i++)
		p[i].timeout = 0.5;
	double start = ronde_seconds();
	run_processes(p, 3, open_body);
	ck_assert_double_lt(ronde_seconds() - start, 10);
	expect_all(p, 3, RONDE_ERR_PEER_LOST,
		   "ranks 3-7 of 8 did not come within 0.5 s. Every rank must be started on this "
		   "machine with the same RONDE_ADDRESS (\"%s\") and RONDE_SIZE",
		   p->address);
}
END_TEST

START_TEST(test_unix_no_root)
{
	struct process_rank *p = process_ranks(2);
	p[1].timeout = 0.3;
	run_processes(p + 1, 1, open_body);
	expect_all(p + 1, 1, RONDE_ERR_PEER_LOST,
		   "rank 1: nobody listens at RONDE_ADDRESS \"%s\" for 0.3 s. Rank 0 must be "
		   "started on this machine with the same RONDE_ADDRESS, and with a RONDE_SIZE "
		   "that counts this rank",
		   p->address);
}
END_TEST

START_TEST(test_unix_duplicate)
{
	struct process_rank *p = process_ranks(4);
	p[3].rank = 1;
	run_processes(p, 4, open_body);
	expect_all(p, 4, RONDE_ERR_CONFIGURATION,
		   "two processes say they are rank 1 at RONDE_ADDRESS \"%s\": each needs a "
		   "RONDE_RANK of its own, from 0 to 3",
		   p->address);
}
END_TEST

START_TEST(test_unix_two_roots)
{
	struct process_rank *p = process_ranks(2);
	p[0].timeout = 1;
	p[1].rank = 0;
	p[1].timeout = 1;
	run_processes(p, 2, open_body);
	const struct process_rank *second = p[0].status == RONDE_ERR_CONFIGURATION ? p : p + 1;
	expect_all(second, 1, RONDE_ERR_CONFIGURATION,
		   "RONDE_ADDRESS \"%s\" is in use: by a second process with RONDE_RANK=0, or by "
		   "another job, which needs an address of its own",
		   p->address);
}
END_TEST

START_TEST(test_unix_sizes)
{
	struct process_rank *p = process_ranks(3);
	p[1].size = 4;
	run_processes(p, 3, open_body);
	expect_all(p, 3, RONDE_ERR_CONFIGURATION,
		   "rank 1 was started with RONDE_SIZE=4, rank 0 with RONDE_SIZE=3, at "
		   "RONDE_ADDRESS \"%s\"",
		   p->address);
	p[0].size = 0;
	open_body(&p[0]);
	expect_all(p, 1, RONDE_ERR_INVALID_ARGUMENT,
		   "rank 0 of 0: allowed are 1 to 4096 ranks, numbered from 0");
	p[0].size = 2;
	p[0].address = "";
	open_body(&p[0]);
	expect_all(p, 1, RONDE_ERR_INVALID_ARGUMENT,
		   "address \"\": allowed is a text of 1 to 90 bytes");
}
END_TEST

/* A connection to rank 0's socket that is not Ronde's. */
static int connect_by_hand(const struct process_rank *p)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int n = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "ronde-%s", p->address);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	while (connect(fd, (struct sockaddr *)&name,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)))
		usleep(1000);
	return fd;
}

/* Rank 2 sends hellos of its own making; the others are as always. */
static void stranger_body(struct process_rank *p)
{
	if (p->rank != 2) {
		unix_body(p);
		return;
	}
	static const char noise[] = "GET / HTTP/1.1\r\nHost: somebody-else\r\n\r\n";
	int silent[100];
	for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
		silent[i] = connect_by_hand(p);
	int fd = connect_by_hand(p);
	if (write(fd, noise, sizeof noise) < 0)
		p->bad = __LINE__;
	usleep(50000);
	unix_body(p);
	close(fd);
	for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
		close(silent[i]);
}

START_TEST(test_unix_stranger)
{
	struct process_rank *p = process_ranks(3);
	run_processes(p, 3, stranger_body);
	for (int i = 0; i < 3; i++) {
		ck_assert_str_eq(p[i].text, "");
		ck_assert_int_eq(p[i].bad, 0);
	}
}
END_TEST

/* Rank 1 is of another user: it refuses rank 0, and rank 0 does not count it as come. */
static void user_body(struct process_rank *p)
{
	if (p->rank == 1 && setuid(65534))
		p->bad = -1; /* this test's user may not become another */
	else
		open_body(p);
}

START_TEST(test_unix_user)
{
	struct process_rank *p = process_ranks(2);
	p[0].timeout = 0.7;
	run_processes(p, 2, user_body);
	expect_all(p, 1, RONDE_ERR_PEER_LOST,
		   "rank 1 of 2 did not come within 0.7 s. Every rank must be started on this "
		   "machine with the same RONDE_ADDRESS (\"%s\") and RONDE_SIZE",
		   p->address);
	if (p[1].bad == -1)
		test_skip("test_unix_user", "this user may not become another");
	else
		expect_all(p + 1, 1, RONDE_ERR_CONFIGURATION,
			   "RONDE_ADDRESS \"%s\" belongs to a process of user %u, this is user "
			   "65534: ranks of one job must be of one user",
			   p->address, (unsigned)geteuid());
}
END_TEST

static void version_body(struct process_rank *p)
{
	if (p->rank == 0) {
		open_body(p);
		return;
	}
	struct ronde_hello hello = {
		.magic = RONDE_HELLO_MAGIC, .version = 77, .rank = 1, .size = 2};
	struct ronde_frame frame = {0};
	int fd = connect_by_hand(p);
	double deadline = ronde_seconds() + 10;
	if (ronde_wire_send(fd, &hello, sizeof hello, deadline) ||
	    ronde_wire_receive(fd, &frame, sizeof frame, deadline) ||
	    frame.kind != RONDE_FRAME_FAILED || frame.bytes >= sizeof p->text ||
	    ronde_wire_receive(fd, p->text, frame.bytes, deadline))
		p->bad = __LINE__;
	p->status = frame.status;
}

START_TEST(test_unix_version)
{
	struct process_rank *p = process_ranks(2);
	run_processes(p, 2, version_body);
	ck_assert_int_eq(p[1].bad, 0);
	expect_all(p, 2, RONDE_ERR_VERSION,
		   "a rank at RONDE_ADDRESS \"%s\" speaks version 77 of the bootstrap, rank 0 "
		   "version 1: all ranks must use the same version of Ronde",
		   p->address);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{test_unix_missing, ONCE},   {test_unix_no_root, ONCE}, {test_unix_duplicate, ONCE},
		{test_unix_two_roots, ONCE}, {test_unix_sizes, ONCE},   {test_unix_stranger, ONCE},
		{test_unix_user, ONCE},      {test_unix_version, ONCE},
	};
	return SUITE_RUN("bootstrap_meet", 60, tests);
}
