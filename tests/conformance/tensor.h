/* SPDX-License-Identifier: Apache-2.0 */
/* Making the tensors of a situation: shapes, values, what comes of them. */
#ifndef RONDE_TESTS_CONFORMANCE_TENSOR_H
#define RONDE_TESTS_CONFORMANCE_TENSOR_H

#include "tests/conformance/operation.h"

/* Tensors of a fused lot. What is alone is the first of them. */
#define LOT 3

/* Its path, company, place and memory make no difference. Operations that reduce get the same
 * tensors from the same seed. */
void make_lot(uint64_t seed, const struct situation *s, struct tensor *lot);
void free_lot(struct tensor *lot);

#endif
