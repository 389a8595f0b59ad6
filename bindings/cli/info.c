/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde-info: what this Ronde is, what it finds here, and what to do about it. Under a launcher all
 * ranks look, and rank 0 prints.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/cli/build_info.h"
#include "bindings/cli/places.h"
#include "bindings/cli/sections.h"

/* argp looks it up by name. */
__attribute__((visibility("default"))) const char *argp_program_version =
	"ronde-info " RONDE_BUILD_VERSION;

struct arguments {
	bool json;
	unsigned int wanted; /* one bit a section */
	const char *svg;     /* where the picture goes, or NULL */
};

static const char summary[] =
	"Shows what this Ronde is, what it finds on this machine, and what to do about it. Under a "
	"launcher (mpirun -np 2 ronde-info) all ranks look, and rank 0 prints the job's view.\v"
	"Sections, all but the last if none is named:\n"
	"  build       version, compiler, options\n"
	"  processor   processor, caches and reduction kernels\n"
	"  mpi         the MPI module, tried\n"
	"  config      every setting, its value and where it came from\n"
	"  algorithms  the table an algorithm is picked from\n"
	"  checks      what Ronde needs of this machine, with advice\n"
	"  job         ranks and nodes, under a launcher\n"
	"  topology    ranks on packages, NUMA domains, caches and cores\n"
	"\n"
	"Exit status: 0 if nothing shown keeps Ronde from working, 1 if something does (a check "
	"that is a problem, a setting that is not valid, a launcher or an MPI module that cannot "
	"be used), 64 for wrong arguments.";

static const struct argp_option option_list[] = {
	{"json", 'j', NULL, 0, "one JSON object instead of text", 0},
	{"topology", 't', "FILE.svg", OPTION_ARG_OPTIONAL,
	 "the section topology; with a file, a picture of it too", 0},
	{0},
};

static int add_section(struct arguments *arguments, const char *name)
{
	for (int s = 0; s < section_count; s++)
		if (!strcmp(sections[s].name, name)) {
			arguments->wanted |= 1u << s;
			return 0;
		}
	return -1;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;
	switch (key) {
	case 'j':
		arguments->json = true;
		return 0;
	case 't':
		arguments->svg = value;
		return add_section(arguments, "topology");
	case ARGP_KEY_ARG:
		if (add_section(arguments, value))
			argp_error(state, "there is no section \"%s\"", value);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int write_page(const struct arguments *arguments, const struct info *info)
{
	struct page page;
	int problems = 0;
	page_open(&page, stdout, arguments->json);
	for (int s = 0; s < section_count; s++)
		if (arguments->wanted & 1u << s)
			problems += sections[s].write(&page, info);
	page_number(&page, "problems", NULL, problems);
	page_close(&page);
	return problems;
}

static bool write_picture(const char *path, const struct info *info)
{
	if (*info->places_error)
		return false;
	FILE *file = fopen(path, "we");
	if (file)
		places_write_svg(file, &info->job);
	bool good = file && !ferror(file);
	if (file && fclose(file))
		good = false;
	if (!good)
		fprintf(stderr, "ronde-info: %s: %s\n", path, strerror(errno));
	return good;
}

/* The first thing that ronde_init() would refuse; "": nothing. */
static const char *config_mistake(const struct info *info)
{
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++)
		if (*info->config_errors[i])
			return info->config_errors[i];
	return info->config_together;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {option_list, parse, "[SECTION...]", summary, NULL,
					 NULL,        NULL};
	static struct info info;
	struct arguments arguments = {0};
	argp_parse(&argp, argc, argv, 0, NULL, &arguments);
	if (!arguments.wanted)
		arguments.wanted = ~(1u << (section_count - 1));

	info_load_config(&info);
	if (job_open(&info.job, &info.config, config_mistake(&info))) {
		fprintf(stderr, "ronde-info: %s\n", ronde_error_message());
		return EXIT_FAILURE;
	}
	/* What rank 0 asks for its launcher has given all. */
	if (arguments.wanted & 1u << (section_count - 1) &&
	    places_gather(&info.job, &info.config) != RONDE_OK)
		snprintf(info.places_error, sizeof info.places_error, "%s", ronde_error_message());
	int problems = 0;
	if (job_speaks(&info.job)) {
		const struct machine machine = {.root = "",
						.config = &info.config,
						.launched = info.job.size > 1,
						.ranks = info.job.local,
						.rank_numbers = info.job.local_numbers,
						.nranks = info.job.nlocal,
						.notes = info.job.notes,
						.nnotes = info.job.nnotes};
		check_machine(&info.checks, &machine);
		problems = write_page(&arguments, &info);
		problems += arguments.svg && !write_picture(arguments.svg, &info);
	}
	job_close(&info.job);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("ronde-info: standard output");
		return EXIT_FAILURE;
	}
	return problems ? EXIT_FAILURE : EXIT_SUCCESS;
}
