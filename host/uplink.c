/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns an uplink's life: its port comes and goes with the interface. */
#define LOG_TAG "uplink"
#include "host/uplink.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "host/netdev.h"
#include "host/uplink_open.h"
#include "host/vnic.h"
#include "vswitch/ports/packet.h"
#include "vswitch/ports/tap.h"

#define RETRY_MS     500 /* to the next try when it cannot be opened, then twice as long each time */
#define RETRY_MAX_MS 30000

struct uplink {
	struct uplink_conf conf;
	const struct lab_uplink *lab;
	char port_name[VSW_NAME_SIZE];
	struct netdev *nd;
	struct event *again;
	unsigned int retry_ms;
	/* One of them, or none: */
	struct packet *packet;
	struct tap *tap;
	bool attached;
	int index; /* of the interface that the port is on; 0: not seen yet */
	enum uplink_state state;
	bool started;
	char reason[300], warning[300];
	unsigned int changes;
	uint64_t since_ns;
};

static const char *const state_names[] = {
	[UPLINK_UP] = "up",
	[UPLINK_DOWN] = "down",
	[UPLINK_GONE] = "gone",
	[UPLINK_FAILED] = "failed",
};
static_assert(ARRAY_SIZE(state_names) == UPLINK_N_STATES, "every state has a name");

const char *uplink_state_name(enum uplink_state s)
{
	return state_names[s];
}

static bool is_tap(const struct uplink *up)
{
	return up->conf.net->type == LAB_NET_INTERNAL;
}

static json_t *text_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

/* Tells of a change of any of them. */
static void set_state(struct uplink *up, enum uplink_state s, const char *reason,
		      const char *warning)
{
	enum uplink_state prev = up->state;

	if (up->started && s == prev && !strcmp(reason, up->reason) &&
	    !strcmp(warning, up->warning))
		return;
	if (s != prev || !up->started)
		up->since_ns = now_ns();
	up->state = s;
	snprintf(up->reason, sizeof(up->reason), "%s", reason);
	snprintf(up->warning, sizeof(up->warning), "%s", warning);
	log_line(s == UPLINK_UP && !*warning ? LOG_INFO : LOG_WARN, LOG_TAG, "%s: %s: %s%s%s%s%s",
		 up->conf.net->name, up->lab->ifname, state_names[s], *reason ? ": " : "", reason,
		 *warning ? ": " : "", warning);
	if (!up->started || !up->conf.event)
		return;
	up->changes++;
	up->conf.event(up->conf.arg, "UPLINK_STATE",
		       json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "network", up->conf.net->name,
				 "interface", up->lab->ifname, "state", state_names[s], "previous",
				 state_names[prev], "reason", text_or_null(up->reason), "warning",
				 text_or_null(up->warning)));
}

/* ---- the port ---- */

struct vsw_port *uplink_port(const struct uplink *up)
{
	return !up->attached ? NULL : up->tap ? tap_port(up->tap) : packet_port(up->packet);
}

static void close_port(struct uplink *up)
{
	if (up->attached)
		vsw_port_detach(uplink_port(up));
	up->attached = false;
	packet_free(up->packet);
	tap_free(up->tap);
	up->packet = NULL;
	up->tap = NULL;
	up->index = 0;
}

static int open_port(struct uplink *up, char *why, size_t size)
{
	uint32_t flags = (up->lab->tso ? 0 : KPORT_NO_TSO) | (up->lab->csum ? 0 : KPORT_NO_CSUM);
	int fd = uplink_open(up->conf.lab, up->conf.net, why, size), rc = 0;

	if (fd < 0)
		return fd;
	if (is_tap(up))
		up->tap = tap_new(up->conf.worker, up->port_name, fd, NULL, flags);
	else
		up->packet = packet_new(up->conf.worker, up->port_name, fd, NULL, flags);
	if (!up->tap && !up->packet)
		rc = -errno;
	if (!rc)
		rc = vsw_port_attach(up->conf.port_net,
				     up->tap ? tap_port(up->tap) : packet_port(up->packet));
	if (!rc) {
		up->attached = true;
		return 0;
	}
	snprintf(why, size, "%s: its port: %s", up->lab->ifname, strerror(-rc));
	close_port(up);
	return rc;
}

/* ---- as the interface is ---- */

static void follow(struct uplink *up, const struct netdev_info *info)
{
	const struct lab_net *net = up->conf.net;
	const char *ifname = up->lab->ifname;
	bool link = info->up && info->carrier;
	char reason[200] = "", warning[300] = "";
	size_t n = 0;

	if (up->tap) {
		tap_set_link(up->tap, link);
		tap_set_mtu(up->tap, info->mtu);
	} else {
		packet_set_link(up->packet, link);
		packet_set_mtu(up->packet, info->mtu);
	}
	if (!info->up)
		snprintf(reason, sizeof(reason), "%s is down: ip link set dev %s up", ifname,
			 ifname);
	else if (!info->carrier)
		snprintf(reason, sizeof(reason), "%s has no carrier: look at its other end",
			 ifname);
	if (info->mtu < net->mtu)
		n = (size_t)snprintf(warning, sizeof(warning),
				     "the MTU of %s is %u and that of network %s is %u: larger "
				     "packets are dropped (ip link set dev %s mtu %u)",
				     ifname, info->mtu, net->name, net->mtu, ifname, net->mtu);
	if (*info->master)
		snprintf(warning + n, sizeof(warning) - n,
			 "%s%s is a port of %s: its frames go there and here", n ? "; " : "",
			 ifname, info->master);
	set_state(up, link ? UPLINK_UP : UPLINK_DOWN, reason, warning);
}

static void try_later(struct uplink *up)
{
	struct timeval tv = {.tv_sec = up->retry_ms / 1000,
			     .tv_usec = (suseconds_t)(up->retry_ms % 1000) * 1000};

	evtimer_add(up->again, &tv);
	up->retry_ms = MIN(up->retry_ms * 2, (unsigned int)RETRY_MAX_MS);
}

static void gone(struct uplink *up)
{
	const char *ifname = up->lab->ifname;
	char reason[200];

	if (is_tap(up))
		snprintf(reason, sizeof(reason),
			 "%s was deleted, renamed or moved by somebody: it is made again", ifname);
	else
		snprintf(reason, sizeof(reason), "there is no interface %s any more", ifname);
	close_port(up);
	set_state(up, UPLINK_GONE, reason, "");
	if (is_tap(up) && !evtimer_pending(up->again, NULL))
		try_later(up);
}

static void try_open(struct uplink *up)
{
	char why[300];
	int rc = open_port(up, why, sizeof(why));

	if (rc == -ENODEV && !is_tap(up))
		return; /* gone again; it will be told */
	if (rc) {
		set_state(up, UPLINK_FAILED, why, "");
		try_later(up);
	}
}

/* The interface, or what we know of it, has changed. */
static void look(struct uplink *up)
{
	const struct netdev_info *info = netdev_info(up->nd);

	/* Another one of that name; a TAP's first sight is ours. */
	if (up->attached && info->index != up->index && up->index)
		gone(up);
	if (!info->index) {
		if (up->attached && up->index)
			gone(up);
		return;
	}
	if (!up->attached && !is_tap(up) && !evtimer_pending(up->again, NULL))
		try_open(up);
	if (!up->attached)
		return;
	up->index = info->index;
	up->retry_ms = RETRY_MS;
	follow(up, info);
}

static void on_change(void *arg)
{
	look(arg);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct uplink *up = arg;

	(void)fd;
	(void)what;
	if (up->attached)
		return;
	if (is_tap(up) || netdev_info(up->nd)->index)
		try_open(up);
	netdev_look(up->nd);
	look(up);
}

/* ---- making and ending ---- */

static int start(struct uplink *up, char *why, size_t size)
{
	up->nd = netdev_new(up->conf.base, up->lab->netns, up->lab->ifname, on_change, up);
	if (!up->nd) {
		int error = errno;

		uplink_explain_netns(up->lab, error, why, size);
		return -error;
	}
	return open_port(up, why, size);
}

struct uplink *uplink_start(const struct uplink_conf *conf, char *why, size_t size)
{
	struct uplink *up = calloc(1, sizeof(*up));
	int rc = -ENOMEM;

	snprintf(why, size, "out of memory");
	if (up) {
		up->conf = *conf;
		up->lab = &conf->net->uplink;
		up->retry_ms = RETRY_MS;
		up->state = UPLINK_DOWN;
		snprintf(up->port_name, sizeof(up->port_name), "%s/uplink", conf->net->name);
		up->again = evtimer_new(conf->base, on_again, up);
		if (up->again)
			rc = start(up, why, size);
	}
	if (rc) {
		uplink_stop(up);
		errno = -rc;
		return NULL;
	}
	/* Of a TAP that was just made. */
	netdev_look(up->nd);
	look(up);
	up->started = true;
	return up;
}

void uplink_stop(struct uplink *up)
{
	if (!up)
		return;
	close_port(up);
	netdev_free(up->nd);
	if (up->again)
		event_free(up->again);
	free(up);
}

enum uplink_state uplink_state(const struct uplink *up)
{
	return up->state;
}

json_t *uplink_json(const struct uplink *up)
{
	const struct netdev_info *info;

	if (!up)
		return json_null();
	info = netdev_info(up->nd);
	return json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:I, s:i, s:o, s:b, s:b, s:o, s:o}",
			 "kind", is_tap(up) ? "tap" : "packet", "interface", up->lab->ifname,
			 "netns", text_or_null(up->lab->netns), "state", state_names[up->state],
			 "reason", text_or_null(up->reason), "warning", text_or_null(up->warning),
			 "since_ms", (json_int_t)((now_ns() - up->since_ns) / NSEC_PER_MSEC),
			 "changes", (int)up->changes, "mtu",
			 info->index ? json_integer(info->mtu) : json_null(), "tso", up->lab->tso,
			 "checksum", up->lab->csum, "ip4", text_or_null(up->lab->ip4), "ip6",
			 text_or_null(up->lab->ip6));
}

json_t *uplink_stats_json(struct uplink *up)
{
	const struct vsw_port *port = uplink_port(up);
	json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "network", up->conf.net->name, "interface",
			      up->lab->ifname, "kind", is_tap(up) ? "tap" : "packet", "state",
			      state_names[up->state]);

	json_object_set_new(o, "port", port ? vnic_port_json(port) : json_null());
	json_object_set_new(o, "kernel_drops",
			    up->packet ? json_integer((json_int_t)packet_kernel_drops(up->packet))
				       : json_null());
	return o;
}
