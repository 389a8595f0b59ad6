/* SPDX-License-Identifier: Apache-2.0 */
/* The sections about Ronde itself: build, MPI, configuration, algorithms. */
#include "bindings/cli/sections.h"

#include <stdlib.h>
#include <string.h>

#include "bindings/cli/build_info.h"
#include "bindings/cli/mpi_view.h"
#include "collectives/operation.h"

const struct section sections[] = {
	{"build", section_build},   {"processor", section_processor},   {"mpi", section_mpi},
	{"config", section_config}, {"algorithms", section_algorithms}, {"checks", section_checks},
	{"job", section_job},       {"topology", section_topology},
};
const int section_count = sizeof sections / sizeof *sections;

/* ---- build ---- */

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

int section_build(struct page *page, const struct info *info)
{
	(void)info;
	page_begin(page, "build", "Build");
	page_text(page, "version", "version", ronde_version());
	page_text(page, "compiler", "compiler", COMPILER);
	page_text(page, "target", "target", RONDE_BUILD_TARGET);
	page_text(page, "options", "options", RONDE_BUILD_OPTIONS);
	page_text(page, "mpi", "MPI module for", *RONDE_BUILD_MPI ? RONDE_BUILD_MPI : NULL);
	if (!*RONDE_BUILD_MPI)
		page_remark(page, "  %-18s not built (-Dmpi=…)\n", "MPI module");
	page_text(page, "fortran", "Fortran module", RONDE_BUILD_FORTRAN);
	page_text(page, "prefix", "prefix", RONDE_BUILD_PREFIX);
	page_end(page);
	return 0;
}

/* ---- MPI ---- */

/* A module that is missing is no problem, unless somebody says where it is: ranks of one machine
 * need none. */
int section_mpi(struct page *page, const struct info *info)
{
	static struct mpi_view view;
	const struct ronde_bootstrap *b = info->job.bootstrap;
	mpi_view_look(&view, b && !strcmp(b->ops->name, "mpi"));
	page_begin(page, "mpi", "MPI module");
	page_text(page, "module", "module", *view.path ? view.path : NULL);
	page_text(page, "library", "built for", *view.library ? view.library : NULL);
	page_text(page, "thread_level", "thread level",
		  *view.thread_level ? view.thread_level : NULL);
	page_text(page, "error", "not usable", *view.error ? view.error : NULL);
	page_end(page);
	return *view.error && (*view.path || getenv("RONDE_MPI_MODULE"));
}

/* ---- configuration ---- */

void info_load_config(struct info *info)
{
	struct ronde_config together;
	bool valid = true;
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		if (ronde_config_load_entry(&info->config, i, NULL) == RONDE_OK)
			continue;
		valid = false;
		snprintf(info->config_errors[i], sizeof info->config_errors[i], "%s",
			 ronde_error_message());
	}
	if (valid && ronde_config_load(&together, NULL) != RONDE_OK)
		snprintf(info->config_together, sizeof info->config_together, "%s",
			 ronde_error_message());
}

int section_config(struct page *page, const struct info *info)
{
	int problems = 0;
	page_begin(page, "config", "Configuration");
	page_list(page, "settings", NULL);
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		const struct ronde_config_entry *e = &ronde_config_entries[i];
		char value[RONDE_CONFIG_TEXT_BYTES], origin[RONDE_CONFIG_ORIGIN_BYTES];
		char variable[RONDE_CONFIG_VARIABLE_BYTES];
		const char *error = info->config_errors[i];
		const struct page_cell cells[] = {
			PAGE_CELL("name", 22, e->name),
			PAGE_CELL("value", 10, ronde_config_format(e, &info->config, value)),
			PAGE_CELL("origin", 32, ronde_config_origin(e, &info->config, origin)),
			PAGE_CELL("scope", 0, e->scope == RONDE_CONFIG_JOB ? "job" : "rank"),
			PAGE_CELL("variable", 0, ronde_config_variable(e, variable)),
			PAGE_CELL("default", 0, e->initial),
			PAGE_CELL("error", 0, *error ? error : NULL),
		};
		page_row(page, cells, page->json ? 7 : 3);
		if (*error)
			page_remark(page, "    NOT VALID, so the default is shown: %s\n", error);
		problems += *error != 0;
	}
	page_list_end(page);
	page_text(page, "error", NULL, *info->config_together ? info->config_together : NULL);
	if (*info->config_together)
		page_remark(page, "    NOT VALID: %s\n", info->config_together);
	page_end(page);
	return problems + (*info->config_together != 0);
}

/* ---- algorithms ---- */

int section_algorithms(struct page *page, const struct info *info)
{
	size_t n;
	const struct ronde_algorithm *const *table = ronde_algorithm_table(&n);
	(void)info;
	page_list(page, "algorithms", "Algorithms (the first that applies is taken)");
	for (size_t i = 0; i < n; i++) {
		const struct page_cell cells[] = {PAGE_CELL("name", 24, table[i]->name),
						  PAGE_CELL("help", 0, table[i]->help)};
		page_row(page, cells, 2);
	}
	page_list_end(page);
	return 0;
}
