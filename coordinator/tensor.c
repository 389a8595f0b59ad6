/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool ronde_desc_equal(const struct ronde_desc *a, const struct ronde_desc *b)
{
	return a->ndim == b->ndim && memcmp(a, b, ronde_desc_bytes(a)) == 0;
}

uint64_t ronde_desc_count(const struct ronde_desc *d)
{
	uint64_t count = 1;
	for (int i = 0; i < d->ndim; i++)
		count *= (uint64_t)d->dims[i];
	return count;
}

uint64_t ronde_desc_data_bytes(const struct ronde_desc *d)
{
	return ronde_desc_count(d) * ronde_dtype_bytes((ronde_dtype)d->dtype);
}

uint64_t ronde_desc_row_bytes(const struct ronde_desc *d)
{
	uint64_t bytes = ronde_dtype_bytes((ronde_dtype)d->dtype);
	for (int i = 1; i < d->ndim; i++)
		bytes *= (uint64_t)d->dims[i];
	return bytes;
}

bool ronde_desc_valid(const struct ronde_desc *d)
{
	if (d->kind >= RONDE_KIND_COUNT || d->dtype >= RONDE_DTYPE_COUNT ||
	    d->reduction >= RONDE_REDUCTION_COUNT || d->ndim > RONDE_MAX_DIMS)
		return false;
	uint64_t bytes = ronde_dtype_bytes((ronde_dtype)d->dtype);
	for (int i = 0; i < d->ndim; i++) {
		if (d->dims[i] < 0 || (d->dims[i] && bytes > INT64_MAX / (uint64_t)d->dims[i]))
			return false;
		bytes *= (uint64_t)d->dims[i];
	}
	return true;
}

void ronde_desc_shape_text(const struct ronde_desc *d, char *text, size_t bytes)
{
	size_t n = (size_t)snprintf(text, bytes, "%s[", ronde_dtype_name((ronde_dtype)d->dtype));
	for (int i = 0; i < d->ndim && n < bytes; i++) {
		if (i == 0 && ronde_kind_has_own_rows((enum ronde_kind)d->kind))
			n += (size_t)snprintf(text + n, bytes - n, "*");
		else
			n += (size_t)snprintf(text + n, bytes - n, "%s%" PRId64, i ? "," : "",
					      d->dims[i]);
	}
	if (n < bytes)
		snprintf(text + n, bytes - n, "]");
}

const char *ronde_kind_name(enum ronde_kind kind)
{
	switch (kind) {
	case RONDE_KIND_ALLREDUCE:
		return "allreduce";
	case RONDE_KIND_BROADCAST:
		return "broadcast";
	case RONDE_KIND_ALLGATHER:
		return "allgather";
	case RONDE_KIND_BARRIER:
		return "barrier";
	case RONDE_KIND_REDUCESCATTER:
		return "reducescatter";
	case RONDE_KIND_ALLTOALL:
		return "alltoall";
	case RONDE_KIND_COUNT:
		break;
	}
	return "?";
}

void ronde_key_set(struct ronde_key *key, enum ronde_kind kind, uint32_t set, const char *name,
		   size_t name_bytes, uint64_t ordinal)
{
	memset(&key->head, 0, sizeof key->head);
	key->head.kind = (uint8_t)kind;
	key->head.named = name != NULL;
	key->head.set = set;
	if (name) {
		key->head.name_bytes = (uint16_t)name_bytes;
		memcpy(key->name, name, name_bytes);
	} else {
		key->head.ordinal = ordinal;
	}
	key->name[key->head.name_bytes] = '\0';
}

void ronde_key_head_text(const struct ronde_key_head *head, const char *name, uint32_t members,
			 char *text, size_t bytes)
{
	char suffix[RONDE_MEMBER_SUFFIX] = "";
	if (head->named) {
		snprintf(text, bytes, "%.*s", (int)head->name_bytes, name);
		return;
	}
	if (members)
		ronde_member_suffix(suffix, (uint32_t)(head->ordinal & RONDE_MOST_MEMBERS),
				    members);
	snprintf(text, bytes, "%s.noname.%" PRIu64 "%s",
		 ronde_kind_name((enum ronde_kind)head->kind), head->ordinal >> RONDE_MEMBER_BITS,
		 suffix);
}

void ronde_key_text(const struct ronde_key *key, char *text, size_t bytes)
{
	ronde_key_head_text(&key->head, key->name, 0, text, bytes);
}

/* ---- groups ---- */

static char *write_number(char *at, uint32_t number)
{
	char digits[10];
	int n = 0;
	do
		digits[n++] = (char)('0' + number % 10);
	while (number /= 10);
	while (n)
		*at++ = digits[--n];
	return at;
}

/* Not by snprintf(): a group of hundreds of tensors makes as many names at every step. */
size_t ronde_member_suffix(char *suffix, uint32_t i, uint32_t members)
{
	char *at = suffix;
	*at++ = '_';
	at = write_number(at, i + 1);
	*at++ = 'o';
	*at++ = 'f';
	at = write_number(at, members);
	*at = '\0';
	return (size_t)(at - suffix);
}

void ronde_key_of_group(struct ronde_key *key)
{
	key->head.ordinal = UINT64_MAX;
}

bool ronde_group_key(struct ronde_key *group, const struct ronde_key *member, uint32_t members)
{
	uint64_t ordinal = member->head.ordinal;
	size_t base = member->head.name_bytes;
	if (!member->head.named) {
		ronde_key_set(group, (enum ronde_kind)member->head.kind, member->head.set, NULL, 0,
			      ordinal & ~(uint64_t)RONDE_MOST_MEMBERS);
		return (ordinal & RONDE_MOST_MEMBERS) < members;
	}
	uint32_t i = 0;
	char suffix[RONDE_MEMBER_SUFFIX];
	while (base > 0 && member->name[--base] != '_')
		;
	for (const char *digit = member->name + base + 1;
	     *digit >= '0' && *digit <= '9' && i <= RONDE_MOST_MEMBERS; digit++)
		i = i * 10 + (uint32_t)(*digit - '0');
	if (i < 1 || i > members)
		return false;
	size_t n = ronde_member_suffix(suffix, i - 1, members);
	ronde_key_set(group, (enum ronde_kind)member->head.kind, member->head.set, member->name,
		      base, 0);
	ronde_key_of_group(group);
	return base + n == member->head.name_bytes && memcmp(member->name + base, suffix, n) == 0;
}
