/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Security groups against a slow reading of what Azure says they mean: random groups are written as
 * policy files and asked through parser, compiler and the switch's classifier; the reference goes
 * over the same rules as they were made up, in the order of their priority, and works out tags by
 * comparing numbers. It knows nothing of the code under test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/rng.h"
#include "tests/unit/nsg_rig.h"

#define SETS	 250
#define PACKETS	 120
#define MAX_R	 30
#define MAX_ITEM 4

enum kind { PREFIX, VNET, LB, INET, ASG };

struct item {
	enum kind kind;
	bool six;
	uint8_t addr[16]; /* IPv4: the last four bytes */
	unsigned int len;
	unsigned int asg;
};

struct side {
	unsigned int n, n_ports;
	struct item items[MAX_ITEM];
	unsigned int lo[MAX_ITEM], hi[MAX_ITEM];
};

struct rule {
	char name[16];
	unsigned int priority;
	bool in, deny;
	unsigned int proto; /* index into words */
	struct side src, dst;
};

struct group {
	unsigned int n;
	struct rule rules[MAX_R];
};

struct packet {
	bool six;
	uint8_t src[16], dst[16];
	unsigned int proto; /* IP's number */
	unsigned int sport, dport;
	char text[200];
};

static const char *const words[] = {"any", "tcp", "udp", "icmp", "esp"};
static const char *const asgs[] = {"web", "db", "nobody"};

/* ---- the reference ---- */

static uint32_t v4(const uint8_t *a)
{
	return (uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15];
}

static bool between(uint32_t ip, const char *first, const char *last)
{
	struct in_addr a, b;

	inet_pton(AF_INET, first, &a);
	inet_pton(AF_INET, last, &b);
	return ntohl(a.s_addr) <= ip && ip <= ntohl(b.s_addr);
}

static bool is_vnet(bool six, const uint8_t *a)
{
	if (six)
		return a[0] == 0xfd && !a[1] && !a[2] && !a[3] && !a[4] && !a[5] && !a[6] &&
		       a[7] <= 1;
	return between(v4(a), "10.0.0.0", "10.0.1.255") ||
	       between(v4(a), "168.63.129.16", "168.63.129.16");
}

static bool is_lb(bool six, const uint8_t *a)
{
	return !six && between(v4(a), "168.63.129.16", "168.63.129.16");
}

static bool is_internet(bool six, const uint8_t *a)
{
	static const char *const not [][2] = {
		{"0.0.0.0", "0.255.255.255"},	    {"10.0.0.0", "10.255.255.255"},
		{"100.64.0.0", "100.127.255.255"},  {"127.0.0.0", "127.255.255.255"},
		{"169.254.0.0", "169.254.255.255"}, {"172.16.0.0", "172.31.255.255"},
		{"192.168.0.0", "192.168.255.255"}, {"224.0.0.0", "255.255.255.255"}};

	if (six)
		return a[0] >= 0x20 && a[0] <= 0x3f;
	for (unsigned int i = 0; i < ARRAY_SIZE(not ); i++)
		if (between(v4(a), not [i][0], not [i][1]))
			return false;
	return !is_vnet(six, a);
}

/* Of rig_lab3(): a has label web and .4 on both networks, b has db and .5 on blue. */
static bool in_asg(unsigned int asg, bool six, const uint8_t *a)
{
	if (!is_vnet(six, a) || is_lb(six, a))
		return false;
	for (int i = 8; six && i < 15; i++)
		if (a[i])
			return false;
	if (asg == 0)
		return a[15] == 4;
	return asg == 1 && a[15] == 5 && (six ? a[7] == 0 : a[14] == 0);
}

static bool in_item(const struct item *it, bool six, const uint8_t *a)
{
	unsigned int from = it->six ? 0 : 96;

	switch (it->kind) {
	case VNET:
		return is_vnet(six, a);
	case LB:
		return is_lb(six, a);
	case INET:
		return is_internet(six, a);
	case ASG:
		return in_asg(it->asg, six, a);
	case PREFIX:
		break;
	}
	if (six != it->six)
		return false;
	for (unsigned int i = from; i < from + it->len; i++)
		if ((it->addr[i / 8] ^ a[i / 8]) & 0x80u >> i % 8)
			return false;
	return true;
}

static bool in_side(const struct side *s, const struct packet *p, bool src)
{
	unsigned int port = src ? p->sport : p->dport;
	bool addr = !s->n, ports = !s->n_ports;

	for (unsigned int i = 0; i < s->n; i++)
		addr = addr || in_item(&s->items[i], p->six, src ? p->src : p->dst);
	for (unsigned int i = 0; i < s->n_ports; i++)
		ports = ports ||
			((p->proto == 6 || p->proto == 17) && s->lo[i] <= port && port <= s->hi[i]);
	return addr && ports;
}

static bool of_proto(unsigned int word, unsigned int proto)
{
	return word == 0 || (word == 1 && proto == 6) || (word == 2 && proto == 17) ||
	       (word == 3 && (proto == 1 || proto == 58)) || (word == 4 && proto == 50);
}

/* Who decides, and how. */
static const char *ask(const struct group *g, bool in, const struct packet *p, bool *deny)
{
	const struct rule *best = NULL;

	for (unsigned int i = 0; i < g->n; i++) {
		const struct rule *r = &g->rules[i];

		if (r->in == in && of_proto(r->proto, p->proto) && in_side(&r->src, p, true) &&
		    in_side(&r->dst, p, false) && (!best || r->priority < best->priority))
			best = r;
	}
	*deny = best && best->deny;
	if (best)
		return best->name;
	if (is_vnet(p->six, p->src) && is_vnet(p->six, p->dst))
		return in ? "AllowVnetInBound" : "AllowVnetOutBound";
	if (in && is_lb(p->six, p->src))
		return "AllowAzureLoadBalancerInBound";
	if (!in && is_internet(p->six, p->dst))
		return "AllowInternetOutBound";
	*deny = true;
	return in ? "DenyAllInBound" : "DenyAllOutBound";
}

/* ---- making things up ---- */

static void random_addr(struct rng *r, bool six, uint8_t a[16])
{
	static const char *const pool4[] = {
		"10.0.0.4",	"10.0.0.5",	 "10.0.1.4",   "10.0.1.5",    "10.0.0.200",
		"10.0.2.4",	"8.8.8.8",	 "9.9.9.9",    "192.168.1.1", "168.63.129.16",
		"100.64.0.1",	"100.128.0.1",	 "172.31.0.1", "172.32.0.1",  "169.254.7.7",
		"198.51.100.7", "223.255.255.1", "224.0.0.5",  "127.0.0.1",   "0.0.0.9"};
	static const char *const pool6[] = {"fd00::4",	     "fd00::5",	 "fd00:0:0:1::4",
					    "fd00:0:0:1::5", "fd00::44", "fd00:0:0:2::4",
					    "2001:db8::1",   "2600::1",	 "fe80::1",
					    "::1",	     "fc00::1",	 "3fff::9"};

	memset(a, 0, 16);
	if (six)
		inet_pton(AF_INET6, pool6[rng_below(r, ARRAY_SIZE(pool6))], a);
	else
		inet_pton(AF_INET, pool4[rng_below(r, ARRAY_SIZE(pool4))], a + 12);
}

static void random_item(struct rng *r, struct item *it)
{
	static const unsigned int len4[] = {0, 1, 8, 16, 23, 24, 30, 32, 32};
	static const unsigned int len6[] = {0, 3, 8, 16, 63, 64, 126, 128, 128};
	unsigned int from;

	memset(it, 0, sizeof(*it));
	it->kind = rng_below(r, 2) ? PREFIX : (enum kind)rng_below(r, 5);
	it->asg = rng_below(r, ARRAY_SIZE(asgs));
	it->six = rng_below(r, 3) == 0;
	random_addr(r, it->six, it->addr);
	it->len = it->six ? len6[rng_below(r, ARRAY_SIZE(len6))]
			  : len4[rng_below(r, ARRAY_SIZE(len4))];
	from = it->six ? 0 : 96;
	for (unsigned int i = from + it->len; i < 128; i++)
		it->addr[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
}

static unsigned int random_port(struct rng *r)
{
	static const unsigned int pool[] = {0, 8, 22, 80, 443, 1000, 8080, 40000, 65535};

	return pool[rng_below(r, ARRAY_SIZE(pool))];
}

static void random_side(struct rng *r, struct side *s, bool ports)
{
	s->n = rng_below(r, 3) ? rng_below(r, MAX_ITEM + 1) : 0;
	for (unsigned int i = 0; i < s->n; i++)
		random_item(r, &s->items[i]);
	s->n_ports = ports && rng_below(r, 2) ? rng_below(r, MAX_ITEM + 1) : 0;
	for (unsigned int i = 0; i < s->n_ports; i++) {
		unsigned int a = random_port(r), b = rng_below(r, 2) ? a : random_port(r);

		s->lo[i] = MIN(a, b);
		s->hi[i] = MAX(a, b);
	}
}

static void random_group(struct rng *r, struct group *g, char letter)
{
	g->n = rng_below(r, 4) ? rng_below(r, 8) : rng_below(r, MAX_R + 1);
	for (unsigned int i = 0; i < g->n; i++) {
		struct rule *one = &g->rules[i];
		bool ports;

		memset(one, 0, sizeof(*one));
		snprintf(one->name, sizeof(one->name), "%c%u", letter, i);
		one->priority = 100 + i * 131 % 3997;
		one->in = rng_below(r, 2);
		one->deny = rng_below(r, 2);
		one->proto = rng_below(r, ARRAY_SIZE(words));
		ports = one->proto <= 2;
		random_side(r, &one->src, ports && rng_below(r, 3) == 0);
		random_side(r, &one->dst, ports);
	}
}

/* ---- as a file ---- */

struct out {
	char *buf;
	size_t size, len;
};

static void put(struct out *o, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(struct out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	o->len += (size_t)vsnprintf(o->buf + o->len, o->size - o->len, fmt, ap);
	va_end(ap);
	assert_true(o->len < o->size);
}

static void put_side(struct out *o, const struct side *s, const char *end)
{
	static const char *const tags[] = {"", "VirtualNetwork", "AzureLoadBalancer", "Internet"};

	if (s->n)
		put(o, "         %s: [", end);
	for (unsigned int i = 0; i < s->n; i++) {
		const struct item *it = &s->items[i];
		char text[INET6_ADDRSTRLEN];

		put(o, "%s", i ? ", " : "");
		if (it->kind == ASG) {
			put(o, "\"asg:%s\"", asgs[it->asg]);
		} else if (it->kind != PREFIX) {
			put(o, "%s", tags[it->kind]);
		} else {
			inet_ntop(it->six ? AF_INET6 : AF_INET, it->addr + (it->six ? 0 : 12), text,
				  sizeof(text));
			put(o, "\"%s/%u\"", text, it->len);
		}
	}
	if (s->n)
		put(o, "],\n");
	if (s->n_ports)
		put(o, "         %s_ports: [", end);
	for (unsigned int i = 0; i < s->n_ports; i++)
		put(o, "%s\"%u-%u\"", i ? ", " : "", s->lo[i], s->hi[i]);
	if (s->n_ports)
		put(o, "],\n");
}

static void put_group(struct out *o, const struct group *g, const char *name)
{
	put(o, "  - name: %s\n    rules:\n", name);
	for (unsigned int i = 0; i < g->n; i++) {
		const struct rule *r = &g->rules[i];

		put(o, "      - {name: %s, priority: %u, direction: %s,\n", r->name, r->priority,
		    r->in ? "inbound" : "outbound");
		put_side(o, &r->src, "source");
		put_side(o, &r->dst, "destination");
		put(o, "         protocol: %s, access: %s}\n", words[r->proto],
		    r->deny ? "deny" : "allow");
	}
	if (!g->n)
		put(o, "      []\n");
}

static void random_packet(struct rng *r, struct packet *p)
{
	static const unsigned int protos[] = {6, 6, 6, 17, 17, 1, 50};
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];

	memset(p, 0, sizeof(*p));
	p->six = rng_below(r, 3) == 0;
	random_addr(r, p->six, p->src);
	random_addr(r, p->six, p->dst);
	p->proto = protos[rng_below(r, ARRAY_SIZE(protos))];
	p->sport = random_port(r);
	p->dport = random_port(r);
	inet_ntop(p->six ? AF_INET6 : AF_INET, p->src + (p->six ? 0 : 12), src, sizeof(src));
	inet_ntop(p->six ? AF_INET6 : AF_INET, p->dst + (p->six ? 0 : 12), dst, sizeof(dst));
	if (p->proto == 6 || p->proto == 17)
		snprintf(p->text, sizeof(p->text), p->six ? "%s [%s]:%u [%s]:%u" : "%s %s:%u %s:%u",
			 p->proto == 6 ? "tcp" : "udp", src, p->sport, dst, p->dport);
	else
		snprintf(p->text, sizeof(p->text), "%s %s %s", p->proto == 1 ? "icmp" : "esp", src,
			 dst);
	if (p->six && p->proto == 1)
		p->proto = 58;
}

/* ---- the comparison ---- */

static unsigned int n_allow, n_deny, n_default;

static void compare(struct policy_nic *pn, const struct lab *lab, const struct group *nic,
		    const struct group *subnet, const struct packet *p, bool in, uint64_t seed)
{
	const struct group *order[2] = {in ? subnet : nic, in ? nic : subnet};
	const char *want = NULL, *got;
	enum policy_verdict verdict;
	struct nsg_packet np;
	bool deny = false;
	char why[256];
	json_t *o;

	for (int i = 0; i < 2 && !deny; i++)
		want = ask(order[i], in, p, &deny);
	if (nsg_packet_parse(p->text, lab, NULL, &np, why, sizeof(why)))
		fail_msg("%s: %s", p->text, why);
	o = policy_explain(pn, in ? POLICY_IN : POLICY_OUT, &np.f, &verdict);
	got = json_string_value(json_object_get(json_object_get(o, "decided_by"), "rule"));
	if ((verdict == POLICY_DENY) != deny || !got || strcmp(got, want) != 0)
		fail_msg("seed %llu: %s %s: %s by %s, not %s by %s", (unsigned long long)seed,
			 p->text, in ? "inbound" : "outbound",
			 verdict == POLICY_DENY ? "denied" : "allowed", got ? got : "nobody",
			 deny ? "denied" : "allowed", want);
	json_decref(o);
	n_allow += !deny;
	n_deny += deny;
	n_default += want[1] > '9';
}

static void one_set(const struct lab *lab, uint64_t seed, struct out *o)
{
	static struct group nic, subnet;
	struct rng r = {.s = seed * 7777777};
	struct nsg_target t = {.lab = lab, .nic = "a/eth0", .net = 0};
	struct policy_nic pn;
	struct nsg_world *w;
	struct nsg_file *f;
	struct nsg_set set = {&f, 1};
	char why[256];

	random_group(&r, &nic, 'n');
	random_group(&r, &subnet, 's');
	o->len = 0;
	put(o, "nsgs:\n");
	put_group(o, &nic, "nic");
	put_group(o, &subnet, "subnet");
	put(o, "apply: {networks: {blue: subnet}, nics: {a/eth0: nic}}\n");
	f = rig_load(o->buf);
	w = nsg_world_new(&set, lab);
	if (policy_nic_init(&pn, &set, w, &t, NULL, why, sizeof(why)))
		fail_msg("seed %llu: %s", (unsigned long long)seed, why);
	for (unsigned int i = 0; i < PACKETS; i++) {
		struct packet p;

		random_packet(&r, &p);
		compare(&pn, lab, &nic, &subnet, &p, rng_below(&r, 2), seed);
	}
	policy_nic_fini(&pn);
	nsg_world_free(w);
	nsg_free(f);
}

static void test_random_groups(void **state)
{
	struct out o = {.buf = malloc(1 << 18), .size = 1 << 18};
	struct lab *lab = rig_lab3();

	(void)state;
	for (uint64_t seed = 1; seed <= SETS; seed++)
		one_set(lab, seed, &o);
	print_message("%u allowed, %u denied, %u of them by default rules\n", n_allow, n_deny,
		      n_default);
	assert_true(n_allow > 2000 && n_deny > 2000 && n_default > 2000 &&
		    n_default < n_allow + n_deny - 2000);
	lab_free(lab);
	free(o.buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_groups)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
