/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: where values come from, what is refused and how, and the travelling block. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/config.h"
#include "tests/comma_locale.h"
#include "tests/skip.h"
#include "tests/suite.h"

extern char **environ;

/* Every test starts without any variable of ours. */
static void clear(void)
{
	char names[64][64];
	int n = 0;
	for (char **v = environ; *v && n < 64; v++)
		if (strncmp(*v, "RONDE_", 6) == 0 || strncmp(*v, "HOROVOD_", 8) == 0)
			snprintf(names[n++], sizeof names[0], "%.*s", (int)strcspn(*v, "="), *v);
	while (n-- > 0)
		unsetenv(names[n]);
}

static struct ronde_config load(const char *const *settings)
{
	struct ronde_config c;
	int status = ronde_config_load(&c, settings);
	ck_assert_msg(status == RONDE_OK, "%s", ronde_error_message());
	return c;
}

static void refuses(const char *const *settings, const char *text)
{
	struct ronde_config c;
	memset(&c, 0x5a, sizeof c);
	struct ronde_config before = c;
	ck_assert_int_eq(ronde_config_load(&c, settings), RONDE_ERR_CONFIGURATION);
	ck_assert_str_eq(ronde_error_message(), text);
	ck_assert_mem_eq(&c, &before, sizeof c);
}

START_TEST(defaults)
{
	struct ronde_config c = load(NULL);
	ck_assert_int_eq(c.log, RONDE_LOG_WARN);
	ck_assert_str_eq(c.log_file, "");
	ck_assert_int_eq(c.fusion_threshold, 128 << 20);
	ck_assert_int_eq(c.cache_capacity, 1024);
	ck_assert_int_eq(c.batch_delay_us, 0);
	ck_assert_int_eq(c.carry_bytes, 16384);
	ck_assert_int_eq(c.staging_bytes, 4 << 20);
	ck_assert_int_eq(c.spin, -1);
	ck_assert(c.zero_copy && !c.test_no_memfd && !c.test_no_pidfd);
	ck_assert_double_eq(c.init_timeout_seconds, 60);
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++)
		ck_assert_int_eq(c.origin[i], RONDE_CONFIG_FROM_DEFAULT);
}
END_TEST

START_TEST(precedence)
{
	char text[RONDE_CONFIG_ORIGIN_BYTES];
	const struct ronde_config_entry *e = &ronde_config_entries[RONDE_CONFIG_fusion_threshold];
	setenv("HOROVOD_FUSION_THRESHOLD", "1000", 1);
	setenv("HOROVOD_CYCLE_TIME", "5", 1);
	struct ronde_config c = load(NULL);
	ck_assert_int_eq(c.fusion_threshold, 1000);
	ck_assert_str_eq(ronde_config_origin(e, &c, text), "HOROVOD_FUSION_THRESHOLD");
	ck_assert_int_eq(c.batch_delay_us, 0);

	setenv("RONDE_FUSION_THRESHOLD", "2000", 1);
	c = load(NULL);
	ck_assert_int_eq(c.fusion_threshold, 2000);
	ck_assert_str_eq(ronde_config_origin(e, &c, text), "RONDE_FUSION_THRESHOLD");

	c = load((const char *[]){"fusion_threshold", "3", "lanes", "2", "fusion_threshold", "3000",
				  NULL});
	ck_assert_int_eq(c.fusion_threshold, 3000);
	ck_assert_int_eq(c.lanes, 2);
	ck_assert_str_eq(ronde_config_origin(e, &c, text), "ronde_init()");

	/* A value that nobody looks at does no harm. */
	setenv("HOROVOD_FUSION_THRESHOLD", "rubbish", 1);
	load(NULL);
}
END_TEST

/* Variables of Horovod's that change nothing here, and make nobody suspicious: docs/horovod.md. */
START_TEST(horovods)
{
	static const char *const without_effect[] = {"HOROVOD_DYNAMIC_PROCESS_SETS",
						     "HOROVOD_CYCLE_TIME",
						     "HOROVOD_AUTOTUNE",
						     "HOROVOD_AUTOTUNE_LOG",
						     "HOROVOD_AUTOTUNE_WARMUP_SAMPLES",
						     "HOROVOD_AUTOTUNE_STEPS_PER_SAMPLE",
						     "HOROVOD_HIERARCHICAL_ALLREDUCE",
						     "HOROVOD_HIERARCHICAL_ALLGATHER",
						     "HOROVOD_ADASUM_MPI_CHUNK_SIZE",
						     "HOROVOD_MPI_THREADS_DISABLE",
						     "HOROVOD_CPU_OPERATIONS",
						     "HOROVOD_CONTROLLER",
						     "HOROVOD_GLOO_IFACE",
						     "HOROVOD_CCL_CACHE",
						     "HOROVOD_AUTOTUNE_BAYES_OPT_MAX_SAMPLES",
						     "HOROVOD_AUTOTUNE_GAUSSIAN_PROCESS_NOISE",
						     "HOROVOD_GLOO_TIMEOUT_SECONDS",
						     "HOROVOD_LOG_HIDE_TIME",
						     "HOROVOD_RANK",
						     "HOROVOD_SIZE",
						     "HOROVOD_LOCAL_RANK",
						     "HOROVOD_LOCAL_SIZE",
						     "HOROVOD_CROSS_RANK",
						     "HOROVOD_CROSS_SIZE",
						     "HOROVOD_HOSTNAME",
						     "HOROVOD_NUM_NCCL_STREAMS",
						     "HOROVOD_BATCH_D2D_MEMCOPIES",
						     "HOROVOD_ENABLE_ASYNC_COMPLETION",
						     "HOROVOD_DISABLE_NVTX_RANGES",
						     "HOROVOD_ENABLE_XLA_OPS"};
	static const char *const values[] = {"1", "0", "", "rubbish"};
	char mistyped[1][RONDE_CONFIG_NAME_BYTES] = {""};
	for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
		for (size_t i = 0; i < sizeof without_effect / sizeof *without_effect; i++)
			setenv(without_effect[i], values[v], 1);
		struct ronde_config after = load(NULL);
		for (int i = 0; i < RONDE_CONFIG_COUNT; i++)
			ck_assert_int_eq(after.origin[i], RONDE_CONFIG_FROM_DEFAULT);
		ck_assert_int_eq(ronde_config_mistyped(mistyped, 1), 0);
	}
}
END_TEST

/* Horovod's words for the levels of a log, in any case. */
START_TEST(horovods_log_levels)
{
	static const char *const levels[][2] = {
		{"trace", "trace"},  {"debug", "debug"}, {"info", "info"},
		{"warning", "warn"}, {"error", "error"}, {"fatal", "error"},
		{"WARNING", "warn"}, {"Fatal", "error"}, {"warn", "warn"},
	};
	const struct ronde_config_entry *e = &ronde_config_entries[RONDE_CONFIG_log];
	char text[RONDE_CONFIG_TEXT_BYTES], origin[RONDE_CONFIG_ORIGIN_BYTES];
	struct ronde_config c;
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
		setenv("HOROVOD_LOG_LEVEL", levels[i][0], 1);
		c = load(NULL);
		ck_assert_str_eq(ronde_config_format(e, &c, text), levels[i][1]);
		ck_assert_str_eq(ronde_config_origin(e, &c, origin), "HOROVOD_LOG_LEVEL");
	}
	setenv("HOROVOD_LOG_LEVEL", "2", 1);
	ck_assert_int_eq(ronde_config_load(&c, NULL), RONDE_ERR_CONFIGURATION);
	ck_assert_str_eq(
		ronde_error_message(),
		"HOROVOD_LOG_LEVEL is \"2\": allowed is error, warn, info, debug or trace; "
		"also fatal (error), warning (warn)");
}
END_TEST

START_TEST(spellings)
{
	static const struct {
		const char *name, *value, *canonical;
	} rows[] = {
		{"fusion_threshold", "0", "0"},
		{"fusion_threshold", "1k", "1K"},
		{"fusion_threshold", "3KiB", "3K"},
		{"fusion_threshold", "1024M", "1G"},
		{"fusion_threshold", "1025", "1025"},
		{"heap_reserve_bytes", "16384G", "16384G"},
		{"zero_copy", "1", "yes"},
		{"zero_copy", "TRUE", "yes"},
		{"zero_copy", "on", "yes"},
		{"zero_copy", "0", "no"},
		{"zero_copy", "False", "no"},
		{"zero_copy", "off", "no"},
		{"zero_copy", "No", "no"},
		{"log", "TRACE", "trace"},
		{"log", "error", "error"},
		{"isa", "AVX2", "avx2"},
		{"isa", "", ""},
		{"spin", "-1", "-1"},
		{"init_timeout_seconds", "0.5", "0.5"},
		{"init_timeout_seconds", "1e3", "1000"},
		{"log_file", "/tmp/A b-%r", "/tmp/A b-%r"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[RONDE_CONFIG_TEXT_BYTES];
		struct ronde_config c = load((const char *[]){rows[i].name, rows[i].value, NULL});
		for (int j = 0; j < RONDE_CONFIG_COUNT; j++)
			if (strcmp(ronde_config_entries[j].name, rows[i].name) == 0)
				ronde_config_format(&ronde_config_entries[j], &c, text);
		ck_assert_str_eq(text, rows[i].canonical);
	}
}
END_TEST

START_TEST(bad_values)
{
	static const struct {
		const char *name, *value;
	} rows[] = {
		{"FUSION_THRESHOLD", "12x"},
		{"FUSION_THRESHOLD", ""},
		{"FUSION_THRESHOLD", "-1"},
		{"FUSION_THRESHOLD", " 1"},
		{"FUSION_THRESHOLD", "1 "},
		{"FUSION_THRESHOLD", "1KM"},
		{"FUSION_THRESHOLD", "1.5M"},
		{"FUSION_THRESHOLD", "9223372036854775807"},
		{"FUSION_THRESHOLD", "99999999999999999999"},
		{"FUSION_THRESHOLD", "17179869184G"},
		{"CACHE_CAPACITY", "1K"},
		{"CACHE_CAPACITY", "--1"},
		{"RING_BYTES", "300K"},
		{"RING_BYTES", "1K"},
		{"LANES", "0"},
		{"LANES", "65"},
		{"LOG", "loud"},
		{"LOG", "warn|info"},
		{"LOG", ""},
		{"ISA", "sse"},
		{"INIT_TIMEOUT_SECONDS", "nan"},
		{"INIT_TIMEOUT_SECONDS", "inf"},
		{"INIT_TIMEOUT_SECONDS", "0"},
		{"INIT_TIMEOUT_SECONDS", "1,5"},
		{"ZERO_COPY", "y"},
		{"ZERO_COPY", "2"},
		{"ZERO_COPY", ""},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char variable[64], expected[128];
		snprintf(variable, sizeof variable, "RONDE_%s", rows[i].name);
		snprintf(expected, sizeof expected, "%s is \"%s\": allowed is ", variable,
			 rows[i].value);
		setenv(variable, rows[i].value, 1);
		struct ronde_config c;
		ck_assert_msg(ronde_config_load(&c, NULL) == RONDE_ERR_CONFIGURATION,
			      "%s was accepted", expected);
		ck_assert_msg(strncmp(ronde_error_message(), expected, strlen(expected)) == 0, "%s",
			      ronde_error_message());
		unsetenv(variable);
	}
}
END_TEST

START_TEST(error_texts)
{
	setenv("HOROVOD_FUSION_THRESHOLD", "12x", 1);
	refuses(NULL, "HOROVOD_FUSION_THRESHOLD is \"12x\": allowed is a number of bytes from 0 to "
		      "1024G, also with K, M or G");
	clear();
	refuses((const char *[]){"ring_bytes", "5", NULL},
		"the setting \"ring_bytes\" of ronde_init() is \"5\": allowed is a power of two of "
		"bytes from 16K to 256M, also with K, M or G");
	refuses((const char *[]){"log", "x", NULL},
		"the setting \"log\" of ronde_init() is \"x\": allowed is error, warn, info, debug "
		"or trace; also fatal (error), warning (warn)");
	refuses((const char *[]){"isa", "x", NULL},
		"the setting \"isa\" of ronde_init() is \"x\": allowed is c, avx2, avx512, neon or "
		"nothing");
	refuses((const char *[]){"zero_copy", "x", NULL},
		"the setting \"zero_copy\" of ronde_init() is \"x\": allowed is 1, true, yes, on, "
		"0, false, no or off");
	refuses((const char *[]){"fusion_treshold", "1", NULL},
		"ronde_init() was given the unknown setting \"fusion_treshold\" (did you mean "
		"\"fusion_threshold\"?); docs/configuration.md lists them all");
	refuses((const char *[]){"zzzz", "1", NULL},
		"ronde_init() was given the unknown setting \"zzzz\"; docs/configuration.md lists "
		"them all");
	refuses((const char *[]){"lanes", NULL},
		"ronde_init() was given the setting \"lanes\" without a value: settings are pairs "
		"name, value, ..., NULL");
	refuses((const char *[]){"chunk_bytes", "8M", NULL},
		"RONDE_CHUNK_BYTES (8388608) is larger than RONDE_STAGING_BYTES (4194304): make "
		"the chunks smaller or the staging larger");
	refuses((const char *[]){"ring_bytes", "32K", NULL},
		"RONDE_CARRY_BYTES (16384) is more than a quarter of RONDE_RING_BYTES (32768): "
		"carry less or make the rings larger");
}
END_TEST

START_TEST(foreign_locale)
{
	if (!comma_locale()) {
		test_skip("foreign_locale", "localedef made no locale with a decimal comma");
		return;
	}
	char text[8];
	snprintf(text, sizeof text, "%g", 1.5);
	ck_assert_str_eq(text, "1,5");
	struct ronde_config c = load((const char *[]){"init_timeout_seconds", "1.5", NULL});
	ck_assert_double_eq(c.init_timeout_seconds, 1.5);
}
END_TEST

START_TEST(block_round_trip)
{
	unsigned char block[RONDE_CONFIG_BLOCK_BYTES], again[RONDE_CONFIG_BLOCK_BYTES];
	char text[RONDE_CONFIG_ORIGIN_BYTES];
	struct ronde_config rank0 = load((const char *[]){"lanes", "3", "fusion_threshold", "5M",
							  "zero_copy", "no", "log", "trace", NULL});
	struct ronde_config mine = load(
		(const char *[]){"lanes", "4", "cache_capacity", "1024", "log", "error", NULL});
	ronde_config_encode(&rank0, block);
	ck_assert_int_eq(ronde_config_decode(&mine, block), RONDE_OK);
	ck_assert_int_eq(mine.lanes, 3);
	ck_assert_int_eq(mine.fusion_threshold, 5 << 20);
	ck_assert(!mine.zero_copy);
	ck_assert_int_eq(mine.log, RONDE_LOG_ERROR);
	ck_assert_int_eq(mine.origin[RONDE_CONFIG_lanes], RONDE_CONFIG_RANK0_WINS);
	ck_assert_int_eq(mine.origin[RONDE_CONFIG_fusion_threshold], RONDE_CONFIG_FROM_RANK0);
	ck_assert_int_eq(mine.origin[RONDE_CONFIG_cache_capacity], RONDE_CONFIG_FROM_SETTINGS);
	ck_assert_int_eq(mine.origin[RONDE_CONFIG_log], RONDE_CONFIG_FROM_SETTINGS);
	ck_assert_str_eq(
		ronde_config_origin(&ronde_config_entries[RONDE_CONFIG_lanes], &mine, text),
		"rank 0, against this rank's own setting");
	ronde_config_encode(&mine, again);
	ck_assert_mem_eq(block, again, sizeof block);
	ck_assert_int_eq(ronde_config_decode(&rank0, block), RONDE_OK);
	ck_assert_int_eq(rank0.origin[RONDE_CONFIG_lanes], RONDE_CONFIG_FROM_SETTINGS);
}
END_TEST

START_TEST(block_damaged)
{
	unsigned char block[RONDE_CONFIG_BLOCK_BYTES];
	struct ronde_config c = load(NULL), before = c;
	ronde_config_encode(&c, block);
	block[0] ^= 1;
	ck_assert_int_eq(ronde_config_decode(&c, block), RONDE_ERR_VERSION);
	block[0] ^= 1;
	memset(block + 8, 0xff, 8);
	ck_assert_int_eq(ronde_config_decode(&c, block), RONDE_ERR_CONFIGURATION);
	ck_assert_mem_eq(&c, &before, sizeof c);

	/* Random bytes: an error or a valid configuration, whatever they are. */
	srand(1);
	for (int round = 0; round < 20000; round++) {
		struct ronde_config d = before;
		ronde_config_encode(&before, block);
		for (int i = 0; i < 1 + round % 8; i++)
			block[8 + rand() % 120] = (unsigned char)rand();
		if (ronde_config_decode(&d, block) != RONDE_OK)
			continue;
		for (int i = 0; i < RONDE_CONFIG_COUNT; i++)
			if (!ronde_config_valid(&ronde_config_entries[i], &d))
				ck_abort_msg("accepted a bad %s", ronde_config_entries[i].name);
	}
}
END_TEST

/* ---- what the log is told ---- */

struct lines {
	int n;
	char text[16][256];
	int level[16];
};

static void keep(ronde_log_level level, const char *message, void *arg)
{
	struct lines *l = arg;
	if (l->n == 16)
		return;
	l->level[l->n] = (int)level;
	snprintf(l->text[l->n++], sizeof l->text[0], "%s", message);
}

/* What a job of one rank says. */
static void share(struct ronde_config *config, struct lines *lines)
{
	struct ronde_log log;
	struct ronde_bootstrap *none;
	memset(lines, 0, sizeof *lines);
	ck_assert_int_eq(ronde_log_open(&log, RONDE_LOG_WARN, NULL, 0), RONDE_OK);
	ck_assert_int_eq(ronde_bootstrap_none(&none), RONDE_OK);
	ronde_log_set_function(&log, keep, lines);
	ck_assert_int_eq(ronde_config_share(none, config, RONDE_OK, "", &log), RONDE_OK);
	ronde_log_close(&log);
	none->ops->close(none, true);
}

START_TEST(mistyped_variables)
{
	static const char *const rows[][2] = {
		{"RONDE_FUSION_TRESHOLD", "RONDE_FUSION_THRESHOLD"},
		{"RONDE_FUSION", "RONDE_FUSION_THRESHOLD"},
		{"RONDE_LOG_LEVEL", "RONDE_LOG"},
		{"RONDE_LOGFILE", "RONDE_LOG_FILE"},
		{"RONDE_lanes", "RONDE_LANES"},
		{"RONDE_CACHE_CAPACITIY", "RONDE_CACHE_CAPACITY"},
		{"RONDE_RANK", NULL},
		{"RONDE_SIZE", NULL},
		{"RONDE_ADDRESS", NULL},
		{"RONDE_MPI_MODULE", NULL},
		{"RONDE_BUILD", NULL},
		{"RONDE_", NULL},
		{"RONDE_LANES", NULL},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct lines lines;
		char expected[256];
		setenv(rows[i][0], "1", 1);
		struct ronde_config c = load(NULL);
		share(&c, &lines);
		ck_assert_msg(lines.n == (rows[i][1] != NULL), "%s: %d lines: %s", rows[i][0],
			      lines.n, lines.text[0]);
		if (rows[i][1]) {
			snprintf(expected, sizeof expected,
				 "%s is set, but nothing reads it: did you mean %s?", rows[i][0],
				 rows[i][1]);
			ck_assert_str_eq(lines.text[0], expected);
		}
		unsetenv(rows[i][0]);
	}
}
END_TEST

/* More than there is room for, and some of them so long that they are cut. */
START_TEST(many_mistyped_variables)
{
	struct lines lines;
	struct ronde_config c = load(NULL);
	for (int i = 0; i < 40; i++) {
		char name[128];
		snprintf(name, sizeof name, "RONDE_LOG_%0*d", 1 + 2 * i, i);
		setenv(name, "1", 1);
	}
	share(&c, &lines);
	ck_assert_int_eq(lines.n, 16);
	for (int i = 0; i < lines.n; i++)
		ck_assert_msg(strstr(lines.text[i], "did you mean RONDE_LOG"), "%s", lines.text[i]);
}
END_TEST

START_TEST(help_names_everything)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *file = open_memstream(&text, &bytes);
	struct ronde_config c = load(NULL);
	ronde_config_help(file);
	ronde_config_print(&c, file);
	fclose(file);
	for (int i = 0; i < RONDE_CONFIG_COUNT; i++) {
		char variable[RONDE_CONFIG_VARIABLE_BYTES];
		ronde_config_variable(&ronde_config_entries[i], variable);
		ck_assert_msg(strstr(text, variable), "%s is missing", variable);
		ck_assert_msg(strstr(text, ronde_config_entries[i].name), "%s is missing",
			      ronde_config_entries[i].name);
	}
	free(text);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{defaults, ONCE},
		{precedence, ONCE},
		{horovods, ONCE},
		{horovods_log_levels, ONCE},
		{spellings, ONCE},
		{bad_values, ONCE},
		{error_texts, ONCE},
		{foreign_locale, ONCE},
		{block_round_trip, ONCE},
		{block_damaged, ONCE},
		{mistyped_variables, ONCE},
		{many_mistyped_variables, ONCE},
		{help_names_everything, ONCE},
	};
	Suite *suite = suite_create("config");
	tcase_add_checked_fixture(SUITE_ADD(suite, "config", 60, tests), clear, NULL);
	return suite_end(suite);
}
