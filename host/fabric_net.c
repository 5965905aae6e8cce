/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the ports to other hosts of a lab's networks, one per network with a mode that needs one. */
#define LOG_TAG "fabric"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "host/fabric_net_internal.h"

struct fabric_net {
	struct fabric_net_conf conf;
	struct vxlan_tunnel *tunnel;
	/* By network; NULL: it is none of that mode. */
	struct fabric_vxlan **vxlan;
	struct fabric_routed **routed;
};

int fabric_trouble(struct fabric_trouble *t, int rc, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->why, t->size, fmt, ap);
	va_end(ap);
	t->hint = hint;
	errno = -rc;
	return rc;
}

static int make_vxlan(struct fabric_net *fn, unsigned int n, struct fabric_trouble *trouble)
{
	int rc = fn->tunnel ? 0 : fabric_tunnel_new(&fn->conf, &fn->tunnel, trouble);

	if (rc)
		return rc;
	fn->vxlan[n] = fabric_vxlan_new(&fn->conf, n, fn->tunnel, trouble);
	return fn->vxlan[n] ? 0 : -errno;
}

static int make_routed(struct fabric_net *fn, unsigned int n, struct fabric_trouble *trouble)
{
	fn->routed[n] = fabric_routed_new(&fn->conf, n, trouble);
	return fn->routed[n] ? 0 : -errno;
}

struct fabric_net *fabric_net_new(const struct fabric_net_conf *conf, char *why, size_t why_size,
				  const char **hint)
{
	struct fabric_trouble trouble = {.why = why, .size = why_size};
	unsigned int n_nets = conf->lab->n_nets;
	struct fabric_net *fn = calloc(1, sizeof(*fn));
	int rc = 0;

	snprintf(why, why_size, "out of memory");
	if (!fn)
		return NULL;
	fn->conf = *conf;
	fn->vxlan = calloc(n_nets, sizeof(struct fabric_vxlan *));
	fn->routed = calloc(n_nets, sizeof(struct fabric_routed *));
	if (!fn->vxlan || !fn->routed)
		rc = -ENOMEM;
	for (unsigned int n = 0; !rc && n < n_nets; n++) {
		const struct lab_net *net = &conf->lab->nets[n];

		if (net->mode == LAB_MODE_VXLAN)
			rc = make_vxlan(fn, n, &trouble);
		else if (net->mode == LAB_MODE_ROUTED && (net->has4 || net->has6))
			rc = make_routed(fn, n, &trouble);
	}
	*hint = trouble.hint;
	if (!rc)
		return fn;
	fabric_net_free(fn);
	errno = -rc;
	return NULL;
}

void fabric_net_free(struct fabric_net *fn)
{
	if (!fn)
		return;
	for (unsigned int n = 0; fn->vxlan && n < fn->conf.lab->n_nets; n++)
		fabric_vxlan_free(fn->vxlan[n]);
	for (unsigned int n = 0; fn->routed && n < fn->conf.lab->n_nets; n++)
		fabric_routed_free(fn->routed[n]);
	vxlan_tunnel_free(fn->tunnel);
	free(fn->routed);
	free(fn->vxlan);
	free(fn);
}

void fabric_net_apply(struct fabric_net *fn, const struct fabric *f)
{
	for (unsigned int n = 0; n < fn->conf.lab->n_nets; n++) {
		if (fn->vxlan[n])
			fabric_vxlan_apply(fn->vxlan[n], f);
		if (fn->routed[n])
			fabric_routed_apply(fn->routed[n], f);
	}
}

json_t *fabric_net_json(const struct fabric_net *fn)
{
	const struct lab *lab = fn->conf.lab;
	json_t *nets = json_array();

	for (unsigned int n = 0; n < lab->n_nets; n++) {
		json_t *o = json_pack("{s:s, s:s}", "name", lab->nets[n].name, "mode",
				      lab_mode_name(lab->nets[n].mode)),
		       *more = NULL;

		if (fn->vxlan[n])
			more = fabric_vxlan_json(fn->vxlan[n]);
		else if (fn->routed[n])
			more = fabric_routed_json(fn->routed[n]);
		if (more)
			json_object_update(o, more);
		json_decref(more);
		json_array_append_new(nets, o);
	}
	return json_pack("{s:o, s:o}", "networks", nets, "tunnel",
			 fn->tunnel ? fabric_tunnel_json(fn->tunnel) : json_null());
}
