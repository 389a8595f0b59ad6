/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ronde-info's checks of the system, each with its bad case: a machine that is made up, a seccomp
 * filter that is real. And what its page says.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bindings/cli/page.h"
#include "tests/info_machine.h"
#include "tests/suite.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

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
	Suite *suite = suite_create("info_system");
	tcase_add_checked_fixture(SUITE_ADD(suite, "info_system", 60, tests), setup, teardown);
	return suite_end(suite);
}
