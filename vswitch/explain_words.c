/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns how a change of headers reads. */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "vswitch/explain.h"

struct words {
	char *buf;
	size_t size, len;
};

static void add(struct words *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(struct words *w, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (w->len + 1 >= w->size)
		return;
	va_start(ap, fmt);
	n = vsnprintf(w->buf + w->len, w->size - w->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		w->len = MIN(w->len + (size_t)n, w->size - 1);
}

static const char *between(const struct words *w)
{
	return w->len ? ", " : "";
}

static bool ip_text(const uint8_t ip[16], char text[INET6_ADDRSTRLEN])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool v4 = !memcmp(ip, mapped, sizeof(mapped));

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + 12 : ip, text, INET6_ADDRSTRLEN);
	return v4;
}

static void say_mac(struct words *w, const char *which, const uint8_t m[6])
{
	add(w, "%s%s MAC becomes %02x:%02x:%02x:%02x:%02x:%02x", between(w), which, m[0], m[1],
	    m[2], m[3], m[4], m[5]);
}

/* @ip NULL: the port alone; @port NULL: the address alone. */
static void say_end(struct words *w, const char *which, const uint8_t *ip, const uint16_t *port)
{
	char text[INET6_ADDRSTRLEN];
	bool v4;

	if (!ip) {
		add(w, "%s%s port becomes %u", between(w), which, *port);
		return;
	}
	v4 = ip_text(ip, text);
	if (!port)
		add(w, "%s%s becomes %s", between(w), which, text);
	else
		add(w, v4 ? "%s%s becomes %s:%u" : "%s%s becomes [%s]:%u", between(w), which, text,
		    *port);
}

static void say_vlan(struct words *w, const struct xpose_vlan *v)
{
	if (v->pop)
		add(w, "%s%u VLAN tag%s off", between(w), v->pop, v->pop > 1 ? "s" : "");
	if (v->set)
		add(w, "%sVLAN becomes %u", between(w), v->vid);
	for (unsigned int i = 0; i < v->push; i++)
		add(w, "%stag of VLAN %u on", between(w), v->tci[i] & 0xfff);
}

const char *vsw_xpose_words(const struct vsw_xpose *x, char *buf, size_t size)
{
	struct words w = {.buf = buf, .size = size};
	char text[INET6_ADDRSTRLEN];
	uint32_t f = x->flags;

	if (size)
		buf[0] = '\0';
	if (f & XPOSE_ETH_SRC)
		say_mac(&w, "source", x->eth_src);
	if (f & XPOSE_ETH_DST)
		say_mac(&w, "destination", x->eth_dst);
	if (f & (XPOSE_IP_SRC | XPOSE_L4_SRC))
		say_end(&w, "source", f & XPOSE_IP_SRC ? x->ip_src : NULL,
			f & XPOSE_L4_SRC ? &x->l4_src : NULL);
	if (f & (XPOSE_IP_DST | XPOSE_L4_DST))
		say_end(&w, "destination", f & XPOSE_IP_DST ? x->ip_dst : NULL,
			f & XPOSE_L4_DST ? &x->l4_dst : NULL);
	if (f & XPOSE_TTL)
		add(&w, "%sTTL less %u", between(&w), x->ttl_dec);
	if (f & XPOSE_DSCP)
		add(&w, "%sDSCP becomes %u", between(&w), x->dscp);
	if (f & XPOSE_VLAN)
		say_vlan(&w, &x->vlan);
	if (f & XPOSE_TUN_SET) {
		ip_text(x->tun.remote, text);
		add(&w, "%sinto a tunnel to %s, VNI %u", between(&w), text, x->tun.vni);
	}
	if (f & XPOSE_TUN_CLEAR)
		add(&w, "%sout of its tunnel", between(&w));
	return buf;
}
