/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns a network's vxlan port as the fabric wants it: MACs of the guests behind reachable hosts,
 * floods to the hosts that have guests on the network, and every reachable host as a peer.
 *
 * What was set last is kept sorted, so that a change costs one walk over both lists, and nothing is
 * touched that has not changed: what a port learned in between is its own.
 */
#define LOG_TAG "fabric"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "host/fabric_net_internal.h"

#define MAX_MACS 16384 /* of guests, and learned */

struct place {
	uint8_t mac[6];
	uint8_t remote[16];
};

/* Addresses of hosts, sorted. */
struct remotes {
	uint8_t (*list)[16];
	unsigned int n;
};

struct fabric_vxlan {
	unsigned int net;
	char name[VSW_NAME_SIZE];
	struct vxlan_port *port;
	struct place *places;
	unsigned int n_places;
	struct remotes floods, peers;
	unsigned int failed; /* entries that the port did not take */
};

static int by_mac(const void *a, const void *b)
{
	return memcmp(((const struct place *)a)->mac, ((const struct place *)b)->mac, 6);
}

static int by_remote(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* ---- what the model wants ---- */

/* By place in fabric_hosts(). */
struct wish {
	struct place *places;
	unsigned int n_places;
	struct remotes floods, peers;
};

static void wish_fini(struct wish *w)
{
	free(w->places);
	free(w->floods.list);
	free(w->peers.list);
}

static unsigned int count_guests(const struct fabric *f, unsigned int net)
{
	unsigned int n = 0;

	for (const struct fabric_guest *g = NULL; (g = fabric_next_guest(f, g));)
		n += g->net == net;
	return n;
}

static int wish_init(struct wish *w, const struct fabric *f, unsigned int net)
{
	unsigned int n_hosts;
	const struct fabric_host *hosts = fabric_hosts(f, &n_hosts);
	bool *has = calloc(n_hosts, sizeof(*has));

	memset(w, 0, sizeof(*w));
	w->places = calloc(count_guests(f, net) + 1, sizeof(*w->places));
	w->floods.list = calloc(n_hosts, 16);
	w->peers.list = calloc(n_hosts, 16);
	if (!has || !w->places || !w->floods.list || !w->peers.list) {
		free(has);
		wish_fini(w);
		return -ENOMEM;
	}
	for (const struct fabric_guest *g = NULL; (g = fabric_next_guest(f, g));) {
		struct place *p = &w->places[w->n_places];

		if (g->net != net || !fabric_host_reachable(&hosts[g->host]))
			continue;
		memcpy(p->mac, g->mac, 6);
		memcpy(p->remote, hosts[g->host].addr, 16);
		has[g->host] = true;
		w->n_places++;
	}
	for (unsigned int h = 0; h < n_hosts; h++) {
		if (!fabric_host_reachable(&hosts[h]))
			continue;
		memcpy(w->peers.list[w->peers.n++], hosts[h].addr, 16);
		if (has[h])
			memcpy(w->floods.list[w->floods.n++], hosts[h].addr, 16);
	}
	free(has);
	qsort(w->places, w->n_places, sizeof(*w->places), by_mac);
	qsort(w->floods.list, w->floods.n, 16, by_remote);
	qsort(w->peers.list, w->peers.n, 16, by_remote);
	return 0;
}

/* ---- the difference ---- */

static void set_failed(struct fabric_vxlan *v, const char *what, int rc)
{
	v->failed++;
	log_warn_rl("%s: %s: %s", v->name, what,
		    rc == -ENOSPC ? "there is no room for more" : strerror(-rc));
}

static void diff_places(struct fabric_vxlan *v, const struct wish *w)
{
	unsigned int i = 0, k = 0;

	while (i < v->n_places || k < w->n_places) {
		int c = i == v->n_places   ? 1
			: k == w->n_places ? -1
					   : by_mac(&v->places[i], &w->places[k]);
		int rc = 0;

		if (c < 0)
			vxlan_mac_del(v->port, v->places[i].mac);
		else if (c > 0 || memcmp(v->places[i].remote, w->places[k].remote, 16) != 0)
			rc = vxlan_mac_set(v->port, w->places[k].mac, w->places[k].remote);
		if (rc)
			set_failed(v, "a guest's MAC", rc);
		i += c <= 0;
		k += c >= 0;
	}
}

static void diff_remotes(struct fabric_vxlan *v, const struct remotes *old,
			 const struct remotes *new,
			 void (*gone)(struct fabric_vxlan *v, const uint8_t remote[16]),
			 int (*come)(struct vxlan_port *p, const uint8_t remote[16]))
{
	unsigned int i = 0, k = 0;

	while (i < old->n || k < new->n) {
		int c = i == old->n ? 1 : k == new->n ? -1 : by_remote(old->list[i], new->list[k]);
		int rc = 0;

		if (c < 0)
			gone(v, old->list[i]);
		else if (c > 0)
			rc = come(v->port, new->list[k]);
		if (rc)
			set_failed(v, "a host", rc);
		i += c <= 0;
		k += c >= 0;
	}
}

static void forget(struct fabric_vxlan *v, const uint8_t remote[16])
{
	vxlan_remote_forget(v->port, remote);
}

static void no_flood(struct fabric_vxlan *v, const uint8_t remote[16])
{
	vxlan_flood_del(v->port, remote);
}

void fabric_vxlan_apply(struct fabric_vxlan *v, const struct fabric *f)
{
	struct wish w;

	if (wish_init(&w, f, v->net)) {
		log_err("%s: out of memory: what other hosts have stays as it was", v->name);
		return;
	}
	v->failed = 0;
	/* A host that goes takes all of it along; so first, and what is wanted of it again after.
	 */
	diff_remotes(v, &v->peers, &w.peers, forget, vxlan_peer_add);
	diff_remotes(v, &v->floods, &w.floods, no_flood, vxlan_flood_add);
	diff_places(v, &w);
	free(v->places);
	free(v->floods.list);
	free(v->peers.list);
	v->places = w.places;
	v->n_places = w.n_places;
	v->floods = w.floods;
	v->peers = w.peers;
}

/* ---- life ---- */

static int local_address(const struct lab *lab, struct sockaddr_storage *ss)
{
	const struct lab_host *host = &lab->fabric.hosts[lab->here];
	struct sockaddr_in *s4 = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *s6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = (sa_family_t)host->family;
	if (host->family == AF_INET) {
		s4->sin_port = htons((uint16_t)lab->fabric.port);
		return inet_pton(AF_INET, host->address, &s4->sin_addr) == 1 ? 0 : -EINVAL;
	}
	s6->sin6_port = htons((uint16_t)lab->fabric.port);
	return inet_pton(AF_INET6, host->address, &s6->sin6_addr) == 1 ? 0 : -EINVAL;
}

int fabric_tunnel_new(const struct fabric_net_conf *conf, struct vxlan_tunnel **tunnel,
		      struct fabric_trouble *trouble)
{
	const struct lab_host *host = &conf->lab->fabric.hosts[conf->lab->here];
	struct vxlan_sockets sockets;
	struct vxlan_tunnel_conf tc = {.name = "fabric",
				       .sockets = &sockets,
				       .port = (uint16_t)conf->lab->fabric.port,
				       .known_only = true,
				       .max_remotes = FABRIC_MAX_HOSTS};
	struct sockaddr_storage local;
	int rc = local_address(conf->lab, &local);

	if (!rc)
		rc = vxlan_sockets_open(&sockets, &local, 0);
	if (rc)
		return fabric_trouble(
			trouble, rc,
			rc == -EADDRNOTAVAIL
				? "fabric.hosts has another address than this machine, or --host "
				  "names the wrong one"
			: rc == -EADDRINUSE ? "end what has it (the kernel's own vxlan?), or "
					      "choose another fabric.port for all hosts"
					    : NULL,
			"VXLAN at %s, UDP port %u: %s", host->address, conf->lab->fabric.port,
			strerror(-rc));
	*tunnel = vxlan_tunnel_new(conf->pick(conf->arg), &tc);
	return *tunnel ? 0 : fabric_trouble(trouble, -errno, NULL, "VXLAN: %s", strerror(errno));
}

struct fabric_vxlan *fabric_vxlan_new(const struct fabric_net_conf *conf, unsigned int net,
				      struct vxlan_tunnel *tunnel, struct fabric_trouble *trouble)
{
	struct fabric_vxlan *v = calloc(1, sizeof(*v));
	struct vxlan_port_conf pc = {
		.vni = conf->lab->nets[net].vni, .learn = true, .max_macs = MAX_MACS};
	int rc;

	if (!v)
		return NULL;
	v->net = net;
	snprintf(v->name, sizeof(v->name), "%s/vxlan", conf->lab->nets[net].name);
	pc.name = v->name;
	v->port = vxlan_port_new(tunnel, &pc);
	rc = v->port ? vsw_port_attach(conf->nets[net], vxlan_port_port(v->port)) : -errno;
	if (!rc)
		return v;
	fabric_trouble(trouble, rc, NULL, "%s: %s", v->name, strerror(-rc));
	vxlan_port_free(v->port);
	free(v);
	errno = -rc;
	return NULL;
}

void fabric_vxlan_free(struct fabric_vxlan *v)
{
	if (!v)
		return;
	vsw_port_detach(vxlan_port_port(v->port));
	vxlan_port_free(v->port);
	free(v->places);
	free(v->floods.list);
	free(v->peers.list);
	free(v);
}

/* ---- JSON ---- */

json_t *fabric_vxlan_json(const struct fabric_vxlan *v)
{
	json_t *floods = json_array();

	for (unsigned int i = 0; i < v->floods.n; i++) {
		char text[ROUTE_PREFIX_TEXT];

		json_array_append_new(floods, json_string(addr_text(v->floods.list[i], text)));
	}
	return json_pack("{s:i, s:i, s:I, s:o, s:i}", "vni", (int)vxlan_port_vni(v->port), "macs",
			 (int)v->n_places, "known", (json_int_t)vxlan_macs(v->port, NULL, 0),
			 "floods", floods, "failed", (int)v->failed);
}

json_t *fabric_tunnel_json(struct vxlan_tunnel *tunnel)
{
	struct vxlan_stats st;

	vxlan_get_stats(tunnel, &st);
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "tx",
		(json_int_t)st.tx, "tx_bytes", (json_int_t)st.tx_bytes, "tx_batches",
		(json_int_t)st.tx_batches, "tx_errors", (json_int_t)st.tx_errors, "rx",
		(json_int_t)st.rx, "rx_bytes", (json_int_t)st.rx_bytes, "rx_short",
		(json_int_t)st.rx_short, "rx_flags", (json_int_t)st.rx_flags, "rx_vni",
		(json_int_t)st.rx_vni, "rx_peer", (json_int_t)st.rx_peer, "rx_waits",
		(json_int_t)st.rx_waits, "too_big", (json_int_t)st.too_big, "replies",
		(json_int_t)st.replies, "replies_limited", (json_int_t)st.replies_limited,
		"table_full", (json_int_t)st.table_full);
}
