/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the choosing and the telling of connections. */
#include "host/flows.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static const struct {
	uint8_t number;
	const char *name;
} protos[] = {
	{IPPROTO_TCP, "tcp"},	    {IPPROTO_UDP, "udp"}, {IPPROTO_ICMP, "icmp"},
	{IPPROTO_ICMPV6, "icmpv6"}, {IPPROTO_ESP, "esp"}, {IPPROTO_AH, "ah"},
};

const char *flow_proto_name(uint8_t proto, char buf[8])
{
	for (unsigned int i = 0; i < ARRAY_SIZE(protos); i++)
		if (protos[i].number == proto)
			return protos[i].name;
	snprintf(buf, 8, "%u", proto);
	return buf;
}

/* -1: no such. */
static int proto_from(const char *text)
{
	char *end;
	long n;

	for (unsigned int i = 0; i < ARRAY_SIZE(protos); i++)
		if (!strcmp(protos[i].name, text))
			return protos[i].number;
	n = strtol(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && n <= 255 ? (int)n : -1;
}

static bool is_mapped(const uint8_t ip[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(ip, mapped, sizeof(mapped));
}

const char *flow_ip_text(const uint8_t ip[16], char buf[46])
{
	bool v4 = is_mapped(ip);

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + 12 : ip, buf, 46);
	return buf;
}

/* ---- Filters -------------------------------------------------------------------------------- */

/* "10.0.0.4", "10.0.0.0/24", "fd00::/8". */
static bool prefix_from(struct flow_end *e, const char *text)
{
	size_t n = strcspn(text, "/");
	unsigned int max = 128;
	char ip[46], *end;
	long len;

	if (n >= sizeof(ip))
		return false;
	memcpy(ip, text, n);
	ip[n] = '\0';
	memset(e->addr, 0, sizeof(e->addr));
	if (inet_pton(AF_INET, ip, e->addr + 12) == 1) {
		e->addr[10] = e->addr[11] = 0xff;
		max = 32;
	} else if (inet_pton(AF_INET6, ip, e->addr) != 1) {
		return false;
	}
	e->len = 128;
	if (!text[n])
		return true;
	len = strtol(text + n + 1, &end, 10);
	if (*end || end == text + n + 1 || len < 0 || len > (long)max)
		return false;
	e->len = 128 - max + (unsigned int)len;
	return true;
}

static bool end_from(struct flow_end *e, const json_t *args, const char *name, char *why,
		     size_t why_size)
{
	const char *text = args_str(args, name, NULL);
	char port[24];

	snprintf(port, sizeof(port), "%s_port", name);
	*e = (struct flow_end){.port = (int)args_int(args, port, -1)};
	if (!text || prefix_from(e, text))
		return true;
	snprintf(why, why_size,
		 "argument '%s' must be an address or a prefix, as 10.0.0.4 or "
		 "10.0.0.0/24, not '%.60s'",
		 name, text);
	return false;
}

static int tristate(const json_t *args, const char *name)
{
	return json_object_get(args, name) ? args_bool(args, name, false) : -1;
}

bool flow_filter_from(struct flow_filter *f, const json_t *args, char *why, size_t why_size)
{
	const char *proto = args_str(args, "proto", NULL);

	*f = (struct flow_filter){.proto = proto ? proto_from(proto) : -1,
				  .state = args_str(args, "state", NULL),
				  .offloaded = tristate(args, "offloaded"),
				  .stale = tristate(args, "stale"),
				  .kept = tristate(args, "kept")};
	if (proto && f->proto < 0) {
		snprintf(why, why_size,
			 "argument 'proto' must be tcp, udp, icmp, icmpv6, esp, ah or a number up "
			 "to 255, not '%.40s'",
			 proto);
		return false;
	}
	return end_from(&f->local, args, "local", why, why_size) &&
	       end_from(&f->remote, args, "remote", why, why_size);
}

static bool end_is(const struct flow_end *e, const uint8_t addr[16], uint16_t port)
{
	unsigned int whole = e->len / 8, bits = e->len % 8;

	if (e->port >= 0 && e->port != port)
		return false;
	if (memcmp(e->addr, addr, whole) != 0)
		return false;
	return !bits || !((e->addr[whole] ^ addr[whole]) >> (8 - bits));
}

static bool is(int want, bool has)
{
	return want < 0 || want == has;
}

bool flow_filter_match(const struct flow_filter *f, const struct vsw_flow_info *i)
{
	return (f->proto < 0 || f->proto == i->proto) && is(f->offloaded, i->offloaded) &&
	       is(f->stale, i->stale) && is(f->kept, i->kept) &&
	       end_is(&f->local, i->local, i->lport) && end_is(&f->remote, i->remote, i->rport) &&
	       (!f->state || !strcmp(f->state, i->state));
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static json_t *count_json(const struct vsw_flow_info *i, enum policy_dir dir)
{
	return json_pack("{s:I, s:I}", "packets", (json_int_t)i->packets[dir], "bytes",
			 (json_int_t)i->bytes[dir]);
}

static json_t *rule_json(const struct vsw_flow_info *i)
{
	if (!*i->rule)
		return json_null();
	return json_pack("{s:s, s:s, s:s}", "layer", i->layer, "group", i->group, "rule", i->rule);
}

json_t *flow_json(const char *vnic, const struct vsw_flow_info *i)
{
	char local[46], remote[46], outside[46], proto[8];
	json_t *o =
		json_pack("{s:s, s:s, s:i, s:s, s:i, s:s, s:i, s:s, s:s, s:o, s:o}", "vnic", vnic,
			  "proto", flow_proto_name(i->proto, proto), "vlan", (int)i->vid, "local",
			  flow_ip_text(i->local, local), "local_port", (int)i->lport, "remote",
			  flow_ip_text(i->remote, remote), "remote_port", (int)i->rport, "origin",
			  policy_dir_name(i->origin), "state", i->state, "tx",
			  count_json(i, POLICY_OUT), "rx", count_json(i, POLICY_IN));

	json_object_update_new(o,
			       json_pack("{s:I, s:I, s:I, s:b, s:b, s:b, s:i, s:o}", "age_ms",
					 (json_int_t)i->age_ms, "idle_ms", (json_int_t)i->idle_ms,
					 "expires_ms", (json_int_t)i->expires_ms, "offloaded",
					 i->offloaded, "stale", i->stale, "kept", i->kept, "mark",
					 (int)i->mark, "allowed_by", rule_json(i)));
	json_object_set_new(o, "translated",
			    i->translated ? json_pack("{s:s, s:i}", "address",
						      flow_ip_text(i->outside, outside), "port",
						      (int)i->outside_port)
					  : json_null());
	return o;
}

json_t *flow_stats_json(const struct vsw_port *port)
{
	struct vsw_flow_stats s;

	if (!vsw_port_flow_stats(port, &s))
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "now",
			 (json_int_t)s.n, "max", (json_int_t)s.max, "made", (json_int_t)s.made,
			 "expired", (json_int_t)s.expired, "cut", (json_int_t)s.cut, "full",
			 (json_int_t)s.full, "full_share", (json_int_t)s.full_share, "tx_denied",
			 (json_int_t)s.denied[POLICY_OUT], "rx_denied",
			 (json_int_t)s.denied[POLICY_IN], "resimulated", (json_int_t)s.resimulated,
			 "kept", (json_int_t)s.kept);
}
