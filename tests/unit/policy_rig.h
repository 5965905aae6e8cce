/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of vswitch/policy/: matches, rules and packets' fields in one line each. */
#ifndef HVLAB_TESTS_UNIT_POLICY_RIG_H
#define HVLAB_TESTS_UNIT_POLICY_RIG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "vswitch/policy/policy.h"

/* A list of a match: OF(dport, ssh) with "struct policy_range ssh[]". */
#define OF(field, array) .field = (array), .n_##field = ARRAY_SIZE(array)
/* A match; without arguments: everything. */
#define MATCH(...)                                                                                 \
	{                                                                                          \
		.vni = POLICY_ANY_VNI, __VA_ARGS__                                                 \
	}
#define DENIES .action = {.verdict = POLICY_DENY}

static inline struct policy_prefix v4(uint32_t addr, unsigned int len)
{
	return (struct policy_prefix){.addr = {[10] = 0xff,
					       0xff,
					       (uint8_t)(addr >> 24),
					       (uint8_t)(addr >> 16),
					       (uint8_t)(addr >> 8),
					       (uint8_t)addr},
				      .len = (uint8_t)(96 + len)};
}

/* From the first two and the last two bytes: 2001::1 is v6(0x2001, 1, 128). */
static inline struct policy_prefix v6(uint16_t first, uint16_t last, unsigned int len)
{
	return (struct policy_prefix){.addr = {(uint8_t)(first >> 8),
					       (uint8_t)first, [14] = (uint8_t)(last >> 8),
					       (uint8_t)last},
				      .len = (uint8_t)len};
}

/* What the parser makes of an IPv4 packet with ports. */
static inline struct policy_fields fields4(uint8_t proto, uint32_t src, uint32_t dst,
					   uint16_t sport, uint16_t dport)
{
	struct policy_fields f = {.has_ip = true,
				  .has_ports = true,
				  .proto = proto,
				  .eth_type = 0x0800,
				  .vni = POLICY_ANY_VNI,
				  .src_mac = 0x020000000001,
				  .dst_mac = 0x020000000002,
				  .sport = sport,
				  .dport = dport};
	struct policy_prefix s = v4(src, 32), d = v4(dst, 32);

	memcpy(f.src, s.addr, 16);
	memcpy(f.dst, d.addr, 16);
	return f;
}

static inline struct policy_fields fields6(uint8_t proto, struct policy_prefix src,
					   struct policy_prefix dst, uint16_t sport, uint16_t dport)
{
	struct policy_fields f = fields4(proto, 0, 0, sport, dport);

	f.eth_type = 0x86dd;
	memcpy(f.src, src.addr, 16);
	memcpy(f.dst, dst.addr, 16);
	return f;
}

#endif
