/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the asking of policies: one NIC's, and the tests of policy files. */
#include "host/policy_eval.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define MAX_STEPS (2 * POLICY_MAX_LAYERS)

/* ---- one NIC ---- */

static int make_policy(struct policy_nic *pn, const struct policy *old, char *why, size_t size)
{
	struct policy_error err = {-1, -1, -1, ""};
	const struct policy_layer *l;
	int rc;

	if (!pn->spec.spec.n_layers)
		return 0;
	pn->policy = policy_new(&pn->spec.spec, old, &err);
	rc = errno;
	if (pn->policy)
		return 0;
	l = err.layer >= 0 ? &pn->spec.spec.layers[err.layer] : NULL;
	snprintf(why, size, "%s%s%s%s", l ? "layer " : "", l ? l->name : "", l ? ": " : "",
		 *err.reason ? err.reason : strerror(rc));
	return -rc;
}

int policy_nic_init(struct policy_nic *pn, const struct nsg_set *set, const struct nsg_world *w,
		    const struct nsg_target *t, const struct policy *old, char *why, size_t size)
{
	int rc;

	memset(pn, 0, sizeof(*pn));
	snprintf(why, size, "out of memory");
	rc = nsg_compile(set, w, t, &pn->spec, why, size);
	rc = rc ? rc : make_policy(pn, old, why, size);
	if (!rc)
		*why = '\0';
	return rc;
}

void policy_nic_fini(struct policy_nic *pn)
{
	policy_put(pn->policy);
	nsg_spec_free(&pn->spec);
	pn->policy = NULL;
}

static json_t *names_json(const struct policy_spec *spec, const struct policy_step *s)
{
	const struct policy_layer *l = &spec->layers[s->layer];
	const struct policy_group *g = s->group == POLICY_NO_GROUP ? NULL : &l->groups[s->group];
	const struct policy_rule *r = g && s->rule != POLICY_NO_RULE ? &g->rules[s->rule] : NULL;
	json_t *o = json_pack("{s:s, s:s*, s:s*}", "layer", l->name, "group", g ? g->name : NULL,
			      "rule", r ? r->name : NULL);

	if (r) {
		json_object_set_new(o, "priority", json_integer(r->priority));
		json_object_set_new(
			o, "verdict",
			json_string(r->action.verdict == POLICY_DENY ? "deny" : "allow"));
		json_object_set_new(o, "stateful", json_boolean(r->stateful));
	}
	return o;
}

static void put_changes(json_t *o, const struct policy_nic *pn, const struct policy_result *res,
			const struct policy_fields *before, const struct policy_fields *after)
{
	const struct vsw_xpose *x = &res->xpose;
	char text[96];

	if (memcmp(before->src, after->src, 16) || memcmp(before->dst, after->dst, 16) ||
	    before->sport != after->sport || before->dport != after->dport) {
		nsg_fields_print(after, text, sizeof(text));
		json_object_set_new(o, "becomes", json_string(text));
	}
	if (x->flags & XPOSE_TUN_SET) {
		nsg_ip_print(x->tun.remote, text, sizeof(text));
		json_object_set_new(o, "tunnel",
				    json_pack("{s:i, s:s}", "vni", (int)x->tun.vni, "vtep", text));
	}
	if (res->mark)
		json_object_set_new(o, "mark", json_integer(res->mark - 1));
	if (res->n_meters) {
		json_t *list = json_array();

		for (unsigned int i = 0; i < res->n_meters; i++)
			json_array_append_new(list,
					      json_string(pn->spec.spec.meters[res->meters[i]]));
		json_object_set_new(o, "meters", list);
	}
}

/* The least of the limits on the way. */
static uint32_t limit_of(const struct policy_spec *spec, const struct policy_step *steps,
			 uint32_t n)
{
	uint32_t least = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct policy_rule *r;

		if (steps[i].group == POLICY_NO_GROUP || steps[i].rule == POLICY_NO_RULE)
			continue;
		r = &spec->layers[steps[i].layer].groups[steps[i].group].rules[steps[i].rule];
		if (r->action.limit_mbps && (!least || r->action.limit_mbps < least))
			least = r->action.limit_mbps;
	}
	return least;
}

json_t *policy_explain(const struct policy_nic *pn, enum policy_dir dir, struct policy_fields *f,
		       enum policy_verdict *verdict)
{
	struct policy_step steps[MAX_STEPS];
	struct policy_trace trace = {.max = MAX_STEPS, .steps = steps};
	struct policy_ctx ctx = {.trace = &trace};
	struct policy_fields before = *f;
	json_t *o, *list = json_array(), *by = NULL;
	struct policy_result res;
	uint32_t n, limit;

	*verdict = POLICY_ALLOW;
	if (!pn->policy)
		return json_pack("{s:b, s:s, s:s, s:n, s:o}", "policy", false, "direction",
				 dir == POLICY_OUT ? "outbound" : "inbound", "verdict", "allow",
				 "decided_by", "steps", list);
	policy_walk(pn->policy, dir, f, &res, &ctx);
	*verdict = res.verdict;
	n = MIN(trace.n, trace.max);
	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(list, names_json(&pn->spec.spec, &steps[i]));
	if (res.rule != POLICY_NO_RULE)
		by = names_json(&pn->spec.spec, &(struct policy_step){.layer = res.layer,
								      .group = res.group,
								      .rule = res.rule});
	o = json_pack("{s:b, s:s, s:s, s:o, s:o}", "policy", true, "direction",
		      dir == POLICY_OUT ? "outbound" : "inbound", "verdict",
		      res.verdict == POLICY_DENY ? "deny" : "allow", "decided_by",
		      by ? by : json_null(), "steps", list);
	limit = limit_of(&pn->spec.spec, steps, n);
	if (limit)
		json_object_set_new(o, "limit_mbps", json_integer(limit));
	put_changes(o, pn, &res, &before, f);
	return o;
}

bool policy_explained_by(const json_t *explained, const char *name)
{
	json_t *step;
	size_t i;

	json_array_foreach (json_object_get(explained, "steps"), i, step) {
		const char *rule = json_string_value(json_object_get(step, "rule"));

		if (rule && strcmp(rule, name) == 0)
			return true;
	}
	return false;
}

/* ---- the tests of policy files ---- */

struct test {
	const struct nsg_set *set;
	const struct lab *lab;
	const struct nsg_world *world;
	const struct nsg_expect *e;
	enum policy_verdict got;
	bool rule_seen;
	char by[3 * POLICY_NAME_MAX], why[256];
};

static void take(struct test *t, json_t *explained, enum policy_verdict verdict)
{
	const json_t *by = json_object_get(explained, "decided_by");
	const char *layer = json_string_value(json_object_get(by, "layer"));

	t->got = verdict;
	t->rule_seen = t->rule_seen || (t->e->rule && policy_explained_by(explained, t->e->rule));
	if (layer)
		snprintf(t->by, sizeof(t->by), "%s/%s/%s", layer,
			 json_string_value(json_object_get(by, "group")),
			 json_string_value(json_object_get(by, "rule")));
	json_decref(explained);
}

static bool at_group(struct test *t, struct nsg_packet *p)
{
	struct policy_nic pn = {0};
	enum policy_verdict verdict;
	int rc = nsg_compile_group(t->world, nsg_find(t->set, t->e->nsg), t->lab, -1, &pn.spec,
				   t->why, sizeof(t->why));

	rc = rc ? rc : make_policy(&pn, NULL, t->why, sizeof(t->why));
	if (!rc) {
		json_t *o = policy_explain(&pn, t->e->dir, &p->f, &verdict);

		take(t, o, verdict);
	}
	policy_nic_fini(&pn);
	return rc == 0;
}

static bool at_nic(struct test *t, const struct nsg_end *end, enum policy_dir dir,
		   struct policy_fields *f)
{
	struct nsg_target target = {.lab = t->lab, .net = (int)end->nic->net};
	char id[LAB_NAME_MAX + LAB_NIC_NAME_MAX + 2];
	enum policy_verdict verdict;
	struct policy_nic pn;
	int rc;

	snprintf(id, sizeof(id), "%s/%s", end->vm->name, end->nic->name);
	target.nic = id;
	rc = policy_nic_init(&pn, t->set, t->world, &target, NULL, t->why, sizeof(t->why));
	if (!rc) {
		json_t *o = policy_explain(&pn, dir, f, &verdict);

		take(t, o, verdict);
	}
	policy_nic_fini(&pn);
	return rc == 0;
}

static bool on_the_way(struct test *t, struct nsg_packet *p)
{
	if (!t->lab) {
		snprintf(t->why, sizeof(t->why),
			 "it names no group: add nsg and direction, or give a lab file");
		return false;
	}
	if (!p->src.nic && !p->dst.nic) {
		snprintf(t->why, sizeof(t->why), "neither end is a guest of the lab");
		return false;
	}
	t->got = POLICY_ALLOW;
	if (p->src.nic && !at_nic(t, &p->src, POLICY_OUT, &p->f))
		return false;
	return t->got == POLICY_DENY || !p->dst.nic || at_nic(t, &p->dst, POLICY_IN, &p->f);
}

static bool run_one(struct test *t)
{
	struct nsg_packet p;

	t->rule_seen = false;
	t->by[0] = t->why[0] = '\0';
	if (nsg_packet_parse(t->e->packet, t->lab, NULL, &p, t->why, sizeof(t->why)) < 0 ||
	    !(t->e->nsg ? at_group(t, &p) : on_the_way(t, &p)))
		return false;
	if (t->got != t->e->verdict)
		snprintf(t->why, sizeof(t->why), "%s by %.160s",
			 t->got == POLICY_DENY ? "denied" : "allowed", *t->by ? t->by : "no rule");
	else if (t->e->rule && !t->rule_seen)
		snprintf(t->why, sizeof(t->why), "rule %.79s had no say; decided by %.120s",
			 t->e->rule, *t->by ? t->by : "no rule");
	return !*t->why;
}

json_t *policy_test(const struct nsg_set *set, const struct lab *lab)
{
	struct nsg_world *world = nsg_world_new(set, lab);
	struct test t = {.set = set, .lab = lab, .world = world};
	json_t *results = json_array();
	int n_ok = 0, n_bad = 0;

	if (!world) {
		json_decref(results);
		return NULL;
	}
	for (uint32_t i = 0; i < set->n; i++)
		for (uint32_t k = 0; k < set->files[i]->n_tests; k++) {
			bool ok;

			t.e = &set->files[i]->tests[k];
			ok = run_one(&t);
			*(ok ? &n_ok : &n_bad) += 1;
			json_array_append_new(
				results,
				json_pack("{s:s, s:i, s:s, s:s, s:s*, s:s*, s:s, s:b, s:s}", "file",
					  set->files[i]->name, "line", (int)t.e->line, "packet",
					  t.e->packet, "expect",
					  t.e->verdict == POLICY_DENY ? "deny" : "allow", "nsg",
					  t.e->nsg, "rule", t.e->rule, "by", t.by, "ok", ok, "why",
					  t.why));
		}
	nsg_world_free(world);
	return json_pack("{s:i, s:i, s:o}", "passed", n_ok, "failed", n_bad, "results", results);
}
