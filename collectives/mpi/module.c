/* SPDX-License-Identifier: Apache-2.0 */
/* The module's life: how MPI starts, what is made of it once, how it ends. See module.h. */
#include "collectives/mpi/module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectives/bootstrap/wait.h"
#include "collectives/mpi/fabric.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

#if defined(OPEN_MPI)
#define FAMILY RONDE_MPI_OPEN_MPI
#define LIBRARY                                                                                    \
	"Open MPI " TEXT(OMPI_MAJOR_VERSION) "." TEXT(OMPI_MINOR_VERSION) "." TEXT(                \
		OMPI_RELEASE_VERSION)
#elif defined(I_MPI_VERSION)
#define FAMILY RONDE_MPI_MPICH
#define LIBRARY "Intel MPI " I_MPI_VERSION
#elif defined(MVAPICH2_VERSION)
#define FAMILY RONDE_MPI_MPICH
#define LIBRARY "MVAPICH2 " MVAPICH2_VERSION
#elif defined(MPICH_VERSION)
#define FAMILY RONDE_MPI_MPICH
#define LIBRARY "MPICH " MPICH_VERSION
#else
#define FAMILY RONDE_MPI_OTHER
#define LIBRARY "an MPI " TEXT(MPI_VERSION) "." TEXT(MPI_SUBVERSION) " library"
#endif

static struct ronde_mpi_state state = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.world = {.comm = MPI_COMM_NULL, .fabric_comm = MPI_COMM_NULL},
	.part = {.comm = MPI_COMM_NULL, .fabric_comm = MPI_COMM_NULL},
	.self_key = MPI_KEYVAL_INVALID,
};

/* ---- how MPI ends ---- */

static void free_team(struct ronde_mpi_state *s, struct ronde_mpi_team *team)
{
	/* Something may still be under way on a communicator that is broken. */
	if (team->comm != MPI_COMM_NULL && !s->broken.status)
		MPI_Comm_free(&team->comm);
	if (team->fabric_clean && !s->broken.status)
		MPI_Comm_free(&team->fabric_comm);
	free(team->node_of_rank);
	*team = (struct ronde_mpi_team){.comm = MPI_COMM_NULL, .fabric_comm = MPI_COMM_NULL};
}

/*
 * MPI_Finalize() deletes the attributes of MPI_COMM_SELF before it does anything else, so this is
 * where an end that the application asks for is heard.
 */
static int on_finalize(MPI_Comm comm, int key, void *attribute, void *extra)
{
	(void)comm;
	(void)key;
	(void)attribute;
	struct ronde_mpi_state *s = extra;
	pthread_mutex_lock(&s->lock);
	struct ronde_bootstrap *open = s->open;
	pthread_mutex_unlock(&s->lock);
	if (open && open->finalizing)
		open->finalizing(open->finalizing_arg);
	free_team(s, &s->world);
	free_team(s, &s->part);
	s->broken.status = RONDE_ERR_SHUTDOWN;
	snprintf(s->broken.text, sizeof s->broken.text,
		 "the program has ended MPI (MPI_Finalize), which Ronde was started on");
	return MPI_SUCCESS;
}

/*
 * MPI_Finalize() waits for all ranks, so only where all of them have shut down; and not in a child
 * that was forked, nor where a bootstrap is still open: that rank leaves before the others.
 */
static void finalize_at_exit(void)
{
	struct ronde_mpi_state *s = &state;
	int finalized = 0;
	pthread_mutex_lock(&s->lock);
	bool end = s->pid == getpid() && !s->open && (s->clean || s->world.size == 1);
	pthread_mutex_unlock(&s->lock);
	if (end && MPI_Finalized(&finalized) == MPI_SUCCESS && !finalized)
		MPI_Finalize();
}

/* ---- how it starts ---- */

static const char *thread_level(void)
{
	int level;
	MPI_Query_thread(&level);
	switch (level) {
	case MPI_THREAD_SINGLE:
		return "MPI_THREAD_SINGLE";
	case MPI_THREAD_FUNNELED:
		return "MPI_THREAD_FUNNELED";
	case MPI_THREAD_SERIALIZED:
		return "MPI_THREAD_SERIALIZED";
	default:
		return "MPI_THREAD_MULTIPLE";
	}
}

/* On one node MPI is used in init only, so any thread level does, on the right thread. */
static int check_thread(struct ronde_mpi_state *s)
{
	int level, is_main;
	MPI_Query_thread(&level);
	MPI_Is_thread_main(&is_main);
	if (level >= MPI_THREAD_SERIALIZED || is_main)
		return RONDE_OK;
	return s->error(RONDE_ERR_LAUNCHER,
			"the program initialised MPI with %s, which allows MPI calls on the thread "
			"that initialised it only: call ronde_init() on that thread, or ask "
			"MPI_Init_thread() for MPI_THREAD_MULTIPLE",
			thread_level());
}

/* With a communicator of the program, MPI is running: it has one of MPI's handles. */
static int start_mpi(struct ronde_mpi_state *s, bool must_run)
{
	int initialized, finalized, level;
	MPI_Initialized(&initialized);
	MPI_Finalized(&finalized);
	if (finalized)
		return s->error(
			RONDE_ERR_LAUNCHER,
			"the program has ended MPI (MPI_Finalize), and no MPI can be "
			"started twice: call MPI_Finalize() after the last use of Ronde, or "
			"leave MPI_Init() and MPI_Finalize() to Ronde");
	if (initialized)
		return check_thread(s);
	if (must_run)
		return s->error(RONDE_ERR_LAUNCHER, "ronde_init_mpi: MPI is not initialised; call "
						    "MPI_Init_thread() before");
	if (MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level) != MPI_SUCCESS)
		return s->error(RONDE_ERR_LAUNCHER, LIBRARY " could not be initialised");
	/* Of some calls (MPI_Testsome of MPICH) errors come to this one, whatever the communicator.
	 */
	MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
	s->ours = true;
	s->pid = getpid();
	atexit(finalize_at_exit);
	return RONDE_OK;
}

/* A launcher that counts other ranks than MPI does is another MPI's. */
static int check_size(struct ronde_mpi_state *s, const struct ronde_mpi_request *request)
{
	int size;
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	if (!request->launcher_size || request->launcher_size == size)
		return RONDE_OK;
	return s->error(
		RONDE_ERR_LAUNCHER,
		"this program was started by %s, but MPI (" LIBRARY ") knows of %d rank%s: the "
		"launcher belongs to another MPI, or to another installation of this one. %s",
		request->launcher, size, size == 1 ? "" : "s", request->remedy);
}

/* The program's communicator must be one of ranks that talk among themselves. */
static int check_communicator(struct ronde_mpi_state *s, MPI_Comm communicator)
{
	int inter;
	if (communicator == MPI_COMM_NULL)
		return s->error(RONDE_ERR_INVALID_ARGUMENT,
				"ronde_init_mpi: the communicator is MPI_COMM_NULL, which has no "
				"ranks; a process that is left out of a job must not call it");
	MPI_Comm_test_inter(communicator, &inter);
	if (!inter)
		return RONDE_OK;
	return s->error(RONDE_ERR_INVALID_ARGUMENT,
			"ronde_init_mpi: this is an intercommunicator, whose ranks are two groups; "
			"make one group of them by MPI_Intercomm_merge()");
}

/* ---- what is made of it ---- */

/* Ranks that MPI says can share memory have the same first rank; nodes are counted from there. */
static int number_nodes(struct ronde_mpi_state *s)
{
	MPI_Comm node;
	MPI_Group node_group, group;
	int zero = 0, first;
	if (MPI_Comm_split_type(s->team->comm, MPI_COMM_TYPE_SHARED, s->team->rank, MPI_INFO_NULL,
				&node) != MPI_SUCCESS)
		return ronde_mpi_break(s, RONDE_ERR_SYSTEM,
				       "MPI_Comm_split_type failed in " LIBRARY);
	MPI_Comm_group(node, &node_group);
	MPI_Comm_group(s->team->comm, &group);
	MPI_Group_translate_ranks(node_group, 1, &zero, group, &first);
	MPI_Group_free(&node_group);
	MPI_Group_free(&group);
	MPI_Comm_free(&node);

	int *firsts = malloc((size_t)s->team->size * sizeof *firsts);
	free(s->team->node_of_rank);
	s->team->node_of_rank = malloc((size_t)s->team->size * sizeof *s->team->node_of_rank);
	if (!firsts || !s->team->node_of_rank) {
		free(firsts);
		return ronde_mpi_break(s, RONDE_ERR_OUT_OF_MEMORY,
				       "no memory for the nodes of %d ranks", s->team->size);
	}
	int status = ronde_mpi_exchange(s, &first, firsts, sizeof first);
	int nodes = 0;
	for (int r = 0; r < s->team->size && !status; r++)
		s->team->node_of_rank[r] =
			firsts[r] == r ? nodes++ : s->team->node_of_rank[firsts[r]];
	free(firsts);
	return status;
}

static int make_ready(struct ronde_mpi_state *s, MPI_Comm parent)
{
	MPI_Request request;
	MPI_Comm_rank(parent, &s->team->rank);
	MPI_Comm_size(parent, &s->team->size);
	/* A rank that does not come must not hang the others: never a blocking call before that. */
	if (MPI_Comm_idup(parent, &s->team->comm, &request) != MPI_SUCCESS ||
	    !ronde_mpi_wait(&request, 1, ronde_seconds() + s->timeout))
		return ronde_mpi_break(s, RONDE_ERR_PEER_LOST,
				       "not all %d ranks started Ronde within %g s", s->team->size,
				       s->timeout);
	MPI_Comm_set_errhandler(s->team->comm, MPI_ERRORS_RETURN);
	int status = number_nodes(s);
	if (status)
		return status;
	if (s->self_key == MPI_KEYVAL_INVALID) {
		MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, on_finalize, &s->self_key, s);
		MPI_Comm_set_attr(MPI_COMM_SELF, s->self_key, s);
	}
	s->team->ready = true;
	return RONDE_OK;
}

/* ---- the bootstrap ---- */

struct ronde_mpi_state *ronde_mpi_state_of(const struct ronde_bootstrap *bootstrap)
{
	(void)bootstrap; /* there is one */
	return &state;
}

static int mpi_exchange(struct ronde_bootstrap *bootstrap, const void *mine, void *all,
			size_t bytes)
{
	(void)bootstrap;
	return ronde_mpi_exchange(&state, mine, all, bytes);
}

static void mpi_close(struct ronde_bootstrap *bootstrap, bool clean)
{
	struct ronde_mpi_state *s = &state;
	pthread_mutex_lock(&s->lock);
	s->open = NULL;
	s->clean = clean && !s->broken.status;
	pthread_mutex_unlock(&s->lock);
	free(bootstrap);
}

static const struct ronde_bootstrap_ops mpi_ops = {
	.name = "mpi",
	.exchange = mpi_exchange,
	.open_fabric = ronde_mpi_open_fabric,
	.close = mpi_close,
};

static int open_state(struct ronde_mpi_state *s, const struct ronde_mpi_request *request)
{
	const MPI_Comm *given = request->communicator;
	s->timeout = request->timeout_seconds;
	int status = start_mpi(s, given != NULL);
	if (!status && given)
		status = check_communicator(s, *given);
	if (!status)
		status = check_size(s, request);
	if (!status && s->broken.status)
		status = s->error(s->broken.status, "%s", s->broken.text);
	if (status)
		return status;
	s->team = given ? &s->part : &s->world;
	if (given)
		free_team(s, s->team);
	return s->team->ready ? RONDE_OK : make_ready(s, given ? *given : MPI_COMM_WORLD);
}

static int mpi_open(struct ronde_bootstrap **bootstrap, const struct ronde_mpi_request *request)
{
	struct ronde_mpi_state *s = &state;
	struct ronde_bootstrap *b = calloc(1, sizeof *b);
	if (!b)
		return request->error(RONDE_ERR_OUT_OF_MEMORY, "no memory for the MPI bootstrap");
	pthread_mutex_lock(&s->lock);
	bool busy = s->open != NULL;
	if (!busy) {
		s->open = b;
		s->clean = false;
	}
	pthread_mutex_unlock(&s->lock);
	if (busy) {
		free(b);
		return request->error(
			RONDE_ERR_BUSY,
			"this process takes part in the job already: MPI has one rank "
			"for a process");
	}
	s->error = request->error;
	int status = open_state(s, request);
	if (status) {
		mpi_close(b, false);
		return status;
	}
	b->ops = &mpi_ops;
	b->rank = s->team->rank;
	b->size = s->team->size;
	b->node_of_rank = s->team->node_of_rank;
	*bootstrap = b;
	return RONDE_OK;
}

__attribute__((visibility("default"))) extern const struct ronde_mpi_module ronde_mpi_module;

const struct ronde_mpi_module ronde_mpi_module = {
	.abi = RONDE_MPI_MODULE_ABI,
	.family = FAMILY,
	.library = LIBRARY,
	.initialized = MPI_Initialized,
	.thread_level = thread_level,
	.open = mpi_open,
};
