/* SPDX-License-Identifier: Apache-2.0 */
/* The sections about where Ronde runs: processor, checks, job. */
#include <hwloc.h>
#include <string.h>

#include "bindings/cli/places.h"
#include "bindings/cli/sections.h"
#include "collectives/bootstrap/wait.h"
#include "collectives/kernels/kernels.h"

/* ---- processor ---- */

static void write_topology(struct page *page)
{
	hwloc_topology_t topology;
	if (hwloc_topology_init(&topology) != 0)
		return;
	if (hwloc_topology_load(topology) == 0) {
		hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
		hwloc_obj_t cache = hwloc_get_obj_by_type(topology, HWLOC_OBJ_L3CACHE, 0);
		page_text(page, "model", "model",
			  package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL);
		page_number(page, "packages", "packages",
			    hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE));
		page_number(page, "numa_nodes", "NUMA domains",
			    hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE));
		page_number(page, "cores", "cores",
			    hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE));
		page_number(page, "processors", "processors",
			    hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU));
		if (cache)
			page_number(page, "l3_bytes", "L3 cache, bytes",
				    (double)cache->attr->cache.size);
	}
	hwloc_topology_destroy(topology);
}

int section_processor(struct page *page, const struct info *info)
{
	size_t n;
	const struct ronde_kernels *const *available = ronde_kernels_available(&n);
	const struct ronde_kernels *in_use = ronde_kernels_select(info->config.isa);
	char names[256] = "";
	for (size_t i = 0, used = 0; i < n && used < sizeof names; i++)
		used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
					 available[i]->name);
	page_begin(page, "processor", "Processor");
	write_topology(page);
	page_text(page, "kernels", "kernels", names);
	page_text(page, "kernels_in_use", "kernels in use", in_use ? in_use->name : NULL);
	page_text(page, "error", "not usable", in_use ? NULL : ronde_error_message());
	page_end(page);
	return !in_use;
}

/* ---- checks ---- */

int section_checks(struct page *page, const struct info *info)
{
	int problems = 0;
	page_list(page, "checks", "Checks of this machine");
	for (int i = 0; i < info->checks.n; i++) {
		const struct check *c = &info->checks.list[i];
		const struct page_cell cells[] = {
			PAGE_CELL("state", 8, check_state_name(c->state)),
			PAGE_CELL("name", 15, c->name),
			PAGE_CELL("found", 0, c->found),
			PAGE_CELL("advice", 0, *c->advice ? c->advice : NULL),
		};
		page_row(page, cells, page->json ? 4 : 3);
		if (*c->advice)
			page_remark(page, "             -> %s\n", c->advice);
		problems += c->state == CHECK_PROBLEM;
	}
	page_list_end(page);
	return problems;
}

/* ---- job ---- */

/* "0-3, 8" */
static const char *processors(const cpu_set_t *set, char *text, size_t bytes)
{
	bool which[CPU_SETSIZE];
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		which[cpu] = CPU_ISSET(cpu, set);
	ronde_ranks_text(text, bytes, which, CPU_SETSIZE);
	const char *space = strchr(text, ' '); /* after "ranks" */
	return space ? space + 1 : text;
}

static void write_ranks(struct page *page, const struct job *job)
{
	page_list(page, "ranks", NULL);
	for (int r = 0; r < job->size; r++) {
		const struct job_rank *rank = &job->ranks[r];
		char number[16], node[16], local[16], pid[16], list[256];
		snprintf(number, sizeof number, "%d", r);
		snprintf(node, sizeof node, "%d", job->node ? job->node->node_of_rank[r] : 0);
		snprintf(local, sizeof local, "%d", job->node ? job->node->local_of_rank[r] : 0);
		snprintf(pid, sizeof pid, "%d", rank->facts.pid);
		const struct page_cell cells[] = {
			PAGE_NUMBER("rank", 6, number),
			PAGE_NUMBER("node", 6, node),
			PAGE_NUMBER("local_rank", 6, local),
			PAGE_CELL("host", 16, rank->facts.host),
			PAGE_NUMBER("pid", 8, pid),
			PAGE_CELL("processors", 12,
				  processors(&rank->facts.cores.allowed, list, sizeof list)),
			PAGE_CELL("apart", 0, *rank->apart ? rank->apart : NULL),
		};
		if (r == 0)
			page_remark(page, "  %-6s %-6s %-6s %-16s %-8s %s\n", "rank", "node",
				    "local", "host", "pid", "processors");
		page_row(page, cells, page->json ? 7 : 6);
		if (*rank->apart)
			page_remark(page, "    shares no memory: %s\n", rank->apart);
	}
	page_list_end(page);
}

int section_job(struct page *page, const struct info *info)
{
	const struct job *job = &info->job;
	const char *started = *job->launch.launcher_text              ? job->launch.launcher_text
			      : job->launch.kind == RONDE_LAUNCH_UNIX ? "RONDE_RANK, RONDE_SIZE"
								      : "no launcher";
	page_begin(page, "job", "Job");
	page_text(page, "launcher", "started by", started);
	page_text(page, "bootstrap", "bootstrap",
		  job->bootstrap ? job->bootstrap->ops->name : NULL);
	page_text(page, "error", "not usable", job->status ? job->text : NULL);
	page_number(page, "size", "ranks", job->size);
	page_number(page, "nodes", "nodes", job->nodes);
	if (job->nodes > 1)
		page_remark(page, "  (ranks that share memory are a node)\n");
	write_ranks(page, job);
	page_end(page);
	return job->status != RONDE_OK;
}

/* ---- topology ---- */

static void write_places(struct page *page, const struct job *job)
{
	page_list(page, "places", NULL);
	for (int r = 0; r < job->size; r++) {
		const struct ronde_place *at = &job->ranks[r].place;
		const int numbers[] = {r,           job->node ? job->node->node_of_rank[r] : 0,
				       at->package, at->numa,
				       at->cache,   at->core};
		static const char *const keys[] = {"rank", "node",  "package",
						   "numa", "cache", "core"};
		char texts[6][16];
		struct page_cell cells[6];
		for (int i = 0; i < 6; i++) {
			snprintf(texts[i], sizeof texts[i], "%d", numbers[i]);
			cells[i] = (struct page_cell){keys[i], 6, numbers[i] < 0 ? NULL : texts[i],
						      numbers[i] >= 0};
		}
		page_row(page, cells, 6);
	}
	page_list_end(page);
}

int section_topology(struct page *page, const struct info *info)
{
	const struct job *job = &info->job;
	char summary[256];
	page_begin(page, "topology", "Topology");
	page_text(page, "error", "not usable", *info->places_error ? info->places_error : NULL);
	if (*info->places_error) {
		page_end(page);
		return 1;
	}
	if (page->json) {
		page_list(page, "machines", NULL);
		for (int n = 0; n < job->nodes; n++) {
			const struct page_cell cells[] = {
				PAGE_CELL("host", 16, places_host(job, n)),
				PAGE_CELL(
					"machine", 0,
					places_summary(&job->machines[n], summary, sizeof summary)),
			};
			page_row(page, cells, 2);
		}
		page_list_end(page);
		write_places(page, job);
	} else {
		places_write_text(page->file, job);
	}
	page_end(page);
	return 0;
}
