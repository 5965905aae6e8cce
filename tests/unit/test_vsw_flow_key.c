/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about vswitch/flow/key.c: which packets have a key, what is in it, and its hash. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "base/wire.h"
#include "tests/lib/rng.h"
#include "vswitch/flow/flow.h"
#include "vswitch/packet.h"
#include "vswitch/parse.h"

#define FRAME 128

/* @l4: as many bytes of it as matter, at least 8. */
static void make4(uint8_t frame[FRAME], uint8_t proto, const uint8_t *l4, uint16_t frag)
{
	memset(frame, 0, FRAME);
	frame[0] = 2;
	frame[6] = 2;
	be16_store(frame + 12, 0x0800);
	frame[14] = 0x45;
	be16_store(frame + 16, FRAME - 14);
	be16_store(frame + 20, frag);
	frame[22] = 64;
	frame[23] = proto;
	be32_store(frame + 26, 0x0a000001);
	be32_store(frame + 30, 0x0a0000fe);
	memcpy(frame + 34, l4, 8);
	frame[46] = proto == IPPROTO_TCP ? 0x50 : 0;
}

static void make6(uint8_t frame[FRAME], uint8_t proto, const uint8_t *l4)
{
	memset(frame, 0, FRAME);
	frame[0] = 2;
	frame[6] = 2;
	be16_store(frame + 12, 0x86dd);
	frame[14] = 0x60;
	be16_store(frame + 18, FRAME - 54);
	frame[20] = proto;
	frame[21] = 64;
	frame[22] = 0x20;
	frame[37] = 1;
	frame[38] = 0x20;
	frame[53] = 2;
	memcpy(frame + 54, l4, 8);
	frame[66] = proto == IPPROTO_TCP ? 0x50 : 0;
}

static void parse(struct pkt *pkt, const uint8_t *frame)
{
	struct iovec iov = {(void *)frame, FRAME};

	assert_int_equal(pkt_from_iov(pkt, &iov, 1), 0);
	assert_int_equal(pkt_parse(pkt), VSW_DROP_NONE);
}

/* Both ways to a key must come to the same. */
static bool key_of(struct flow_key *key, const uint8_t *frame, uint16_t zone)
{
	struct flow_key both;
	struct pkt pkt;
	uint32_t hash;
	bool has;

	parse(&pkt, frame);
	memset(key, 0xa5, sizeof(*key));
	memset(&both, 0x5a, sizeof(both));
	has = flow_key_from(key, &pkt, zone);
	assert_int_equal(flow_key_hash_from(&both, &hash, &pkt, zone), has);
	if (!has)
		return false;
	assert_memory_equal(key, &both, sizeof(both));
	assert_int_equal(hash, flow_hash(key));
	return true;
}

static void ports_addresses_and_zone(void **state)
{
	static const uint8_t l4[8] = {0x12, 0x34, 0, 53, 0, 94};
	uint8_t frame[FRAME], mapped[16] = {[10] = 0xff, 0xff, 10, 0, 0, 1};
	struct flow_key key;

	(void)state;
	make4(frame, IPPROTO_UDP, l4, 0);
	assert_true(key_of(&key, frame, 77));
	assert_memory_equal(key.local, mapped, 16);
	mapped[15] = 0xfe;
	assert_memory_equal(key.remote, mapped, 16);
	assert_int_equal(key.lport, 0x1234);
	assert_int_equal(key.rport, 53);
	assert_int_equal(key.proto, IPPROTO_UDP);
	assert_int_equal(key.zone, 77);
	assert_int_equal(key.zero, 0);
	make6(frame, IPPROTO_TCP, l4);
	assert_true(key_of(&key, frame, 0));
	assert_memory_equal(key.local, frame + 22, 16);
	assert_memory_equal(key.remote, frame + 38, 16);
	assert_int_equal(key.rport, 53);
}

static void echoes_have_an_identifier(void **state)
{
	static const uint8_t request[8] = {8, 0, 0, 0, 0xab, 0xcd}, error[8] = {3, 1},
			     request6[8] = {128, 0, 0, 0, 0xab, 0xcd};
	uint8_t frame[FRAME];
	struct flow_key key;

	(void)state;
	make4(frame, IPPROTO_ICMP, request, 0);
	assert_true(key_of(&key, frame, 0));
	assert_int_equal(key.lport, 0xabcd);
	assert_int_equal(key.rport, 0xabcd);
	make4(frame, IPPROTO_ICMP, error, 0);
	assert_false(key_of(&key, frame, 0));
	make6(frame, IPPROTO_ICMPV6, request6);
	assert_true(key_of(&key, frame, 0));
	assert_int_equal(key.lport, 0xabcd);
}

static void who_has_none(void **state)
{
	static const uint8_t l4[8] = {0x12, 0x34, 0, 53, 0, 94};
	uint8_t frame[FRAME];
	struct flow_key key;

	(void)state;
	make4(frame, IPPROTO_UDP, l4, 0x2000 | 5); /* a later fragment */
	assert_false(key_of(&key, frame, 0));
	make4(frame, IPPROTO_UDP, l4, 0);
	frame[0] = 3; /* a group */
	assert_false(key_of(&key, frame, 0));
	make4(frame, IPPROTO_UDP, l4, 0);
	be16_store(frame + 12, 0x88cc);
	assert_false(key_of(&key, frame, 0));
	/* A protocol without ports has a key of its addresses. */
	make4(frame, IPPROTO_GRE, l4, 0);
	assert_true(key_of(&key, frame, 0));
	assert_int_equal(key.lport, 0);
	assert_int_equal(key.rport, 0);
}

static void random_key(struct rng *rng, struct flow_key *key)
{
	rng_fill(rng, key, sizeof(*key));
	key->zero = 0;
}

/* The other side's key has the same hash; it is told from every other one. */
static void both_sides_agree(void **state)
{
	struct rng rng = {.s = 7};

	(void)state;
	for (unsigned int i = 0; i < 1000; i++) {
		struct flow_key a, b, c;
		unsigned int at = rng_below(&rng, sizeof(c));

		random_key(&rng, &a);
		flow_key_turn(&b, &a);
		assert_memory_equal(a.local, b.remote, 16);
		assert_memory_equal(a.remote, b.local, 16);
		assert_int_equal(a.lport, b.rport);
		assert_int_equal(a.proto, b.proto);
		assert_int_equal(a.zone, b.zone);
		assert_int_equal(flow_hash(&a), flow_hash(&b));
		assert_true(flow_key_turned(&a, &b));
		assert_true(flow_key_turned(&b, &a));
		assert_true(flow_key_same(&a, &a));
		assert_false(flow_key_same(&a, &b));
		/* The byte that is always zero is the only one that may differ. */
		c = b;
		((uint8_t *)&c)[at] ^= (uint8_t)(1 + rng_below(&rng, 255));
		if (at != offsetof(struct flow_key, zero)) {
			assert_false(flow_key_turned(&a, &c));
			assert_false(flow_key_same(&b, &c));
			assert_int_not_equal(flow_hash(&b), flow_hash(&c));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_addresses_and_zone),
		cmocka_unit_test(echoes_have_an_identifier),
		cmocka_unit_test(who_has_none),
		cmocka_unit_test(both_sides_agree),
	};

	return cmocka_run_group_tests_name("vsw_flow_key", tests, NULL, NULL);
}
