/* SPDX-License-Identifier: Apache-2.0 */
/* Records to events. Written by hand, not by printf: this runs beside the training. */
#include "coordinator/timeline_text.h"

#include <stdio.h>
#include <string.h>

#include "collectives/status.h"

/* ---- pieces of text ---- */

/* Inlined, so that the length of a literal is known. */
__attribute__((always_inline)) static inline char *put(char *at, const char *text)
{
	size_t n = strlen(text);
	/* No zero: more text follows. NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
	memcpy(at, text, n);
	return at + n;
}

static char *put_number(char *at, uint64_t number)
{
	char digits[20];
	int n = sizeof digits;
	do
		digits[--n] = (char)('0' + number % 10);
	while (number /= 10);
	memcpy(at, digits + n, sizeof digits - (size_t)n);
	return at + sizeof digits - n;
}

/* Nanoseconds as microseconds with three decimals. */
static char *put_time(char *at, uint64_t ns)
{
	at = put_number(at, ns / 1000);
	unsigned rest = (unsigned)(ns % 1000);
	*at++ = '.';
	*at++ = (char)('0' + rest / 100);
	*at++ = (char)('0' + rest / 10 % 10);
	*at++ = (char)('0' + rest % 10);
	return at;
}

/* Length of the UTF-8 sequence at s (of n bytes), or 0: there is none. RFC 3629, section 4. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
	size_t length = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
	if (length == 0 || length > n)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

char *ronde_timeline_quote(char *at, const char *bytes, size_t count)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *s = (const unsigned char *)bytes, *end = s + count;
	*at++ = '"';
	while (s < end) {
		size_t length = *s < 0x80 ? 1 : utf8_length(s, (size_t)(end - s));
		if (length == 0) {
			at = put(at, "\xef\xbf\xbd"); /* U+FFFD */
			s++;
			continue;
		}
		/* Perfetto 52 loses a file in which a name ends in an escaped backslash. */
		if (*s == '"') {
			*at++ = '\\';
		} else if (*s < 0x20 || *s == 0x7f || *s == '\\') {
			at = put(at, "\\u00");
			*at++ = hex[*s >> 4];
			*at++ = hex[*s++ & 15];
			continue;
		}
		memcpy(at, s, length);
		at += length;
		s += length;
	}
	*at++ = '"';
	return at;
}

/* "NEGOTIATE_" and the operation as Horovod writes it: REDUCESCATTER. */
static char *put_kind(char *at, const char *prefix, unsigned kind)
{
	at = put(at, prefix);
	for (const char *p = ronde_kind_name((enum ronde_kind)kind); *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*at++ = (char)(*p - 'a' + 'A');
	return at;
}

/* ---- events ---- */

/* Up to and with the name's opening quote. */
static char *open_event(char *at)
{
	return put(at, ",{\"name\":\"");
}

/* From the name's closing quote to the thread. */
static char *put_place(const struct ronde_timeline_text *t, char *at, const char *phase,
		       uint32_t row)
{
	at = put(at, "\",\"ph\":\"");
	at = put(at, phase);
	at = put(at, "\",\"pid\":");
	at = put_number(at, (uint64_t)t->rank);
	at = put(at, ",\"tid\":");
	return put_number(at, row);
}

static uint64_t since_start(const struct ronde_timeline_text *t, uint64_t ns)
{
	return ns > t->start ? ns - t->start : 0;
}

static char *put_at(const struct ronde_timeline_text *t, char *at, uint64_t ns)
{
	at = put(at, ",\"ts\":");
	return put_time(at, since_start(t, ns));
}

static char *put_span(const struct ronde_timeline_text *t, char *at, uint32_t row, uint64_t begin,
		      uint64_t end)
{
	at = put_place(t, at, "X", row);
	at = put_at(t, at, begin);
	at = put(at, ",\"dur\":");
	return put_time(at, since_start(t, end) - since_start(t, begin));
}

static char *close_event(char *at)
{
	return put(at, "}\n");
}

/* Behind something else. */
static char *put_set(char *at, uint32_t set)
{
	if (set == 0)
		return at;
	return put_number(put(at, ",\"process_set\":"), set);
}

static void name_row(struct ronde_timeline_text *t, struct ronde_timeline_row *row)
{
	char text[RONDE_MAX_NAME + 1];
	char *at = put_place(t, put(open_event(t->at), "thread_name"), "M", row->number);
	if (row->shared)
		snprintf(text, sizeof text, "unnamed %u", row->shared);
	else
		ronde_key_head_text(&row->key, row->name, 0, text, sizeof text);
	at = put(at, ",\"args\":{\"name\":");
	at = ronde_timeline_quote(at, text, strlen(text));
	if (!row->shared)
		at = put_set(at, row->key.set);
	at = put(at, "}");
	t->at = close_event(at);
	row->named = t->batch;
}

/* ---- records ---- */

static char *put_common(char *at, const struct ronde_timeline_record *r,
			const struct ronde_timeline_row *row)
{
	at = put(at, ",\"args\":{");
	if (r->entry != RONDE_TIMELINE_NO_ENTRY) {
		at = put(at, "\"entry\":");
		at = put_number(at, r->entry);
		*at++ = ',';
	}
	if (!r->key.named) {
		at = put(at, "\"number\":");
		at = put_number(at, r->key.ordinal >> RONDE_MEMBER_BITS);
		*at++ = ',';
		if (r->members) {
			at = put(at, "\"member\":");
			at = put_number(at, (r->key.ordinal & RONDE_MOST_MEMBERS) + 1);
			*at++ = ',';
		}
	} else if (row->shared) {
		at = put(at, "\"tensor\":");
		at = ronde_timeline_quote(at, ronde_timeline_name(r), r->key.name_bytes);
		*at++ = ',';
	}
	at = put(at, "\"status\":\"");
	bool pending = r->entry == RONDE_TIMELINE_NO_ENTRY && r->status == RONDE_OK;
	at = put(at, pending ? "pending" : ronde_status_name(r->status));
	at = put(at, "\"");
	return row->shared ? put_set(at, r->key.set) : at;
}

static void put_negotiated(struct ronde_timeline_text *t, const struct ronde_timeline_record *r,
			   const struct ronde_timeline_row *row)
{
	const struct ronde_timeline_ready *ready = ronde_timeline_readies(r);
	const struct ronde_timeline_ready *last = NULL;
	/* A rank that is done with the previous operation may be ready for the next while this one
	 * is not: the span begins behind it, the instant is where it is. */
	uint64_t begin = row->end > r->begin ? row->end : r->begin;
	uint64_t end = r->end > begin ? r->end : begin;
	for (uint32_t i = 0; i < r->nready; i++)
		if (!last || ready[i].at > last->at)
			last = &ready[i];
	char *at = put_kind(open_event(t->at), "NEGOTIATE_", r->key.kind);
	at = put_span(t, at, row->number, begin, end);
	at = put_common(at, r, row);
	if (r->nready > 1) {
		at = put(at, ",\"last\":");
		at = put_number(at, (uint64_t)last->rank);
	}
	t->at = close_event(put(at, "}"));
	for (uint32_t i = 0; i < r->nready; i++) {
		at = put_number(open_event(t->at), (uint64_t)ready[i].rank);
		at = put_at(t, put_place(t, at, "i", row->number), ready[i].at);
		t->at = close_event(put(at, ",\"s\":\"t\""));
	}
}

static const char *const phase_names[RONDE_PHASE_COUNT] = {
	"OTHER", "MEMCPY_IN_FUSION_BUFFER", "REDUCE",  "MEMCPY_OUT_FUSION_BUFFER",
	"COPY",  "WAIT_FOR_RANK",           "PIPELINE"};
static const char *const phase_totals[RONDE_PHASE_COUNT] = {
	"other_us", "pack_us", "reduce_us", "unpack_us", "copy_us", "wait_us", NULL};

static void put_executed(struct ronde_timeline_text *t, const struct ronde_timeline_record *r,
			 const struct ronde_timeline_row *row)
{
	static const char *const paths[] = {"carried", "zero-copy", "staged"};
	const struct ronde_phase_span *spans = ronde_timeline_spans(r);
	char *at = put_kind(open_event(t->at), "", r->key.kind);
	at = put_common(put_span(t, at, row->number, r->begin, r->end), r, row);
	at = put(at, ",\"path\":\"");
	at = put(at, r->path < sizeof paths / sizeof *paths ? paths[r->path] : "?");
	at = put(at, "\",\"bytes\":");
	at = put_number(at, r->bytes);
	at = put(at, ",\"tensors\":");
	at = put_number(at, r->tensors);
	for (int i = 0; i < RONDE_PHASE_COUNT; i++) {
		if (!r->total[i] || !phase_totals[i])
			continue;
		at = put(put(put(at, ",\""), phase_totals[i]), "\":");
		at = put_time(at, r->total[i]);
	}
	if (r->slowest >= 0) {
		at = put(at, ",\"slowest\":");
		at = put_number(at, (uint64_t)r->slowest);
	}
	t->at = close_event(put(at, "}"));
	for (int i = 0; i < r->nspans; i++) {
		at = put(open_event(t->at), phase_names[spans[i].phase]);
		at = put_span(t, at, row->number, spans[i].begin, spans[i].end);
		if (spans[i].member >= 0) {
			at = put(at, ",\"args\":{\"rank\":");
			at = put(put_number(at, (uint64_t)spans[i].member), "}");
		}
		t->at = close_event(at);
	}
}

size_t ronde_timeline_text_bytes(const struct ronde_timeline_record *r)
{
	/* A row's name and the tensor's span, and in both of them the tensor's name. */
	return 1200 + ((size_t)r->nready + r->nspans) * 200 + 2 * (6 * (RONDE_MAX_NAME + 1) + 2);
}

bool ronde_timeline_text_record(struct ronde_timeline_text *t,
				const struct ronde_timeline_record *r)
{
	if (r->type == RONDE_TIMELINE_CYCLE) {
		char *at = put_place(t, put(open_event(t->at), "CYCLE_START"), "i",
				     RONDE_TIMELINE_ENGINE);
		t->at = close_event(put(put_at(t, at, r->begin), ",\"s\":\"t\""));
		return true;
	}
	struct ronde_timeline_row *row = ronde_timeline_rows_enter(&t->rows, r);
	if (!row)
		return false;
	if (!row->named)
		name_row(t, row);
	if (r->type == RONDE_TIMELINE_NEGOTIATED)
		put_negotiated(t, r, row);
	else
		put_executed(t, r, row);
	ronde_timeline_rows_leave(&t->rows, row, r, t->rank);
	return true;
}

/* ---- the frame ---- */

void ronde_timeline_text_head(struct ronde_timeline_text *t, const struct ronde_timeline_head *head)
{
	char host[6 * 64 + 3], clock[6 * sizeof head->clock + 3];
	*ronde_timeline_quote(host, head->host, strnlen(head->host, 64)) = '\0';
	*ronde_timeline_quote(clock, head->clock, strlen(head->clock)) = '\0';
	t->at += snprintf(
		t->at, RONDE_TIMELINE_FRAME_BYTES,
		"[\n{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{"
		"\"name\":\"rank %d\",\"start_time_since_epoch_in_micros\":%llu,"
		"\"start_monotonic_in_micros\":%llu.%03llu,\"clock\":%s,\"run\":\"%016llx\","
		"\"rank\":%d,\"size\":%d,\"local_rank\":%d,\"host\":%s,\"ronde\":\"%s\"}}\n"
		",{\"name\":\"process_sort_index\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{"
		"\"sort_index\":%d}}\n"
		",{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{"
		"\"name\":\"engine\"}}\n",
		head->rank, RONDE_TIMELINE_ENGINE, head->rank,
		(unsigned long long)head->start_since_epoch_in_us,
		(unsigned long long)(head->start / 1000), (unsigned long long)(head->start % 1000),
		clock, (unsigned long long)head->run, head->rank, head->size, head->local_rank,
		host, ronde_version(), head->rank, RONDE_TIMELINE_ENGINE, head->rank, head->rank,
		RONDE_TIMELINE_ENGINE);
}

void ronde_timeline_text_tail(struct ronde_timeline_text *t, uint64_t now, uint64_t recorded,
			      uint64_t dropped)
{
	char *at = put_place(t, put(open_event(t->at), "TIMELINE_END"), "i", RONDE_TIMELINE_ENGINE);
	at = put(put_at(t, at, now), ",\"s\":\"p\",\"args\":{\"recorded\":");
	at = put(put_number(at, recorded), ",\"dropped\":");
	at = put(put_number(at, dropped), "}");
	t->at = put(close_event(at), "]\n");
}
