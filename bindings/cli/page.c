/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/cli/page.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* Columns of the labels. */
#define LABEL_WIDTH 18

/* ---- JSON ---- */

/* Bytes of the UTF-8 sequence at text; 0: it is none (also overlong ones and surrogates). */
static int sequence(const unsigned char *text)
{
	static const struct {
		unsigned char mask, lead;
		int bytes;
		unsigned int least;
	} forms[] = {{0x80, 0, 1, 0},
		     {0xe0, 0xc0, 2, 0x80},
		     {0xf0, 0xe0, 3, 0x800},
		     {0xf8, 0xf0, 4, 0x10000}};
	for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
		if ((text[0] & forms[f].mask) != forms[f].lead)
			continue;
		unsigned int point = text[0] & (unsigned char)~forms[f].mask;
		for (int i = 1; i < forms[f].bytes; i++) {
			if ((text[i] & 0xc0) != 0x80)
				return 0;
			point = point << 6 | (text[i] & 0x3f);
		}
		bool surrogate = point >= 0xd800 && point < 0xe000;
		return point >= forms[f].least && point < 0x110000 && !surrogate ? forms[f].bytes
										 : 0;
	}
	return 0;
}

void page_json_string(FILE *file, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	fputc('"', file);
	while (*at) {
		int bytes = sequence(at);
		if (bytes == 0)
			fputs("\\ufffd", file);
		else if (*at < 0x20 || *at == 0x7f)
			fprintf(file, "\\u%04x", *at);
		else if (*at == '"' || *at == '\\')
			fprintf(file, "\\%c", *at);
		else
			fwrite(at, 1, (size_t)bytes, file);
		at += bytes ? bytes : 1;
	}
	fputc('"', file);
}

/* The comma, the new line and the key in front of a value. */
static void json_next(struct page *page, const char *key)
{
	if (!page->first)
		fputc(',', page->file);
	page->first = false;
	fprintf(page->file, "\n%*s", 2 * page->depth, "");
	if (key) {
		page_json_string(page->file, key);
		fputs(": ", page->file);
	}
}

static void json_open(struct page *page, const char *key, char bracket)
{
	if (page->depth > 0)
		json_next(page, key);
	fputc(bracket, page->file);
	page->depth++;
	page->first = true;
}

static void json_close(struct page *page, char bracket)
{
	page->depth--;
	if (!page->first)
		fprintf(page->file, "\n%*s", 2 * page->depth, "");
	fputc(bracket, page->file);
	page->first = false;
}

/* A value that is JSON already. */
static void json_raw(struct page *page, const char *key, const char *value)
{
	json_next(page, key);
	fputs(value, page->file);
}

static void json_text(struct page *page, const char *key, const char *text)
{
	json_next(page, key);
	if (text)
		page_json_string(page->file, text);
	else
		fputs("null", page->file);
}

/* ---- both ---- */

void page_open(struct page *page, FILE *file, bool json)
{
	*page = (struct page){.file = file, .json = json, .first = true};
	if (json)
		json_open(page, NULL, '{');
}

void page_close(struct page *page)
{
	if (!page->json)
		return;
	json_close(page, '}');
	fputc('\n', page->file);
}

static void heading(struct page *page, const char *title)
{
	fprintf(page->file, "%s%s\n", page->first ? "" : "\n", title);
	page->first = false;
}

void page_begin(struct page *page, const char *key, const char *title)
{
	if (page->json)
		json_open(page, key, '{');
	else
		heading(page, title);
}

void page_end(struct page *page)
{
	if (page->json)
		json_close(page, '}');
}

static void line(struct page *page, const char *label, const char *text)
{
	if (label)
		fprintf(page->file, "  %-*s %s\n", LABEL_WIDTH, label, text);
}

void page_text(struct page *page, const char *key, const char *label, const char *text)
{
	if (page->json)
		json_text(page, key, text);
	else if (text)
		line(page, label, text);
}

void page_format(struct page *page, const char *key, const char *label, const char *format, ...)
{
	char text[4096];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	page_text(page, key, label, text);
}

void page_number(struct page *page, const char *key, const char *label, double number)
{
	char text[64];
	bool whole = number == floor(number) && fabs(number) < 0x1p53;
	snprintf(text, sizeof text, whole ? "%.0f" : "%g", number);
	if (!page->json) {
		line(page, label, text);
		return;
	}
	json_raw(page, key, isfinite(number) ? text : "null");
}

void page_flag(struct page *page, const char *key, const char *label, bool flag)
{
	if (!page->json) {
		line(page, label, flag ? "yes" : "no");
		return;
	}
	json_raw(page, key, flag ? "true" : "false");
}

void page_list(struct page *page, const char *key, const char *title)
{
	if (page->json)
		json_open(page, key, '[');
	else if (title)
		heading(page, title);
}

void page_row(struct page *page, const struct page_cell *cells, int n)
{
	if (page->json)
		json_open(page, NULL, '{');
	else
		fputs(" ", page->file);
	for (int i = 0; i < n; i++) {
		const char *text = cells[i].text;
		if (page->json && cells[i].number)
			json_raw(page, cells[i].key, text);
		else if (page->json)
			json_text(page, cells[i].key, text);
		else
			fprintf(page->file, " %-*s", i + 1 < n ? cells[i].width : 0,
				text && *text ? text : "-");
	}
	if (page->json)
		json_close(page, '}');
	else
		fputc('\n', page->file);
}

void page_list_end(struct page *page)
{
	if (page->json)
		json_close(page, ']');
}

void page_remark(struct page *page, const char *format, ...)
{
	if (page->json)
		return;
	va_list args;
	va_start(args, format);
	vfprintf(page->file, format, args);
	va_end(args);
}
