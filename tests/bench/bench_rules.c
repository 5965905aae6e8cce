/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads rules for measuring from a file. */
#include "tests/bench/bench_rules.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* What a rule's lists point at. */
struct lists {
	struct policy_prefix src, dst;
	struct policy_range dport;
	uint8_t proto;
};

struct book {
	struct policy_rule rule[POLICY_N_DIRS][POLICY_MAX_RULES];
	struct lists lists[POLICY_N_DIRS][POLICY_MAX_RULES];
	uint32_t n[POLICY_N_DIRS];
};

static bool read_prefix(const char *text, struct policy_prefix *p, uint32_t *n)
{
	char addr[64];
	unsigned int len;

	*n = strcmp(text, "any") != 0;
	if (!*n)
		return true;
	memset(p, 0, sizeof(*p));
	p->addr[10] = p->addr[11] = 0xff;
	if (sscanf(text, "%63[^/]/%u", addr, &len) != 2 || len > 32)
		return false;
	p->len = (uint8_t)(96 + len);
	return inet_pton(AF_INET, addr, p->addr + 12) == 1;
}

static bool read_range(const char *text, struct policy_range *r, uint32_t *n)
{
	*n = strcmp(text, "any") != 0;
	return !*n || sscanf(text, "%hu-%hu", &r->lo, &r->hi) == 2;
}

static bool read_rule(struct book *b, const char *line)
{
	char dir[8], verdict[8], state[16], proto[8], src[64], dst[64], ports[16];
	enum policy_dir d;
	struct policy_rule *r;
	struct lists *l;
	unsigned int prio;

	if (sscanf(line, "%7s %u %7s %15s %7s %63s %63s %15s", dir, &prio, verdict, state, proto,
		   src, dst, ports) != 8)
		return false;
	d = strcmp(dir, "in") ? POLICY_OUT : POLICY_IN;
	if (b->n[d] == POLICY_MAX_RULES)
		return false;
	r = &b->rule[d][b->n[d]];
	l = &b->lists[d][b->n[d]++];
	*r = (struct policy_rule){.name = "rule",
				  .priority = prio,
				  .stateful = !strcmp(state, "stateful"),
				  .match = {.src = &l->src,
					    .dst = &l->dst,
					    .dport = &l->dport,
					    .proto = &l->proto,
					    .n_proto = strcmp(proto, "any") != 0,
					    .vni = POLICY_ANY_VNI}};
	if (!strcmp(verdict, "deny")) {
		r->action.verdict = POLICY_DENY;
		r->stateful = false;
	}
	l->proto = (uint8_t)atoi(proto);
	return read_prefix(src, &l->src, &r->match.n_src) &&
	       read_prefix(dst, &l->dst, &r->match.n_dst) &&
	       read_range(ports, &l->dport, &r->match.n_dport);
}

static struct policy *make(const struct book *b)
{
	const struct policy_group groups[] = {
		{.name = "out", .dir = POLICY_OUT, .rules = b->rule[0], .n_rules = b->n[0]},
		{.name = "in", .dir = POLICY_IN, .rules = b->rule[1], .n_rules = b->n[1]},
	};
	const struct policy_layer layer = {"acl", groups, ARRAY_SIZE(groups)};
	const struct policy_spec spec = {.layers = &layer, .n_layers = 1};
	struct policy_error err;
	struct policy *p = policy_new(&spec, NULL, &err);

	if (!p)
		fprintf(stderr, "rules: %s\n", err.reason);
	return p;
}

struct policy *bench_policy_read(const char *path)
{
	struct book *b = calloc(1, sizeof(*b));
	FILE *in = fopen(path, "re");
	struct policy *p = NULL;
	char line[256];
	unsigned int n = 0;

	if (!in || !b) {
		perror(path);
		goto out;
	}
	while (fgets(line, sizeof(line), in)) {
		n++;
		if (!read_rule(b, line)) {
			fprintf(stderr, "%s:%u: no rule\n", path, n);
			goto out;
		}
	}
	p = make(b);
out:
	if (in)
		fclose(in);
	free(b);
	return p;
}
