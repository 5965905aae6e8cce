/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns which captures of the lab are under way, and telling that one has ended. */
#include "host/run_capture.h"

#include <errno.h>
#include <unistd.h>

#include "host/run_internal.h"

#define BIT(path) (1u << (path))

/* NULL: the vNIC has no such path. */
static struct vsw_port *port_of(const struct run_nic *rn, enum plug_path path)
{
	struct mana *mana = vnic_mana(rn->vnic);
	struct vhost *vhost = vnic_vhost(rn->vnic);

	if (path == PLUG_VF)
		return mana ? mana_port(mana, 0) : NULL;
	if (path == PLUG_SYNTHETIC)
		return vhost ? vhost_port(vhost) : NULL;
	return vnic_port(rn->vnic);
}

int run_capture_start(struct run_nic *rn, enum plug_path path, int fd, uint32_t snaplen)
{
	struct vsw_port *port = port_of(rn, path);
	int rc;

	if (!port) {
		close(fd);
		return -ENODEV;
	}
	rc = vsw_capture_start(port, fd, snaplen);
	if (!rc)
		rn->capturing |= BIT(path);
	return rc;
}

static void ended(struct run_nic *rn, enum plug_path path)
{
	json_t *data = json_pack("{s:s}", "vnic", vnic_id(rn->vnic));

	rn->capturing &= ~BIT(path);
	if (path != CAPTURE_ALL)
		json_object_set_new(data, "path",
				    json_string(path == PLUG_VF ? "vf" : "synthetic"));
	control_event(rn->rv->run->d->control, "CAPTURE_STOPPED", data);
}

int run_capture_stop(struct run_nic *rn, enum plug_path path)
{
	if (!run_capturing(rn, path))
		return -ENOENT;
	vsw_capture_stop(port_of(rn, path));
	ended(rn, path);
	return 0;
}

bool run_capturing(const struct run_nic *rn, enum plug_path path)
{
	return rn->capturing & BIT(path);
}

void run_capture_reap(struct run_nic *rn)
{
	for (enum plug_path path = 0; rn->capturing && path <= CAPTURE_ALL; path++)
		if (run_capturing(rn, path) && !vsw_capture_active(port_of(rn, path)))
			run_capture_stop(rn, path);
}

void run_capture_end(struct run_nic *rn)
{
	for (enum plug_path path = 0; path <= CAPTURE_ALL; path++)
		if (run_capturing(rn, path))
			ended(rn, path);
}
