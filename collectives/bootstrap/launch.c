/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/bootstrap/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/unix.h"
#include "collectives/status.h"

/*
 * First match wins, so what runs inside another's job stands first: mpirun inside a Slurm
 * allocation is mpirun. SLURM_NTASKS and its like are no marks: sbatch and salloc set them for a
 * script that is one process. Only srun sets SLURM_STEP_NUM_TASKS.
 */
static const struct ronde_launcher launchers[] = {
	{"Open MPI's mpirun",
	 {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
	 "OMPI_COMM_WORLD_SIZE",
	 RONDE_SPEAKS_PMIX},
	{"MVAPICH's mpirun_rsh",
	 {"MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"},
	 "MV2_COMM_WORLD_SIZE",
	 RONDE_SPEAKS_PMI},
	{"Hydra, the mpirun of MPICH",
	 {"HYDI_CONTROL_FD", "PMI_RANK", "PMI_SIZE"},
	 "PMI_SIZE",
	 RONDE_SPEAKS_PMI},
	{"srun with PMIx",
	 {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "PMIX_RANK"},
	 "SLURM_STEP_NUM_TASKS",
	 RONDE_SPEAKS_PMIX},
	{"srun with PMI-2",
	 {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "PMI_RANK"},
	 "SLURM_STEP_NUM_TASKS",
	 RONDE_SPEAKS_PMI},
	{"a launcher that speaks PMI", {"PMI_RANK", "PMI_SIZE"}, "PMI_SIZE", RONDE_SPEAKS_PMI},
	{"srun",
	 {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},
	 "SLURM_STEP_NUM_TASKS",
	 RONDE_SPEAKS_NOTHING},
	{"a launcher that speaks PMIx", {"PMIX_RANK", "PMIX_NAMESPACE"}, NULL, RONDE_SPEAKS_PMIX},
};

struct environment {
	const char *(*lookup)(const char *name, void *arg);
	void *arg;
};

/* Set to nothing counts as not set: `VARIABLE= program` is how one unsets it for a program. */
static const char *variable(const struct environment *e, const char *name)
{
	const char *value = e->lookup(name, e->arg);
	return value && *value ? value : NULL;
}

/* A whole decimal number in min … max. */
static int number(const struct environment *e, const char *name, int status, int min, int max,
		  int *value)
{
	const char *text = variable(e, name);
	char *end;
	errno = 0;
	long n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < min || n > max)
		return ronde_error(status, "%s is \"%s\": allowed is a number from %d to %d", name,
				   text, min, max);
	*value = (int)n;
	return RONDE_OK;
}

/* ---- RONDE_RANK, RONDE_SIZE, RONDE_ADDRESS ---- */

static int read_unix(struct ronde_launch *launch, const struct environment *e)
{
	static const char *const names[] = {"RONDE_RANK", "RONDE_SIZE", "RONDE_ADDRESS"};
	const char *set = NULL, *missing = NULL;
	for (int i = 2; i >= 0; i--) {
		if (variable(e, names[i]))
			set = names[i];
		else
			missing = names[i];
	}
	if (!set)
		return RONDE_OK;
	if (missing)
		return ronde_error(
			RONDE_ERR_CONFIGURATION,
			"%s is set and %s is not: ranks that are started without MPI need "
			"RONDE_RANK (0 to size-1), RONDE_SIZE, and RONDE_ADDRESS (any text "
			"that is the same on all ranks of this job, and only there)",
			set, missing);
	int status = number(e, "RONDE_SIZE", RONDE_ERR_CONFIGURATION, 1, RONDE_UNIX_MAX_RANKS,
			    &launch->size);
	if (!status)
		status = number(e, "RONDE_RANK", RONDE_ERR_CONFIGURATION, 0, launch->size - 1,
				&launch->rank);
	if (status)
		return status;
	launch->address = variable(e, "RONDE_ADDRESS");
	if (strlen(launch->address) > RONDE_ADDRESS_BYTES)
		return ronde_error(
			RONDE_ERR_CONFIGURATION,
			"RONDE_ADDRESS has %zu bytes: allowed is a text of 1 to %d bytes",
			strlen(launch->address), RONDE_ADDRESS_BYTES);
	launch->kind = RONDE_LAUNCH_UNIX;
	return RONDE_OK;
}

/* ---- launchers of MPI programs ---- */

static bool matches(const struct ronde_launcher *l, const struct environment *e)
{
	for (size_t i = 0; i < sizeof l->marks / sizeof *l->marks && l->marks[i]; i++)
		if (!variable(e, l->marks[i]))
			return false;
	return true;
}

/*
 * A launcher of one rank needs no MPI: a world of one is the whole job. It does not hide another
 * that says more (a script under one MPI's mpirun -np 1 that uses the other MPI's mpirun).
 */
static int read_launcher(struct ronde_launch *launch, const struct environment *e)
{
	bool alone = false;
	for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
		const struct ronde_launcher *l = &launchers[i];
		if (!matches(l, e) || (alone && !l->size_variable))
			continue;
		int size = 0, status = RONDE_OK;
		if (l->size_variable)
			status = number(e, l->size_variable, RONDE_ERR_LAUNCHER, 1, INT32_MAX,
					&size);
		if (status)
			return status;
		alone = size == 1;
		if (alone)
			continue;
		launch->kind = RONDE_LAUNCH_MPI;
		launch->launcher = l;
		launch->launcher_size = size;
		if (size)
			snprintf(launch->launcher_text, sizeof launch->launcher_text, "%s (%s=%d)",
				 l->name, l->size_variable, size);
		else
			snprintf(launch->launcher_text, sizeof launch->launcher_text, "%s (%s=%s)",
				 l->name, l->marks[0], variable(e, l->marks[0]));
		break;
	}
	return RONDE_OK;
}

int ronde_launch_read(struct ronde_launch *launch,
		      const char *(*lookup)(const char *name, void *arg), void *arg)
{
	const struct environment e = {lookup, arg};
	*launch = (struct ronde_launch){.kind = RONDE_LAUNCH_NONE};
	int status = read_unix(launch, &e);
	if (status || launch->kind == RONDE_LAUNCH_UNIX)
		return status;
	return read_launcher(launch, &e);
}

/* ---- which MPI understands which launcher ---- */

static bool is_srun(const struct ronde_launcher *l)
{
	return l && !strcmp(l->marks[0], "SLURM_PROCID");
}

void ronde_launch_remedy(char *text, size_t bytes, const struct ronde_launch *launch,
			 enum ronde_mpi_family family, const char *library)
{
	const bool open_mpi = family == RONDE_MPI_OPEN_MPI;
	const struct ronde_launcher *l = launch->launcher;
	char n[16] = "N";
	if (launch->launcher_size)
		snprintf(n, sizeof n, "%d", launch->launcher_size);
	if (family == RONDE_MPI_OTHER)
		snprintf(text, bytes, "Start it with the launcher that belongs to %s", library);
	else if (is_srun(l))
		snprintf(text, bytes,
			 "Start it with: srun --mpi=%s -n %s PROGRAM (srun --mpi=list shows what "
			 "there is), or with: mpirun -np %s PROGRAM, inside the allocation",
			 open_mpi ? "pmix" : "pmi2", n, n);
	else if (open_mpi && l == &launchers[0])
		snprintf(text, bytes,
			 "Start it with the mpirun of the same installation of %s (which -a "
			 "mpirun; on "
			 "Debian: mpirun.openmpi -np %s PROGRAM), and hand its environment on "
			 "unchanged",
			 library, n);
	else
		snprintf(text, bytes,
			 "Start it with the mpirun that belongs to %s (on Debian: %s -np %s "
			 "PROGRAM), "
			 "or set RONDE_MPI_MODULE to the path of a ronde_mpi.so that is built for "
			 "the "
			 "MPI of this mpirun (meson setup -Dmpi=%s)",
			 library, open_mpi ? "mpirun.openmpi" : "mpirun.mpich", n,
			 open_mpi ? "mpich" : "ompi-c");
}

int ronde_launch_check(const struct ronde_launch *launch, enum ronde_mpi_family family,
		       const char *library)
{
	const struct ronde_launcher *l = launch->launcher;
	if (!l)
		return RONDE_OK;
	/* srun may speak to MPICH through Slurm's own PMI library: that shows in MPI_Comm_size().
	 */
	bool deaf = (family == RONDE_MPI_OPEN_MPI && l->speaks != RONDE_SPEAKS_PMIX) ||
		    (family == RONDE_MPI_MPICH && l == &launchers[0]);
	if (!deaf)
		return RONDE_OK;
	char remedy[512];
	ronde_launch_remedy(remedy, sizeof remedy, launch, family, library);
	return ronde_error(
		RONDE_ERR_LAUNCHER,
		"this program was started by %s, but Ronde's MPI module is built for %s, "
		"which does not understand that launcher: every rank would be a world of "
		"its own. %s",
		launch->launcher_text, library, remedy);
}
