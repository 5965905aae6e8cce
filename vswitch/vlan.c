/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what VLAN settings of ports mean: which packets may go where, and with what tag. */
#include "vswitch/vlan.h"

#include <assert.h>

#include "base/util.h"
#include "base/wire.h"
#include "vswitch/xpose.h"

#define TYPE_VLAN   0x8100
#define TYPE_8021AD 0x88a8
#define VID_MASK    0x0fff

static const char *const names[] = {
	[VLAN_NONE] = "none",
	[VLAN_UNTAGGED] = "untagged",
	[VLAN_ACCESS] = "access",
	[VLAN_TRUNK] = "trunk",
	[VLAN_ISOLATED] = "isolated",
	[VLAN_COMMUNITY] = "community",
	[VLAN_PROMISCUOUS] = "promiscuous",
};
static_assert(ARRAY_SIZE(names) == VLAN_N_MODES, "a name for each mode");

const char *vlan_mode_name(enum vlan_mode mode)
{
	return names[mode];
}

static bool id_ok(uint16_t vid)
{
	return vid && vid <= VLAN_MAX;
}

/* At least one, and none that is reserved or @not. */
static bool list_ok(const struct vlan_conf *v, uint16_t not )
{
	bool any = false;

	for (uint32_t vid = 0; vid < 4096; vid++) {
		if (!vlan_allows(v, vid))
			continue;
		if (!id_ok((uint16_t)vid) || vid == not )
			return false;
		any = true;
	}
	return any;
}

bool vlan_conf_ok(const struct vlan_conf *v)
{
	switch (v->mode) {
	case VLAN_NONE:
	case VLAN_UNTAGGED:
		return true;
	case VLAN_ACCESS:
		return id_ok(v->vid);
	case VLAN_TRUNK:
		return v->vid <= VLAN_MAX && list_ok(v, 0);
	case VLAN_ISOLATED:
	case VLAN_COMMUNITY:
		return id_ok(v->vid) && id_ok(v->secondary) && v->vid != v->secondary;
	case VLAN_PROMISCUOUS:
		return id_ok(v->vid) && list_ok(v, v->vid);
	case VLAN_N_MODES:
		break;
	}
	return false;
}

/* --- tags of a packet --- */

static bool is_tag(uint16_t type)
{
	return type == TYPE_VLAN || type == TYPE_8021AD;
}

/* The outermost tag's id; 0: none, or a priority tag. *@stacked: there is another one below. */
static uint16_t tag_of(const struct pkt *pkt, bool *stacked)
{
	uint16_t type = be16_load(pkt->hdr + 12);

	if (pkt->flags & PKT_VLAN) {
		*stacked = is_tag(type);
		return pkt->vlan_tci & VID_MASK;
	}
	if (!is_tag(type) || pkt->hdr_len < 18) {
		*stacked = false;
		return 0;
	}
	*stacked = is_tag(be16_load(pkt->hdr + 16));
	return be16_load(pkt->hdr + 14) & VID_MASK;
}

/* --- ways in and out --- */

enum vsw_drop vlan_ingress(const struct vlan_conf *v, const struct pkt *pkt, uint16_t *vid,
			   uint16_t *fdb)
{
	bool stacked;
	uint16_t tag = tag_of(pkt, &stacked);

	*vid = *fdb = tag;
	if (v->mode == VLAN_NONE)
		return VSW_DROP_NONE;
	if (tag) {
		/* The native VLAN's own tag is as good as none. */
		return v->mode == VLAN_TRUNK && (vlan_allows(v, tag) || tag == v->vid)
			       ? VSW_DROP_NONE
			       : VSW_DROP_VLAN;
	}
	if (stacked)
		return VSW_DROP_VLAN;
	*vid = *fdb = v->mode == VLAN_UNTAGGED ? 0 : v->vid;
	if (v->mode == VLAN_ISOLATED || v->mode == VLAN_COMMUNITY)
		*vid = v->secondary;
	return VSW_DROP_NONE;
}

bool vlan_may(const struct vlan_conf *from, const struct vlan_conf *to, uint16_t vid)
{
	if (!to)
		return true;
	switch (to->mode) {
	case VLAN_NONE:
		return true;
	case VLAN_UNTAGGED:
		return !vid;
	case VLAN_ACCESS:
		return vid == to->vid;
	case VLAN_TRUNK:
		return vid == to->vid || vlan_allows(to, vid);
	case VLAN_ISOLATED:
	case VLAN_COMMUNITY:
		if (vid == to->vid)
			return !from || from->mode != VLAN_PROMISCUOUS ||
			       vlan_allows(from, to->secondary);
		return to->mode == VLAN_COMMUNITY && vid == to->secondary &&
		       !(from && from->mode == VLAN_ISOLATED);
	case VLAN_PROMISCUOUS:
		return vid == to->vid || vlan_allows(to, vid);
	case VLAN_N_MODES:
		break;
	}
	return false;
}

/* True: with a tag. A native packet keeps one over another, which would else be taken for its own.
 */
static bool wants_tag(const struct vlan_conf *to, uint16_t vid, bool stacked)
{
	if (!vid)
		return false;
	if (!to || to->mode == VLAN_NONE)
		return true;
	return to->mode == VLAN_TRUNK && (vid != to->vid || stacked);
}

bool vlan_egress(const struct vlan_conf *to, uint16_t vid, const struct pkt *pkt,
		 struct vsw_xpose *x)
{
	bool stacked;
	uint16_t tag = tag_of(pkt, &stacked);

	if (wants_tag(to, vid, stacked)) {
		if (tag == vid)
			return false;
		xpose_vlan_set(x, vid);
		return true;
	}
	if (!tag)
		return false;
	xpose_vlan_pop(x);
	return true;
}
