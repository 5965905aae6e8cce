/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what the device says on its own: link state and service events, on the HWC's EQ. */
#include <errno.h>

#include "emulator/mana/mana_internal.h"

bool link_heard(const struct mana *m)
{
	return m->hwc.up && m->driver_caps[0] & GDMA_DRV_CAP_FLAG_1_HW_VPORT_LINK_AWARE;
}

/* Linux applies it to all vPorts of the function (mana_link_state_handle()). */
static void send_link(struct mana *m, bool up)
{
	uint32_t type = up ? HWC_DATA_HW_LINK_CONNECT : HWC_DATA_HW_LINK_DISCONNECT;

	/* Linux 6.12 warns about reconfiguration data it does not know. */
	if (!link_heard(m))
		return;
	if (eq_post_raise(m, m->hwc.eq, GDMA_EQE_HWC_SOC_RECONFIG_DATA,
			  type << HWC_INIT_TYPE_SHIFT))
		log_warn_rl("%s: link event found the HWC's event queue full", m->name);
}

void link_send_state(struct mana *m)
{
	for (uint32_t i = 0; i < m->n_vports; i++) {
		if (!atomic_load(&m->vport[i].port.link)) {
			send_link(m, false);
			return;
		}
	}
}

struct link_call {
	struct mana *m;
	unsigned int vport;
	bool up;
	int rc;
};

static void do_link_set(void *arg)
{
	struct link_call *c = arg;
	struct mana_vport *vp = &c->m->vport[c->vport];

	if (atomic_exchange(&vp->port.link, c->up) == c->up)
		return;
	send_link(c->m, c->up);
	vsw_port_wake(&vp->port);
}

int mana_link_set(struct mana *m, unsigned int vport, bool up)
{
	struct link_call c = {.m = m, .vport = vport, .up = up};

	if (vport >= m->n_vports)
		return -EINVAL;
	worker_call(m->worker, do_link_set, &c);
	return 0;
}

struct service_call {
	struct mana *m;
	unsigned int type;
	int rc;
};

static void do_service(void *arg)
{
	struct service_call *c = arg;

	c->rc = c->m->hwc.up ? eq_post_raise(c->m, c->m->hwc.eq, c->type, 0) : -ENOTCONN;
}

int mana_service_event(struct mana *m, unsigned int eqe_type)
{
	struct service_call c = {.m = m, .type = eqe_type};

	if (eqe_type != GDMA_EQE_HWC_FPGA_RECONFIG && eqe_type != GDMA_EQE_HWC_RESET_REQUEST)
		return -EINVAL;
	worker_call(m->worker, do_service, &c);
	return c.rc;
}

static void do_silence(void *arg)
{
	struct link_call *c = arg;

	c->m->stats_silent = c->up;
}

int mana_stats_silence(struct mana *m, bool silent)
{
	struct link_call c = {.m = m, .up = silent};

	worker_call(m->worker, do_silence, &c);
	return 0;
}
