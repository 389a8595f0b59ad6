/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bootstrap: how ranks find each other, before there is any shared memory. Used in init and
 * shutdown only.
 */
#ifndef RONDE_BOOTSTRAP_H
#define RONDE_BOOTSTRAP_H

#include <stdbool.h>
#include <stddef.h>

struct ronde_bootstrap;
struct ronde_fabric;
struct ronde_loopback_settings;

struct ronde_bootstrap_ops {
	const char *name; /* "none", "unix", "mpi", "in-process" */

	/*
	 * Gathers `bytes` bytes of every rank into `all` (size × bytes, in rank order), on every
	 * rank. Collective. Blocks, at most the bootstrap's timeout; then, or when a rank is gone,
	 * it returns ERR_PEER_LOST naming the ranks that are missing where that is known.
	 */
	int (*exchange)(struct ronde_bootstrap *bootstrap, const void *mine, void *all,
			size_t bytes);

	/* The contract of ronde_fabric_open(). NULL: all ranks are on one machine. */
	int (*open_fabric)(struct ronde_bootstrap *bootstrap, struct ronde_fabric **fabric);

	/* Ends this rank's part and frees the bootstrap. clean: all ranks take part (MPI may be
	 * finalised). */
	void (*close)(struct ronde_bootstrap *bootstrap, bool clean);
};

/* The head of every implementation's struct. */
struct ronde_bootstrap {
	const struct ronde_bootstrap_ops *ops;
	int rank, size;
	/* Ranks with equal node numbers may share memory (0 … ). Known after opening. One per rank;
	 * owned by the bootstrap. */
	const int *node_of_rank;
	/*
	 * Not NULL: ranks are threads of this process. They share one mapping: the first to arrive
	 * makes what the others use. See ronde_inprocess_share().
	 */
	struct ronde_inprocess *inprocess;
	/*
	 * Set by the owner after opening, or NULL. Called when the program ends MPI by its own
	 * MPI_Finalize() while this bootstrap is open, on the thread that called it, before
	 * anything of MPI is gone: shuts down, and closes the bootstrap (else it is useless from
	 * then on).
	 */
	void (*finalizing)(void *arg);
	void *finalizing_arg;
};

/* A world of one; always works. */
int ronde_bootstrap_none(struct ronde_bootstrap **bootstrap);

/*
 * One machine, no MPI: rank and size as given, rank 0 listens on the abstract unix socket `address`
 * (any unique text up to 90 bytes), the others connect, for at most timeout_seconds. Peers of
 * another uid are refused.
 */
int ronde_bootstrap_unix(struct ronde_bootstrap **bootstrap, int rank, int size,
			 const char *address, double timeout_seconds);

/*
 * Reads the environment and opens the bootstrap it asks for: RONDE_RANK/RONDE_SIZE/RONDE_ADDRESS,
 * an MPI launcher or an initialised MPI (loads the MPI module), or none. A launcher that cannot be
 * used is ERR_LAUNCHER, never a world of one. mpi_communicator: NULL, or an MPI_Comm of the
 * program: its ranks are the job, whatever the environment asks for.
 */
int ronde_bootstrap_open(struct ronde_bootstrap **bootstrap, double timeout_seconds,
			 const void *mpi_communicator);

/* Ranks as threads of one process, for tests: one world, made before the threads start. */
struct ronde_inprocess *ronde_inprocess_create(int size,
					       const int *node_of_rank /* NULL: one node */);
void ronde_inprocess_destroy(struct ronde_inprocess *world);
/* Opens rank `rank` of it; called on that rank's thread. May be closed and opened again by all. */
int ronde_bootstrap_inprocess(struct ronde_bootstrap **bootstrap, struct ronde_inprocess *world,
			      int rank);
/* How long an exchange waits for the other ranks (60 s unless set). Before the threads start. */
void ronde_inprocess_set_timeout(struct ronde_inprocess *world, double timeout_seconds);
/* What the fabrics between them are like (see collectives/fabric/loopback.h). Before the threads
 * start. */
void ronde_inprocess_set_fabric(struct ronde_inprocess *world,
				const struct ronde_loopback_settings *settings);
/*
 * Returns the same pointer to every rank that calls it with the same key in the same round: the
 * first caller's make(arg) is it. For the arena of thread-ranks. A round is what lies between two
 * exchanges: call it after an exchange of the same opening. NULL if make() gave NULL, or no memory.
 * make() runs under the world's lock: it must not use the bootstrap.
 */
void *ronde_inprocess_share(struct ronde_inprocess *world, int key, void *(*make)(void *arg),
			    void *arg);

#endif
