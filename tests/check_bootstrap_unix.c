/* SPDX-License-Identifier: Apache-2.0 */
/* The bootstraps between processes of one machine, without MPI. */
#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collectives/bootstrap.h"
#include "collectives/bootstrap/wait.h"
#include "collectives/bootstrap/wire.h"
#include "collectives/status.h"
#include "tests/exchange.h"

#define MAX_RANKS 8

struct process_rank {
	int rank, size;
	double timeout;
	const char *address;
	int status, bad;
	char text[1024];
};

static struct process_rank *process_ranks(int n)
{
	static int runs;
	static char address[64];
	snprintf(address, sizeof address, "check-%d-%d", (int)getpid(), runs++);
	struct process_rank *p = mmap(NULL, (size_t)n * sizeof *p, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	for (int i = 0; i < n; i++)
		p[i] = (struct process_rank){
			.rank = i, .size = n, .timeout = 20, .address = address};
	return p;
}

static int open_rank(struct process_rank *p, struct ronde_bootstrap **b)
{
	p->status = ronde_bootstrap_unix(b, p->rank, p->size, p->address, p->timeout);
	if (p->status)
		snprintf(p->text, sizeof p->text, "%s", ronde_error_message());
	return p->status;
}

static int exchange_byte(struct process_rank *p, struct ronde_bootstrap *b)
{
	char all[64], mine = 1;
	p->status = b->ops->exchange(b, &mine, all, 1);
	if (p->status)
		snprintf(p->text, sizeof p->text, "%s", ronde_error_message());
	return p->status;
}

/* Runs body in a process for each of the n ranks, and waits for them. */
static void run_processes(struct process_rank *p, int n, void (*body)(struct process_rank *p))
{
	pid_t pid[MAX_RANKS];
	fflush(NULL);
	for (int i = 0; i < n; i++) {
		pid[i] = fork();
		ck_assert_int_ge(pid[i], 0);
		if (pid[i] == 0) {
			body(&p[i]);
			_exit(0);
		}
	}
	for (int i = 0; i < n; i++)
		waitpid(pid[i], NULL, 0);
}

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void unix_body(struct process_rank *p)
{
	int before = count_descriptors();
	for (int s = 0; s < 10 && !p->bad; s++) {
		struct ronde_bootstrap *b;
		if (open_rank(p, &b)) {
			p->bad = __LINE__;
			return;
		}
		if (b->rank != p->rank || b->size != p->size || b->inprocess)
			p->bad = __LINE__;
		for (int r = 0; r < b->size; r++)
			if (b->node_of_rank[r] != 0)
				p->bad = __LINE__;
		if (!p->bad)
			p->bad = exchange_rounds(b, 14);
		b->ops->close(b, true);
	}
	if (count_descriptors() != before)
		p->bad = __LINE__;
}

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

/* All ranks that p[0 … n-1] ran got this status and this text. */
static void expect_all(const struct process_rank *p, int n, int status, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	for (int i = 0; i < n; i++) {
		ck_assert_str_eq(p[i].text, text);
		ck_assert_int_eq(p[i].status, status);
	}
}

static void open_body(struct process_rank *p)
{
	struct ronde_bootstrap *b;
	if (!open_rank(p, &b))
		b->ops->close(b, true);
}

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

static void version_body(struct process_rank *p)
{
	if (p->rank == 0) {
		open_body(p);
		return;
	}
	struct ronde_hello hello = {
		.magic = RONDE_HELLO_MAGIC, .version = 77, .rank = 1, .size = 2};
	struct ronde_frame frame;
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
	Suite *suite = suite_create("bootstrap_unix");
	TCase *tcase = tcase_create("bootstrap_unix");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, test_unix, 0, 4);
	tcase_add_test(tcase, test_unix_missing);
	tcase_add_test(tcase, test_unix_no_root);
	tcase_add_test(tcase, test_unix_duplicate);
	tcase_add_test(tcase, test_unix_two_roots);
	tcase_add_test(tcase, test_unix_sizes);
	tcase_add_test(tcase, test_unix_stranger);
	tcase_add_test(tcase, test_unix_version);
	tcase_add_test(tcase, test_unix_killed);
	tcase_add_test(tcase, test_unix_root_killed);
	tcase_add_test(tcase, test_unix_late);
	tcase_add_test(tcase, test_unix_unequal);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
