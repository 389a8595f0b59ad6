/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/wire.h"

size_t ronde_announcement_bytes(const struct ronde_announcement *head,
				const struct ronde_desc *desc)
{
	size_t bytes = sizeof *head;
	if (head->type == RONDE_ANNOUNCE_FULL)
		bytes += ronde_desc_bytes(desc) + ronde_wire_pad(head->name_bytes);
	if (head->located)
		bytes += sizeof(struct ronde_location);
	if (head->timed)
		bytes += sizeof(uint64_t);
	return bytes + ronde_wire_pad(head->payload_bytes);
}

void ronde_announcement_write(void *record, const struct ronde_announcement *head,
			      const struct ronde_desc *desc, const char *name,
			      const struct ronde_location *location, uint64_t ready_ns,
			      const void *payload)
{
	struct ronde_writer w = {
		record, (unsigned char *)record + ronde_announcement_bytes(head, desc), false};
	ronde_write(&w, head, sizeof *head);
	if (head->type == RONDE_ANNOUNCE_FULL) {
		ronde_write(&w, desc, ronde_desc_bytes(desc));
		ronde_write(&w, name, head->name_bytes);
	}
	if (head->located)
		ronde_write(&w, location, sizeof *location);
	if (head->timed)
		ronde_write(&w, &ready_ns, sizeof ready_ns);
	ronde_write(&w, payload, head->payload_bytes);
}

bool ronde_desc_read(struct ronde_reader *r, struct ronde_desc *desc)
{
	const size_t fixed = offsetof(struct ronde_desc, dims);
	const void *head = ronde_read(r, fixed);
	if (!head)
		return false;
	memset(desc, 0, sizeof *desc);
	memcpy(desc, head, fixed);
	if (desc->ndim > RONDE_MAX_DIMS)
		return false;
	const void *dims = ronde_read(r, desc->ndim * sizeof desc->dims[0]);
	if (!dims)
		return false;
	memcpy(desc->dims, dims, desc->ndim * sizeof desc->dims[0]);
	return ronde_desc_valid(desc);
}

bool ronde_announcement_read(const void *record, size_t bytes, struct ronde_heard *heard)
{
	struct ronde_reader r = {record, (const unsigned char *)record + bytes, false};
	const void *head = ronde_read(&r, sizeof heard->head);
	if (!head)
		return false;
	memcpy(&heard->head, head, sizeof heard->head);
	if (heard->head.type == RONDE_ANNOUNCE_FULL) {
		if (!ronde_desc_read(&r, &heard->desc) || heard->head.name_bytes > RONDE_MAX_NAME)
			return false;
		const char *name = ronde_read(&r, heard->head.name_bytes);
		if (!name)
			return false;
		ronde_key_set(&heard->key, (enum ronde_kind)heard->desc.kind, heard->desc.set,
			      heard->head.name_bytes ? name : NULL, heard->head.name_bytes,
			      heard->head.ordinal);
	}
	heard->location = (struct ronde_location){RONDE_NOT_IN_HEAP, RONDE_NOT_IN_HEAP};
	if (heard->head.located) {
		const void *location = ronde_read(&r, sizeof heard->location);
		if (location)
			memcpy(&heard->location, location, sizeof heard->location);
	}
	heard->ready_ns = 0;
	if (heard->head.timed) {
		const void *ready = ronde_read(&r, sizeof heard->ready_ns);
		if (ready)
			memcpy(&heard->ready_ns, ready, sizeof heard->ready_ns);
	}
	heard->payload = ronde_read(&r, heard->head.payload_bytes);
	return !r.failed && r.at == r.end;
}
