/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks of ronde-info, each with its bad case: files of a machine that is made up, limits and
 * a seccomp filter that are real. The program itself: tests/checks/ronde-info.sh.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bindings/cli/checks.h"
#include "bindings/cli/page.h"
#include "tests/suite.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* ---- a machine ---- */

static char root[] = "/tmp/ronde-info-XXXXXX";
static struct ronde_config config;
static struct rank_facts ranks[4];
static const int numbers[4] = {0, 1, 2, 5};
static struct machine machine;
static struct checks checks;

static void setup(void)
{
	strcpy(strrchr(root, '-'), "-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	ck_assert_int_eq(ronde_config_load(&config, NULL), RONDE_OK);
	memset(ranks, 0, sizeof ranks);
	for (int r = 0; r < 4; r++)
		for (int cpu = 0; cpu < 8; cpu++)
			CPU_SET(cpu, &ranks[r].cores.allowed);
	machine = (struct machine){.root = root,
				   .config = &config,
				   .launched = true,
				   .ranks = ranks,
				   .rank_numbers = numbers,
				   .nranks = 4};
	memset(&checks, 0, sizeof checks);
}

static void teardown(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", root);
	ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c) */
}

/* A file of the machine, with the folders above it. */
static void put(const char *path, const char *text)
{
	char whole[256];
	snprintf(whole, sizeof whole, "%s%s", root, path);
	for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(whole, 0700);
		*slash = '/';
	}
	FILE *file = fopen(whole, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static const struct check *find(const char *name)
{
	for (int i = 0; i < checks.n; i++)
		if (!strcmp(checks.list[i].name, name))
			return &checks.list[i];
	ck_abort_msg("there is no check \"%s\"", name);
	return NULL;
}

static void expect(const char *name, enum check_state state, const char *found, const char *advice)
{
	const struct check *c = find(name);
	ck_assert_msg(c->state == state && strstr(c->found, found) && strstr(c->advice, advice),
		      "%s is \"%s\": \"%s\", advice \"%s\"; wanted \"%s\": \"%s\", \"%s\"", name,
		      check_state_name(c->state), c->found, c->advice, check_state_name(state),
		      found, advice);
}

/* ---- shared memory ---- */

START_TEST(memory_is_fine)
{
	put("/proc/meminfo", "MemAvailable:    4194304 kB\n");
	check_shared_memory(&checks, &machine);
	expect("memfd", CHECK_OK, "memfd_create()", "");
	expect("dev-shm", CHECK_OK, "it is not needed", "");
	expect("memory", CHECK_OK, "4096 MiB are available (MemAvailable", "");
	ck_assert_int_eq(check_worst(&checks), CHECK_OK);
}
END_TEST

START_TEST(no_memfd)
{
	config.test_no_memfd = true;
	check_shared_memory(&checks, &machine);
	expect("memfd", CHECK_WARNING, "RONDE_TEST_NO_MEMFD says so", "unset RONDE_TEST_NO_MEMFD");
	expect("dev-shm", CHECK_PROBLEM, "No such file", "mount a tmpfs");
}
END_TEST

START_TEST(small_dev_shm)
{
	config.test_no_memfd = true;
	config.lanes = 64;
	config.staging_bytes = 1 << 30; /* sparse; more than any /dev/shm of a test machine */
	config.staging_bytes <<= 6;
	machine.root = "";
	check_shared_memory(&checks, &machine);
	expect("dev-shm", CHECK_PROBLEM, "MiB, ", "docker run --shm-size");
	expect("memory", CHECK_PROBLEM, "are available", "RONDE_STAGING_BYTES");
}
END_TEST

START_TEST(small_control_group)
{
	put("/proc/meminfo", "MemAvailable:    4194304 kB\n");
	put("/proc/self/cgroup", "0::/job\n");
	put("/sys/fs/cgroup/job/memory.max", "20971520\n");
	put("/sys/fs/cgroup/job/memory.current", "10485760\n");
	check_shared_memory(&checks, &machine);
	expect("memory", CHECK_PROBLEM, "10 MiB are available", "docker run --memory");
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
START_TEST(address_space)
{
	const struct rlimit limit = {(rlim_t)32 << 30, (rlim_t)32 << 30};
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	check_shared_memory(&checks, &machine);
	expect("address-space", CHECK_PROBLEM,
	       "`ulimit -v` allows 32768 MiB; the heaps of 4 ranks reserve 262144 MiB",
	       "RONDE_HEAP_RESERVE_BYTES");
}
END_TEST
#endif

START_TEST(huge_pages)
{
	put("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
	    "always within_size advise [never] deny force\n");
	check_shared_memory(&checks, &machine);
	expect("huge-pages", CHECK_NOTICE, "never", "echo within_size");
}
END_TEST

START_TEST(file_limit)
{
	const struct rlimit limit = {1 << 20, 1 << 20};
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	check_shared_memory(&checks, &machine);
	expect("memfd", CHECK_PROBLEM, "`ulimit -f` allows 1048576", "");
}
END_TEST

/* ---- cores ---- */

START_TEST(cores_are_fine)
{
	check_cores(&checks, &machine);
	expect("cores-per-rank", CHECK_OK, "4 ranks of this node have 8 processors: 2 each", "");
	expect("binding", CHECK_OK, "no rank is bound", "");
}
END_TEST

static void give_quota(int rank, uint64_t group, double cores)
{
	ranks[rank].cores.ngroups = 1;
	ranks[rank].cores.groups[0] = (struct ronde_cores_group){group, cores};
}

START_TEST(quota)
{
	for (int r = 0; r < 4; r++)
		give_quota(r, 0, 2.5);
	check_cores(&checks, &machine);
	expect("cores", CHECK_NOTICE, "quota is 2.5 of them", "start at most 2");
	expect("cores-per-rank", CHECK_WARNING, "4 ranks of this node have 2.5 processors: 0.62",
	       "Start at most 2");
}
END_TEST

/* A container for each rank: the last one has less. */
START_TEST(quotas)
{
	for (int r = 0; r < 4; r++)
		give_quota(r, (uint64_t)r, r < 3 ? 1.5 : 0.5);
	check_cores(&checks, &machine);
	expect("cores", CHECK_NOTICE, "quota is 1.5 of them", "start at most 1");
	expect("cores-per-rank", CHECK_WARNING,
	       "4 ranks of this node have 5 processors, but rank 5 only 0.5 of them",
	       "raise its control group's quota");
}
END_TEST

static double own_quota(void)
{
	rank_facts_own(&ranks[0], root);
	return ronde_cores_quota(&ranks[0].cores);
}

/* Of all groups up to the mount the tightest; in a container that is all there is to be seen. */
START_TEST(quota_of_the_group)
{
	ck_assert_double_eq(own_quota(), 0);
	put("/proc/self/cgroup", "0::/kubepods/pod\n");
	ck_assert_double_eq(own_quota(), 0);
	put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
	ck_assert_double_eq(own_quota(), 1.5);
	put("/sys/fs/cgroup/kubepods/cpu.max", "max 100000\n");
	put("/sys/fs/cgroup/kubepods/pod/cpu.max", "40000 50000\n");
	ck_assert_double_eq(own_quota(), 0.8);
	put("/sys/fs/cgroup/kubepods/cpu.max", "25000 100000\n");
	ck_assert_double_eq(own_quota(), 0.25);
}
END_TEST

START_TEST(quota_of_the_group_version_1)
{
	put("/proc/self/cgroup", "5:cpuset:/s\n4:cpu,cpuacct:/job\n3:memory:/m\n0::/\n");
	put("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
	ck_assert_double_eq(own_quota(), 0);
	put("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "30000\n");
	put("/sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "20000\n");
	ck_assert_double_eq(own_quota(), 1.5);
	put("/sys/fs/cgroup/cpu/m/cpu.cfs_quota_us", "1000\n");
	put("/sys/fs/cgroup/cpu/m/cpu.cfs_period_us", "100000\n");
	ck_assert_double_eq(own_quota(), 1.5);
}
END_TEST

START_TEST(two_on_one_core)
{
	for (int r = 2; r < 4; r++) {
		CPU_ZERO(&ranks[r].cores.allowed);
		CPU_SET(6, &ranks[r].cores.allowed);
	}
	check_cores(&checks, &machine);
	expect("binding", CHECK_WARNING, "ranks 2 and 5 are both bound to processor 6",
	       "--bind-to none");
}
END_TEST

START_TEST(each_on_its_own)
{
	for (int r = 0; r < 4; r++) {
		CPU_ZERO(&ranks[r].cores.allowed);
		CPU_SET(r, &ranks[r].cores.allowed);
	}
	check_cores(&checks, &machine);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		expect("binding", CHECK_NOTICE, "4 of 4 ranks", "slot:PE=2");
	else /* there every rank is, and can't help it */
		expect("binding", CHECK_OK, "no rank is bound", "");
}
END_TEST

/* ---- the system ---- */

START_TEST(system_is_fine)
{
	check_system(&checks, &machine);
	expect("socket", CHECK_OK, "abstract unix socket", "");
	expect("container", CHECK_OK, "none", "");
	expect("security", CHECK_OK, "nothing", "");
	expect("ptrace", CHECK_OK, "debugger", "");
	expect("variables", CHECK_OK, "none", "");
}
END_TEST

/* Makes a call fail, as a container's profile does. */
static void refuse(int call, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof code / sizeof *code, code};
	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

START_TEST(seccomp)
{
	refuse(SYS_memfd_create, EPERM);
	refuse(SYS_pidfd_open, EPERM);
	refuse(SYS_bind, EACCES);
	machine.root = "";
	check_shared_memory(&checks, &machine);
	check_system(&checks, &machine);
	expect("memfd", CHECK_WARNING, "because Operation not permitted", "seccomp profile");
	expect("pidfd", CHECK_NOTICE, "pidfd_open(): a seccomp filter or a security module", "");
	expect("socket", CHECK_PROBLEM, "refuses it", "AF_UNIX");
	expect("security", CHECK_OK, "a seccomp filter", "");
}
END_TEST

START_TEST(old_kernel)
{
	refuse(SYS_memfd_create, ENOSYS);
	refuse(SYS_pidfd_open, ENOSYS);
	refuse(SYS_madvise, EINVAL);
	check_shared_memory(&checks, &machine);
	check_system(&checks, &machine);
	expect("pidfd", CHECK_NOTICE, "this kernel does not have it", "nothing has to be done");
	expect("populate", CHECK_NOTICE, "this kernel does not have it", "");
}
END_TEST

START_TEST(no_pidfd)
{
	config.test_no_pidfd = true;
	check_system(&checks, &machine);
	expect("pidfd", CHECK_NOTICE, "RONDE_TEST_NO_PIDFD says so", "");
}
END_TEST

static const struct {
	const char *path, *text, *found;
} containers[] = {
	{"/.dockerenv", "", "docker (/.dockerenv is there)"},
	{"/run/.containerenv", "", "podman"},
	{"/run/systemd/container", "systemd-nspawn\n", "systemd-nspawn (/run/systemd"},
	{"/proc/self/cgroup", "0::/kubepods/pod7/x\n", "kubepods (/proc/self/cgroup"},
	{"/proc/self/cgroup", "4:memory:/lxc/x\n0::/\n", "lxc (/proc/self/cgroup"},
};

START_TEST(container)
{
	put(containers[_i].path, containers[_i].text);
	check_system(&checks, &machine);
	expect("container", CHECK_NOTICE, containers[_i].found, "network namespace");
}
END_TEST

START_TEST(container_by_variable)
{
	setenv("APPTAINER_CONTAINER", "/x.sif", 1);
	check_system(&checks, &machine);
	expect("container", CHECK_NOTICE, "Apptainer (APPTAINER_CONTAINER is set)", "");
}
END_TEST

START_TEST(security)
{
	put("/proc/self/status", "Name:\tx\nSeccomp:\t2\n");
	put("/sys/fs/selinux/enforce", "1");
	put("/proc/self/attr/current", "docker-default (enforce)\n");
	put("/proc/sys/kernel/yama/ptrace_scope", "1\n");
	check_system(&checks, &machine);
	expect("security", CHECK_OK,
	       "a seccomp filter, SELinux, enforcing, AppArmor: docker-default (enforce)", "");
	expect("ptrace", CHECK_NOTICE, "ptrace_scope is 1", "ptrace_scope=0");
}
END_TEST

START_TEST(descriptors)
{
	const struct rlimit limit = {70, 70};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	check_system(&checks, &machine);
	expect("descriptors", CHECK_WARNING, "allows 70 open files; Ronde takes up to 80",
	       "ulimit -n 80");
}
END_TEST

START_TEST(mistyped_variable)
{
	static const char notes[][CHECK_TEXT_BYTES] = {"RONDE_LANE is set, but nothing reads it"};
	machine.notes = notes;
	machine.nnotes = 1;
	check_system(&checks, &machine);
	expect("variables", CHECK_WARNING, notes[0], "unset");
}
END_TEST

/* ---- the page ---- */

START_TEST(json_strings)
{
	static const char hostile[] = "a\"b\\c\n\x01\x7f"
				      "\xc3\xa9\xff\xc0\xaf\xed\xa0\x80\xf0\x9f\x92\x83\xe2\x82";
	static const char wanted[] = "\"a\\\"b\\\\c\\u000a\\u0001\\u007f"
				     "\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd"
				     "\xf0\x9f\x92\x83\\ufffd\\ufffd\"";
	char *text;
	size_t bytes;
	FILE *file = open_memstream(&text, &bytes);
	page_json_string(file, hostile);
	fclose(file);
	ck_assert_str_eq(text, wanted);
	free(text);
}
END_TEST

START_TEST(json_page)
{
	struct page page;
	char *text;
	size_t bytes;
	FILE *file = open_memstream(&text, &bytes);
	const struct page_cell cells[] = {PAGE_CELL("a", 2, NULL), PAGE_NUMBER("b", 2, "7")};
	page_open(&page, file, true);
	page_begin(&page, "o", "O");
	page_end(&page);
	page_list(&page, "l", NULL);
	page_row(&page, cells, 2);
	page_row(&page, cells, 2);
	page_list_end(&page);
	page_number(&page, "n", NULL, 1.5);
	page_flag(&page, "f", NULL, true);
	page_text(&page, "t", NULL, NULL);
	page_close(&page);
	fclose(file);
	size_t n = 0;
	for (size_t i = 0; i < bytes; i++)
		if (text[i] != ' ' && text[i] != '\n')
			text[n++] = text[i];
	text[n] = 0;
	ck_assert_str_eq(text, "{\"o\":{},\"l\":[{\"a\":null,\"b\":7},{\"a\":null,\"b\":7}],"
			       "\"n\":1.5,\"f\":true,\"t\":null}");
	free(text);
}
END_TEST

int main(void)
{
	const struct suite_test tests[] = {
		{memory_is_fine, ONCE},
		{no_memfd, ONCE},
		{small_dev_shm, ONCE},
		{small_control_group, ONCE},
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
		{address_space, ONCE}, /* sanitizers take address space of their own */
#endif
		{huge_pages, ONCE},
		{file_limit, ONCE},
		{cores_are_fine, ONCE},
		{quota, ONCE},
		{quotas, ONCE},
		{quota_of_the_group, ONCE},
		{quota_of_the_group_version_1, ONCE},
		{two_on_one_core, ONCE},
		{each_on_its_own, ONCE},
		{system_is_fine, ONCE},
		{seccomp, ONCE},
		{old_kernel, ONCE},
		{no_pidfd, ONCE},
		{container, 0, sizeof containers / sizeof *containers},
		{container_by_variable, ONCE},
		{security, ONCE},
		{descriptors, ONCE},
		{mistyped_variable, ONCE},
		{json_strings, ONCE},
		{json_page, ONCE},
	};
	Suite *suite = suite_create("info");
	tcase_add_checked_fixture(SUITE_ADD(suite, "info", 60, tests), setup, teardown);
	return suite_end(suite);
}
