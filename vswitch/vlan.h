/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VLANs of a port: which one a packet belongs to, which ports may have it, how it is tagged there.
 *
 * Inside the switch a packet has one VLAN id, whether there is a tag in it or not: 0 is "untagged".
 *A port says what becomes of what its guest sends (ingress) and of what the guest gets (egress):
 *
 *	mode		guest sends		belongs to	guest gets, all untagged but as said
 *	none		anything		its tag's	everything, tagged unless 0
 *	untagged	untagged		0		0
 *	access		untagged		vid		vid
 *	trunk		untagged		vid (native)	vid untagged; the allowed ones
 *tagged an allowed tag		its tag's isolated	untagged		secondary	vid
 *(primary) community	untagged		secondary	vid (primary) and secondary
 *	promiscuous	untagged		vid (primary)	vid (primary) and the allowed
 *secondaries
 *
 * The last three are a private VLAN: guests behind isolated ports reach promiscuous ports only,
 *those behind community ports each other too. A promiscuous port reaches only secondaries that it
 *allows. Between switches (a trunk) a private VLAN travels as its secondary id one way and as its
 *primary the other.
 *
 * A priority tag (VLAN id 0) counts as untagged and may stay. Untagged ports refuse a second tag
 * behind one: it would come to light where the outer one is taken off.
 */
#ifndef HVLAB_VSWITCH_VLAN_H
#define HVLAB_VSWITCH_VLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "vswitch/packet.h"

struct vsw_xpose;

#define VLAN_MAX 4094

enum vlan_mode {
	VLAN_NONE,
	VLAN_UNTAGGED,
	VLAN_ACCESS,
	VLAN_TRUNK,
	VLAN_ISOLATED,
	VLAN_COMMUNITY,
	VLAN_PROMISCUOUS,
	VLAN_N_MODES
};
const char *vlan_mode_name(enum vlan_mode mode);

/**
 * struct vlan_conf - A port's VLANs
 * @vid:	access: its VLAN; trunk: the native one, 0 when untagged is untagged; private: the
 *		primary
 * @secondary:	isolated and community
 * @allowed:	trunk, promiscuous: bit per VLAN id
 */
struct vlan_conf {
	enum vlan_mode mode;
	uint16_t vid, secondary;
	uint64_t allowed[4096 / 64];
};

static inline bool vlan_allows(const struct vlan_conf *v, uint32_t vid)
{
	return v->allowed[vid / 64 % 64] >> (vid % 64) & 1;
}

static inline void vlan_allow(struct vlan_conf *v, uint32_t vid)
{
	v->allowed[vid / 64 % 64] |= 1ull << (vid % 64);
}

/* Ids in range, lists not empty, a secondary that is not the primary. */
bool vlan_conf_ok(const struct vlan_conf *v);

/**
 * vlan_ingress() - The VLAN of a packet that a port's guest sends
 * @v:		of its port
 * @vid:	Out: its VLAN id
 * @fdb:	Out: the VLAN id under which addresses are known: all of a private VLAN have one
 *
 * Return: VSW_DROP_NONE, or VSW_DROP_VLAN: the port may not send with that tag
 */
enum vsw_drop vlan_ingress(const struct vlan_conf *v, const struct pkt *pkt, uint16_t *vid,
			   uint16_t *fdb);
/* May a port with @to have a packet of @vid that came from a port with @from? NULL: mode none. */
bool vlan_may(const struct vlan_conf *from, const struct vlan_conf *to, uint16_t vid);
/* How @pkt of @vid has to change for a port with @to, added to @x. False: it can stay as it is. */
bool vlan_egress(const struct vlan_conf *to, uint16_t vid, const struct pkt *pkt,
		 struct vsw_xpose *x);

#endif
