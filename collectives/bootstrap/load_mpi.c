/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The module is looked for where RONDE_MPI_MODULE says, and only there; else beside this library,
 * in the build folder, where a program's libraries are (a program that is linked statically), and
 * where it is installed. It is loaded with RTLD_LOCAL, so that its MPI
 * does not become the MPI of whatever the program loads later, and never unloaded: no MPI can be.
 */
#include "collectives/bootstrap/load_mpi.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectives/bootstrap/module_dir.h"
#include "collectives/status.h"

#define MODULE "ronde_mpi.so"

/* ---- where it is ---- */

/* The folder of the file this code is in: libronde.so, or a program it is linked into. */
static bool own_folder(char *folder, size_t bytes)
{
	Dl_info info;
	char *path = NULL;
	if (dladdr((const void *)own_folder, &info) && info.dli_fname &&
	    strchr(info.dli_fname, '/'))
		path = realpath(info.dli_fname, NULL);
	if (!path)
		path = realpath("/proc/self/exe", NULL);
	char *slash = path ? strrchr(path, '/') : NULL;
	if (slash) {
		*slash = 0;
		snprintf(folder, bytes, "%s", path);
	}
	free(path);
	return slash != NULL;
}

/* Why the module is needed at all: the start of an error's text. ronde-info only wants to see it.
 */
static const char *reason(char *text, size_t bytes, const struct ronde_launch *launch,
			  const struct ronde_process_mpi *mpi)
{
	text[0] = 0;
	if (launch->launcher)
		snprintf(text, bytes, "this program was started by %s, but ",
			 launch->launcher_text);
	else if (mpi->running)
		snprintf(text, bytes, "this program has initialised MPI (%s), but ", mpi->version);
	return text;
}

static int missing_module(const struct ronde_launch *launch, const struct ronde_process_mpi *mpi,
			  const char *looked)
{
	char why[256];
	return ronde_error(
		RONDE_ERR_LAUNCHER,
		"%sRonde's MPI module is missing. Looked for%s. It is built with "
		"Ronde when there is an MPI to build it for (on Debian the package "
		"libopenmpi-dev; meson option -Dmpi=auto, or -Dmpi=mpich for MPICH); "
		"RONDE_MPI_MODULE can say where it is. Without MPI, ranks on one machine "
		"can be started with RONDE_RANK, RONDE_SIZE and RONDE_ADDRESS set",
		reason(why, sizeof why, launch, mpi), looked);
}

int ronde_mpi_find_module(char *path, size_t bytes, const struct ronde_launch *launch,
			  const struct ronde_process_mpi *mpi)
{
	const char *given = secure_getenv("RONDE_MPI_MODULE");
	if (given && *given) {
		snprintf(path, bytes, "%s", given);
		if (!access(path, R_OK))
			return RONDE_OK;
		return ronde_error(
			RONDE_ERR_LAUNCHER,
			"RONDE_MPI_MODULE is \"%s\", which cannot be read: it must be the "
			"path of a ronde_mpi.so, or not be set",
			given);
	}
	char folder[1024], looked[3072] = "";
	const char *const under[] = {"/ronde/", "/collectives/mpi/", "/../collectives/mpi/",
				     "/../../collectives/mpi/", RONDE_MODULE_DIR_FROM_BIN};
	size_t tries = sizeof under / sizeof *under;
	bool own = own_folder(folder, sizeof folder);
	for (size_t i = own ? 0 : tries; i <= tries; i++) {
		if (i < tries)
			snprintf(path, bytes, "%s%s" MODULE, folder, under[i]);
		else
			snprintf(path, bytes, RONDE_MODULE_DIR "/" MODULE);
		if (!access(path, F_OK))
			return RONDE_OK;
		size_t used = strlen(looked);
		snprintf(looked + used, sizeof looked - used, "%s %s", used ? "," : "", path);
	}
	return missing_module(launch, mpi, looked);
}

/* ---- whether it fits ---- */

const struct ronde_mpi_module *ronde_mpi_load_module(const char *path, int *status)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	const struct ronde_mpi_module *module =
		handle ? dlsym(handle, RONDE_MPI_MODULE_SYMBOL) : NULL;
	if (module && module->abi == RONDE_MPI_MODULE_ABI)
		return module;
	if (!handle)
		*status =
			ronde_error(RONDE_ERR_LAUNCHER,
				    "Ronde's MPI module %s cannot be loaded: %s. A library of MPI "
				    "that is missing comes with the package of that MPI (on Debian "
				    "openmpi-bin, or mpich)",
				    path, dlerror());
	else if (!module)
		*status = ronde_error(RONDE_ERR_LAUNCHER,
				      "%s is no MPI module of Ronde: it has "
				      "no " RONDE_MPI_MODULE_SYMBOL,
				      path);
	else
		*status = ronde_error(RONDE_ERR_VERSION,
				      "%s is the MPI module of another version of Ronde (interface "
				      "%u, this is %u): build or install both together",
				      path, module->abi, RONDE_MPI_MODULE_ABI);
	return NULL;
}

/*
 * Two MPIs in one process end badly: both define the same names. The program's MPI must be of the
 * family the module is built for, and the module must see the very same one.
 */
static int check_process(const struct ronde_process_mpi *mpi, const struct ronde_mpi_module *module,
			 const char *path)
{
	if (!mpi->found)
		return RONDE_OK;
	if (mpi->family == (enum ronde_mpi_family)module->family &&
	    mpi->initialized == module->initialized)
		return RONDE_OK;
	return ronde_error(
		RONDE_ERR_LAUNCHER,
		"this program uses %s (%s), but Ronde's MPI module %s is built for %s: two MPIs "
		"cannot "
		"live in one process. Set RONDE_MPI_MODULE to the path of a ronde_mpi.so that is "
		"built "
		"for the program's MPI (meson setup -Dmpi=NAME, its pkg-config name), or link the "
		"program to %s",
		mpi->version, mpi->file, path, module->library, module->library);
}

int ronde_mpi_open(struct ronde_bootstrap **bootstrap, const struct ronde_launch *launch,
		   const struct ronde_process_mpi *mpi, double timeout_seconds,
		   const void *communicator)
{
	char path[2048];
	if (communicator && !mpi->found)
		return ronde_error(
			RONDE_ERR_LAUNCHER,
			"ronde_init_mpi: this process has an MPI whose functions cannot be found "
			"by name, so Ronde cannot see whether its MPI module uses the same: link "
			"the program to the shared library of MPI");
	int status = ronde_mpi_find_module(path, sizeof path, launch, mpi);
	if (status)
		return status;
	const struct ronde_mpi_module *module = ronde_mpi_load_module(path, &status);
	if (!module)
		return status;
	const enum ronde_mpi_family family = (enum ronde_mpi_family)module->family;
	status = check_process(mpi, module, path);
	/* An MPI that runs already has settled with its launcher how many ranks there are. */
	if (!status && !mpi->running && !communicator)
		status = ronde_launch_check(launch, family, module->library);
	if (status)
		return status;
	char remedy[512];
	ronde_launch_remedy(remedy, sizeof remedy, launch, family, module->library);
	const struct ronde_mpi_request request = {
		.timeout_seconds = timeout_seconds,
		.launcher = launch->launcher ? launch->launcher_text : NULL,
		.launcher_size = launch->launcher_size,
		.remedy = remedy,
		.communicator = communicator,
		.error = ronde_error,
	};
	return module->open(bootstrap, &request);
}
