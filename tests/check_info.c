/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde-info's checks of memory and cores, each with its bad case: files of a machine that is made
 * up, limits that are real. The program itself: tests/checks/ronde-info.sh.
 */
#include <sys/resource.h>
#include <unistd.h>

#include "tests/info_machine.h"
#include "tests/suite.h"

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
	};
	Suite *suite = suite_create("info");
	tcase_add_checked_fixture(SUITE_ADD(suite, "info", 60, tests), setup, teardown);
	return suite_end(suite);
}
