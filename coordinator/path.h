/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of files that ranks write: %r stands for the rank, %h for the host, %% for a percent sign.
 */
#ifndef RONDE_PATH_H
#define RONDE_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* Writes the path. what: "RONDE_LOG_FILE", for the text. Errors: the given status. */
int ronde_path_expand(char *path, size_t bytes, const char *pattern, int rank, const char *host,
		      const char *what, int status);
/* True if paths of different ranks differ. */
bool ronde_path_names_rank(const char *pattern);

#endif
