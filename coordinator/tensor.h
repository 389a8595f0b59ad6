/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tensor is to the agreement: its identity (key) and what ranks must agree on (description).
 */
#ifndef RONDE_TENSOR_H
#define RONDE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectives/operation.h"
#include "ronde/ronde.h"

/*
 * What all ranks of the set must give alike. Kept canonical (unused bytes are zero), so that equal
 * descriptions are equal bytes. Only the first ronde_desc_bytes() travel.
 */
struct ronde_desc {
	uint8_t kind;      /* enum ronde_kind */
	uint8_t dtype;     /* ronde_dtype */
	uint8_t reduction; /* ronde_reduction; allreduce, reducescatter */
	uint8_t ndim;
	int32_t root;     /* global rank; broadcast */
	uint32_t set;     /* process set */
	uint32_t members; /* tensors of the group it belongs to; 0: it is in none */
	double prescale, postscale;
	int64_t dims[RONDE_MAX_DIMS]; /* allgather, alltoall: dims[0] is 0, for it may differ */
};

static inline size_t ronde_desc_bytes(const struct ronde_desc *d)
{
	return offsetof(struct ronde_desc, dims) + d->ndim * sizeof d->dims[0];
}

bool ronde_desc_equal(const struct ronde_desc *a, const struct ronde_desc *b);
/* Elements: the product of the extents, 1 for none. Checked at submit: it and its bytes fit an
 * int64_t. */
uint64_t ronde_desc_count(const struct ronde_desc *d);
uint64_t ronde_desc_data_bytes(const struct ronde_desc *d);
/* Bytes of one row: the product of all extents but the first. There is one. */
uint64_t ronde_desc_row_bytes(const struct ronde_desc *d);
/* False for a description that no submit makes: a guard for what comes out of shared memory or a
 * network. */
bool ronde_desc_valid(const struct ronde_desc *d);

/* "float32[64,32]". At most RONDE_SHAPE_TEXT bytes. */
#define RONDE_SHAPE_TEXT 400
void ronde_desc_shape_text(const struct ronde_desc *d, char *text, size_t bytes);

/* True for operations whose number of rows is each rank's own: dims[0] is no part of them. */
static inline bool ronde_kind_has_own_rows(enum ronde_kind kind)
{
	return kind == RONDE_KIND_ALLGATHER || kind == RONDE_KIND_ALLTOALL;
}

/* "allreduce", … */
const char *ronde_kind_name(enum ronde_kind kind);

/*
 * Identity: (operation, process set, name), or for an unnamed tensor (operation, process set,
 * ordinal). As one run of bytes, so that it can be hashed and compared; only the first `bytes`
 * count.
 */
struct ronde_key {
	struct ronde_key_head {
		uint8_t kind;
		uint8_t named;
		uint16_t name_bytes;
		uint32_t set;
		uint64_t ordinal; /* unnamed: see below; 0 if named */
	} head;
	char name[RONDE_MAX_NAME + 1]; /* zero-terminated, the zero not counted */
};

static inline size_t ronde_key_bytes(const struct ronde_key *k)
{
	return sizeof k->head + k->head.name_bytes;
}

/*
 * An unnamed tensor's ordinal counts its set's unnamed operations of its kind, and behind that the
 * members of one operation that is a group, from 0. So a group is one operation, however many
 * tensors it has, and ranks that disagree about those still agree about what comes next.
 */
#define RONDE_MEMBER_BITS 20
#define RONDE_MOST_MEMBERS ((1u << RONDE_MEMBER_BITS) - 1)

static inline uint64_t ronde_ordinal(uint64_t operation, uint32_t member)
{
	return operation << RONDE_MEMBER_BITS | member;
}

/* name NULL: unnamed. The caller has checked the name's length. */
void ronde_key_set(struct ronde_key *key, enum ronde_kind kind, uint32_t set, const char *name,
		   size_t name_bytes, uint64_t ordinal);

/* What a person calls the tensor: its name, or "allreduce.noname.3". At most RONDE_MAX_NAME + 1
 * bytes. */
void ronde_key_text(const struct ronde_key *key, char *text, size_t bytes);

/* Same, from the head and the name apart; with the members of its group, 0: it is in none. */
void ronde_key_head_text(const struct ronde_key_head *head, const char *name, uint32_t members,
			 char *text, size_t bytes);

/* ---- groups ---- */

/* What stands behind a group's name in the name of its member i, from 0: "_1of3". Returns its
 * length, less than RONDE_MEMBER_SUFFIX. */
#define RONDE_MEMBER_SUFFIX 24
size_t ronde_member_suffix(char *suffix, uint32_t i, uint32_t members);

/*
 * The key of the group that a tensor of this key belongs to, which has so many members: its name
 * without the suffix, or its ordinal as of the first member; a tensor's key it is not. False: no
 * member of such a group is called so.
 */
bool ronde_group_key(struct ronde_key *group, const struct ronde_key *member, uint32_t members);
/* Makes a name's key that of a group of this name. */
void ronde_key_of_group(struct ronde_key *key);

#endif
