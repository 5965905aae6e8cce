/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the two programs that hvlab up starts: scripts/parts, which obtains QEMU and guest images,
 * and the daemon.
 *
 * Both run in a process group of their own, so that a Ctrl-C at the terminal reaches hvlab alone
 * and hvlab decides: parts gets exactly one SIGINT and tidies up, the daemon is asked over its
 * socket.
 */
#include "host/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define MAX_OUTPUT (4u << 20)
#define REAP_MS	   30000

/* "DIR/@rel" beside this program, when it can be run. */
static bool beside(const char *rel, char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
	char *slash;

	if (n <= 0)
		return false;
	out[n] = '\0';
	slash = strrchr(out, '/');
	if (!slash || (size_t)(slash - out) + 1 + strlen(rel) >= PATH_MAX)
		return false;
	strcpy(slash + 1, rel);
	return access(out, X_OK) == 0;
}

static bool find_parts(char out[PATH_MAX])
{
	const char *env = getenv("HVLAB_PARTS");

	if (env && *env) {
		snprintf(out, PATH_MAX, "%s", env);
		if (access(out, X_OK) == 0)
			return true;
		cli_error("name scripts/parts of the source tree, or unset it",
			  "HVLAB_PARTS=%s cannot be run: %s", out, strerror(errno));
		return false;
	}
	if (beside("../share/hvlab/scripts/parts", out))
		return true;
	snprintf(out, PATH_MAX, "%s", HVLAB_SOURCE_DIR "/scripts/parts");
	if (access(out, X_OK) == 0)
		return true;
	cli_error("set HVLAB_PARTS to scripts/parts of the source tree",
		  "scripts/parts, which obtains QEMU and guest images, is not to be found");
	return false;
}

static bool find_daemon(char out[PATH_MAX])
{
	const char *env = getenv("HVLAB_DAEMON");

	if (env && *env) {
		snprintf(out, PATH_MAX, "%s", env);
		if (access(out, X_OK) == 0)
			return true;
		cli_error("name the hvlabd to use, or unset it",
			  "HVLAB_DAEMON=%s cannot be run: %s", out, strerror(errno));
		return false;
	}
	if (beside("hvlabd", out) || beside("../sbin/hvlabd", out))
		return true;
	cli_error("install it beside hvlab, or set HVLAB_DAEMON", "hvlabd is not to be found");
	return false;
}

/*
 * Read @fd to its end. 0; -EINTR when @sigfd says so first; -EFBIG; -errno. @buf is NUL-terminated.
 */
static int read_all(int fd, int sigfd, char **buf, size_t max, bool one_line)
{
	size_t len = 0, size = 65536;

	*buf = malloc(size);
	while (*buf) {
		struct pollfd pfds[2] = {{.fd = fd, .events = POLLIN},
					 {.fd = sigfd, .events = POLLIN}};
		ssize_t n;

		if (poll(pfds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (pfds[1].revents)
			return -EINTR;
		if (!pfds[0].revents)
			continue;
		n = read(fd, *buf + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
		(*buf)[len] = '\0';
		if (n == 0 || (one_line && memchr(*buf, '\n', len)))
			return 0;
		if (len >= max)
			return -EFBIG;
		if (size - len < 2) {
			char *more = realloc(*buf, size *= 2);

			if (!more)
				return -ENOMEM;
			*buf = more;
		}
	}
	return -ENOMEM;
}

static void null_stdin(void)
{
	int fd = open("/dev/null", O_RDWR);

	if (fd >= 0)
		dup2(fd, STDIN_FILENO);
}

static pid_t spawn_parts(const char *path, const char *const *args, int *out)
{
	const char *argv[16] = {path};
	int pipe_fds[2];
	pid_t pid;

	for (unsigned int i = 0; args[i] && i < ARRAY_SIZE(argv) - 2; i++)
		argv[i + 1] = args[i];
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		cli_signals_reset();
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		null_stdin();
		dup2(pipe_fds[1], STDOUT_FILENO);
		execv(path, (char *const *)argv);
		fprintf(stderr, "hvlab: %s: %s\n", path, strerror(errno));
		_exit(127);
	}
	close(pipe_fds[1]);
	if (pid < 0)
		close(pipe_fds[0]);
	else
		setpgid(pid, pid);
	*out = pipe_fds[0];
	return pid;
}

json_t *cli_parts(struct cli *cli, const char *const *args, int sigfd, bool *interrupted)
{
	char path[PATH_MAX], *text = NULL;
	json_t *value = NULL;
	int out, ret, status;
	pid_t pid;

	if (!find_parts(path))
		return NULL;
	cli_verbose(cli, "%s %s %s", path, args[0], args[1]);
	pid = spawn_parts(path, args, &out);
	if (pid < 0) {
		cli_error(NULL, "cannot start %s: %s", path, strerror(errno));
		return NULL;
	}
	ret = read_all(out, sigfd, &text, MAX_OUTPUT, false);
	if (ret) {
		*interrupted = ret == -EINTR;
		kill(-pid, SIGINT);
	}
	close(out);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!ret && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		value = json_loads(text, 0, NULL);
	if (!value && !*interrupted) {
		if (ret)
			cli_error(NULL, "reading from %s: %s", path, strerror(-ret));
		else if (WIFSIGNALED(status))
			cli_error(NULL, "%s was ended by signal %d", path, WTERMSIG(status));
		else if (WEXITSTATUS(status))
			cli_error("see the message above; nothing was started",
				  "%s %s failed with status %d", path, args[0],
				  WEXITSTATUS(status));
		else
			cli_error("check HVLAB_PARTS", "%s did not print JSON", path);
	}
	free(text);
	return value;
}

void cli_reap(pid_t pid)
{
	struct pollfd pfd = {.fd = pidfd_open(pid, 0), .events = POLLIN};

	if (pfd.fd < 0 || poll(&pfd, 1, REAP_MS) == 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	fd_close(&pfd.fd);
}

static pid_t spawn_daemon(struct cli *cli, const char *path, int *ready)
{
	int pipe_fds[2];
	char number[16];
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -1;
	snprintf(number, sizeof(number), "%d", pipe_fds[1]);
	pid = fork();
	if (pid == 0) {
		cli_signals_reset();
		setsid();
		null_stdin();
		dup2(STDIN_FILENO, STDOUT_FILENO);
		dup2(STDIN_FILENO, STDERR_FILENO);
		fcntl(pipe_fds[1], F_SETFD, 0);
		execl(path, path, "--runtime-dir", cli->dir, "--exit-when-idle", "--ready-fd",
		      number, "--log-level", cli->verbose ? "debug" : "info", NULL);
		dprintf(pipe_fds[1], "error: %s: %s\n", path, strerror(errno));
		_exit(127);
	}
	close(pipe_fds[1]);
	if (pid < 0)
		close(pipe_fds[0]);
	*ready = pipe_fds[0];
	return pid;
}

pid_t cli_start_daemon(struct cli *cli, int sigfd)
{
	char path[PATH_MAX], *line = NULL;
	int ready, ret;
	pid_t pid;

	if (!find_daemon(path))
		return -1;
	cli_verbose(cli, "starting %s --runtime-dir %s", path, cli->dir);
	pid = spawn_daemon(cli, path, &ready);
	if (pid < 0) {
		cli_error(NULL, "cannot start %s: %s", path, strerror(errno));
		return -1;
	}
	ret = read_all(ready, sigfd, &line, 4096, true);
	close(ready);
	if (!ret && strcmp(line, "ready\n") == 0) {
		free(line);
		return pid;
	}
	if (!ret && strncmp(line, "error: ", 7) == 0) {
		line[strcspn(line, "\n")] = '\0';
		cli_error(NULL, "the daemon did not start: %s", line + 7);
	} else if (!ret) {
		cli_error("look at hvlabd.log in the runtime directory",
			  "the daemon %s ended before it was ready", path);
	} else if (ret != -EINTR) {
		cli_error(NULL, "waiting for the daemon: %s", strerror(-ret));
	}
	kill(pid, SIGTERM);
	cli_reap(pid);
	free(line);
	return ret == -EINTR ? -2 : -1;
}
