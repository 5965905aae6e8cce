/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The switch's policy against the slow one of tests/lib/ref_policy.c: random layers, groups and
 * rules, random packets, and replies to them. The seed is printed when they differ.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/ref_policy.h"
#include "tests/lib/rng.h"

#define SETS	   400
#define PACKETS	   150
#define MAX_GROUPS 3
#define MAX_RULES  40
#define MAX_LIST   4

/* One rule with the lists that it points to. */
struct lists {
	struct policy_prefix src[MAX_LIST], dst[MAX_LIST];
	struct policy_range sport[MAX_LIST], dport[MAX_LIST];
	uint8_t proto[MAX_LIST];
	uint16_t type[MAX_LIST];
	uint8_t smac[MAX_LIST][6], dmac[MAX_LIST][6];
};

struct set {
	struct policy_spec spec;
	struct policy_layer layers[POLICY_MAX_LAYERS];
	struct policy_group groups[POLICY_MAX_LAYERS][MAX_GROUPS];
	struct policy_rule rules[POLICY_MAX_LAYERS][MAX_GROUPS][MAX_RULES];
	struct lists lists[POLICY_MAX_LAYERS][MAX_GROUPS][MAX_RULES];
	struct policy_match when[POLICY_MAX_LAYERS][MAX_GROUPS];
	struct lists when_lists[POLICY_MAX_LAYERS][MAX_GROUPS];
};

static const uint8_t protos[] = {6, 6, 6, 17, 17, 1, 58, 50, 47};
static const uint16_t types[] = {0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806};
static const char *const meters[] = {"m0", "m1", "m2"};

/* Few different bits, so that prefixes lie in each other and packets meet them. */
static void random_addr(struct rng *r, uint8_t a[16])
{
	memset(a, 0, 16);
	if (rng_below(r, 3)) {
		a[10] = a[11] = 0xff;
		a[12] = rng_below(r, 4) ? 10 : 192;
	} else {
		a[0] = rng_below(r, 4) ? 0xfd : 0x20;
	}
	a[13] = (uint8_t)(rng_below(r, 2) << 7);
	a[14] = (uint8_t)rng_below(r, 4);
	a[15] = (uint8_t)rng_below(r, 16);
}

static struct policy_prefix random_prefix(struct rng *r)
{
	static const uint8_t lens[] = {0, 1, 8, 96, 97, 104, 105, 120, 124, 126, 128, 128, 128};
	struct policy_prefix p;

	random_addr(r, p.addr);
	p.len = lens[rng_below(r, ARRAY_SIZE(lens))];
	/* Also with host bits, which mean nothing. */
	return p;
}

static uint16_t random_port(struct rng *r)
{
	static const uint16_t some[] = {0, 1, 8, 22, 80, 128, 443, 1024, 8080, 65535};

	return rng_below(r, 4) ? some[rng_below(r, ARRAY_SIZE(some))] : (uint16_t)rng_u64(r);
}

static struct policy_range random_range(struct rng *r)
{
	uint16_t a = random_port(r), b = rng_below(r, 2) ? a : random_port(r);

	return (struct policy_range){MIN(a, b), MAX(a, b)};
}

static uint32_t random_n(struct rng *r)
{
	return rng_below(r, 2) ? 0 : 1 + rng_below(r, MAX_LIST);
}

static void random_mac(struct rng *r, uint8_t mac[6])
{
	memset(mac, 0, 6);
	mac[0] = 2;
	mac[5] = (uint8_t)rng_below(r, 3);
}

static void random_match(struct rng *r, struct policy_match *m, struct lists *l)
{
	*m = (struct policy_match){.src = l->src,
				   .dst = l->dst,
				   .sport = l->sport,
				   .dport = l->dport,
				   .proto = l->proto,
				   .eth_type = l->type,
				   .src_mac = l->smac,
				   .dst_mac = l->dmac,
				   .vni = rng_below(r, 8) ? POLICY_ANY_VNI : rng_below(r, 2)};
	m->n_src = random_n(r);
	m->n_dst = random_n(r);
	m->n_sport = rng_below(r, 3) ? 0 : random_n(r);
	m->n_dport = random_n(r);
	m->n_proto = random_n(r);
	m->n_eth_type = rng_below(r, 4) ? 0 : random_n(r);
	m->n_src_mac = rng_below(r, 6) ? 0 : random_n(r);
	m->n_dst_mac = rng_below(r, 6) ? 0 : random_n(r);
	for (unsigned int i = 0; i < MAX_LIST; i++) {
		l->src[i] = random_prefix(r);
		l->dst[i] = random_prefix(r);
		l->sport[i] = random_range(r);
		l->dport[i] = random_range(r);
		l->proto[i] = protos[rng_below(r, ARRAY_SIZE(protos))];
		l->type[i] = types[rng_below(r, ARRAY_SIZE(types))];
		random_mac(r, l->smac[i]);
		random_mac(r, l->dmac[i]);
	}
}

static void random_rule(struct rng *r, struct policy_rule *rule, uint32_t i, uint32_t n,
			enum policy_dir dir, bool may_nat)
{
	/* Unique, and not in the order of the list. */
	rule->priority = (i * 7919u + 13) % 104729u + n;
	rule->name = "r";
	rule->terminating = rng_below(r, 3) != 0;
	rule->action.verdict = rng_below(r, 4) ? POLICY_ALLOW : POLICY_DENY;
	if (rule->action.verdict == POLICY_DENY)
		return;
	rule->stateful = rng_below(r, 2);
	rule->idle_ms = rng_below(r, 3) * 1000;
	rule->action.meter = rng_below(r, 4) ? 0 : 1 + rng_below(r, ARRAY_SIZE(meters));
	rule->action.mark = rng_below(r, 4) ? 0 : 1 + rng_below(r, 100);
	rule->action.mirror = rng_below(r, 8) ? 0 : 1 + rng_below(r, 3);
	if (!may_nat || rng_below(r, 2))
		return;
	rule->action.nat = POLICY_NAT_REWRITE;
	rule->stateful = true;
	random_addr(r, rule->action.nat_addr);
	rule->action.nat_port.lo = rng_below(r, 2) ? 0 : (uint16_t)(1 + rng_below(r, 9999));
	rule->action.nat_port.hi = rule->action.nat_port.lo;
	if (dir == POLICY_OUT && rule->action.nat_port.lo)
		rule->action.nat_port.hi = (uint16_t)(rule->action.nat_port.lo + rng_below(r, 50));
}

static void random_set(struct rng *r, struct set *s)
{
	/* Only so many layers may count. */
	uint32_t n_layers = 1 + rng_below(r, POLICY_MAX_LIMITS), nat = rng_below(r, 8);

	memset(s, 0, sizeof(*s));
	s->spec = (struct policy_spec){.layers = s->layers,
				       .n_layers = n_layers,
				       .meters = meters,
				       .n_meters = ARRAY_SIZE(meters)};
	for (uint32_t l = 0; l < n_layers; l++) {
		s->layers[l] = (struct policy_layer){.name = "l",
						     .groups = s->groups[l],
						     .n_groups = 1 + rng_below(r, MAX_GROUPS)};
		for (uint32_t g = 0; g < s->layers[l].n_groups; g++) {
			struct policy_group *group = &s->groups[l][g];

			*group = (struct policy_group){
				.name = "g", .dir = rng_below(r, 2), .rules = s->rules[l][g]};
			group->n_rules =
				rng_below(r, 3) ? rng_below(r, 6) : rng_below(r, MAX_RULES + 1);
			if (!rng_below(r, 3)) {
				random_match(r, &s->when[l][g], &s->when_lists[l][g]);
				group->when = &s->when[l][g];
			}
			for (uint32_t i = 0; i < group->n_rules; i++) {
				random_match(r, &s->rules[l][g][i].match, &s->lists[l][g][i]);
				random_rule(r, &s->rules[l][g][i], i, rng_below(r, 1) + l,
					    group->dir, l == nat);
			}
		}
	}
}

static void random_packet(struct rng *r, struct policy_fields *f)
{
	memset(f, 0, sizeof(*f));
	f->eth_type = types[rng_below(r, ARRAY_SIZE(types))];
	f->vni = rng_below(r, 2) ? POLICY_ANY_VNI : rng_below(r, 2);
	f->src_mac = 0x020000000000ull | rng_below(r, 3);
	f->dst_mac = 0x020000000000ull | rng_below(r, 3);
	f->has_ip = f->eth_type != 0x0806;
	if (!f->has_ip)
		return;
	do {
		random_addr(r, f->src);
		random_addr(r, f->dst);
	} while ((f->src[10] == 0xff) != (f->eth_type == 0x0800) ||
		 (f->dst[10] == 0xff) != (f->eth_type == 0x0800));
	f->proto = protos[rng_below(r, ARRAY_SIZE(protos))];
	/* Without ports: a fragment. */
	f->has_ports = (f->proto == 6 || f->proto == 17 || f->proto == 1 || f->proto == 58) &&
		       rng_below(r, 10);
	if (!f->has_ports)
		return;
	f->sport = random_port(r);
	f->dport = random_port(r);
	if (f->proto == 6 || f->proto == 17)
		return;
	f->sport = f->proto == 1 ? (rng_below(r, 2) ? 8 : 3) : (rng_below(r, 2) ? 128 : 1);
	f->dport = 0;
	f->has_ident = f->sport == 8 || f->sport == 128;
	f->ident = f->has_ident ? (uint16_t)rng_u64(r) : 0;
}

static void turn_round(struct policy_fields *f)
{
	uint8_t addr[16];
	uint16_t port = f->sport;

	memcpy(addr, f->src, 16);
	memcpy(f->src, f->dst, 16);
	memcpy(f->dst, addr, 16);
	if (f->proto == 1 && f->has_ident)
		f->sport = 0; /* an echo's reply */
	else if (f->proto == 58 && f->has_ident)
		f->sport = 129;
	else if (f->proto == 6 || f->proto == 17) {
		f->sport = f->dport;
		f->dport = port;
	}
}

static uint64_t meters_of(const struct policy_result *res)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < res->n_meters; i++)
		bits |= 1ull << res->meters[i];
	return bits;
}

/* @seed: to be told. */
static void same(uint64_t seed, unsigned int packet, const char *what,
		 const struct policy_result *res, const struct policy_fields *f,
		 const struct ref_result *ref, const struct policy_fields *rf)
{
	bool ok = res->verdict == ref->verdict &&
		  (ref->rule < 0 ? res->rule == POLICY_NO_RULE
				 : (int)res->rule == ref->rule && (int)res->layer == ref->layer &&
					   (int)res->group == ref->group);

	if (ok && ref->verdict == POLICY_ALLOW)
		ok = meters_of(res) == ref->meters && res->mark == ref->mark &&
		     res->mirror == ref->mirror && res->idle_ms == ref->idle_ms &&
		     res->conn.stateful == ref->stateful &&
		     (int)res->conn.nat_layer == ref->nat_layer &&
		     memcmp(f->src, rf->src, 16) == 0 && memcmp(f->dst, rf->dst, 16) == 0 &&
		     f->sport == rf->sport && f->dport == rf->dport && f->ident == rf->ident;
	if (!ok)
		fail_msg("seed %llu, packet %u, %s: %d by %u/%u/%u, not %d by %d/%d/%d",
			 (unsigned long long)seed, packet, what, res->verdict, res->layer,
			 res->group, res->rule, ref->verdict, ref->layer, ref->group, ref->rule);
}

/* How often each thing happened: a comparison that never met a denial would prove little. */
static struct {
	unsigned int allow, deny, none, nat, replies, kept;
} seen;

static void one_packet(const struct set *s, const struct policy *p, struct rng *r, uint64_t seed,
		       unsigned int packet)
{
	enum policy_dir dir = (enum policy_dir)rng_below(r, 2);
	struct policy_fields f, rf, back;
	struct ref_result ref, ref_back;
	struct policy_result res, res_back;

	random_packet(r, &f);
	rf = f;
	/* A fragment that would be translated half is for the code that changes it to refuse. */
	policy_walk(p, dir, &f, &res, NULL);
	ref_walk(&s->spec, dir, &rf, NULL, &ref);
	same(seed, packet, "first", &res, &f, &ref, &rf);
	seen.allow += ref.verdict == POLICY_ALLOW;
	seen.deny += ref.verdict == POLICY_DENY;
	seen.none += ref.rule < 0;
	seen.nat += ref.nat_layer >= 0;
	if (ref.verdict == POLICY_DENY || !f.has_ip || (f.has_ports == false && ref.nat_layer >= 0))
		return;
	seen.replies++;
	seen.kept += ref.stateful != 0;
	back = rf;
	turn_round(&back);
	f = rf = back;
	policy_walk(p, !dir, &f, &res_back, &(struct policy_ctx){.reply = &res.conn});
	ref_walk(&s->spec, !dir, &rf, &ref, &ref_back);
	same(seed, packet, "reply", &res_back, &f, &ref_back, &rf);
}

static void test_random_policies(void **state)
{
	struct set *s = malloc(sizeof(*s));

	(void)state;
	for (uint64_t seed = 1; seed <= SETS; seed++) {
		struct rng r = {.s = seed * 1000003};
		struct policy_error err = {.reason = ""};
		struct policy *p;

		random_set(&r, s);
		p = policy_new(&s->spec, NULL, &err);
		if (!p)
			fail_msg("seed %llu: %s", (unsigned long long)seed, err.reason);
		for (unsigned int i = 0; i < PACKETS; i++)
			one_packet(s, p, &r, seed, i);
		policy_put(p);
	}
	print_message("%u allowed, %u denied, %u by no rule, %u translated, %u replies, %u of them "
		      "known\n",
		      seen.allow, seen.deny, seen.none, seen.nat, seen.replies, seen.kept);
	assert_true(seen.allow > 1000 && seen.deny > 1000 && seen.none > 1000 && seen.nat > 500 &&
		    seen.kept > 1000);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_policies)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
