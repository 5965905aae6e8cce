/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about the runtime directory, the ends of logs, and base64. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/util.h"
#include "host/base64.h"
#include "host/runtime.h"
#include "host/tail.h"

/* ---- base64: RFC 4648 section 10 has these vectors ---- */

static void base64_is_that_of_the_rfc(void **state)
{
	static const char *const vectors[][2] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		char *text = base64_encode(vectors[i][0], strlen(vectors[i][0]));
		size_t size;
		char *back = base64_decode(vectors[i][1], &size);

		assert_string_equal(text, vectors[i][1]);
		assert_int_equal(size, strlen(vectors[i][0]));
		assert_string_equal(back, vectors[i][0]);
		free(text);
		free(back);
	}
}

static void base64_takes_every_byte_there_and_back(void **state)
{
	uint8_t data[256], *back;
	size_t size;

	(void)state;
	for (int i = 0; i < 256; i++)
		data[i] = (uint8_t)i;
	for (size_t len = 250; len <= 256; len++) {
		char *text = base64_encode(data, len);

		back = base64_decode(text, &size);
		assert_int_equal(size, len);
		assert_memory_equal(back, data, len);
		free(text);
		free(back);
	}
}

static void base64_is_strict(void **state)
{
	static const char *const wrong[] = {"Z",    "Zg",   "Zg=",  "Zg==Zg==", "Z===", "====",
					    "Zh==", "Zm9=", "Zm 9", "Zm9v\n",	"Zm9-", "Zm9_"};
	size_t size;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		errno = 0;
		assert_null(base64_decode(wrong[i], &size));
		assert_int_equal(errno, EINVAL);
	}
}

/* ---- files ---- */

struct dir {
	char path[32];
	struct runtime rt;
};

static int setup(void **state)
{
	struct dir *d = calloc(1, sizeof(*d));

	strcpy(d->path, "/tmp/hvlab-rt-XXXXXX");
	assert_non_null(mkdtemp(d->path));
	d->rt.lock_fd = -1;
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	struct dir *d = *state;
	char cmd[64];

	runtime_close(&d->rt);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", d->path);
	assert_int_equal(system(cmd), 0);
	free(d);
	return 0;
}

static void put_file(const struct dir *d, const char *name, const char *text, size_t len)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", d->path, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
}

static void assert_tail(const char *path, off_t from, unsigned int n, const char *want)
{
	json_t *lines = tail_lines(path, from, n);
	char got[512] = "";

	for (size_t i = 0; i < json_array_size(lines); i++) {
		strcat(got, json_string_value(json_array_get(lines, i)));
		strcat(got, "|");
	}
	assert_string_equal(got, want);
	json_decref(lines);
}

static void a_tail_is_the_last_lines(void **state)
{
	struct dir *d = *state;
	char path[64];

	snprintf(path, sizeof(path), "%s/log", d->path);
	assert_tail(path, 0, 5, ""); /* no file */
	put_file(d, "log", "", 0);
	assert_tail(path, 0, 5, "");
	put_file(d, "log", "one\ntwo\n\nfour", 13);
	assert_tail(path, 0, 1, "four|");
	assert_tail(path, 0, 2, "|four|");
	assert_tail(path, 0, 4, "one|two||four|");
	assert_tail(path, 0, 100, "one|two||four|");
	assert_tail(path, 4, 100, "two||four|");
	assert_tail(path, 100, 100, "");
	put_file(d, "log", "\nx\n", 3);
	assert_tail(path, 0, 9, "|x|");
	assert_int_equal(tail_size(path), 3);
}

static void a_tail_does_not_act_on_the_terminal(void **state)
{
	static const char text[] = "\x1b[1;31mred\x1b[0m\r\nbell\x07nul\0x\ttab\n\xff\xc3\xa4\x1b";
	struct dir *d = *state;
	char path[64];

	snprintf(path, sizeof(path), "%s/log", d->path);
	put_file(d, "log", text, sizeof(text) - 1);
	assert_tail(path, 0, 9, "red|bell?nul?x tab|???|");
}

static void a_text_is_found_where_it_stands_last(void **state)
{
	static const char text[] = "panic: one\nother\npanic: two \x1b[0m\xff\nend\n";
	struct dir *d = *state;
	char path[64], rest[16];

	snprintf(path, sizeof(path), "%s/log", d->path);
	put_file(d, "log", text, sizeof(text) - 1);
	assert_true(tail_find(path, 0, "panic", rest, sizeof(rest)));
	assert_string_equal(rest, ": two ?");
	assert_true(tail_find(path, 0, "panic", rest, 4));
	assert_string_equal(rest, ": t");
	assert_false(tail_find(path, 20, "panic", rest, sizeof(rest)));
	assert_false(tail_find(path, 0, "oops", rest, sizeof(rest)));
	assert_false(tail_find("/nonexistent", 0, "x", rest, sizeof(rest)));
}

static void a_log_is_cut_to_its_end_and_still_appended_to(void **state)
{
	struct dir *d = *state;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/log", d->path);
	put_file(d, "log", "one\ntwo\nthree\n", 14);
	fd = open(path, O_WRONLY | O_APPEND);
	assert_false(tail_trim(path, 14, 6));
	assert_true(tail_trim(path, 13, 6));
	assert_int_equal(write(fd, "four\n", 5), 5);
	close(fd);
	assert_tail(path, 0, 9, "three|four|");
	assert_int_equal(tail_size(path), 11);
	assert_false(tail_trim("/nonexistent", 0, 1));
}

static void the_directory_is_found_in_order(void **state)
{
	char dir[RUNTIME_DIR_MAX + 1];

	(void)state;
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	unsetenv("HVLAB_RUNTIME_DIR");
	assert_int_equal(runtime_dir_find(NULL, dir), 0);
	assert_string_equal(dir, "/run/user/7/hvlab");
	setenv("HVLAB_RUNTIME_DIR", "/e", 1);
	assert_int_equal(runtime_dir_find(NULL, dir), 0);
	assert_string_equal(dir, "/e");
	assert_int_equal(runtime_dir_find("/w//", dir), 0);
	assert_string_equal(dir, "/w");
	assert_int_equal(runtime_dir_find("relative", dir), -EINVAL);
	assert_int_equal(
		runtime_dir_find("/this/path/is/too/long/for/a/socket/address/to/fit/in", dir),
		-ENAMETOOLONG);
	unsetenv("HVLAB_RUNTIME_DIR");
}

static void one_daemon_at_a_time_and_the_other_hears_whose_it_is(void **state)
{
	struct dir *d = *state;
	struct runtime second;
	char why[300], pid[16];

	assert_int_equal(runtime_open(&d->rt, d->path, why, sizeof(why)), 0);
	assert_int_equal(runtime_open(&second, d->path, why, sizeof(why)), -EBUSY);
	snprintf(pid, sizeof(pid), "pid %d;", (int)getpid());
	assert_non_null(strstr(why, pid));
	runtime_close(&d->rt);
	assert_int_equal(access(d->path, F_OK), -1);
	assert_int_equal(runtime_open(&d->rt, d->path, why, sizeof(why)), 0);
}

static void a_directory_open_to_others_is_refused(void **state)
{
	struct dir *d = *state;
	struct runtime rt;
	char why[300];

	chmod(d->path, 0755);
	assert_int_equal(runtime_open(&rt, d->path, why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "0700"));
	chmod(d->path, 0700);
	assert_int_equal(runtime_open(&rt, "/dev/null", why, sizeof(why)), -EPERM);
	assert_int_equal(runtime_open(&rt, "/nonexistent/x", why, sizeof(why)), -ENOENT);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("sleep", "sleep", "1000", NULL);
		_exit(127);
	}
	return pid;
}

static void what_a_crash_left_is_cleaned_and_others_are_spared(void **state)
{
	struct dir *d = *state;
	pid_t left = sleeper(), other = sleeper();
	struct runtime_proc procs[2] = {
		{left, runtime_proc_start(left), "a"},
		{other, runtime_proc_start(other) + 1, "reused"}, /* not the process written down */
	};
	char why[300], path[RUNTIME_PATH_MAX];
	int status, fd;

	assert_true(procs[0].start > 0);
	assert_int_equal(runtime_open(&d->rt, d->path, why, sizeof(why)), 0);
	assert_int_equal(runtime_record(&d->rt, procs, 2), 0);
	assert_int_equal(runtime_vm_make(&d->rt, "a"), 0);
	runtime_vm_path(&d->rt, "a", "console.log", path);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	fd_close(&d->rt.lock_fd); /* as a crash does */

	assert_int_equal(runtime_open(&d->rt, d->path, why, sizeof(why)), 0);
	assert_int_equal(d->rt.killed, 1);
	assert_int_equal(waitpid(left, &status, 0), left);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	assert_int_equal(access(path, F_OK), -1);
	kill(other, SIGKILL);
	waitpid(other, &status, 0);
	assert_int_equal(runtime_proc_start(left), 0);
}

static void cleaning_does_not_follow_links(void **state)
{
	struct dir *d = *state;
	char why[300], link[RUNTIME_PATH_MAX], target[64];

	snprintf(target, sizeof(target), "%s.keep", d->path);
	assert_int_equal(mkdir(target, 0700), 0);
	assert_int_equal(runtime_open(&d->rt, d->path, why, sizeof(why)), 0);
	assert_int_equal(runtime_vm_make(&d->rt, "a"), 0);
	runtime_vm_path(&d->rt, "a", "link", link);
	assert_int_equal(symlink(target, link), 0);
	runtime_close(&d->rt);
	assert_int_equal(access(target, F_OK), 0);
	assert_int_equal(access(d->path, F_OK), -1);
	rmdir(target);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_is_that_of_the_rfc),
		cmocka_unit_test(base64_takes_every_byte_there_and_back),
		cmocka_unit_test(base64_is_strict),
		T(a_tail_is_the_last_lines),
		T(a_tail_does_not_act_on_the_terminal),
		T(a_text_is_found_where_it_stands_last),
		T(a_log_is_cut_to_its_end_and_still_appended_to),
		cmocka_unit_test(the_directory_is_found_in_order),
		T(one_daemon_at_a_time_and_the_other_hears_whose_it_is),
		T(a_directory_open_to_others_is_refused),
		T(what_a_crash_left_is_cleaned_and_others_are_spared),
		T(cleaning_does_not_follow_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
