/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/conformance/tensor.h"

#include <stdlib.h>
#include <string.h>

#include "tests/rounding.h"

/* Small sizes, odd ones, and in rows and bytes never a multiple of a chunk. */
static void make_shape(enum form form, int ranks, int number, struct op *op)
{
	static const int64_t columns[] = {13, 5, 29};
	op->ndim = 2;
	op->dims[0] = 2 * ranks + 1 + number;
	op->dims[1] = columns[number];
	switch (form) {
	case MATRIX:
	case FORMS:
		break;
	case VECTOR:
		op->ndim = 1;
		op->dims[0] = 199 + 10 * number;
		break;
	case DEEP:
		op->ndim = RONDE_MAX_DIMS;
		for (int i = 1; i < op->ndim; i++)
			op->dims[i] = i % 5 == 1 ? 2 + number % 2 : 1;
		break;
	case FEW_ROWS:
		op->dims[0] = (ranks + 1) / 2;
		break;
	case SCALAR:
		op->ndim = 0;
		break;
	case NO_ROWS:
		op->dims[0] = 0;
		break;
	case NO_COLUMNS:
		op->dims[1] = 0;
		break;
	}
	op->count = 1;
	for (int i = 0; i < op->ndim; i++)
		op->count *= op->dims[i];
}

/*
 * Floats of 0.5 to 1.5 and either sign, with all bits of the mantissa: no sum or product of 8
 * leaves the range of a float16. Integers have any bits; for an average those of 64 bits only 48,
 * so that the sum is exact in float64.
 */
static void make_element(uint64_t *state, const struct op *op, void *element)
{
	uint64_t bits = random_bits(state);
	size_t bytes = ronde_dtype_bytes(op->dtype);
	double fraction = (double)(bits >> 11) * 0x1p-53;
	if (is_real(op->dtype)) {
		set_real(op->dtype, element, bits & 1 ? 0.5 + fraction : -0.5 - fraction);
		return;
	}
	if (op->dtype == RONDE_BOOL)
		bits = below(state, 8) > 0; /* so that `and` gives both */
	else if (op->reduction == RONDE_AVERAGE && bytes == 8)
		bits = op->dtype == RONDE_INT64 ? (uint64_t)((int64_t)bits >> 16) : bits >> 16;
	memcpy(element, &bits, bytes);
}

static void *get(uint64_t bytes)
{
	void *memory = calloc(bytes + 1, 1);
	if (!memory)
		abort();
	return memory;
}

static void fill(uint64_t *state, const struct situation *s, struct tensor *t)
{
	size_t element = ronde_dtype_bytes(t->op.dtype);
	for (int r = 0; r < s->ranks; r++) {
		uint64_t bytes = op_bytes(&t->op, r);
		t->given[r] = get(bytes);
		for (uint64_t at = 0; at < bytes; at += element)
			make_element(state, &t->op, t->given[r] + at);
		t->first[r] = get(element * s->operation->part(&t->op, s->ranks, r).count);
	}
}

void make_lot(uint64_t seed, const struct situation *s, struct tensor *lot)
{
	static const double scales[][2] = {{1, 1}, {0.5, 1}, {1, 1.5}, {-1.5, 0.25}, {1, 1}};
	uint64_t state = seed ^ ((uint64_t)s->dtype << 8 | (uint64_t)s->reduction << 16 |
				 (uint64_t)s->form << 24 | (uint64_t)s->ranks << 32);
	const double *scale = scales[below(&state, 5)];
	for (int i = 0; i < LOT; i++) {
		struct tensor *t = &lot[i];
		memset(t, 0, sizeof *t);
		t->op = (struct op){.kind = s->operation->kind,
				    .dtype = s->dtype,
				    .reduction = s->reduction,
				    .sparse = s->operation->sparse,
				    .prescale = s->operation->reduces ? scale[0] : 1,
				    .postscale = s->operation->reduces ? scale[1] : 1};
		make_shape(s->form, s->ranks, i, &t->op);
		if (s->operation->shape)
			s->operation->shape(s, i, &t->op);
		if (!s->operation->typed)
			t->op.count = 0;
		fill(&state, s, t);
		t->wanted = get(s->operation->whole(&t->op, s->ranks) * sizeof *t->wanted);
		s->operation->refer(t, s->ranks);
	}
}

void free_lot(struct tensor *lot)
{
	for (int i = 0; i < LOT; i++) {
		for (int r = 0; r < RANKS_MAX; r++) {
			free(lot[i].given[r]);
			free(lot[i].first[r]);
		}
		free(lot[i].wanted);
	}
}
