/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/bootstrap/process_mpi.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- finding it ---- */

struct candidates {
	int n;
	char path[8][512];
};

static int note_candidate(struct dl_phdr_info *info, size_t bytes, void *arg)
{
	(void)bytes;
	struct candidates *c = arg;
	const char *slash = strrchr(info->dlpi_name, '/');
	const char *base = slash ? slash + 1 : info->dlpi_name;
	if (strncmp(base, "libmpi", 6) || c->n == (int)(sizeof c->path / sizeof *c->path))
		return 0;
	snprintf(c->path[c->n++], sizeof c->path[0], "%s", info->dlpi_name);
	return 0;
}

/*
 * A handle of what defines MPI_Initialized, to be closed; NULL: the program's global scope. An MPI
 * that was loaded with RTLD_LOCAL (Python extensions do) is not in the global scope, so all that is
 * called libmpi* is asked. The names are collected first: dl_iterate_phdr() holds a lock.
 */
static void *find_mpi(bool *found)
{
	*found = dlsym(RTLD_DEFAULT, "MPI_Initialized") != NULL;
	if (*found)
		return NULL;
	struct candidates *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	dl_iterate_phdr(note_candidate, c);
	void *handle = NULL;
	for (int i = 0; i < c->n && !*found; i++) {
		handle = dlopen(c->path[i], RTLD_LAZY | RTLD_NOLOAD);
		*found = handle && dlsym(handle, "MPI_Initialized");
		if (handle && !*found) {
			dlclose(handle);
			handle = NULL;
		}
	}
	free(c);
	return handle;
}

/* ---- asking it ---- */

static enum ronde_mpi_family family_of(const char *version)
{
	static const struct {
		const char *start;
		enum ronde_mpi_family family;
	} families[] = {
		{"Open MPI", RONDE_MPI_OPEN_MPI},
		{"MPICH", RONDE_MPI_MPICH},
		{"MVAPICH", RONDE_MPI_MPICH},
		{"Intel(R) MPI", RONDE_MPI_MPICH},
	};
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (!strncmp(version, families[i].start, strlen(families[i].start)))
			return families[i].family;
	return RONDE_MPI_OTHER;
}

/* The first words of MPI_Get_library_version(), which goes on for lines in some. */
static void ask_version(void *scope, char *version, size_t bytes)
{
	int (*get)(char *text, int *length);
	*(void **)&get = dlsym(scope, "MPI_Get_library_version");
	const size_t longest = 16384; /* no MPI's MPI_MAX_LIBRARY_VERSION_STRING is longer */
	char *text = calloc(1, longest);
	int length = 0;
	if (get && text && !get(text, &length)) {
		text[strcspn(text, "\n,")] = 0;
		for (char *c = text; *c; c++)
			if (*c == '\t')
				*c = ' ';
		snprintf(version, bytes, "%s", text);
	} else {
		snprintf(version, bytes, "an MPI older than MPI-3");
	}
	free(text);
}

void ronde_process_mpi_find(struct ronde_process_mpi *mpi)
{
	*mpi = (struct ronde_process_mpi){0};
	void *handle = find_mpi(&mpi->found);
	if (!mpi->found)
		return;
	void *scope = handle ? handle : RTLD_DEFAULT;
	int (*finalized)(int *flag);
	*(void **)&mpi->initialized = dlsym(scope, "MPI_Initialized");
	*(void **)&finalized = dlsym(scope, "MPI_Finalized");
	int started = 0, ended = 0;
	mpi->initialized(&started);
	if (finalized)
		finalized(&ended);
	mpi->running = started && !ended;
	ask_version(scope, mpi->version, sizeof mpi->version);
	mpi->family = family_of(mpi->version);
	Dl_info info;
	snprintf(mpi->file, sizeof mpi->file, "%s",
		 dladdr(*(void **)&mpi->initialized, &info) && info.dli_fname ? info.dli_fname
									      : "this program");
	if (handle)
		dlclose(handle);
}
