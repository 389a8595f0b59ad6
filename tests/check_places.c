/* SPDX-License-Identifier: Apache-2.0 */
/* The picture of where ranks are, with names of hosts that somebody chose to break it. */
#include <string.h>

#include "bindings/cli/places.h"
#include "tests/suite.h"

static char *picture_of(const char *host, bool text)
{
	static struct job_rank ranks[2];
	static struct ronde_core cores[] = {{0, 0, -1, 0, 1}, {0, 0, -1, 1, 1}, {1, 1, -1, 2, 1}};
	static struct job_machine machine = {
		.packages = 2, .numas = 2, .ncores = 3, .processors = 3, .cores = cores};
	struct job job = {.size = 2, .nodes = 1, .ranks = ranks, .machines = &machine};
	ranks[0].place = (struct ronde_place){0, 0, -1, 1};
	ranks[1].place = (struct ronde_place){1, 1, -1, -1};
	snprintf(ranks[0].facts.host, sizeof ranks[0].facts.host, "%s", host);
	char *page;
	size_t bytes;
	FILE *file = open_memstream(&page, &bytes);
	(text ? places_write_text : places_write_svg)(file, &job);
	fclose(file);
	return page;
}

static const char *const hosts[] = {"node1", "</text><script>", "a&b\"c'd",
				    "\x01\x1b[31m\xff\xc3("};

/* Nothing but tags that the writer knows, and no character that XML forbids. */
START_TEST(hostile_names_are_text)
{
	char *page = picture_of(hosts[_i], false);
	static const char *const tags[] = {"?xml ", "svg ",  "title>", "/title>",
					   "rect ", "text ", "/text>", "/svg>"};
	int open = 0;
	for (const char *c = page; *c; c++) {
		ck_assert(*c == '\n' || (*c >= 0x20 && *c < 0x7f));
		open += *c == '<' ? 1 : *c == '>' ? -1 : 0;
		ck_assert(open == 0 || open == 1);
		bool known = *c != '<';
		for (size_t t = 0; t < sizeof tags / sizeof *tags; t++)
			known |= !strncmp(c + 1, tags[t], strlen(tags[t]));
		ck_assert_msg(known, "%.40s", c);
		ck_assert(*c != '&' || !strncmp(c, "&#", 2));
	}
	ck_assert_ptr_nonnull(strstr(page, "rank 0"));
	ck_assert_ptr_nonnull(strstr(page, "anywhere: rank 1"));
	free(page);
}
END_TEST

START_TEST(ranks_stand_where_they_may_run)
{
	char *page = picture_of("host", true);
	ck_assert_str_eq(
		page, "  node 0 on host: 2 packages, 2 NUMA domains, 3 cores, 3 processors (only "
		      "described, by RONDE_TOPOLOGY)\n"
		      "    rank 1 may run on more than one core\n"
		      "    package 0\n"
		      "      NUMA domain 0\n"
		      "          core 0\n"
		      "          core 1: rank 0\n"
		      "    package 1\n"
		      "      NUMA domain 1: rank 1\n"
		      "          core 2\n");
	free(page);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{hostile_names_are_text, 0, sizeof hosts / sizeof *hosts},
		{ranks_stand_where_they_may_run, ONCE},
	};
	return SUITE_RUN("places", 60, tests);
}
