/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the in-process lab: start in order, stop in reverse. */
#include "tests/lib/lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "tests/lib/frame.h"

unsigned int lab_host(unsigned int dev, unsigned int vport)
{
	return dev * 16 + vport + 1;
}

static void on_event(void *arg, const struct mana_event *ev)
{
	struct lab_story *s = arg;
	unsigned int n = atomic_load(&s->n);

	if (n < LAB_MAX_STORY) {
		s->ev[n].type = ev->type;
		snprintf(s->ev[n].text, sizeof(s->ev[n].text), "%s", ev->text ? ev->text : "");
	}
	atomic_store(&s->n, n + 1);
	s->lab->events[ev->type]++;
}

static int add_device(struct lab *lab, unsigned int i)
{
	struct mana_conf mc = lab->conf.conf;
	char name[16];
	int rc;

	snprintf(name, sizeof(name), "%c/eth0", 'a' + (int)i);
	mc.name = name;
	mc.n_vports = mc.n_vports ? mc.n_vports : 1;
	if (mc.msix_mode == VFUSER_MSIX_AUTO)
		mc.msix_mode = VFUSER_MSIX_NATIVE;
	mc.event = on_event;
	lab->story[i].lab = lab;
	mc.event_arg = &lab->story[i];
	for (unsigned int v = 0; v < mc.n_vports; v++)
		frame_mac(mc.vports[v].mac, lab_host(i, v));
	lab->mana[i] = mana_new(lab->worker[i % lab->conf.n_workers], &mc);
	if (!lab->mana[i])
		return -errno;
	for (unsigned int v = 0; v < mc.n_vports; v++) {
		rc = vsw_port_attach(lab->net, mana_port(lab->mana[i], v));
		if (rc)
			return rc;
	}
	snprintf(lab->path[i], sizeof(lab->path[i]), "%s/vf%u", lab->dir, i);
	return mana_listen(lab->mana[i], lab->path[i]);
}

int lab_start(struct lab *lab, const struct lab_conf *conf)
{
	struct vsw_net_conf nc = {.name = "blue"};
	int rc = 0;

	memset(lab, 0, sizeof(*lab));
	if (conf)
		lab->conf = *conf;
	lab->conf.n_devs = lab->conf.n_devs ? lab->conf.n_devs : 2;
	lab->conf.n_workers = lab->conf.n_workers ? lab->conf.n_workers : 1;
	nc.mtu = lab->conf.net_mtu ? lab->conf.net_mtu : 9000;
	strcpy(lab->dir, "/tmp/hvlab-test-XXXXXX");
	if (!mkdtemp(lab->dir)) {
		lab->dir[0] = '\0';
		return -errno;
	}
	for (unsigned int i = 0; i < lab->conf.n_workers; i++) {
		char name[16];
		struct worker_conf wc = {.name = name, .spin_ns = lab->conf.spin_ns};

		snprintf(name, sizeof(name), "w%u", i);
		lab->worker[i] = worker_new(&wc);
		if (!lab->worker[i])
			return -errno;
	}
	lab->vsw = vsw_new();
	lab->net = lab->vsw ? vsw_net_add(lab->vsw, &nc) : NULL;
	if (!lab->net)
		return -errno;
	for (unsigned int i = 0; i < lab->conf.n_devs && !rc; i++)
		rc = add_device(lab, i);
	return rc;
}

void lab_stop(struct lab *lab)
{
	for (unsigned int i = 0; i < LAB_MAX_DEVS; i++) {
		unsigned int n = lab->conf.conf.n_vports ? lab->conf.conf.n_vports : 1;

		if (!lab->mana[i])
			continue;
		for (unsigned int v = 0; v < n; v++)
			if (mana_port(lab->mana[i], v)->net)
				vsw_port_detach(mana_port(lab->mana[i], v));
		mana_free(lab->mana[i]);
		lab->mana[i] = NULL;
	}
	if (lab->net)
		vsw_net_del(lab->net);
	if (lab->vsw)
		vsw_free(lab->vsw);
	for (unsigned int i = 0; i < LAB_MAX_WORKERS; i++) {
		worker_free(lab->worker[i]);
		lab->worker[i] = NULL;
	}
	if (lab->dir[0])
		rmdir(lab->dir);
	lab->net = NULL;
	lab->vsw = NULL;
	lab->dir[0] = '\0';
}

int lab_connect(struct lab *lab, unsigned int dev)
{
	return fd_unix_connect(lab->path[dev]);
}

struct mana_info *lab_info(struct lab *lab, unsigned int dev, struct mana_info *info)
{
	mana_get_info(lab->mana[dev], info);
	return info;
}
