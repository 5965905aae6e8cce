/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what tests of transpositions share. */
#include "xpose_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "base/wire.h"
#include "vswitch/parse.h"

void ip4(uint8_t to[16], uint32_t addr)
{
	memset(to, 0, 10);
	memset(to + 10, 0xff, 2);
	be32_store(to + 12, addr);
}

void flatten(struct pkt *p, struct frame *to)
{
	struct iovec iov = {to->data, sizeof(to->data)};
	struct vsw_settle s;
	struct vsw_frame fr;

	assert_int_equal(vsw_settle_begin(&s, p, 0, 0), VSW_DROP_NONE);
	assert_true(vsw_settle_next(&s, &fr));
	vsw_frame_copy(&fr, &iov, 1);
	to->len = fr.len;
	assert_false(vsw_settle_next(&s, &fr));
	frame_parse(to);
}

void assert_sums(const struct frame *fr)
{
	assert_true(frame_ip_sum_ok(fr));
	assert_true(frame_l4_sum_ok(fr));
}

void error_about(struct frame *about, enum icmp_error_kind kind, const uint8_t *from,
		 struct pkt *in)
{
	static struct frame err;
	int len;

	pkt_of_frame(in, about, 0);
	assert_int_equal(pkt_parse(in), VSW_DROP_NONE);
	len = icmp_error(in, kind, 1400, from, err.data, sizeof(err.data));
	assert_true(len > 0);
	err.len = (uint32_t)len;
	assert_true(frame_parse(&err));
	assert_sums(&err);
	pkt_of_frame(in, &err, 0);
	assert_int_equal(pkt_parse(in), VSW_DROP_NONE);
}
