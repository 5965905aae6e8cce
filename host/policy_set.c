/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the policy of the lab that is up. */
#define LOG_TAG "policy"
#include "host/policy_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "host/policy_eval.h"
#include "host/run.h"

/**
 * struct slot - A vNIC's policy
 * @vnic:	not of @rn any more: the NIC that had it is gone
 */
struct slot {
	struct run_nic *rn;
	const struct vnic *vnic;
	struct policy_nic pn;
	uint64_t digest;
};

/* Everything that is in force together. */
struct state {
	struct nsg_file **files;
	unsigned int n_files;
	struct nsg_world *world;
	struct slot *slots;
	unsigned int n_slots;
};

struct policy_set {
	struct run *run;
	struct state now;
	uint64_t n_applied;
};

struct policy_set *policy_set_new(struct run *run)
{
	struct policy_set *ps = calloc(1, sizeof(*ps));

	if (ps)
		ps->run = run;
	return ps;
}

static void drop_slots(struct state *s)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		policy_nic_fini(&s->slots[i].pn);
	free(s->slots);
	s->slots = NULL;
	s->n_slots = 0;
	nsg_world_free(s->world);
	s->world = NULL;
}

void policy_set_free(struct policy_set *ps)
{
	if (!ps)
		return;
	drop_slots(&ps->now);
	for (unsigned int i = 0; i < ps->now.n_files; i++)
		nsg_free(ps->now.files[i]);
	free(ps->now.files);
	free(ps);
}

unsigned int policy_set_n_files(const struct policy_set *ps)
{
	return ps->now.n_files;
}

static int fail(struct policy_outcome *out, int rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int fail(struct policy_outcome *out, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out->why, sizeof(out->why), fmt, ap);
	va_end(ap);
	return rc;
}

/* ---- compiling ---- */

static struct slot *slot_of(const struct state *s, const struct run_nic *rn)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		if (s->slots[i].rn == rn && s->slots[i].vnic == rn->vnic)
			return &s->slots[i];
	return NULL;
}

static int compile_one(struct policy_set *ps, struct state *s, struct run_nic *rn,
		       struct policy_outcome *out)
{
	const struct nsg_set set = {s->files, s->n_files};
	struct nsg_target t = {
		.lab = ps->run->lab, .nic = vnic_id(rn->vnic), .net = (int)rn->lab->net};
	const struct slot *old = slot_of(&ps->now, rn);
	struct slot *slot = &s->slots[s->n_slots++];
	char why[256];
	int rc;

	*slot = (struct slot){.rn = rn, .vnic = rn->vnic};
	rc = policy_nic_init(&slot->pn, &set, s->world, &t, old ? old->pn.policy : NULL, why,
			     sizeof(why));
	slot->digest = nsg_spec_digest(&slot->pn.spec);
	return rc ? fail(out, rc, "%s: %s", vnic_id(rn->vnic), why) : 0;
}

/* Policies of all vNICs by the files of @s. */
static int compile(struct policy_set *ps, struct state *s, struct policy_outcome *out)
{
	const struct nsg_set set = {s->files, s->n_files};
	struct run *run = ps->run;

	s->slots = calloc((size_t)run->lab->n_vms * LAB_VM_NICS + 1, sizeof(*s->slots));
	s->world = nsg_world_new(&set, run->lab);
	if (!s->slots || !s->world)
		return fail(out, -ENOMEM, "out of memory");
	for (unsigned int v = 0; v < run->lab->n_vms; v++)
		for (unsigned int k = 0; k < LAB_VM_NICS; k++) {
			struct run_nic *rn = &run->vms[v].nics[k];
			int rc = rn->vnic && !rn->removing ? compile_one(ps, s, rn, out) : 0;

			if (rc)
				return rc;
		}
	return 0;
}

/* Hand over what differs, all at one moment. A policy that is the same stays as it is. */
static int publish(struct policy_set *ps, struct state *s, bool flush, struct policy_outcome *out)
{
	struct vsw_policy_change *changes = calloc(s->n_slots + 1, sizeof(*changes));
	unsigned int n = 0;
	int rc;

	if (!changes)
		return fail(out, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slots[i], *old = slot_of(&ps->now, slot->rn);
		struct policy *had = vsw_port_policy(vnic_port(slot->rn->vnic));

		if (!had && !slot->pn.policy)
			continue;
		if (had && slot->pn.policy && old && had == old->pn.policy &&
		    old->digest == slot->digest && !flush) {
			policy_put(slot->pn.policy);
			slot->pn.policy = policy_get(had);
			continue;
		}
		changes[n++] =
			(struct vsw_policy_change){vnic_port(slot->rn->vnic), slot->pn.policy};
	}
	rc = n ? vsw_policy_publish(changes, n, flush) : 0;
	free(changes);
	out->n_changed = n;
	return rc ? fail(out, rc, "the switch: %s", strerror(-rc)) : 0;
}

static void commit(struct policy_set *ps, struct state *s)
{
	for (unsigned int i = 0; i < ps->now.n_files; i++) {
		bool kept = false;

		for (unsigned int k = 0; k < s->n_files; k++)
			kept = kept || s->files[k] == ps->now.files[i];
		if (!kept)
			nsg_free(ps->now.files[i]);
	}
	free(ps->now.files);
	drop_slots(&ps->now);
	ps->now = *s;
}

/* ---- files ---- */

static void add_errors(struct policy_outcome *out, const struct lab_errors *errs)
{
	json_t *list;

	if (!errs->n && !errs->n_more)
		return;
	list = lab_errors_to_json(errs);
	if (!out->errors)
		out->errors = json_array();
	json_array_extend(out->errors, list);
	json_decref(list);
}

static bool named(const char *const *list, const char *name)
{
	for (; list && *list; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

static bool replaced(const struct policy_request *req, const char *name)
{
	for (unsigned int i = 0; i < req->n_files; i++)
		if (strcmp(req->files[i].name, name) == 0)
			return true;
	return req->only || named(req->remove, name);
}

/* A group of the request's for what it names. */
static int give(struct nsg_file *f, const char *nsg, const char *const *targets,
		struct nsg_apply **list, uint32_t *n)
{
	for (; targets && *targets; targets++) {
		struct nsg_apply *more = arena_grow(&f->mem, *list, *n, sizeof(*more));

		if (!more)
			return -ENOMEM;
		*list = more;
		more[*n].target = arena_strdup(&f->mem, *targets);
		more[*n].nsg = nsg;
		more[*n].line = 0;
		(*n)++;
	}
	return f->mem.failed ? -ENOMEM : 0;
}

static int give_group(const struct policy_request *req, struct nsg_file *f,
		      struct policy_outcome *out)
{
	const char *nsg = req->nsg;
	int rc;

	if (!(req->networks && *req->networks) && !(req->nics && *req->nics))
		return 0;
	if (req->n_files != 1)
		return fail(out, -EINVAL,
			    "a group can be given to networks and NICs with one "
			    "file, not with %u",
			    req->n_files);
	if (!nsg && f->n_nsgs != 1)
		return fail(out, -EINVAL, "%s has %u groups: say which one is meant", f->name,
			    f->n_nsgs);
	nsg = nsg ? arena_strdup(&f->mem, nsg) : f->nsgs[0].name;
	rc = give(f, nsg, req->networks, &f->networks, &f->n_networks);
	rc = rc ? rc : give(f, nsg, req->nics, &f->nics, &f->n_nics);
	return rc ? fail(out, rc, "out of memory") : 0;
}

/* The files that would be in force: @s has those that stay, then the new ones. */
static int gather(struct policy_set *ps, const struct policy_request *req, struct state *s,
		  struct policy_outcome *out)
{
	bool bad = false;
	int rc = 0;

	s->files = calloc(ps->now.n_files + req->n_files + 1, sizeof(struct nsg_file *));
	if (!s->files)
		return fail(out, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < ps->now.n_files; i++)
		if (!replaced(req, ps->now.files[i]->name))
			s->files[s->n_files++] = ps->now.files[i];
	for (unsigned int i = 0; i < req->n_files; i++) {
		const struct policy_input *in = &req->files[i];
		struct lab_errors errs = {0};
		struct nsg_file *f = NULL;

		rc = nsg_load_text(in->name, in->text, in->size, &f, &errs);
		add_errors(out, &errs);
		lab_errors_free(&errs);
		bad = bad || rc;
		if (rc == -ENOMEM)
			return fail(out, rc, "out of memory");
		if (!f)
			continue;
		s->files[s->n_files++] = f;
		rc = give_group(req, f, out);
		if (rc)
			return rc;
	}
	if (bad)
		return -EINVAL;
	if (s->n_files > NSG_MAX_FILES)
		return fail(out, -EINVAL, "%u policy files, at most %d are possible", s->n_files,
			    NSG_MAX_FILES);
	return 0;
}

static int check(struct policy_set *ps, struct state *s, struct policy_outcome *out)
{
	const struct nsg_set set = {s->files, s->n_files};
	struct lab_errors errs[NSG_MAX_FILES] = {{.n = 0}};
	int rc = nsg_set_check(&set, ps->run->lab, errs);

	for (unsigned int i = 0; i < s->n_files; i++) {
		add_errors(out, &errs[i]);
		lab_errors_free(&errs[i]);
	}
	return rc;
}

/* What was read for @s alone. */
static void abandon(struct policy_set *ps, struct state *s)
{
	drop_slots(s);
	for (unsigned int i = 0; i < s->n_files; i++) {
		bool ours = true;

		for (unsigned int k = 0; k < ps->now.n_files; k++)
			ours = ours && s->files[i] != ps->now.files[k];
		if (ours)
			nsg_free(s->files[i]);
	}
	free(s->files);
}

static int prepare(struct policy_set *ps, const struct policy_request *req, struct state *s,
		   struct policy_outcome *out)
{
	int rc = 0;

	memset(out, 0, sizeof(*out));
	for (const char *const *r = req->remove; r && *r && !rc; r++) {
		bool there = false;

		for (unsigned int i = 0; i < ps->now.n_files; i++)
			there = there || strcmp(ps->now.files[i]->name, *r) == 0;
		if (!there)
			rc = fail(out, -ENOENT, "no policy file %.200s is applied", *r);
	}
	rc = rc ? rc : gather(ps, req, s, out);
	rc = rc ? rc : check(ps, s, out);
	if (rc == -EINVAL && !*out->why && out->errors)
		fail(out, rc, "%s",
		     json_string_value(json_object_get(json_array_get(out->errors, 0), "reason")));
	return rc;
}

static bool wants_flush(const struct policy_request *req, const struct state *s)
{
	/* Azure's property of a group: its connections are judged anew when its rules change. */
	for (unsigned int i = s->n_files - MIN(s->n_files, req->n_files); i < s->n_files; i++)
		for (uint32_t k = 0; k < s->files[i]->n_nsgs; k++)
			if (s->files[i]->nsgs[k].flush_connection)
				return true;
	return req->flush;
}

int policy_set_apply(struct policy_set *ps, const struct policy_request *req,
		     struct policy_outcome *out)
{
	struct state s = {0};
	int rc = prepare(ps, req, &s, out);

	rc = rc ? rc : compile(ps, &s, out);
	if (!rc) {
		out->flushed = wants_flush(req, &s);
		rc = publish(ps, &s, out->flushed, out);
	}
	if (rc) {
		abandon(ps, &s);
		return rc;
	}
	commit(ps, &s);
	ps->n_applied++;
	log_info("%u file%s in force, %u vNICs changed%s", ps->now.n_files,
		 ps->now.n_files == 1 ? "" : "s", out->n_changed,
		 out->flushed ? ", connections judged anew" : "");
	return 0;
}

json_t *policy_set_diff(struct policy_set *ps, const struct policy_request *req,
			struct policy_outcome *out)
{
	const struct nsg_set before = {ps->now.files, ps->now.n_files};
	struct state s = {0};
	int rc = prepare(ps, req, &s, out);
	struct nsg_set after = {s.files, s.n_files};
	json_t *d = NULL;

	rc = rc ? rc : compile(ps, &s, out);
	if (!rc)
		d = nsg_diff(&before, &after);
	abandon(ps, &s);
	errno = -rc;
	return d;
}

int policy_set_refresh(struct policy_set *ps, char *why, size_t why_size)
{
	struct policy_outcome out = {0};
	struct state s = {0};
	int rc = 0;

	if (!ps->now.n_files)
		return 0;
	s.files = calloc(ps->now.n_files, sizeof(struct nsg_file *));
	if (s.files) {
		memcpy(s.files, ps->now.files, ps->now.n_files * sizeof(struct nsg_file *));
		s.n_files = ps->now.n_files;
	}
	rc = s.files ? compile(ps, &s, &out) : fail(&out, -ENOMEM, "out of memory");
	rc = rc ? rc : publish(ps, &s, false, &out);
	if (rc) {
		abandon(ps, &s);
		snprintf(why, why_size, "policy: %s", out.why);
		return rc;
	}
	commit(ps, &s);
	return 0;
}

/* ---- what there is ---- */

const struct policy_nic *policy_set_of(const struct policy_set *ps, const struct run_nic *rn)
{
	const struct slot *s = slot_of(&ps->now, rn);

	return s ? &s->pn : NULL;
}

static json_t *file_json(const struct nsg_file *f, bool full)
{
	json_t *o = json_pack("{s:s, s:s}", "name", f->name, "form", f->azure ? "azure" : "yaml");
	json_t *groups = json_array();

	for (uint32_t i = 0; i < f->n_nsgs; i++)
		json_array_append_new(groups, json_pack("{s:s, s:i}", "name", f->nsgs[i].name,
							"rules", (int)f->nsgs[i].n_rules));
	json_object_set_new(o, "nsgs", groups);
	json_object_set_new(o, "acls", json_integer(f->n_acls));
	json_object_set_new(o, "nat", json_integer(f->n_nats));
	json_object_set_new(o, "meters", json_integer(f->n_meters));
	json_object_set_new(o, "tunnels", json_integer(f->n_tunnels));
	if (full)
		json_object_set_new(o, "content", nsg_file_to_json(f));
	return o;
}

static json_t *meters_json(const struct policy *p)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < policy_n_meters(p); i++) {
		const struct policy_meter *m = policy_meter(p, i);

		json_array_append_new(
			list,
			json_pack("{s:s, s:I, s:I, s:I, s:I}", "name", m->name, "out_packets",
				  (json_int_t)atomic_load(&m->packets[POLICY_OUT]), "out_bytes",
				  (json_int_t)atomic_load(&m->bytes[POLICY_OUT]), "in_packets",
				  (json_int_t)atomic_load(&m->packets[POLICY_IN]), "in_bytes",
				  (json_int_t)atomic_load(&m->bytes[POLICY_IN])));
	}
	return list;
}

static json_t *nic_json(const struct policy_set *ps, const struct slot *s)
{
	const struct nsg_spec *spec = &s->pn.spec;
	struct vsw_flow_stats st;
	json_t *layers = json_array(), *o;

	for (uint32_t i = 0; i < spec->spec.n_layers; i++)
		json_array_append_new(layers, json_string(spec->spec.layers[i].name));
	o = json_pack("{s:s, s:s, s:s*, s:s*, s:i, s:o}", "vnic", vnic_id(s->vnic), "network",
		      ps->run->lab->nets[s->rn->lab->net].name, "nic_nsg", spec->nic_nsg,
		      "subnet_nsg", spec->subnet_nsg, "rules", (int)spec->n_rules, "layers",
		      layers);
	if (!s->pn.policy || !vsw_port_flow_stats(vnic_port(s->rn->vnic), &st))
		return o;
	json_object_set_new(o, "connections", json_integer(st.n));
	json_object_set_new(o, "denied_out", json_integer((json_int_t)st.denied[POLICY_OUT]));
	json_object_set_new(o, "denied_in", json_integer((json_int_t)st.denied[POLICY_IN]));
	if (policy_n_meters(s->pn.policy))
		json_object_set_new(o, "meters", meters_json(s->pn.policy));
	return o;
}

json_t *policy_set_json(const struct policy_set *ps, bool full)
{
	json_t *files = json_array(), *nics = json_array();

	for (unsigned int i = 0; i < ps->now.n_files; i++)
		json_array_append_new(files, file_json(ps->now.files[i], full));
	for (unsigned int i = 0; i < ps->now.n_slots; i++) {
		const struct slot *s = &ps->now.slots[i];

		if (s->rn->vnic == s->vnic)
			json_array_append_new(nics, nic_json(ps, s));
	}
	return json_pack("{s:o, s:o, s:o}", "files", files, "nics", nics, "asgs",
			 ps->now.world ? nsg_world_asgs_json(ps->now.world) : json_object());
}
