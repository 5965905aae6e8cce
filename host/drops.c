/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the way of a dropped packet from the switch to the clients that want to hear of it. */
#define LOG_TAG "drops"
#include "host/drops.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "host/base64.h"
#include "host/daemon.h"
#include "host/flows.h"
#include "vswitch/dropmon.h"

#define LOOK_MS	   50
#define LOOK_DROPS 256 /* told in one turn of the event loop */

struct drops {
	struct daemon *d;
	struct event *timer;
};

static json_t *name_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

/* From "a/eth0/vf", "a/eth0/syn": vnic.c names them. */
static json_t *path_json(const struct vsw_drop_event *ev)
{
	const char *last = strrchr(ev->path, '/');

	if (!last)
		return json_null();
	return json_string(strcmp(last, "/syn") ? last + 1 : "synthetic");
}

static json_t *denier_json(const struct vsw_drop_event *ev)
{
	if (!ev->gen || !*ev->rule)
		return json_null();
	return json_pack("{s:s, s:s, s:s, s:I}", "layer", ev->layer, "group", ev->group, "rule",
			 ev->rule, "generation", (json_int_t)ev->gen);
}

static json_t *mac_json(uint64_t mac)
{
	return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", (unsigned int)(mac >> 40 & 0xff),
			    (unsigned int)(mac >> 32 & 0xff), (unsigned int)(mac >> 24 & 0xff),
			    (unsigned int)(mac >> 16 & 0xff), (unsigned int)(mac >> 8 & 0xff),
			    (unsigned int)(mac & 0xff));
}

static void put_ip(json_t *o, const struct policy_fields *f)
{
	char ip[46], proto[8];

	json_object_set_new(o, "proto", json_string(flow_proto_name(f->proto, proto)));
	json_object_set_new(o, "src", json_string(flow_ip_text(f->src, ip)));
	json_object_set_new(o, "dst", json_string(flow_ip_text(f->dst, ip)));
	if (!f->has_ports)
		return;
	if (f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6) {
		json_object_set_new(o, "type", json_integer(f->sport));
		json_object_set_new(o, "code", json_integer(f->dport));
	} else {
		json_object_set_new(o, "src_port", json_integer(f->sport));
		json_object_set_new(o, "dst_port", json_integer(f->dport));
	}
}

static json_t *packet_json(const struct vsw_drop_event *ev)
{
	char *bytes;
	json_t *o;

	if (!ev->len)
		return json_null();
	bytes = base64_encode(ev->bytes, ev->n_bytes);
	o = json_pack("{s:I, s:i, s:i, s:o}", "length", (json_int_t)ev->len, "frames",
		      (int)ev->frames, "vlan", (int)ev->vid, "bytes",
		      bytes ? json_string(bytes) : json_null());
	free(bytes);
	if (!ev->known)
		return o;
	json_object_set_new(o, "src_mac", mac_json(ev->f.src_mac));
	json_object_set_new(o, "dst_mac", mac_json(ev->f.dst_mac));
	json_object_set_new(o, "eth_type", json_integer(ev->f.eth_type));
	if (ev->f.has_ip)
		put_ip(o, &ev->f);
	return o;
}

static json_t *drop_json(const struct vsw_drop_event *ev)
{
	return json_pack("{s:I, s:s, s:o, s:s, s:s, s:o, s:o, s:o, s:I, s:o}", "time_ns",
			 (json_int_t)ev->time_ns, "port", ev->port, "path", path_json(ev),
			 "direction", policy_dir_name(ev->dir), "reason", vsw_drop_name(ev->why),
			 "denied_by", denier_json(ev), "from", name_or_null(ev->from), "to",
			 name_or_null(ev->to), "repeated", (json_int_t)ev->repeated, "packet",
			 packet_json(ev));
}

static void look_again(struct drops *drops)
{
	const struct timeval tv = {.tv_usec = LOOK_MS * 1000};

	evtimer_add(drops->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct drops *drops = arg;
	struct vsw_drop_event ev;
	uint64_t lost;

	(void)fd;
	(void)what;
	if (!control_is_wanted(drops->d->control, "DROP")) {
		vsw_drops_unfollow();
		log_debug("nobody follows drops any more");
		return;
	}
	for (unsigned int i = 0; i < LOOK_DROPS && vsw_drops_next(&ev); i++)
		control_event(drops->d->control, "DROP", drop_json(&ev));
	lost = vsw_drops_lost();
	if (lost)
		control_event(drops->d->control, "DROP",
			      json_pack("{s:I}", "lost", (json_int_t)lost));
	look_again(drops);
}

void drops_check(struct daemon *d)
{
	struct drops *drops = d->drops;

	if (vsw_drops_followed() || !control_is_wanted(d->control, "DROP"))
		return;
	if (!drops) {
		drops = d->drops = calloc(1, sizeof(*drops));
		if (!drops)
			return;
		drops->d = d;
		drops->timer = evtimer_new(d->base, on_timer, drops);
	}
	if (!drops->timer || vsw_drops_follow()) {
		log_err("drops cannot be followed: out of memory");
		return;
	}
	log_debug("drops are followed");
	look_again(drops);
}

void drops_free(struct drops *drops)
{
	vsw_drops_unfollow();
	if (!drops)
		return;
	if (drops->timer)
		event_free(drops->timer);
	free(drops);
}
