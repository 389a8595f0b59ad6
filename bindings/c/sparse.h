/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RONDE_SPARSE_H
#define RONDE_SPARSE_H

#include "ronde/ronde.h"

/* Rows that make sense in a tensor of so many rows: INVALID_ARGUMENT, naming `what`, else. */
int ronde_sparse_check(const ronde_sparse_rows *rows, int64_t dense_rows, const char *what);

#endif
