/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs, run without a shell. */
#ifndef RONDE_RUN_PROGRAM_H
#define RONDE_RUN_PROGRAM_H

/*
 * Runs a program with empty standard input and blocks until it has ended; *text is what it printed
 * on standard output, the caller's to free, or NULL. Returns its exit status, 128 + n for signal n,
 * 127 if there is no such program, 1 if it cannot be started.
 */
int run_program_read(const char *const *command, char **text);

/* Prints a command as a line that a shell would take. */
void run_program_print(char *const *command);

#endif
