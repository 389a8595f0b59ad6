/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RONDE_SPARSE_H
#define RONDE_SPARSE_H

#include "ronde/training.h"

/* What is behind the name of a sparse allreduce in those of its tensors, at the most. */
#define RONDE_SPARSE_SUFFIX ".rows_2of2"

/* Its two tensors are there: makes the result of them. What ronde_sparse_wait() does after waiting.
 */
int ronde_sparse_finish(ronde_sparse *sparse);

/* Rows that make sense in a tensor of so many rows: INVALID_ARGUMENT, naming `what`, else. */
int ronde_sparse_check(const ronde_sparse_rows *rows, int64_t dense_rows, const char *what);

#endif
