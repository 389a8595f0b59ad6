/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RONDE_SPARSE_H
#define RONDE_SPARSE_H

#include "ronde/ronde.h"

/* What is behind the name of a sparse allreduce in those of its tensors, at the most. */
#define RONDE_SPARSE_SUFFIX ".rows_2of2"

/* Rows that make sense in a tensor of so many rows: INVALID_ARGUMENT, naming `what`, else. */
int ronde_sparse_check(const ronde_sparse_rows *rows, int64_t dense_rows, const char *what);

#endif
