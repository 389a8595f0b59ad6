/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/timeline_tool.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "coordinator/timeline_rows.h"
#include "tests/suite.h"

#define MOST_BYTES (1 << 22)

static const char *tool;
static char root[] = "/tmp/ronde-timeline-XXXXXX";
static char folder[200];

const char *in_folder(char *path, const char *name)
{
	snprintf(path, PATH_MAX, "%s/%s", folder, name);
	return path;
}

void folder_enter(const char *name)
{
	snprintf(folder, sizeof folder, "%s/%s", root, name);
	ck_assert_msg(mkdir(folder, 0700) == 0, "%s: %s", folder, strerror(errno));
}

/* Runs a command in the folder; its output's first bytes are text. Returns its exit status. */
static int run_shell(const char *what, char *text, size_t bytes)
{
	char command[PATH_MAX * 3];
	snprintf(command, sizeof command, "cd %s && { %s; } 2>&1", folder, what);
	FILE *output = popen(command, "r");
	ck_assert_ptr_nonnull(output);
	size_t n = fread(text, 1, bytes - 1, output);
	text[n] = '\0';
	int status = pclose(output);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void expect_shell(const char *command, const char *text)
{
	char said[20000];
	int status = run_shell(command, said, sizeof said);
	if (strcmp(said, text) != 0)
		ck_abort_msg("%s: status %d, said\n%s\nnot\n%s", command, status, said, text);
}

void expect_tool(const char *arguments, int status, const char *text)
{
	char command[PATH_MAX], said[20000];
	snprintf(command, sizeof command, "python3 %s %s", tool, arguments);
	int got = run_shell(command, said, sizeof said);
	if (got != status || !strstr(said, text))
		ck_abort_msg("ronde-timeline %s: status %d, said\n%s", arguments, got, said);
}

void expect_python(const char *source, const char *program, const char *text)
{
	char command[PATH_MAX * 2];
	snprintf(command, sizeof command,
		 "%s | python3 -c 'import json, sys; s = json.load(sys.stdin)\n%s'", source,
		 program);
	expect_shell(command, text);
}

void expect_summary(const char *files, const char *program, const char *text)
{
	char source[PATH_MAX];
	snprintf(source, sizeof source, "python3 %s summary --json %s", tool, files);
	expect_python(source, program, text);
}

void expect_rows(const char *file, int rows)
{
	char source[100], text[20];
	snprintf(source, sizeof source, "cat %s", file);
	snprintf(text, sizeof text, "%d\n", RONDE_TIMELINE_ENGINE + rows);
	expect_python(source, "print(max(e[\"tid\"] for e in s))", text);
}

char *read_all(const char *path)
{
	FILE *file = fopen(path, "re");
	ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
	char *text = malloc(MOST_BYTES);
	ck_assert_ptr_nonnull(text);
	size_t n = fread(text, 1, MOST_BYTES - 1, file);
	text[n] = '\0';
	fclose(file);
	return text;
}

static void expect_contents(const char *name, const char *what, bool there)
{
	char path[PATH_MAX];
	char *text = read_all(in_folder(path, name));
	ck_assert_msg((strstr(text, what) != NULL) == there, "%s %s %s:\n%.2000s", path,
		      there ? "lacks" : "has", what, text);
	free(text);
}

void expect_in(const char *name, const char *what)
{
	expect_contents(name, what, true);
}

void expect_not_in(const char *name, const char *what)
{
	expect_contents(name, what, false);
}

int timeline_tool_main(int argc, char **argv, Suite *(*suite)(void))
{
	char command[64];
	if (argc != 2 || !mkdtemp(root)) {
		fprintf(stderr, "usage: %s RONDE-TIMELINE\n", argv[0]);
		return 2;
	}
	tool = argv[1];
	strcpy(folder, root);
	int status = suite_end(suite());
	snprintf(command, sizeof command, "rm -rf %s", root);
	if (system(command))
		perror(root);
	return status;
}
