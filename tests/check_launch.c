/* SPDX-License-Identifier: Apache-2.0 */
/* Environments, and what they must be taken for. Real launchers: tests/launchers.sh. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/bootstrap/launch.h"
#include "collectives/status.h"
#include "tests/suite.h"

/* ---- an environment in one text ---- */

/* getenv() on "NAME=value NAME=value". */
static const char *lookup(const char *name, void *arg)
{
	static char values[4][256]; /* what was returned stays valid for a while */
	static int turn;
	size_t length = strlen(name);
	for (const char *at = arg; *at; at += strspn(at, " ")) {
		size_t word = strcspn(at, " ");
		if (!strncmp(at, name, length) && at[length] == '=') {
			char *value = values[turn++ % 4];
			snprintf(value, sizeof values[0], "%.*s", (int)(word - length - 1),
				 at + length + 1);
			return value;
		}
		at += word;
	}
	return NULL;
}

static int read_launch(struct ronde_launch *launch, const char *environment)
{
	return ronde_launch_read(launch, lookup, (void *)(uintptr_t)environment);
}

/* ---- what is understood ---- */

#define HYDRA(rank, size) "HYDI_CONTROL_FD=7 PMI_FD=6 PMI_RANK=" #rank " PMI_SIZE=" #size
#define OPEN_MPI(rank, size)                                                                       \
	"OMPI_COMM_WORLD_RANK=" #rank " OMPI_COMM_WORLD_SIZE=" #size " PMIX_RANK=" #rank           \
	" PMIX_NAMESPACE=77"
#define SBATCH "SLURM_JOB_ID=9 SLURM_NTASKS=4 SLURM_NPROCS=4 SLURM_PROCID=0 SLURM_LOCALID=0 "
#define SRUN(rank, size)                                                                           \
	"SLURM_JOB_ID=9 SLURM_STEP_ID=0 SLURM_PROCID=" #rank " SLURM_NTASKS=" #size                \
	" SLURM_STEP_NUM_TASKS=" #size " "

/* What a family of MPI says to a launcher: it can be used, or it cannot. */
enum { OPEN_MPI_ONLY = 1, MPICH_ONLY = 2, BOTH = 3, NEITHER = 0 };

static const struct {
	const char *environment;
	enum ronde_launch_kind kind;
	int rank, size;       /* UNIX */
	const char *launcher; /* MPI */
	int usable;
} understood[] = {
	{"", RONDE_LAUNCH_NONE, 0, 0, "", BOTH},
	{"HOME=/root PATH=/bin", RONDE_LAUNCH_NONE, 0, 0, "", BOTH},
	{"RONDE_RANK= RONDE_SIZE= RONDE_ADDRESS=", RONDE_LAUNCH_NONE, 0, 0, "", BOTH},
	{"RONDE_RANK=0 RONDE_SIZE=1 RONDE_ADDRESS=a", RONDE_LAUNCH_UNIX, 0, 1, "", BOTH},
	{"RONDE_RANK=7 RONDE_SIZE=8 RONDE_ADDRESS=a", RONDE_LAUNCH_UNIX, 7, 8, "", BOTH},
	{"RONDE_RANK=1 RONDE_SIZE=2 RONDE_ADDRESS=a " OPEN_MPI(3, 4), RONDE_LAUNCH_UNIX, 1, 2, "",
	 BOTH},
	{OPEN_MPI(0, 2), RONDE_LAUNCH_MPI, 0, 0, "Open MPI's mpirun (OMPI_COMM_WORLD_SIZE=2)",
	 OPEN_MPI_ONLY},
	{"OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2", RONDE_LAUNCH_MPI, 0, 0,
	 "Open MPI's mpirun (OMPI_COMM_WORLD_SIZE=2)", OPEN_MPI_ONLY},
	{OPEN_MPI(0, 1), RONDE_LAUNCH_NONE, 0, 0, "", BOTH},
	{HYDRA(1, 2), RONDE_LAUNCH_MPI, 0, 0, "Hydra, the mpirun of MPICH (PMI_SIZE=2)",
	 MPICH_ONLY},
	{HYDRA(0, 1), RONDE_LAUNCH_NONE, 0, 0, "", BOTH},
	{"PMI_RANK=0 PMI_SIZE=3", RONDE_LAUNCH_MPI, 0, 0, "a launcher that speaks PMI (PMI_SIZE=3)",
	 MPICH_ONLY},
	{"MV2_COMM_WORLD_RANK=0 MV2_COMM_WORLD_SIZE=2", RONDE_LAUNCH_MPI, 0, 0,
	 "MVAPICH's mpirun_rsh (MV2_COMM_WORLD_SIZE=2)", MPICH_ONLY},
	{"PMIX_RANK=0 PMIX_NAMESPACE=x", RONDE_LAUNCH_MPI, 0, 0,
	 "a launcher that speaks PMIx (PMIX_RANK=0)", BOTH},
	/* one MPI's mpirun of one process runs a script that uses another's */
	{OPEN_MPI(0, 1) " " HYDRA(1, 2), RONDE_LAUNCH_MPI, 0, 0,
	 "Hydra, the mpirun of MPICH (PMI_SIZE=2)", MPICH_ONLY},
	/* Slurm: a batch script is one process; only srun's step is a launcher */
	{SBATCH, RONDE_LAUNCH_NONE, 0, 0, "", BOTH},
	{SBATCH OPEN_MPI(3, 4), RONDE_LAUNCH_MPI, 0, 0,
	 "Open MPI's mpirun (OMPI_COMM_WORLD_SIZE=4)", OPEN_MPI_ONLY},
	{SRUN(1, 4), RONDE_LAUNCH_MPI, 0, 0, "srun (SLURM_STEP_NUM_TASKS=4)", MPICH_ONLY},
	{SRUN(0, 1), RONDE_LAUNCH_NONE, 0, 0, "", BOTH},
	{SRUN(1, 4) "PMIX_RANK=1 PMIX_NAMESPACE=slurm.pmix.9.0", RONDE_LAUNCH_MPI, 0, 0,
	 "srun with PMIx (SLURM_STEP_NUM_TASKS=4)", BOTH},
	{SRUN(0, 1) "PMIX_RANK=0 PMIX_NAMESPACE=slurm.pmix.9.0", RONDE_LAUNCH_NONE, 0, 0, "", BOTH},
	{SRUN(1, 4) "PMI_RANK=1 PMI_SIZE=4 PMI_FD=5", RONDE_LAUNCH_MPI, 0, 0,
	 "srun with PMI-2 (SLURM_STEP_NUM_TASKS=4)", MPICH_ONLY},
	{SRUN(0, 2) OPEN_MPI(0, 2), RONDE_LAUNCH_MPI, 0, 0,
	 "Open MPI's mpirun (OMPI_COMM_WORLD_SIZE=2)", OPEN_MPI_ONLY},
};

START_TEST(test_understood)
{
	struct ronde_launch launch;
	const char *environment = understood[_i].environment;
	int status = read_launch(&launch, environment);
	ck_assert_msg(status == RONDE_OK, "%s: %s", environment, ronde_error_message());
	ck_assert_msg(launch.kind == understood[_i].kind, "%s: kind %d", environment, launch.kind);
	ck_assert_msg(launch.rank == understood[_i].rank && launch.size == understood[_i].size,
		      "%s: rank %d of %d", environment, launch.rank, launch.size);
	ck_assert_str_eq(launch.launcher_text, understood[_i].launcher);
	int usable =
		(ronde_launch_check(&launch, RONDE_MPI_OPEN_MPI, "Open MPI 4") ? 0
									       : OPEN_MPI_ONLY) +
		(ronde_launch_check(&launch, RONDE_MPI_MPICH, "MPICH 4") ? 0 : MPICH_ONLY);
	ck_assert_msg(usable == understood[_i].usable, "%s: usable by %d", environment, usable);
	ck_assert_int_eq(ronde_launch_check(&launch, RONDE_MPI_OTHER, "some MPI"), RONDE_OK);
}
END_TEST

/* ---- what is refused ---- */

static const struct {
	const char *environment;
	int status;
	const char *text;
} wrong[] = {
	{"RONDE_RANK=0", RONDE_ERR_CONFIGURATION, "RONDE_RANK is set and RONDE_SIZE is not: "},
	{"RONDE_SIZE=2 RONDE_ADDRESS=a", RONDE_ERR_CONFIGURATION,
	 "RONDE_SIZE is set and RONDE_RANK is not: ranks that are started without MPI need "
	 "RONDE_RANK "
	 "(0 to size-1), RONDE_SIZE, and RONDE_ADDRESS (any text that is the same on all ranks of "
	 "this "
	 "job, and only there)"},
	{"RONDE_RANK=0 RONDE_SIZE=2", RONDE_ERR_CONFIGURATION,
	 "RONDE_RANK is set and RONDE_ADDRESS is not: "},
	{"RONDE_RANK=0 RONDE_SIZE=2 RONDE_ADDRESS=", RONDE_ERR_CONFIGURATION,
	 "RONDE_RANK is set and RONDE_ADDRESS is not: "},
	{"RONDE_ADDRESS=a " OPEN_MPI(0, 2), RONDE_ERR_CONFIGURATION,
	 "RONDE_ADDRESS is set and RONDE_RANK is not: "},
	{"RONDE_RANK=2 RONDE_SIZE=2 RONDE_ADDRESS=a", RONDE_ERR_CONFIGURATION,
	 "RONDE_RANK is \"2\": allowed is a number from 0 to 1"},
	{"RONDE_RANK=-1 RONDE_SIZE=2 RONDE_ADDRESS=a", RONDE_ERR_CONFIGURATION,
	 "RONDE_RANK is \"-1\": allowed is a number from 0 to 1"},
	{"RONDE_RANK=1x RONDE_SIZE=2 RONDE_ADDRESS=a", RONDE_ERR_CONFIGURATION,
	 "RONDE_RANK is \"1x\": allowed is a number from 0 to 1"},
	{"RONDE_RANK=0 RONDE_SIZE=two RONDE_ADDRESS=a", RONDE_ERR_CONFIGURATION,
	 "RONDE_SIZE is \"two\": allowed is a number from 1 to 4096"},
	{"RONDE_RANK=0 RONDE_SIZE=0 RONDE_ADDRESS=a", RONDE_ERR_CONFIGURATION,
	 "RONDE_SIZE is \"0\": allowed is a number from 1 to 4096"},
	{"RONDE_RANK=0 RONDE_SIZE=99999999999999999999 RONDE_ADDRESS=a", RONDE_ERR_CONFIGURATION,
	 "RONDE_SIZE is \"99999999999999999999\": allowed is a number from 1 to 4096"},
	{"RONDE_RANK=0 RONDE_SIZE=2 "
	 "RONDE_ADDRESS=1234567890123456789012345678901234567890123456789012"
	 "345678901234567890123456789012345678901",
	 RONDE_ERR_CONFIGURATION, "RONDE_ADDRESS has 91 bytes: allowed is a text of 1 to 90 bytes"},
	{"OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=many", RONDE_ERR_LAUNCHER,
	 "OMPI_COMM_WORLD_SIZE is \"many\": allowed is a number from 1 to 2147483647"},
	{"PMI_RANK=0 PMI_SIZE=0", RONDE_ERR_LAUNCHER,
	 "PMI_SIZE is \"0\": allowed is a number from 1 to 2147483647"},
};

START_TEST(test_wrong)
{
	struct ronde_launch launch;
	int status = read_launch(&launch, wrong[_i].environment);
	ck_assert_msg(status == wrong[_i].status, "%s: %d", wrong[_i].environment, status);
	if (strncmp(ronde_error_message(), wrong[_i].text, strlen(wrong[_i].text)) != 0)
		ck_assert_str_eq(ronde_error_message(), wrong[_i].text);
}
END_TEST

/* ---- what is said then ---- */

static const struct {
	const char *environment;
	enum ronde_mpi_family family;
	const char *library, *text;
} advice[] = {
	{HYDRA(0, 2), RONDE_MPI_OPEN_MPI, "Open MPI 4.1.4",
	 "this program was started by Hydra, the mpirun of MPICH (PMI_SIZE=2), but Ronde's MPI "
	 "module "
	 "is built for Open MPI 4.1.4, which does not understand that launcher: every rank would "
	 "be a "
	 "world of its own. Start it with the mpirun that belongs to Open MPI 4.1.4 (on Debian: "
	 "mpirun.openmpi -np 2 PROGRAM), or set RONDE_MPI_MODULE to the path of a ronde_mpi.so "
	 "that is "
	 "built for the MPI of this mpirun (meson setup -Dmpi=mpich)"},
	{OPEN_MPI(0, 3), RONDE_MPI_MPICH, "MPICH 4.0.2",
	 "this program was started by Open MPI's mpirun (OMPI_COMM_WORLD_SIZE=3), but Ronde's MPI "
	 "module is built for MPICH 4.0.2, which does not understand that launcher: every rank "
	 "would be "
	 "a world of its own. Start it with the mpirun that belongs to MPICH 4.0.2 (on Debian: "
	 "mpirun.mpich -np 3 PROGRAM), or set RONDE_MPI_MODULE to the path of a ronde_mpi.so that "
	 "is "
	 "built for the MPI of this mpirun (meson setup -Dmpi=ompi-c)"},
	{SRUN(0, 8), RONDE_MPI_OPEN_MPI, "Open MPI 4.1.4",
	 "this program was started by srun (SLURM_STEP_NUM_TASKS=8), but Ronde's MPI module is "
	 "built "
	 "for Open MPI 4.1.4, which does not understand that launcher: every rank would be a world "
	 "of "
	 "its own. Start it with: srun --mpi=pmix -n 8 PROGRAM (srun --mpi=list shows what there "
	 "is), "
	 "or with: mpirun -np 8 PROGRAM, inside the allocation"},
};

START_TEST(test_advice)
{
	struct ronde_launch launch;
	ck_assert_int_eq(read_launch(&launch, advice[_i].environment), RONDE_OK);
	ck_assert_int_eq(ronde_launch_check(&launch, advice[_i].family, advice[_i].library),
			 RONDE_ERR_LAUNCHER);
	ck_assert_str_eq(ronde_error_message(), advice[_i].text);
}
END_TEST

START_TEST(test_remedy)
{
	struct ronde_launch launch;
	char text[512];
	read_launch(&launch, OPEN_MPI(0, 2));
	ronde_launch_remedy(text, sizeof text, &launch, RONDE_MPI_OPEN_MPI, "Open MPI 4.1.4");
	ck_assert_str_eq(text,
			 "Start it with the mpirun of the same installation of Open MPI 4.1.4 "
			 "(which -a mpirun; on Debian: mpirun.openmpi -np 2 PROGRAM), and hand "
			 "its environment on unchanged");
	ronde_launch_remedy(text, sizeof text, &launch, RONDE_MPI_OTHER, "an MPI 5.0 library");
	ck_assert_str_eq(text, "Start it with the launcher that belongs to an MPI 5.0 library");
	read_launch(&launch, SRUN(0, 2));
	ronde_launch_remedy(text, sizeof text, &launch, RONDE_MPI_MPICH, "MPICH 4.0.2");
	ck_assert_ptr_nonnull(strstr(text, "srun --mpi=pmi2 -n 2 PROGRAM"));
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{test_understood, 0, sizeof understood / sizeof *understood},
		{test_wrong, 0, sizeof wrong / sizeof *wrong},
		{test_advice, 0, sizeof advice / sizeof *advice},
		{test_remedy, ONCE},
	};
	return SUITE_RUN("launch", 60, tests);
}
