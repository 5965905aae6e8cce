/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about base/{checked,wire,copy,fd,log}: the small things everything else stands on. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/copy.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/wire.h"

static void a_range_check_cannot_overflow(void **state)
{
	uint32_t r32;

	(void)state;
	assert_true(range_ok(0, 0, 0));
	assert_true(range_ok(10, 0, 10));
	assert_false(range_ok(11, 0, 10));
	assert_true(range_ok(4, 6, 10));
	assert_false(range_ok(4, 7, 10));
	assert_false(range_ok(UINT64_MAX, 2, 10));
	assert_false(range_ok(2, UINT64_MAX, 10));
	assert_false(checked_add(UINT32_MAX, 1u, &r32));
	assert_false(checked_mul(0x10000u, 0x10000u, &r32));
	assert_true(checked_mul(0xffffu, 0x10001u, &r32));
	assert_int_equal(r32, UINT32_MAX);
}

static void wire_types_have_their_byte_order(void **state)
{
	uint8_t b[8];

	(void)state;
	le32_store(b, 0x01020304);
	assert_memory_equal(b, "\x04\x03\x02\x01", 4);
	be32_store(b, 0x01020304);
	assert_memory_equal(b, "\x01\x02\x03\x04", 4);
	le64_store(b, 0x0102030405060708);
	assert_int_equal(le64_load(b), 0x0102030405060708);
	assert_int_equal(b[0], 8);
	assert_int_equal(be16_get(be16_make(0x1234)), 0x1234);
}

static void a_short_copy_is_exact(void **state)
{
	uint8_t from[300], to[302], want[302];

	(void)state;
	for (uint32_t i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 7 + i / 256 + 1);
	for (uint32_t n = 0; n <= sizeof(from); n++) {
		memset(to, 0xee, sizeof(to));
		memset(want, 0xee, sizeof(want));
		memcpy(want + 1, from, n);
		copy_short(to + 1, from, n);
		assert_memory_equal(to, want, sizeof(to));
	}
}

static void descriptors_travel_and_surplus_ones_are_closed(void **state)
{
	int sv[2], p[2], got[1] = {-1};
	unsigned int n = 1;
	struct iovec iov = {.iov_base = "x", .iov_len = 1};
	char c;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(fd_send(sv[0], &iov, 1, (int[]){p[1], p[1], p[1]}, 3, 0), 1);
	assert_int_equal(fd_recv(sv[1], &c, 1, got, &n, 0), 1);
	assert_int_equal(n, 1);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	fd_close(&p[1]);
	fd_close(&got[0]);
	assert_int_equal(got[0], -1);
	/* End of file on the pipe: the two that did not fit are closed as well. */
	assert_int_equal(read(p[0], &c, 1), 0);
	fd_close(&p[0]);
	fd_close_all(sv, 2);
	assert_int_equal(sv[0], -1);
}

static void a_dead_socket_is_replaced_a_live_one_is_not(void **state)
{
	char dir[] = "/tmp/hvlab-test-XXXXXX", path[64], longp[200];
	struct stat st;
	int a, b;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	a = fd_unix_listen(path, 4);
	assert_true(a >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fd_unix_listen(path, 4), -EADDRINUSE);
	fd_close(&a);
	b = fd_unix_listen(path, 4);
	assert_true(b >= 0);
	fd_close(&b);
	unlink(path);
	/* A file that is not a socket is not ours to remove. */
	a = open(path, O_CREAT | O_RDWR, 0600);
	assert_int_equal(fd_unix_listen(path, 4), -EEXIST);
	fd_close(&a);
	memset(longp, 'x', sizeof(longp) - 1);
	longp[sizeof(longp) - 1] = 0;
	assert_int_equal(fd_unix_listen(longp, 4), -ENAMETOOLONG);
	assert_int_equal(fd_unix_connect(longp), -ENAMETOOLONG);
	unlink(path);
	rmdir(dir);
}

static size_t logged(char *buf, size_t size, int fd)
{
	ssize_t n = read(fd, buf, size - 1);

	buf[n > 0 ? n : 0] = 0;
	return n > 0 ? (size_t)n : 0;
}

static void a_guest_cannot_forge_or_flood_log_lines(void **state)
{
	char buf[8192];
	unsigned int lines = 0;
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_NONBLOCK), 0);
	log_set_fd(p[1]);
	log_info("name is %s", "x\n2026 err  daemon: all is lost\x1b[31m");
	assert_true(logged(buf, sizeof(buf), p[0]) > 0);
	assert_ptr_equal(strchr(buf, '\n'), strrchr(buf, '\n'));
	assert_null(strchr(buf, 0x1b));
	for (int i = 0; i < 1000; i++)
		log_warn_rl("guest error %d", i);
	logged(buf, sizeof(buf), p[0]);
	for (char *c = buf; *c; c++)
		lines += *c == '\n';
	/* Ten a second; the loop may straddle a second or two. */
	assert_in_range(lines, 10, 30);
	log_debug("not shown at the default level");
	assert_int_equal(logged(buf, sizeof(buf), p[0]), 0);
	assert_int_equal(log_level_parse("debug"), LOG_DEBUG);
	assert_int_equal(log_level_parse("loud"), -EINVAL);
	log_set_fd(STDERR_FILENO);
	fd_close_all(p, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_range_check_cannot_overflow),
		cmocka_unit_test(wire_types_have_their_byte_order),
		cmocka_unit_test(a_short_copy_is_exact),
		cmocka_unit_test(descriptors_travel_and_surplus_ones_are_closed),
		cmocka_unit_test(a_dead_socket_is_replaced_a_live_one_is_not),
		cmocka_unit_test(a_guest_cannot_forge_or_flood_log_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
