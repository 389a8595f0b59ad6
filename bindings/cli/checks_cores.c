/* SPDX-License-Identifier: Apache-2.0 */
/* Cores: how many the ranks of this node have, and who is bound where. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bindings/cli/checks.h"

static cpu_set_t together(const struct machine *machine)
{
	cpu_set_t all;
	CPU_ZERO(&all);
	for (int r = 0; r < machine->nranks; r++)
		CPU_OR(&all, &all, &machine->ranks[r].cores.allowed);
	return all;
}

/* Fewer than the machine has are fine, and good to know. */
static void check_number(struct checks *checks, const struct machine *machine)
{
	cpu_set_t all = together(machine);
	double allowed = CPU_COUNT(&all), online = (double)sysconf(_SC_NPROCESSORS_ONLN);
	double quota = ronde_cores_quota(&machine->ranks[0].cores), cores = allowed;
	if (quota > 0 && quota < cores)
		cores = quota;
	struct check *c =
		check_add(checks, "cores", cores < allowed ? CHECK_NOTICE : CHECK_OK,
			  "%g of the machine's %g processors may be used", allowed, online);
	if (cores >= allowed)
		return;
	snprintf(c->found, sizeof c->found,
		 "%g of the machine's %g processors may be used, but the control group's quota is "
		 "%g of them",
		 allowed, online, quota);
	check_advise(c,
		     "ranks that wait stop each other when the quota is used up: start at most "
		     "%g, or raise it (docker run --cpus=…)",
		     quota < 1 ? 1.0 : (double)(int)quota);
}

/* What all ranks have together, and the one that has least. */
struct shares {
	double all, least;
	int poorest;
};

static struct shares add_up(const struct machine *machine)
{
	struct shares sum = {0, 0, 0};
	struct ronde_cores_report *of = calloc((size_t)machine->nranks, sizeof *of);
	for (int r = 0; of && r < machine->nranks; r++)
		of[r] = machine->ranks[r].cores;
	for (int r = 0; of && r < machine->nranks; r++) {
		double share = ronde_cores_share(of, machine->nranks, r);
		sum.all += share;
		if (r == 0 || share < sum.least) {
			sum.least = share;
			sum.poorest = r;
		}
	}
	free(of);
	sum.all = round(sum.all * 1e6) / 1e6; /* thirds add up to whole ones */
	return sum;
}

static void check_per_rank(struct checks *checks, const struct machine *machine)
{
	if (!machine->launched)
		return;
	struct shares sum = add_up(machine);
	struct check *c =
		check_add(checks, "cores-per-rank", sum.least < 1 ? CHECK_WARNING : CHECK_OK,
			  "%d ranks of this node have %g processors: %.2g each", machine->nranks,
			  sum.all, sum.all / machine->nranks);
	if (sum.least >= 1)
		return;
	if (sum.all < machine->nranks) {
		check_advise(c,
			     "more ranks than processors take turns on them: an operation "
			     "waits for the rank that has none. Start at most %d on this node",
			     sum.all < 1 ? 1 : (int)sum.all);
		return;
	}
	snprintf(c->found, sizeof c->found,
		 "%d ranks of this node have %g processors, but rank %d only %.2g of them",
		 machine->nranks, sum.all, machine->rank_numbers[sum.poorest], sum.least);
	check_advise(c, "operations wait for that rank: raise its control group's quota (docker "
			"run --cpus=…)");
}

static int first_processor(const cpu_set_t *set)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, set))
			return cpu;
	return -1;
}

/* Two ranks that may run on the same one processor only, while there are others. */
static bool find_shared(const struct machine *machine, int *one, int *other)
{
	for (int r = 0; r < machine->nranks; r++)
		for (int s = r + 1; s < machine->nranks; s++)
			if (CPU_COUNT(&machine->ranks[r].cores.allowed) == 1 &&
			    CPU_EQUAL(&machine->ranks[r].cores.allowed,
				      &machine->ranks[s].cores.allowed)) {
				*one = r;
				*other = s;
				return true;
			}
	return false;
}

static void check_binding(struct checks *checks, const struct machine *machine)
{
	int one, other, bound = 0;
	if (find_shared(machine, &one, &other)) {
		struct check *c =
			check_add(checks, "binding", CHECK_WARNING,
				  "ranks %d and %d are both bound to processor %d",
				  machine->rank_numbers[one], machine->rank_numbers[other],
				  first_processor(&machine->ranks[one].cores.allowed));
		check_advise(c, "start them with mpirun --bind-to none, or --map-by core; two "
				"mpiruns on one machine both begin at core 0");
		return;
	}
	for (int r = 0; r < machine->nranks; r++)
		bound += CPU_COUNT(&machine->ranks[r].cores.allowed) == 1;
	if (!machine->launched || bound == 0 || sysconf(_SC_NPROCESSORS_ONLN) == 1) {
		check_add(checks, "binding", CHECK_OK, "no rank is bound to a single processor");
		return;
	}
	struct check *c = check_add(checks, "binding", CHECK_NOTICE,
				    "%d of %d ranks are bound to a single processor, each to its "
				    "own",
				    bound, machine->nranks);
	check_advise(c, "a rank's coordinator thread shares that processor with it; where a rank "
			"has more of them, mpirun --bind-to none or --map-by slot:PE=2 lets both "
			"run at once");
}

void check_cores(struct checks *checks, const struct machine *machine)
{
	check_number(checks, machine);
	check_per_rank(checks, machine);
	check_binding(checks, machine);
}
