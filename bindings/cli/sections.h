/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of ronde-info's page. Each writes itself, and returns how many problems it has seen. */
#ifndef RONDE_CLI_SECTIONS_H
#define RONDE_CLI_SECTIONS_H

#include "bindings/cli/job.h"
#include "bindings/cli/page.h"

/* What they tell about. */
struct info {
	struct ronde_config config;
	char config_errors[RONDE_CONFIG_COUNT][512]; /* "": the entry is fine */
	char config_together[512]; /* entries that do not go together; "": they do */
	struct job job;
	char places_error[RONDE_ERROR_BYTES]; /* "": the ranks' places are known, or nobody asked */
	struct checks checks;
};

struct section {
	const char *name;
	int (*write)(struct page *page, const struct info *info);
};

extern const struct section sections[];
extern const int section_count;

/* Loads the configuration; an entry that is not valid has its default, and an error. */
void info_load_config(struct info *info);

int section_build(struct page *page, const struct info *info);
int section_processor(struct page *page, const struct info *info);
int section_mpi(struct page *page, const struct info *info);
int section_config(struct page *page, const struct info *info);
int section_algorithms(struct page *page, const struct info *info);
int section_checks(struct page *page, const struct info *info);
int section_topology(struct page *page, const struct info *info);
int section_job(struct page *page, const struct info *info);

#endif
