/* SPDX-License-Identifier: Apache-2.0 */
/* The picture: a box for each node, package, NUMA domain and cache, one in the other, and in them
 * the cores, those with ranks coloured. */
#include <stdlib.h>
#include <string.h>

#include "bindings/cli/places.h"

#define CELL_WIDTH 76
#define CELL_HEIGHT 34
#define COLUMNS 8
#define MARGIN 8
#define TITLE 16
#define LEVELS 4 /* node, package, NUMA domain, cache */

struct picture {
	FILE *file;
	const struct job *job;
	int node;
};

/* Text of anybody's: what XML gives a meaning is written as a reference, what it forbids as "?". */
static void write_escaped(FILE *file, const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c < 0x20 || *c >= 0x7f)
			fputc('?', file);
		else if (strchr("<>&\"'", *c))
			fprintf(file, "&#%d;", *c);
		else
			fputc(*c, file);
	}
}

static void write_text(FILE *file, int x, int y, const char *text)
{
	fprintf(file, "<text x=\"%d\" y=\"%d\">", x, y);
	write_escaped(file, text);
	fputs("</text>\n", file);
}

/* What of a core says in which box of a level it is. */
static int box_of(const struct job_machine *m, int core, int level)
{
	const struct ronde_core *c = &m->cores[core];
	return level == 0 ? 0 : level == 1 ? c->package : level == 2 ? c->numa : c->cache;
}

/* The first core from `from` on, before `end`, that is in another box. */
static int box_end(const struct job_machine *m, int from, int end, int level)
{
	int i = from;
	while (i < end && box_of(m, i, level) == box_of(m, from, level))
		i++;
	return i;
}

static int box_width(int level)
{
	return COLUMNS * CELL_WIDTH + 2 * MARGIN * (LEVELS - level);
}

static int box_height(const struct job_machine *m, int from, int end, int level)
{
	int height = TITLE + 2 * MARGIN;
	if (level == LEVELS - 1)
		return height + (end - from + COLUMNS - 1) / COLUMNS * CELL_HEIGHT;
	for (int i = from; i < end;) {
		int next = box_end(m, i, end, level + 1);
		height += box_height(m, i, next, level + 1) + MARGIN;
		i = next;
	}
	return height;
}

static void write_core(const struct picture *p, int core, int x, int y)
{
	const struct ronde_core *c = &p->job->machines[p->node].cores[core];
	char ranks[64], name[32];
	struct ronde_place at = {c->package, c->numa, c->cache, core};
	places_ranks(p->job, p->node, &at, ranks, sizeof ranks);
	snprintf(name, sizeof name, "core %d", core);
	fprintf(p->file, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n", x, y,
		CELL_WIDTH - 4, CELL_HEIGHT - 4, *ranks ? "#f5c26b" : "#ffffff");
	write_text(p->file, x + 4, y + 12, name);
	write_text(p->file, x + 4, y + 25, ranks);
}

static void title_of(const struct picture *p, int from, int level, char *title, size_t bytes)
{
	static const char *const names[] = {"node", "package", "NUMA domain", "cache"};
	const struct job_machine *m = &p->job->machines[p->node];
	const struct ronde_core *c = m->ncores ? &m->cores[from] : NULL;
	char more[512] = "", summary[256];
	int number = level && c ? box_of(m, from, level) : p->node;
	struct ronde_place at = {level > 0 && c ? c->package : -1, level > 1 && c ? c->numa : -1,
				 level > 2 && c ? c->cache : -1, -1};
	if (number < 0) {
		snprintf(title, bytes, "no %s", names[level]);
		return;
	}
	places_ranks(p->job, p->node, &at, more, sizeof more);
	if (level == 0)
		snprintf(title, bytes, "node %d on %s: %s%s%s", p->node,
			 places_host(p->job, p->node), places_summary(m, summary, sizeof summary),
			 *more ? "; anywhere: " : "", more);
	else
		snprintf(title, bytes, "%s %d%s%s", names[level], number,
			 *more ? "; anywhere: " : "", more);
}

static void write_box(const struct picture *p, int from, int end, int level, int x, int y)
{
	static const char *const fills[] = {"#eeeeee", "#dce6f2", "#e3f1df", "#fbf3d5"};
	const struct job_machine *m = &p->job->machines[p->node];
	char title[1024];
	title_of(p, from, level, title, sizeof title);
	fprintf(p->file,
		"<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\" "
		"stroke=\"#444444\"/>\n",
		x, y, box_width(level), box_height(m, from, end, level), fills[level]);
	write_text(p->file, x + MARGIN, y + TITLE, title);
	y += TITLE + MARGIN;
	for (int i = from; i < end && level == LEVELS - 1; i++)
		write_core(p, i, x + MARGIN + (i - from) % COLUMNS * CELL_WIDTH,
			   y + (i - from) / COLUMNS * CELL_HEIGHT);
	for (int i = from; i < end && level < LEVELS - 1;) {
		int next = box_end(m, i, end, level + 1);
		write_box(p, i, next, level + 1, x + MARGIN, y);
		y += box_height(m, i, next, level + 1) + MARGIN;
		i = next;
	}
}

void places_write_svg(FILE *file, const struct job *job)
{
	int height = MARGIN;
	for (int n = 0; n < job->nodes; n++)
		height += box_height(&job->machines[n], 0, job->machines[n].ncores, 0) + MARGIN;
	fprintf(file,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"font-family=\"sans-serif\" font-size=\"11\">\n"
		"<title>Where the ranks of a job are</title>\n",
		box_width(0) + 2 * MARGIN, height);
	int y = MARGIN;
	for (int n = 0; n < job->nodes; n++) {
		const struct picture p = {file, job, n};
		write_box(&p, 0, job->machines[n].ncores, 0, MARGIN, y);
		y += box_height(&job->machines[n], 0, job->machines[n].ncores, 0) + MARGIN;
	}
	fputs("</svg>\n", file);
}
