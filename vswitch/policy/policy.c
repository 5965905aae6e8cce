/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns compiled policies: checked and copied from a spec, shared by reference.
 *
 * A policy is a list of layers, a layer a list of groups. Groups are counted on their own, so that
 * policy_replace_group() shares all but one.
 */
#include "vswitch/policy/policy_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static const char *const dir_names[] = {[POLICY_OUT] = "outbound", [POLICY_IN] = "inbound"};
static_assert(ARRAY_SIZE(dir_names) == POLICY_N_DIRS, "a name for each direction");

const char *policy_dir_name(enum policy_dir dir)
{
	return dir_names[dir];
}

static int refuse(struct policy_error *err, int rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int refuse(struct policy_error *err, int rc, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		vsnprintf(err->reason, sizeof(err->reason), fmt, ap);
		va_end(ap);
	}
	return rc;
}

static void copy_name(char to[POLICY_NAME_MAX], const char *from)
{
	snprintf(to, POLICY_NAME_MAX, "%s", from ? from : "");
}

/* ---- Checks -------------------------------------------------------------------------------- */

static int check_prefixes(const struct policy_prefix *p, uint32_t n, struct policy_error *err)
{
	for (uint32_t i = 0; i < n; i++)
		if (p[i].len > 128)
			return refuse(err, -EINVAL, "a prefix of %u bits", p[i].len);
	return 0;
}

static int check_ranges(const struct policy_range *r, uint32_t n, struct policy_error *err)
{
	for (uint32_t i = 0; i < n; i++)
		if (r[i].lo > r[i].hi)
			return refuse(err, -EINVAL, "a range from %u to %u", r[i].lo, r[i].hi);
	return 0;
}

static int check_match(const struct policy_match *m, struct policy_error *err)
{
	int rc = check_prefixes(m->src, m->n_src, err);

	rc = rc ? rc : check_prefixes(m->dst, m->n_dst, err);
	rc = rc ? rc : check_ranges(m->sport, m->n_sport, err);
	return rc ? rc : check_ranges(m->dport, m->n_dport, err);
}

static int check_action(const struct policy_spec *spec, const struct policy_rule *r,
			enum policy_dir dir, struct policy_error *err)
{
	const struct policy_action *a = &r->action;

	if (a->meter > spec->n_meters)
		return refuse(err, -EINVAL, "there is no meter %u", a->meter);
	if (a->verdict == POLICY_DENY && (r->stateful || a->nat != POLICY_NAT_NONE))
		return refuse(err, -EINVAL,
			      "a rule that denies can neither keep state nor translate");
	if (a->nat == POLICY_NAT_NONE)
		return 0;
	if (!r->stateful)
		return refuse(err, -EINVAL, "a rule that translates must be stateful");
	if (a->nat_port.lo > a->nat_port.hi)
		return refuse(err, -EINVAL, "ports from %u to %u", a->nat_port.lo, a->nat_port.hi);
	if (dir == POLICY_IN && a->nat_port.lo != a->nat_port.hi)
		return refuse(err, -EINVAL, "inbound a destination becomes one port, not a range");
	return 0;
}

/* ---- Limits and meters --------------------------------------------------------------------- */

/* Generic cell rate: the time at which all that was let through would have been sent. */
struct policy_limit {
	_Atomic unsigned int refs;
	uint64_t mbps;
	_Atomic uint64_t due_ns;
};

#define LIMIT_BURST_NS (50 * NSEC_PER_MSEC)

static struct policy_limit *limit_new(uint32_t mbps)
{
	struct policy_limit *l = calloc(1, sizeof(*l));

	if (l) {
		atomic_store(&l->refs, 1);
		l->mbps = mbps;
	}
	return l;
}

struct policy_limit *policy_limit_get(struct policy_limit *l)
{
	if (l)
		atomic_fetch_add(&l->refs, 1);
	return l;
}

void policy_limit_put(struct policy_limit *l)
{
	if (l && atomic_fetch_sub(&l->refs, 1) == 1)
		free(l);
}

bool policy_limit_take(struct policy_limit *l, uint64_t bytes, uint64_t now)
{
	uint64_t cost = bytes * 8000 / l->mbps, due = atomic_load(&l->due_ns), from;

	do {
		from = MAX(due, now);
		if (from - now > LIMIT_BURST_NS)
			return false;
	} while (!atomic_compare_exchange_weak(&l->due_ns, &due, from + cost));
	return true;
}

void policy_limit_give(struct policy_limit *l, uint64_t bytes)
{
	atomic_fetch_sub(&l->due_ns, bytes * 8000 / l->mbps);
}

struct policy_meter *policy_meter_get(struct policy_meter *m)
{
	if (m)
		atomic_fetch_add(&m->refs, 1);
	return m;
}

void policy_meter_put(struct policy_meter *m)
{
	if (m && atomic_fetch_sub(&m->refs, 1) == 1)
		free(m);
}

static struct policy_meter *meter_of(const struct policy *old, const char *name)
{
	struct policy_meter *m;

	for (unsigned int i = 0; old && i < old->n_meters; i++)
		if (!strncmp(old->meters[i]->name, name, POLICY_NAME_MAX - 1))
			return policy_meter_get(old->meters[i]);
	m = calloc(1, sizeof(*m));
	if (m) {
		atomic_store(&m->refs, 1);
		copy_name(m->name, name);
	}
	return m;
}

unsigned int policy_n_meters(const struct policy *p)
{
	return p->n_meters;
}

struct policy_meter *policy_meter(const struct policy *p, unsigned int i)
{
	return p->meters[i];
}

/* ---- Groups -------------------------------------------------------------------------------- */

static void group_put(struct group *g)
{
	if (!g || atomic_fetch_sub(&g->refs, 1) != 1)
		return;
	for (uint32_t i = 0; i < g->n; i++)
		policy_limit_put(g->rules[i].limit);
	classifier_free(g->when);
	classifier_free(g->find);
	free(g->rules);
	free(g->place);
	free(g->owned);
	free(g);
}

static int fill_rule(struct rule *to, const struct policy_rule *from, uint32_t index)
{
	copy_name(to->name, from->name);
	to->priority = from->priority;
	to->index = index;
	to->terminating = from->terminating;
	to->stateful = from->stateful;
	to->idle_ms = from->idle_ms;
	to->action = from->action;
	to->xpose = from->action.xpose ? *from->action.xpose : (struct vsw_xpose){0};
	to->action.xpose = to->xpose.flags ? &to->xpose : NULL;
	if (!from->action.limit_mbps)
		return 0;
	to->limit = limit_new(from->action.limit_mbps);
	return to->limit ? 0 : -ENOMEM;
}

static int by_priority(const void *a, const void *b)
{
	const struct policy_rule *x = *(const struct policy_rule *const *)a;
	const struct policy_rule *y = *(const struct policy_rule *const *)b;

	return (x->priority > y->priority) - (x->priority < y->priority);
}

/* The rules of @from in their order, in @sorted; their matches in @matches. */
static int sort_rules(const struct policy_group *from, const struct policy_rule **sorted,
		      const struct policy_match **matches, struct policy_error *err)
{
	for (uint32_t i = 0; i < from->n_rules; i++)
		sorted[i] = &from->rules[i];
	qsort(sorted, from->n_rules, sizeof(*sorted), by_priority);
	for (uint32_t i = 0; i < from->n_rules; i++) {
		matches[i] = &sorted[i]->match;
		if (!i || sorted[i]->priority != sorted[i - 1]->priority)
			continue;
		err->rule = (int)(sorted[i] - from->rules);
		return refuse(err, -EINVAL, "priority %u is rule %s's already", sorted[i]->priority,
			      sorted[i - 1]->name ? sorted[i - 1]->name : "?");
	}
	return 0;
}

static int check_dir(const struct policy_group *from, struct policy_error *err)
{
	if ((unsigned int)from->dir >= POLICY_N_DIRS)
		return refuse(err, -EINVAL, "there is no direction %d", (int)from->dir);
	return 0;
}

static int check_group(const struct policy_spec *spec, const struct policy_group *from,
		       struct policy_error *err)
{
	int rc = check_dir(from, err);

	if (rc)
		return rc;
	if (from->n_rules > POLICY_MAX_RULES)
		return refuse(err, -E2BIG, "%u rules; at most %d", from->n_rules, POLICY_MAX_RULES);
	if (from->when)
		rc = check_match(from->when, err);
	for (uint32_t i = 0; !rc && i < from->n_rules; i++) {
		err->rule = (int)i;
		rc = check_match(&from->rules[i].match, err);
		rc = rc ? rc : check_action(spec, &from->rules[i], from->dir, err);
	}
	if (!rc)
		err->rule = -1;
	return rc;
}

static int own(struct group *g, const uint8_t addr[16])
{
	uint8_t(*owned)[16] = realloc(g->owned, (g->n_owned + 1) * sizeof(*owned));

	if (!owned)
		return -ENOMEM;
	g->owned = owned;
	memcpy(owned[g->n_owned++], addr, 16);
	return 0;
}

static int own_addresses(struct group *g, enum policy_dir dir, const struct policy_rule *r)
{
	int rc = 0;

	if (r->action.nat == POLICY_NAT_NONE)
		return 0;
	if (dir == POLICY_OUT)
		return own(g, r->action.nat_addr);
	for (uint32_t i = 0; !rc && i < r->match.n_dst; i++)
		if (r->match.dst[i].len == 128)
			rc = own(g, r->match.dst[i].addr);
	return rc;
}

static int fill_group(struct group *g, const struct policy_group *from, struct policy_error *err)
{
	const struct policy_rule **sorted = calloc(from->n_rules + 1, sizeof(*sorted));
	const struct policy_match **matches = calloc(from->n_rules + 1, sizeof(*matches));
	int rc = -ENOMEM;

	g->rules = calloc(from->n_rules + 1, sizeof(*g->rules));
	g->place = calloc(from->n_rules + 1, sizeof(*g->place));
	if (!sorted || !matches || !g->rules || !g->place)
		goto out;
	rc = sort_rules(from, sorted, matches, err);
	for (uint32_t i = 0; !rc && i < from->n_rules; i++) {
		g->n = i + 1;
		g->place[sorted[i] - from->rules] = i;
		g->translates |= sorted[i]->action.nat != POLICY_NAT_NONE;
		g->limits |= sorted[i]->action.limit_mbps != 0;
		g->meters |= sorted[i]->action.meter != 0;
		rc = fill_rule(&g->rules[i], sorted[i], (uint32_t)(sorted[i] - from->rules));
		rc = rc ? rc : own_addresses(g, from->dir, sorted[i]);
	}
	if (rc)
		goto out;
	g->find = classifier_new(matches, from->n_rules);
	if (from->when)
		g->when = classifier_new(&from->when, 1);
	if (!g->find || (from->when && !g->when))
		rc = errno == E2BIG
			     ? refuse(err, -E2BIG, "its prefixes and ranges need too much memory")
			     : -ENOMEM;
out:
	free(sorted);
	free(matches);
	return rc;
}

static struct group *group_new(const struct policy_spec *spec, const struct policy_group *from,
			       struct policy_error *err)
{
	struct group *g;
	int rc = check_group(spec, from, err);

	if (rc) {
		errno = -rc;
		return NULL;
	}
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	atomic_store(&g->refs, 1);
	g->dir = from->dir;
	copy_name(g->name, from->name);
	rc = fill_group(g, from, err);
	if (rc) {
		group_put(g);
		errno = -rc;
		return NULL;
	}
	return g;
}

/* ---- Policies ------------------------------------------------------------------------------ */

struct policy *policy_get(struct policy *p)
{
	if (p)
		atomic_fetch_add(&p->refs, 1);
	return p;
}

void policy_put(struct policy *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	for (uint32_t i = 0; i < p->n_layers; i++) {
		for (uint32_t k = 0; k < p->layers[i].n; k++)
			group_put(p->layers[i].groups[k]);
		free(p->layers[i].groups);
	}
	for (uint32_t i = 0; i < p->n_meters; i++)
		policy_meter_put(p->meters[i]);
	free(p);
}

/* With room for @n layers, none of them filled in. */
static struct policy *policy_alloc(void)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p)
		atomic_store(&p->refs, 1);
	return p;
}

static bool layer_translates(const struct layer *l)
{
	for (uint32_t k = 0; k < l->n; k++)
		if (l->groups[k]->translates)
			return true;
	return false;
}

/* One translation is what a connection's record has room for. */
static int check_nat(const struct policy *p, struct policy_error *err)
{
	int first = -1;

	for (uint32_t i = 0; i < p->n_layers; i++) {
		if (!layer_translates(&p->layers[i]))
			continue;
		err->layer = (int)i;
		if (first >= 0)
			return refuse(err, -EINVAL, "layer %s translates already; only one may",
				      p->layers[first].name);
		first = (int)i;
	}
	err->layer = -1;
	return 0;
}

/* A layer adds at most one limit and one meter to a walk's result, which has room for a few. */
static int check_room(const struct policy *p, enum policy_dir dir, struct policy_error *err)
{
	unsigned int n_limits = 0, n_meters = 0;

	for (uint32_t i = 0; i < p->n_layers; i++) {
		bool limits = false, meters = false;

		for (uint32_t k = 0; k < p->layers[i].n; k++) {
			const struct group *g = p->layers[i].groups[k];

			limits |= g->dir == dir && g->limits;
			meters |= g->dir == dir && g->meters;
		}
		n_limits += limits;
		n_meters += meters;
		err->layer = (int)i;
		if (n_limits > POLICY_MAX_LIMITS || n_meters > POLICY_MAX_LIMITS)
			return refuse(err, -E2BIG, "%s, %d layers have %s already; no more may",
				      policy_dir_name(dir), POLICY_MAX_LIMITS,
				      n_limits > POLICY_MAX_LIMITS ? "limits" : "meters");
	}
	err->layer = -1;
	return 0;
}

static int check_layers(const struct policy *p, struct policy_error *err)
{
	int rc = check_nat(p, err);

	rc = rc ? rc : check_room(p, POLICY_OUT, err);
	return rc ? rc : check_room(p, POLICY_IN, err);
}

/* At most so many groups in each direction. */
static int check_n_groups(const struct policy_layer *from, struct policy_error *err)
{
	unsigned int n[POLICY_N_DIRS] = {0};

	for (uint32_t k = 0; k < from->n_groups; k++) {
		err->group = (int)k;
		if (check_dir(&from->groups[k], err))
			return -EINVAL;
		if (++n[from->groups[k].dir] > POLICY_MAX_GROUPS)
			return refuse(err, -E2BIG, "more than %d groups %s", POLICY_MAX_GROUPS,
				      policy_dir_name(from->groups[k].dir));
	}
	err->group = -1;
	return 0;
}

static int fill_layer(struct layer *l, const struct policy_spec *spec,
		      const struct policy_layer *from, struct policy_error *err)
{
	int rc = check_n_groups(from, err);

	if (rc)
		return rc;
	copy_name(l->name, from->name);
	l->groups = calloc(from->n_groups + 1, sizeof(struct group *));
	if (!l->groups)
		return -ENOMEM;
	for (uint32_t k = 0; k < from->n_groups; k++) {
		err->group = (int)k;
		l->groups[k] = group_new(spec, &from->groups[k], err);
		if (!l->groups[k])
			return -errno;
		l->n = k + 1;
	}
	err->group = -1;
	return 0;
}

static int fill(struct policy *p, const struct policy_spec *spec, const struct policy *old,
		struct policy_error *err)
{
	int rc = 0;

	if (spec->n_layers > POLICY_MAX_LAYERS)
		return refuse(err, -E2BIG, "%u layers; at most %d", spec->n_layers,
			      POLICY_MAX_LAYERS);
	if (spec->n_meters > POLICY_MAX_METERS)
		return refuse(err, -E2BIG, "%u meters; at most %d", spec->n_meters,
			      POLICY_MAX_METERS);
	for (uint32_t i = 0; i < spec->n_meters; i++) {
		p->meters[i] = meter_of(old, spec->meters[i]);
		if (!p->meters[i])
			return -ENOMEM;
		p->n_meters = i + 1;
	}
	for (uint32_t i = 0; !rc && i < spec->n_layers; i++) {
		p->n_layers = i + 1;
		err->layer = (int)i;
		rc = fill_layer(&p->layers[i], spec, &spec->layers[i], err);
	}
	return rc ? rc : check_layers(p, err);
}

struct policy *policy_new(const struct policy_spec *spec, const struct policy *old,
			  struct policy_error *err)
{
	struct policy *p = policy_alloc();
	struct policy_error own;
	int rc;

	err = err ? err : &own;
	*err = (struct policy_error){.layer = -1, .group = -1, .rule = -1, .reason = "no memory"};
	if (!p)
		return NULL;
	rc = fill(p, spec, old, err);
	if (rc) {
		policy_put(p);
		errno = -rc;
		return NULL;
	}
	return p;
}

/* @p becomes a copy of @old that shares its groups. */
static int share(struct policy *p, struct policy *old)
{
	for (uint32_t i = 0; i < old->n_meters; i++)
		p->meters[p->n_meters++] = policy_meter_get(old->meters[i]);
	for (uint32_t i = 0; i < old->n_layers; i++) {
		struct layer *l = &p->layers[i];

		copy_name(l->name, old->layers[i].name);
		l->groups = calloc(old->layers[i].n + 1, sizeof(struct group *));
		p->n_layers = i + 1;
		if (!l->groups)
			return -ENOMEM;
		for (uint32_t k = 0; k < old->layers[i].n; k++) {
			atomic_fetch_add(&old->layers[i].groups[k]->refs, 1);
			l->groups[l->n++] = old->layers[i].groups[k];
		}
	}
	return 0;
}

/* @kept may have been cut. */
static bool same_name(const char *kept, const char *name)
{
	return !strncmp(kept, name, POLICY_NAME_MAX - 1);
}

static struct group **find_group(struct policy *p, const char *layer, enum policy_dir dir,
				 const char *name)
{
	for (uint32_t i = 0; i < p->n_layers; i++) {
		struct layer *l = &p->layers[i];

		for (uint32_t k = 0; k < l->n && same_name(l->name, layer); k++)
			if (l->groups[k]->dir == dir && same_name(l->groups[k]->name, name))
				return &l->groups[k];
	}
	return NULL;
}

struct policy *policy_replace_group(struct policy *old, const char *layer,
				    const struct policy_group *group, struct policy_error *err)
{
	const struct policy_spec meters_only = {.n_meters = old->n_meters};
	struct policy *p = policy_alloc();
	struct policy_error own;
	struct group **at, *g;
	int rc = ENOMEM;

	err = err ? err : &own;
	*err = (struct policy_error){.layer = -1, .group = -1, .rule = -1, .reason = "no memory"};
	if (!p || share(p, old))
		goto err_policy;
	rc = -check_dir(group, err);
	if (rc)
		goto err_policy;
	at = find_group(p, layer, group->dir, group->name ? group->name : "");
	if (!at) {
		rc = -refuse(err, -ENOENT, "layer %s has no %s group %s", layer,
			     policy_dir_name(group->dir), group->name ? group->name : "");
		goto err_policy;
	}
	g = group_new(&meters_only, group, err);
	if (!g) {
		rc = errno;
		goto err_policy;
	}
	group_put(*at);
	*at = g;
	rc = -check_layers(p, err);
	if (!rc)
		return p;
err_policy:
	policy_put(p);
	errno = rc;
	return NULL;
}

size_t policy_n_rules(const struct policy *p)
{
	size_t n = 0;

	for (uint32_t i = 0; i < p->n_layers; i++)
		for (uint32_t k = 0; k < p->layers[i].n; k++)
			n += p->layers[i].groups[k]->n;
	return n;
}

static bool group_owns(const struct group *g, const uint8_t addr[16])
{
	for (uint32_t i = 0; i < g->n_owned; i++)
		if (!memcmp(g->owned[i], addr, 16))
			return true;
	return false;
}

bool policy_owns(const struct policy *p, const uint8_t addr[16])
{
	for (uint32_t i = 0; i < p->n_layers; i++)
		for (uint32_t k = 0; k < p->layers[i].n; k++)
			if (group_owns(p->layers[i].groups[k], addr))
				return true;
	return false;
}

/* ---- Names --------------------------------------------------------------------------------- */

const char *policy_layer_name(const struct policy *p, unsigned int layer)
{
	return layer < p->n_layers ? p->layers[layer].name : "";
}

const char *policy_group_name(const struct policy *p, unsigned int layer, unsigned int group)
{
	if (layer >= p->n_layers || group >= p->layers[layer].n)
		return "";
	return p->layers[layer].groups[group]->name;
}

const char *policy_rule_name(const struct policy *p, unsigned int layer, unsigned int group,
			     uint32_t rule)
{
	const struct group *g;

	if (layer >= p->n_layers || group >= p->layers[layer].n)
		return "";
	g = p->layers[layer].groups[group];
	return rule < g->n ? g->rules[g->place[rule]].name : "";
}
