/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/cli/checks.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *check_state_name(enum check_state state)
{
	static const char *const names[] = {"ok", "notice", "warning", "problem"};
	return names[state];
}

struct check *check_add(struct checks *checks, const char *name, enum check_state state,
			const char *format, ...)
{
	struct check *check = &checks->list[checks->n];
	if (checks->n < CHECKS_MAX - 1)
		checks->n++;
	*check = (struct check){.name = name, .state = state};
	va_list args;
	va_start(args, format);
	vsnprintf(check->found, sizeof check->found, format, args);
	va_end(args);
	return check;
}

void check_advise(struct check *check, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(check->advice, sizeof check->advice, format, args);
	va_end(args);
}

bool check_read_line(const char *root, const char *path, char *text, size_t bytes)
{
	char whole[512];
	snprintf(whole, sizeof whole, "%s%s", root, path);
	FILE *file = fopen(whole, "re");
	if (!file)
		return false;
	bool got = fgets(text, (int)bytes, file) != NULL;
	fclose(file);
	if (got)
		text[strcspn(text, "\n")] = 0;
	return got;
}

void rank_facts_own(struct rank_facts *facts, const char *root)
{
	memset(facts, 0, sizeof *facts);
	gethostname(facts->host, sizeof facts->host - 1);
	facts->pid = (int)getpid();
	ronde_cores_look(root, &facts->cores);
}

void check_machine(struct checks *checks, const struct machine *machine)
{
	check_shared_memory(checks, machine);
	check_cores(checks, machine);
	check_system(checks, machine);
}

enum check_state check_worst(const struct checks *checks)
{
	enum check_state worst = CHECK_OK;
	for (int i = 0; i < checks->n; i++)
		if (checks->list[i].state > worst)
			worst = checks->list[i].state;
	return worst;
}
