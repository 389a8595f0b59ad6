/* SPDX-License-Identifier: Apache-2.0 */
/* The options of settings are made from the configuration's table: RONDE_LOG_FILE is --log-file. */
#include "bindings/cli/ronderun/options.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/cli/build_info.h"
#include "collectives/status.h"
#include "coordinator/config.h"

/* argp looks it up by name. */
__attribute__((visibility("default"))) const char *argp_program_version =
	"ronderun " RONDE_BUILD_VERSION;

enum {
	KEY_BIND = 1000,
	KEY_CHECK_BUILD,
	KEY_DRY_RUN,
	KEY_GRACE,
	KEY_HOSTFILE,
	KEY_INTERFACE,
	KEY_MPIRUN,
	KEY_NO_PREFIX,
	KEY_OUTPUT,
	KEY_SSH,
	KEY_SSH_IDENTITY,
	KEY_SSH_PORT,
	KEY_SETTING
};

static const char summary[] =
	"Starts a program's ranks, on this machine without any MPI, on several by an MPI launcher, "
	"and stays until all have ended.\v"
	"Exit status: that of the first rank that fails, 128 + n if signal n ended it; 0 if none "
	"does; 64 for wrong arguments, 126 or 127 for a program that cannot be run.";

static const struct argp_option own_options[] = {
	{"np", 'n', "N", 0, "ranks to start; all slots of the hosts, if there are hosts", 1},
	{"host", 'H', "HOST[:N],...", 0, "the hosts, and how many ranks each takes (1)", 1},
	{"hostfile", KEY_HOSTFILE, "FILE", 0, "the hosts, a line each: HOST slots=N", 1},
	{"network-interface", KEY_INTERFACE, "NAME,...", 0,
	 "the network interfaces that connect the hosts", 1},
	{"mpirun", KEY_MPIRUN, "PROGRAM", 0, "the MPI launcher (mpirun)", 1},
	{"ssh", KEY_SSH, "PROGRAM", 0, "what the launcher reaches hosts by (RONDE_SSH, or ssh)", 1},
	{"ssh-identity", KEY_SSH_IDENTITY, "FILE", 0, "ssh's key", 1},
	{"ssh-port", KEY_SSH_PORT, "N", 0, "ssh's port", 1},
	{"check-build", KEY_CHECK_BUILD, NULL, 0, "print what is built in, and start nothing", 1},
	{NULL, 'x', "NAME[=VALUE]", 0, "a variable that the ranks must find in their environment",
	 1},
	{"bind-to", KEY_BIND, "core|none", 0,
	 "core: each rank to its share of the cores; none, the default", 1},
	{"dry-run", KEY_DRY_RUN, NULL, 0, "print what would be started, and start nothing", 1},
	{"grace", KEY_GRACE, "SECONDS", 0,
	 "from asking a rank to end until it is killed (5), and from a rank's failure until the "
	 "others are asked to",
	 1},
	{"no-prefix", KEY_NO_PREFIX, NULL, 0, "print ranks' lines without \"[rank] \" in front", 1},
	{"output", KEY_OUTPUT, "FOLDER", 0,
	 "what rank 3 prints goes to FOLDER/3.out and FOLDER/3.err instead", 1},
};
enum { OWN_COUNT = sizeof own_options / sizeof *own_options };

/* Over hosts; on one machine it is RONDE_UNIX_MAX_RANKS. */
#define RANKS_MAX (1 << 20)

/* Of the settings' options: "log-file". */
static char setting_names[RONDE_CONFIG_COUNT][RONDE_CONFIG_NAME_BYTES];
static struct argp_option all_options[OWN_COUNT + RONDE_CONFIG_COUNT + 1];

static bool for_tests(const struct ronde_config_entry *entry)
{
	return !strncmp(entry->name, "test_", 5);
}

static void make_options(void)
{
	struct argp_option *next = all_options;

	memcpy(next, own_options, sizeof own_options);
	next += OWN_COUNT;
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		char *name = setting_names[i];

		if (for_tests(&ronde_config_entries[i]))
			continue;
		snprintf(name, sizeof setting_names[i], "%s", ronde_config_entries[i].name);
		for (char *c = name; *c; c++)
			*c = *c == '_' ? '-' : *c;
		*next++ = (struct argp_option){
			name, KEY_SETTING + i, "VALUE", 0, ronde_config_entries[i].help, 2};
	}
}

/* An option is checked as the variable will be, and then is the variable. */
static void set(struct argp_state *state, int index, const char *value)
{
	const struct ronde_config_entry *entry = &ronde_config_entries[index];
	char variable[RONDE_CONFIG_VARIABLE_BYTES], given[RONDE_CONFIG_NAME_BYTES + 2];
	struct ronde_config config = {0};

	snprintf(given, sizeof given, "--%s", setting_names[index]);
	if (ronde_config_parse(entry, &config, value, given))
		argp_failure(state, RUN_STATUS_USAGE, 0, "%s", ronde_error_message());
	setenv(ronde_config_variable(entry, variable), value, 1);
}

static void export(struct run_options *options, struct argp_state *state, char *text)
{
	char *equals = strchr(text, '=');

	if (equals == text || !*text)
		argp_failure(state, RUN_STATUS_USAGE, 0, "-x \"%s\": a name is missing", text);
	if (equals)
		putenv(text);
	else if (!getenv(text))
		argp_failure(state, RUN_STATUS_USAGE, 0,
			     "-x %s: it is not set here; give it a value with -x %s=VALUE", text,
			     text);
	options->exported = realloc(options->exported,
				    ((size_t)options->nexported + 1) * sizeof *options->exported);
	if (!options->exported ||
	    !(options->exported[options->nexported++] = strndup(text, strcspn(text, "="))))
		argp_failure(state, 1, 0, "out of memory");
}

static double seconds(struct argp_state *state, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !isfinite(value) || value < 0 || value > 86400)
		argp_failure(state, RUN_STATUS_USAGE, 0,
			     "--grace \"%s\": allowed is a number of seconds from 0 to 86400",
			     text);
	return value;
}

static int whole(struct argp_state *state, const char *name, const char *text, int most)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || *end || n < 1 || n > most)
		argp_failure(state, RUN_STATUS_USAGE, 0,
			     "%s \"%s\": allowed is a number from 1 to %d", name, text, most);
	return (int)n;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
	struct run_options *options = state->input;

	switch (key) {
	case 'n': /* everybody writes -np 4, which is -n p to argp */
		if (!strcmp(value, "p") && state->next < state->argc)
			value = state->argv[state->next++];
		options->ranks = whole(state, "-np", value, RANKS_MAX);
		return 0;
	case 'x':
		export(options, state, value);
		return 0;
	case KEY_BIND:
		if (strcmp(value, "core") != 0 && strcmp(value, "none") != 0)
			argp_failure(state, RUN_STATUS_USAGE, 0,
				     "--bind-to \"%s\": there are core and none", value);
		options->bind = !strcmp(value, "core");
		return 0;
	case 'H':
		options->hosts = value;
		return 0;
	case KEY_HOSTFILE:
		options->hostfile = value;
		return 0;
	case KEY_INTERFACE:
		options->interfaces = value;
		return 0;
	case KEY_MPIRUN:
		options->mpirun = value;
		return 0;
	case KEY_SSH:
		options->ssh = value;
		return 0;
	case KEY_SSH_IDENTITY:
		options->ssh_identity = value;
		return 0;
	case KEY_SSH_PORT:
		options->ssh_port = whole(state, "--ssh-port", value, 65535);
		return 0;
	case KEY_CHECK_BUILD:
		options->check_build = true;
		return 0;
	case KEY_DRY_RUN:
		options->dry_run = true;
		return 0;
	case KEY_GRACE:
		options->grace = seconds(state, value);
		return 0;
	case KEY_NO_PREFIX:
		options->prefix = false;
		return 0;
	case KEY_OUTPUT:
		options->output = value;
		return 0;
	case ARGP_KEY_ARG: /* the program: all behind it is its own */
		state->next--;
		options->command = &state->argv[state->next];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (options->check_build)
			return 0;
		if (options->hosts && options->hostfile)
			argp_failure(state, RUN_STATUS_USAGE, 0,
				     "-H and --hostfile: only one of them says the hosts");
		if (!options->command)
			argp_failure(state, RUN_STATUS_USAGE, 0,
				     "no program: ronderun -np 2 ./train");
		return 0;
	default:
		if (key < KEY_SETTING || key >= KEY_SETTING + RONDE_CONFIG_COUNT)
			return ARGP_ERR_UNKNOWN;
		set(state, key - KEY_SETTING, value);
		return 0;
	}
}

void run_options_read(struct run_options *options, int argc, char **argv)
{
	static const struct argp argp = {all_options, parse, "PROGRAM [ARGUMENT...]", summary, NULL,
					 NULL,        NULL};

	*options = (struct run_options){.prefix = true, .grace = 5, .ssh = getenv("RONDE_SSH")};
	make_options();
	argp_err_exit_status = RUN_STATUS_USAGE;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, options);
	unsetenv("RONDE_SSH"); /* the ranks' runtime knows no such setting */
}
