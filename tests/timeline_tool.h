/* SPDX-License-Identifier: Apache-2.0 */
/* Timelines in a folder of the test's own, judged by ronde-timeline, the test program's argument.
 */
#ifndef RONDE_TESTS_TIMELINE_TOOL_H
#define RONDE_TESTS_TIMELINE_TOOL_H

#include <check.h>

/* The main function of such a suite: makes the folder, runs, removes it. */
int timeline_tool_main(int argc, char **argv, Suite *(*suite)(void));

/* Into path, of PATH_MAX bytes: that name in the folder. */
const char *in_folder(char *path, const char *name);
/* A new folder in the folder, which is the one for names from here on. */
void folder_enter(const char *name);

/* The shell's command, in the folder, is to print this. */
void expect_shell(const char *command, const char *text);
/* The tool, called like that, is to end with this status, and the text is part of what it says. */
void expect_tool(const char *arguments, int status, const char *text);
/* What the source command prints is JSON; Python, which has it as s, is to print this text. */
void expect_python(const char *source, const char *program, const char *text);
void expect_summary(const char *files, const char *program, const char *text);
/* The number of rows of a file, the engine's not counted. */
void expect_rows(const char *file, int rows);

/* To be freed; what is beyond 4 MiB is left out. */
char *read_all(const char *path);
/* The file has, or has not, this in it. */
void expect_in(const char *name, const char *what);
void expect_not_in(const char *name, const char *what);

#endif
