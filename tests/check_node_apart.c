/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: who stays apart, and who must not come in. */
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/node_pass.h"
#include "tests/node_ranks.h"
#include "tests/skip.h"
#include "tests/suite.h"

/* ---- ranks that can't share ---- */

static void little_address_space(int rank, struct ronde_node_options *options)
{
	(void)options;
	if (rank != 1)
		return;
	/* Room for the own heap, not for two others. */
	char text[64] = "";
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || !fgets(text, sizeof text, f))
		exit(1);
	fclose(f);
	rlim_t most = strtoul(text, NULL, 10) * 4096 + (3ul << 29);
	setrlimit(RLIMIT_AS, &(struct rlimit){most, most});
}

static int one_is_apart(struct node_rank *r)
{
	struct ronde_node *node = r->node;
	bool me = r->rank == 1;
	if (node->nodes != 2 || node->local_size != (me ? 1 : 2) || node->homogeneous)
		return __LINE__;
	if (node->node_of_rank[0] != 0 || node->node_of_rank[1] != 1 || node->node_of_rank[2] != 0)
		return __LINE__;
	const char *why = ronde_node_apart(node);
	if (me ? !why || !strstr(why, "cannot map the heap of rank") : why != NULL)
		return __LINE__;
	return node_rank_share(r);
}

START_TEST(a_rank_that_cannot_map_is_a_node)
{
	struct node_ranks ranks = {.body = one_is_apart, .prepare = little_address_space};
	ck_assert_int_eq(node_ranks_fork(3, &ranks), 0);
}
END_TEST

/* Without the right to it, in a user namespace of its own, and there as the same user. */
static bool enter_own_network(void)
{
	if (!unshare(CLONE_NEWNET))
		return true;
	unsigned user = (unsigned)geteuid();
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return false;
	FILE *map = fopen("/proc/self/uid_map", "w");
	if (!map)
		return false;
	fprintf(map, "%u %u 1\n", user, user);
	return !fclose(map);
}

static bool may_have_own_network(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(enter_own_network() ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status == 0;
}

static void own_network(int rank, struct ronde_node_options *options)
{
	(void)options;
	if (rank == 0 && !enter_own_network())
		exit(1);
}

/* Nobody sees the leader's socket: two ranks, two nodes, in two attempts. */
static int both_are_apart(struct node_rank *r)
{
	if (r->node->nodes != 2 || r->node->node_of_rank[0] == r->node->node_of_rank[1])
		return __LINE__;
	const char *why = ronde_node_apart(r->node);
	if (r->rank == 1 && (!why || !strstr(why, "cannot reach rank 0")))
		return __LINE__;
	return node_rank_share(r);
}

START_TEST(a_rank_that_cannot_reach_is_a_node)
{
	struct node_ranks ranks = {.body = both_are_apart, .prepare = own_network};
	if (may_have_own_network())
		ck_assert_int_eq(node_ranks_fork(2, &ranks), 0);
	else
		test_skip("a_rank_that_cannot_reach_is_a_node",
			  "no right to make a network namespace here");
}
END_TEST

/* ---- other users ---- */

#define NOBODY 65534

/* For good. A sanitizer looks for leaks by tracing its process, which is its own user's then. */
static bool become_nobody(void)
{
	return !setresuid(NOBODY, NOBODY, NOBODY) && !prctl(PR_SET_DUMPABLE, 1);
}

static bool may_become_nobody(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(become_nobody() ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status == 0;
}

static uid_t first_user;

static void another_user(int rank, struct ronde_node_options *options)
{
	(void)options;
	if (rank == 1 && !become_nobody())
		exit(1);
}

static int other_user_is_apart(struct node_rank *r)
{
	struct ronde_node *node = r->node;
	char text[128] = "";
	if (node->nodes != 2 || node->node_of_rank[1] == node->node_of_rank[0] ||
	    node->node_of_rank[2] != node->node_of_rank[0])
		return __LINE__;
	const char *why = ronde_node_apart(node);
	if (r->rank == 1)
		snprintf(text, sizeof text,
			 "memory is shared within one user only: rank 0 runs as user %u, this rank "
			 "as user %u",
			 (unsigned)first_user, NOBODY);
	return strcmp(why ? why : "", text) == 0 ? node_rank_share(r) : __LINE__;
}

START_TEST(a_rank_of_another_user_is_a_node)
{
	struct node_ranks ranks = {.body = other_user_is_apart, .prepare = another_user};
	first_user = geteuid();
	if (may_become_nobody())
		ck_assert_int_eq(node_ranks_fork(3, &ranks), 0);
	else
		test_skip("a_rank_of_another_user_is_a_node", "this user may not become another");
}
END_TEST

/* ---- strangers at the leader's socket ---- */

enum stranger {
	NO_STRANGER,
	WRONG_TOKEN,
	RANK_OF_LEADER,
	RANK_BEYOND,
	RANK_BELOW,
	LITTLE_TO_SAY,
	NOTHING_TO_SAY,
	OTHER_USER, /* who knows the token */
	STRANGERS
};

static enum stranger stranger;
static int stranger_socket = -1;

static void greet_as(struct ronde_greeting *g)
{
	g->token[15] ^= stranger == WRONG_TOKEN;
	if (stranger == RANK_OF_LEADER)
		g->rank = 0;
	else if (stranger == RANK_BEYOND)
		g->rank = INT32_MAX;
	else if (stranger == RANK_BELOW)
		g->rank = -1;
}

/* Greets as rank 1; were that believed, there would be no place left for rank 1. */
static int knock(const struct ronde_meeting *meeting)
{
	struct sockaddr_un address;
	socklen_t length = ronde_pass_address(&address, meeting);
	struct ronde_greeting g = {.rank = 1};
	memcpy(g.token, meeting->token, sizeof g.token);
	greet_as(&g);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int fds[2] = {fd, fd};
	stranger_socket = fd;
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, length) != 0)
		return -1;
	if (stranger == NOTHING_TO_SAY)
		return 0;
	if (stranger == LITTLE_TO_SAY)
		return send(fd, &g, 3, 0) == 3 ? 0 : -1;
	return ronde_descriptors_send(fd, &g, sizeof g, fds, 2, ronde_seconds() + 10, "rank 0");
}

/*
 * The suite is linked with --wrap: rank 1 knows where its leader listens, and before it comes there
 * itself, a stranger does. A connection is of the user who made it.
 */
void __real_ronde_pass_reach(struct ronde_pass *pass, const struct ronde_meeting *meeting,
			     int heap_fd, struct ronde_verdict *verdict);
void __wrap_ronde_pass_reach(struct ronde_pass *pass, const struct ronde_meeting *meeting,
			     int heap_fd, struct ronde_verdict *verdict);

void __wrap_ronde_pass_reach(struct ronde_pass *pass, const struct ronde_meeting *meeting,
			     int heap_fd, struct ronde_verdict *verdict)
{
	uid_t user = geteuid();
	if (stranger && pass->node->rank == 1 &&
	    ((stranger == OTHER_USER && seteuid(NOBODY)) || knock(meeting) || seteuid(user)))
		_exit(1);
	__real_ronde_pass_reach(pass, meeting, heap_fd, verdict);
}

static int shown_out(struct node_rank *r)
{
	struct pollfd poll_it = {.fd = stranger_socket};
	if (r->node->nodes != 1 || ronde_node_apart(r->node))
		return __LINE__;
	if (r->rank == 1 && (poll(&poll_it, 1, 0) != 1 || !(poll_it.revents & POLLHUP)))
		return __LINE__;
	return node_rank_share(r);
}

START_TEST(a_stranger_is_shown_out)
{
	struct node_ranks ranks = {.body = shown_out};
	stranger = (enum stranger)_i;
	if (stranger == OTHER_USER && !may_become_nobody())
		test_skip("a_stranger_is_shown_out", "this user may not become another");
	else
		ck_assert_int_eq(node_ranks_fork(3, &ranks), 0);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{a_rank_that_cannot_map_is_a_node, ONCE},
		{a_rank_that_cannot_reach_is_a_node, ONCE},
		{a_rank_of_another_user_is_a_node, ONCE},
		{a_stranger_is_shown_out, WRONG_TOKEN, STRANGERS},
	};
	return SUITE_RUN("node-apart", 60, tests);
}
