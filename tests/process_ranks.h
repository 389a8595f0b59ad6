/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks as forked processes that meet at a unix socket, for the bootstrap's own tests. */
#ifndef RONDE_TESTS_PROCESS_RANKS_H
#define RONDE_TESTS_PROCESS_RANKS_H

#include <check.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collectives/bootstrap.h"
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

static inline struct process_rank *process_ranks(int n)
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

static inline int open_rank(struct process_rank *p, struct ronde_bootstrap **b)
{
	p->status = ronde_bootstrap_unix(b, p->rank, p->size, p->address, p->timeout);
	if (p->status)
		snprintf(p->text, sizeof p->text, "%s", ronde_error_message());
	return p->status;
}

static inline int exchange_byte(struct process_rank *p, struct ronde_bootstrap *b)
{
	char all[64], mine = 1;
	p->status = b->ops->exchange(b, &mine, all, 1);
	if (p->status)
		snprintf(p->text, sizeof p->text, "%s", ronde_error_message());
	return p->status;
}

/* Runs body in a process for each of the n ranks, and waits for them. */
static inline void run_processes(struct process_rank *p, int n,
				 void (*body)(struct process_rank *p))
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

/* All ranks that p[0 … n-1] ran got this status and this text. */
static inline void expect_all(const struct process_rank *p, int n, int status, const char *format,
			      ...)
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

static inline int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Opens, exchanges and closes, many times. */
static inline void unix_body(struct process_rank *p)
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

static inline void open_body(struct process_rank *p)
{
	struct ronde_bootstrap *b;
	if (!open_rank(p, &b))
		b->ops->close(b, true);
}

#endif
