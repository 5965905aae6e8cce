/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns explain: what would become of a packet, told by the switch itself, without sending it. */
#include <sys/uio.h>

#include "host/commands_util.h"
#include "host/nsg_frame.h"
#include "host/policy_eval.h"
#include "host/policy_set.h"
#include "vswitch/explain.h"
#include "vswitch/fdb.h"

static const struct arg_spec explain_args[] = {
	VNIC_ARG,
	{.name = "packet",
	 .type = ARG_STRING,
	 .required = true,
	 .doc = "tcp|udp|icmp|esp|ah|arp|NUMBER [SOURCE] DESTINATION, as in hvlab-policy(5)"},
	{.name = "direction",
	 .type = ARG_STRING,
	 .values = "outbound|inbound",
	 .doc = "outbound (default): the vNIC's guest sends it; inbound: it comes to it"},
};

/* Priority and verdict of a rule by its names: null when the policy is not ours. */
static const struct policy_rule *find_rule(const struct policy_nic *pn, enum policy_dir dir,
					   const struct vsw_explain_step *s)
{
	const struct policy_spec *spec = pn ? &pn->spec.spec : NULL;

	for (uint32_t l = 0; spec && l < spec->n_layers; l++)
		for (uint32_t g = 0; g < spec->layers[l].n_groups; g++) {
			const struct policy_group *group = &spec->layers[l].groups[g];

			if (strcmp(spec->layers[l].name, s->layer) || group->dir != dir ||
			    strcmp(group->name, s->group))
				continue;
			for (uint32_t r = 0; r < group->n_rules; r++)
				if (!strcmp(group->rules[r].name, s->rule))
					return &group->rules[r];
		}
	return NULL;
}

static json_t *step_json(const struct policy_nic *pn, enum policy_dir dir,
			 const struct vsw_explain_step *s)
{
	const struct policy_rule *r = s->matched ? find_rule(pn, dir, s) : NULL;
	json_t *o = json_pack("{s:s, s:s*, s:s*, s:b, s:b}", "layer", s->layer, "group",
			      *s->group ? s->group : NULL, "rule", s->matched ? s->rule : NULL,
			      "reply", s->reply, "decides", s->decides);

	if (!r)
		return o;
	/* Of groups only: what other layers are numbered by is ours. */
	if (!strncmp(s->layer, "nsg-", 4))
		json_object_set_new(o, "priority", json_integer(r->priority));
	json_object_set_new(o, "verdict",
			    json_string(r->action.verdict == POLICY_DENY ? "deny" : "allow"));
	return o;
}

static json_t *flow_json(const struct vsw_flow_info *f)
{
	return json_pack(
		"{s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s}", "state", f->state ? f->state : "",
		"origin", f->origin == POLICY_OUT ? "outbound" : "inbound", "age_ms",
		(json_int_t)f->age_ms, "out_packets", (json_int_t)f->packets[POLICY_OUT],
		"in_packets", (json_int_t)f->packets[POLICY_IN], "layer", f->layer ? f->layer : "",
		"group", f->group ? f->group : "", "rule", f->rule ? f->rule : "");
}

static void put_effects(json_t *o, const struct vsw_explain_stop *s)
{
	char text[256];

	if (*vsw_xpose_words(&s->xpose, text, sizeof(text))) {
		json_object_set_new(o, "changes", json_string(text));
		nsg_fields_print(&s->after, text, sizeof(text));
		json_object_set_new(o, "becomes", json_string(text));
	}
	if (s->n_meters) {
		json_t *list = json_array();

		for (unsigned int i = 0; i < s->n_meters; i++)
			json_array_append_new(list, json_string(s->meters[i]));
		json_object_set_new(o, "meters", list);
	}
	if (s->n_limits)
		json_object_set_new(o, "limits", json_integer(s->n_limits));
	if (s->mark)
		json_object_set_new(o, "mark", json_integer(s->mark - 1));
	if (s->conn == VSW_CONN_KNOWN || s->conn == VSW_CONN_ERROR)
		json_object_set_new(o, "known", flow_json(&s->flow));
}

static json_t *stop_json(struct run *run, const struct vsw_explain_stop *s)
{
	struct run_nic *rn = run_find_nic(run, s->port);
	const struct policy_nic *pn = rn ? policy_set_of(run->policy, rn) : NULL;
	json_t *steps = json_array(), *by = NULL, *o;
	char before[160];

	nsg_fields_print(&s->before, before, sizeof(before));
	for (unsigned int i = 0; i < s->n_steps; i++) {
		json_t *step = step_json(pn, s->dir, &s->steps[i]);

		if (s->steps[i].decides)
			by = step;
		json_array_append_new(steps, step);
	}
	o = json_pack("{s:s, s:s, s:b, s:s, s:s*, s:s, s:O*, s:o}", "port", s->port, "direction",
		      s->dir == POLICY_OUT ? "outbound" : "inbound", "policy", s->policy, "verdict",
		      s->why == VSW_DROP_NONE	  ? "pass"
		      : s->why == VSW_DROP_POLICY ? "deny"
						  : "drop",
		      "why", s->why == VSW_DROP_NONE ? NULL : vsw_drop_name(s->why), "packet",
		      before, "decided_by", by, "steps", steps);
	if (s->policy)
		json_object_set_new(o, "connection", json_string(vsw_explain_conn_name(s->conn)));
	put_effects(o, s);
	return o;
}

static json_t *answer(struct run *run, const struct nsg_packet *p, const struct vsw_explain *e,
		      bool in)
{
	json_t *path = json_array();
	char text[160];

	nsg_fields_print(&p->f, text, sizeof(text));
	if (e->has_out)
		json_array_append_new(path, stop_json(run, &e->out));
	for (unsigned int i = 0; i < e->n_in; i++)
		json_array_append_new(path, stop_json(run, &e->in[i]));
	return json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:o}", "packet", text, "verdict",
			 e->why == VSW_DROP_NONE     ? "pass"
			 : e->why == VSW_DROP_POLICY ? "deny"
						     : "drop",
			 "why", e->why == VSW_DROP_NONE ? NULL : vsw_drop_name(e->why), "at",
			 e->why == VSW_DROP_NONE ? NULL : e->at, "way",
			 in ? NULL : vsw_explain_way_name(e->way), "path", path);
}

/*
 * The guest on that network that has the address of @net's router; 0: nobody told us its address.
 */
static uint64_t router_mac(const struct run *run, const struct lab_nic *nic, bool six)
{
	const struct lab_net *net = &run->lab->nets[nic->net];
	const char *gateway = six ? net->gateway6 : net->gateway4;

	for (unsigned int v = 0; *gateway && v < run->lab->n_all; v++)
		for (unsigned int i = 0; i < run->lab->vms[v].n_nics; i++) {
			const struct lab_nic *n = &run->lab->vms[v].nics[i];

			if (n->net == nic->net && !strcmp(six ? n->ip6 : n->ip4, gateway))
				return fdb_mac(n->mac);
		}
	return 0;
}

static void explain(void *arg, struct control_req *req, const json_t *args)
{
	bool in = !strcmp(args_str(args, "direction", "outbound"), "inbound");
	struct run_nic *rn = need_nic(arg, req, args);
	struct run *run = ((struct daemon *)arg)->run;
	uint8_t frame[NSG_FRAME_MAX];
	struct nsg_packet p;
	struct vsw_explain e;
	struct vsw_port *port;
	struct pkt pkt;
	struct iovec iov = {.iov_base = frame};
	char why[256];
	int rc;

	if (!rn)
		return;
	if (nsg_packet_parse(args_str(args, "packet", ""), run->lab,
			     in ? NULL : lab_find_nic(run->lab, vnic_id(rn->vnic), NULL), &p, why,
			     sizeof(why)) < 0) {
		control_fail(req, CTL_INVALID_ARGUMENT,
			     "as in: tcp 10.0.0.4:40000 10.0.0.5:22, icmp a b, udp a b:53", "%s",
			     why);
		return;
	}
	port = vnic_port(rn->vnic);
	if (in)
		p.f.dst_mac = p.f.dst_mac ? p.f.dst_mac : fdb_mac(rn->lab->mac);
	else
		p.f.src_mac = fdb_mac(rn->lab->mac);
	/* To another network it goes by the router. */
	if (!in && p.f.has_ip && !(p.f.dst_mac >> 40 & 1) &&
	    (!p.dst.nic || p.dst.nic->net != rn->lab->net))
		p.f.dst_mac = router_mac(run, rn->lab, p.f.eth_type == 0x86dd);
	iov.iov_len = nsg_frame(&p, frame);
	rc = pkt_from_iov(&pkt, &iov, 1);
	pkt.flags = p.f.has_ip ? PKT_CSUM_IP | PKT_CSUM_L4 : 0;
	rc = rc ? rc : vsw_explain(in ? NULL : port, in ? port : NULL, &pkt, &e);
	if (rc) {
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "%s", strerror(-rc));
		return;
	}
	control_return(req, answer(run, &p, &e, in));
	vsw_explain_fini(&e);
}

const struct control_cmd commands_explain[] = {
	{.name = "explain",
	 .doc = "what would become of a packet, without sending it",
	 .returns = "{packet, verdict, why, at, way, path: [{port, direction, verdict, decided_by, "
		    "steps, ...}]}",
	 .specs = explain_args,
	 .n_specs = ARRAY_SIZE(explain_args),
	 .fn = explain},
	{0},
};
