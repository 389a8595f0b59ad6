/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ronde-info prints, for people or as JSON, from the same calls: objects with fields, lists of
 * texts, and tables. A field has a key (JSON) and a label (text; NULL: JSON only).
 */
#ifndef RONDE_CLI_PAGE_H
#define RONDE_CLI_PAGE_H

#include <stdbool.h>
#include <stdio.h>

struct page {
	FILE *file;
	bool json;
	int depth;  /* objects and lists that are open */
	bool first; /* nothing stands in the innermost one yet */
};

/* A table's cell: a key, the least width in columns, and the text; NULL: null, or "-". */
struct page_cell {
	const char *key;
	int width;
	const char *text;
	bool number; /* the text is one, in JSON too */
};

#define PAGE_CELL(key, width, text)                                                                \
	{                                                                                          \
		key, width, text, false                                                            \
	}
#define PAGE_NUMBER(key, width, text)                                                              \
	{                                                                                          \
		key, width, text, true                                                             \
	}

/* The whole page is one object. */
void page_open(struct page *page, FILE *file, bool json);
void page_close(struct page *page);

/* An object in the object; title: its heading in the text. */
void page_begin(struct page *page, const char *key, const char *title);
void page_end(struct page *page);

/* Fields of the innermost object. A NULL text is null, and nothing for people. */
void page_text(struct page *page, const char *key, const char *label, const char *text);
void page_format(struct page *page, const char *key, const char *label, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void page_number(struct page *page, const char *key, const char *label, double number);
void page_flag(struct page *page, const char *key, const char *label, bool flag);

/* A list of rows: objects in JSON, lines of a table in the text. */
void page_list(struct page *page, const char *key, const char *title);
void page_row(struct page *page, const struct page_cell *cells, int n);
void page_list_end(struct page *page);

/* A line for people only. */
void page_remark(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A JSON string: quotes, control characters and what is no UTF-8 are escaped. */
void page_json_string(FILE *file, const char *text);

#endif
