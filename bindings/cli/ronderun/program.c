/* SPDX-License-Identifier: Apache-2.0 */
#include "bindings/cli/ronderun/program.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *read_all(int fd)
{
	size_t used = 0, room = 4096;
	char *text = malloc(room);
	ssize_t n;

	while (text) {
		char *more;

		n = read(fd, text + used, room - used - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
		if (room - used > 1)
			continue;
		room *= 2;
		more = realloc(text, room);
		if (!more)
			free(text);
		text = more;
	}
	if (text)
		text[used] = '\0';
	return text;
}

int run_program_read(const char *const *command, char **text)
{
	posix_spawn_file_actions_t actions;
	int ends[2], error, how;
	pid_t pid;

	*text = NULL;
	if (pipe2(ends, O_CLOEXEC))
		return 1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	error = posix_spawnp(&pid, command[0], &actions, NULL, (char *const *)command, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	if (!error)
		*text = read_all(ends[0]);
	close(ends[0]);
	if (error)
		return error == ENOENT ? 127 : 1;
	while (waitpid(pid, &how, 0) < 0)
		if (errno != EINTR)
			return 1;
	return WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
}

static void print_quoted(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_-+=./:,@%";

	if (*word && word[strspn(word, plain)] == '\0') {
		printf("%s", word);
		return;
	}
	putchar('\'');
	for (; *word; word++)
		if (*word == '\'')
			printf("'\\''");
		else
			putchar(*word);
	putchar('\'');
}

void run_program_print(char *const *command)
{
	for (char *const *word = command; *word; word++) {
		if (word > command)
			putchar(' ');
		print_quoted(*word);
	}
	putchar('\n');
}
