/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/descriptors.h"
#include "collectives/memory_file.h"
#include "collectives/node_pass.h"
#include "collectives/status.h"

void ronde_pass_name(char name[32], int rank)
{
	snprintf(name, 32, "rank %d", rank);
}

socklen_t ronde_pass_address(struct sockaddr_un *address, const struct ronde_meeting *meeting)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	int n = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "ronde-node-");
	for (size_t i = 0; i < sizeof meeting->name; i++)
		n += snprintf(address->sun_path + 1 + n, 3, "%02x", meeting->name[i]);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

/* ---- opening ---- */

static int listen_for_peers(struct ronde_pass *p)
{
	struct sockaddr_un address;
	socklen_t length = ronde_pass_address(&address, &p->meeting);
	p->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->socket < 0 || bind(p->socket, (struct sockaddr *)&address, length) != 0 ||
	    listen(p->socket, p->node->local_size + 16) != 0)
		return ronde_error(RONDE_ERR_SYSTEM,
				   "no unix socket for sharing memory with the ranks of this node: "
				   "%s%s",
				   strerror(errno), errno == EMFILE ? "; raise `ulimit -n`" : "");
	return RONDE_OK;
}

static int open_leader(struct ronde_pass *p)
{
	size_t n = (size_t)p->node->local_size;
	p->peers = malloc(n * sizeof *p->peers);
	p->heap_fds = malloc(n * sizeof *p->heap_fds);
	if (!p->peers || !p->heap_fds)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for opening the node");
	memset(p->peers, -1, n * sizeof *p->peers);
	memset(p->heap_fds, -1, n * sizeof *p->heap_fds);
	if (getrandom(&p->meeting, sizeof p->meeting, 0) != sizeof p->meeting)
		return ronde_error(RONDE_ERR_SYSTEM, "getrandom: %s", strerror(errno));
	return listen_for_peers(p);
}

int ronde_pass_open(struct ronde_pass **pass, struct ronde_node *node,
		    struct ronde_meeting *meeting, double timeout_seconds)
{
	struct ronde_pass *p = calloc(1, sizeof *p);
	if (!p)
		return ronde_error(RONDE_ERR_OUT_OF_MEMORY, "no memory for opening the node");
	p->node = node;
	p->timeout = timeout_seconds;
	p->socket = -1;
	int status = node->local_rank == 0 ? open_leader(p) : RONDE_OK;
	if (status != RONDE_OK) {
		ronde_pass_close(p);
		return status;
	}
	*meeting = p->meeting;
	*pass = p;
	return RONDE_OK;
}

static void close_all(int *fds, int n)
{
	for (int i = 0; fds && i < n; i++)
		if (fds[i] >= 0) {
			close(fds[i]);
			fds[i] = -1;
		}
}

/* Also tells the other ends, so that nobody waits for what will not come. */
static void hang_up(struct ronde_pass *p)
{
	close_all(p->peers, p->node->local_size);
	if (p->socket >= 0)
		close(p->socket);
	p->socket = -1;
}

void ronde_pass_close(struct ronde_pass *p)
{
	if (!p)
		return;
	hang_up(p);
	close_all(p->heap_fds, p->node->local_size);
	free(p->peers);
	free(p->heap_fds);
	free(p);
}

/* ---- the others ---- */

static void apart(struct ronde_verdict *verdict, const char *what, const char *why)
{
	verdict->apart = 1;
	snprintf(verdict->text, sizeof verdict->text, "%s: %s", what, why);
}

bool ronde_pass_same_user(int socket, uid_t *other)
{
	struct ucred peer = {0};
	socklen_t length = sizeof peer;
	*other = (uid_t)-1;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
		return false;
	*other = peer.uid;
	return peer.uid == geteuid();
}

/* 0, EAGAIN if the leader is there but its queue is full, or another errno. */
static int connect_once(struct ronde_pass *p)
{
	struct sockaddr_un address;
	socklen_t length = ronde_pass_address(&address, &p->meeting);
	if (p->socket < 0)
		p->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->socket < 0)
		return errno;
	return connect(p->socket, (struct sockaddr *)&address, length) == 0 ? 0 : errno;
}

/*
 * Said as early as can be: should the rank die then, the leader has its greeting, and finds the
 * connection's end where it would else wait for the rank to come.
 */
static int greet(struct ronde_pass *p, int heap_fd, const char *leader)
{
	struct ronde_greeting g = {.rank = p->node->rank};
	memcpy(g.token, p->meeting.token, sizeof g.token);
	/* A rank without a heap hands in two lifelines: the number is always the same. */
	int life = p->node->priv->lifeline.give, fds[2] = {life, heap_fd >= 0 ? heap_fd : life};
	int status = ronde_descriptors_send(p->socket, &g, sizeof g, fds, 2, p->deadline, leader);
	p->greeted = status == RONDE_OK;
	return status;
}

void ronde_pass_reach(struct ronde_pass *p, const struct ronde_meeting *meeting, int heap_fd,
		      struct ronde_verdict *verdict)
{
	p->meeting = *meeting;
	p->deadline = ronde_seconds(); /* the leader does not listen yet: no time to lose */
	char leader[32];
	ronde_pass_name(leader, p->node->ranks[0]);
	int error = connect_once(p);
	uid_t uid = 0;
	if (error == EAGAIN) {
		/* It is there; it takes connections from the next step on. */
		close(p->socket);
		p->socket = -1;
	} else if (error == ECONNREFUSED) {
		char what[64];
		snprintf(what, sizeof what, "cannot reach %s", leader);
		apart(verdict, what,
		      "its socket is not to be seen from here (another network namespace, as of "
		      "two containers)");
	} else if (error) {
		apart(verdict, "cannot connect to the node's leader", strerror(error));
	} else if (!ronde_pass_same_user(p->socket, &uid)) {
		char why[128];
		snprintf(why, sizeof why, "%s runs as user %d, this rank as user %d", leader,
			 (int)uid, (int)geteuid());
		apart(verdict, "memory is shared within one user only", why);
	} else {
		/* If that does not work now, ronde_pass_run() tries it again. */
		greet(p, heap_fd, leader);
	}
}

bool ronde_pass_map_heap(struct ronde_node *node, int local, int fd, struct ronde_verdict *verdict)
{
	struct stat file;
	char what[64];
	snprintf(what, sizeof what, "cannot map the heap of rank %d", node->ranks[local]);
	if (fstat(fd, &file) != 0 || (uint64_t)file.st_size < node->heap_bytes[local]) {
		apart(verdict, what, "its file is smaller than announced");
		return false;
	}
	unsigned char *heap = ronde_memory_file_map(fd, node->heap_bytes[local]);
	if (!heap) {
		apart(verdict, what, strerror(errno));
		return false;
	}
	/* Neither for children nor for core files: it is its owner's. */
	madvise(heap, node->heap_bytes[local], MADV_DONTFORK);
	madvise(heap, node->heap_bytes[local], MADV_DONTDUMP);
	node->heaps[local] = heap;
	return true;
}

static bool map_arena(struct ronde_node *node, int fd, size_t bytes, struct ronde_verdict *verdict)
{
	struct stat file;
	if (fstat(fd, &file) != 0 || (uint64_t)file.st_size < bytes) {
		apart(verdict, "cannot map the arena", "its file is smaller than announced");
		return false;
	}
	void *memory = ronde_memory_file_map(fd, bytes);
	if (!memory) {
		apart(verdict, "cannot map the arena", strerror(errno));
		return false;
	}
	madvise(memory, bytes, MADV_DONTFORK);
	node->priv->arena = memory;
	node->priv->arena_bytes = bytes;
	return true;
}

/* Where the leader's queue was full at first. */
static int connect_again(struct ronde_pass *p, const char *leader)
{
	for (int error; p->socket < 0;) {
		error = connect_once(p);
		if (!error)
			break;
		close(p->socket);
		p->socket = -1;
		if (error != EAGAIN || ronde_seconds() > p->deadline)
			return ronde_error(RONDE_ERR_PEER_LOST,
					   "%s took no connection while the ranks of this node "
					   "shared their memory: %s",
					   leader, strerror(error));
		struct timespec pause = {.tv_nsec = 2000000};
		nanosleep(&pause, NULL);
	}
	return RONDE_OK;
}

static int fetch_arena(struct ronde_pass *p, const char *leader, struct ronde_verdict *verdict)
{
	struct ronde_batch batch;
	int fd;
	int status = ronde_descriptors_receive(p->socket, &batch, sizeof batch, &fd, 1, p->deadline,
					       leader);
	if (status != RONDE_OK)
		return status;
	map_arena(p->node, fd, batch.arena_bytes, verdict);
	close(fd);
	return RONDE_OK;
}

/* Lifelines and heaps of local ranks from `first` on; keeps the lifelines. */
static int fetch_batch(struct ronde_pass *p, int first, const char *leader,
		       struct ronde_verdict *verdict)
{
	struct ronde_node *node = p->node;
	struct ronde_batch batch;
	int fds[RONDE_DESCRIPTORS_MAX], count = node->local_size - first;
	if (count > RONDE_BATCH_RANKS)
		count = RONDE_BATCH_RANKS;
	int status = ronde_descriptors_receive(p->socket, &batch, sizeof batch, fds, 2 * count,
					       p->deadline, leader);
	if (status != RONDE_OK)
		return status;
	for (int i = 0; i < count; i++) {
		int local = first + i, life = fds[2 * i], heap = fds[2 * i + 1];
		bool mine = local == node->local_rank;
		if (!mine && node->heap_bytes[local] && !verdict->apart)
			ronde_pass_map_heap(node, local, heap, verdict);
		close(heap);
		if (mine)
			close(life);
		else
			node->priv->life_fds[local] = life;
	}
	return RONDE_OK;
}

static int acknowledge(struct ronde_pass *p, const char *leader)
{
	unsigned char ack = 1;
	return ronde_descriptors_send(p->socket, &ack, 1, NULL, 0, p->deadline, leader);
}

/* Even a rank that finds it must stay apart takes all that comes: the leader is busy with it. */
static int follow(struct ronde_pass *p, int heap_fd, struct ronde_verdict *verdict)
{
	char leader[32];
	ronde_pass_name(leader, p->node->ranks[0]);
	int status = connect_again(p, leader);
	if (status == RONDE_OK && !p->greeted)
		status = greet(p, heap_fd, leader);
	if (status == RONDE_OK)
		status = fetch_arena(p, leader, verdict);
	for (int first = 0; status == RONDE_OK && first < p->node->local_size;
	     first += RONDE_BATCH_RANKS) {
		status = fetch_batch(p, first, leader, verdict);
		if (status == RONDE_OK)
			status = acknowledge(p, leader);
	}
	return status;
}

void ronde_pass_run(struct ronde_pass *p, int arena_fd, int heap_fd, struct ronde_verdict *verdict)
{
	/* The leader knows best which rank is missing: the others give it time to say so. */
	bool lead = p->node->local_rank == 0;
	p->deadline = ronde_seconds() + p->timeout + (lead ? 0.0 : 1.0);
	int status =
		lead ? ronde_pass_lead(p, arena_fd, heap_fd, verdict) : follow(p, heap_fd, verdict);
	if (status == RONDE_OK)
		return;
	hang_up(p);
	verdict->status = status;
	snprintf(verdict->text, sizeof verdict->text, "%s", ronde_error_message());
}
