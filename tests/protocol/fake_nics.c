/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the fake QEMU's NICs. One thread; the drivers wait for the daemon, never for QMP. */
#include "fake_nics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "tests/driver/mana_drv.h"
#include "tests/vhost/vu_client.h"

#define MAX_NICS 16
#define SLOW_MS	 300
#define DEAD_MS	 500 /* without an answer from the device */

/* A device, "vf3" or "syn3". */
struct dev {
	char id[16];
	bool is_vf, there, open, driven, kept;
	char path[128];
	uint64_t gone_at; /* slow removal: when; 0: not under way */
	struct drv drv;
	struct drv_vport vport;
	struct vu vu;
};

static struct dev vfs[MAX_NICS], syns[MAX_NICS];
static struct {
	char name[16], path[128];
} chardevs[MAX_NICS];
static fake_say_fn say;
static bool booted;
static enum { DEL_GOOD, DEL_REFUSE, DEL_KEEP, DEL_SLOW } del_mode;
static enum { ADD_GOOD, ADD_REFUSE, ADD_SILENT } add_mode;
static enum { MIG_GOOD, MIG_FAIL, MIG_HANG, MIG_LATE } mig_mode;
static bool incoming, arrived, migrating, paused;
static int incoming_fd = -1;
static bool no_drive;
static struct dev *to_delete; /* after the answer */
static struct dev *to_drive;
static json_t *to_migrate;
static bool to_cancel, to_arrive, to_replug;

static void event(const char *name, const char *key, const char *value)
{
	char line[256];

	snprintf(line, sizeof(line),
		 "{\"event\": \"%s\", \"data\": {\"%s\": \"%s\", \"path\": \"/machine/%s\"}, "
		 "\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}\r\n",
		 name, key, value, value);
	say(line);
}

static void remember_chardev(const char *name, const char *path)
{
	for (unsigned int i = 0; i < MAX_NICS; i++) {
		if (*chardevs[i].name && strcmp(chardevs[i].name, name))
			continue;
		snprintf(chardevs[i].name, sizeof(chardevs[i].name), "%s", name);
		snprintf(chardevs[i].path, sizeof(chardevs[i].path), "%s", path);
		return;
	}
}

static struct dev *find(const char *id)
{
	unsigned int n;

	if (sscanf(id, "vf%u", &n) == 1 && n < MAX_NICS)
		return &vfs[n];
	if (sscanf(id, "syn%u", &n) == 1 && n < MAX_NICS)
		return &syns[n];
	return NULL;
}

/* ---- the guest's drivers ---- */

static void fail(const struct dev *d, const char *what, int rc)
{
	fprintf(stderr, "fake: %s: %s: %s\n", d->id, what, strerror(-rc));
}

/* QEMU realizes the device: the connection, and for a VF the bus. */
static void plug(struct dev *d)
{
	const struct drv_conf conf = {.masquerade = true, .mem_size = 8u << 20};
	int sock, rc = 0;

	if (d->open)
		return;
	sock = fd_unix_connect(d->path);
	if (sock < 0)
		rc = sock;
	else if (d->is_vf)
		rc = drv_open(&d->drv, sock, &conf);
	else
		rc = vu_up(
			&d->vu, sock,
			&(struct vu_conf){.mem_size = 8u << 20, .ring_size = 64, .tx_slot = 4096});
	if (rc)
		fail(d, "connecting", rc);
	d->open = !rc;
	if (!d->is_vf && d->open) {
		d->driven = true;
		event("FAILOVER_NEGOTIATED", "device-id", d->id);
	}
}

static void drive(struct dev *d)
{
	const struct drv_vport_conf conf = {.rx_bufs = 16};
	int rc;

	if (!d->is_vf || !d->open || d->driven)
		return;
	rc = drv_bring_up(&d->drv);
	if (!rc)
		rc = drv_vport_up(&d->drv, &d->vport, 0, &conf);
	if (rc)
		fail(d, "driving", rc);
	d->driven = !rc;
	d->drv.hwc_timeout_ms = DEAD_MS;
}

static void undrive(struct dev *d)
{
	int rc;

	if (!d->is_vf || !d->driven)
		return;
	rc = drv_vport_down(&d->vport);
	if (rc)
		fail(d, "receive off", rc);
	d->driven = false;
}

/* Does the device still answer, or was its connection cut? */
static bool answers(struct dev *d)
{
	uint32_t word;

	return !drv_rd(&d->drv, 0, &word, sizeof(word));
}

/* The guest lets it go, QEMU finalizes it. */
static void go_away(struct dev *d)
{
	if (d->open && d->is_vf) {
		if (d->driven && answers(d)) {
			undrive(d);
			if (drv_deregister(&d->drv))
				fail(d, "deregister", -1);
			drv_hwc_down(&d->drv);
		}
		drv_hwc_forget(&d->drv);
		drv_vport_forget(&d->vport);
		drv_close(&d->drv);
	} else if (d->open) {
		vu_close(&d->vu);
	}
	d->open = d->driven = d->there = d->kept = false;
	d->gone_at = 0;
	event("DEVICE_DELETED", "device", d->id);
}

/* ---- QEMU ---- */

static bool is_nic(const json_t *dev)
{
	const char *driver = json_string_value(json_object_get(dev, "driver"));

	return driver && (!strcmp(driver, "vfio-user-pci") || !strcmp(driver, "virtio-net-pci"));
}

static struct dev *add(const json_t *args, const char **error)
{
	const char *id = json_string_value(json_object_get(args, "id")), *path = NULL;
	struct dev *d = id ? find(id) : NULL;

	if (!d || d->there) {
		*error = "Duplicate device ID";
		return NULL;
	}
	snprintf(d->id, sizeof(d->id), "%s", id);
	d->is_vf = !strncmp(id, "vf", 2);
	if (d->is_vf) {
		path = json_string_value(json_object_get(json_object_get(args, "socket"), "path"));
	} else {
		char chardev[16];

		snprintf(chardev, sizeof(chardev), "cs%s", id + 3);
		for (unsigned int i = 0; i < MAX_NICS; i++)
			if (!strcmp(chardevs[i].name, chardev))
				path = chardevs[i].path;
	}
	if (!path) {
		*error = "no socket to connect to";
		return NULL;
	}
	snprintf(d->path, sizeof(d->path), "%s", path);
	d->there = true;
	return d;
}

void nics_init(int argc, char **argv, fake_say_fn fn)
{
	const char *error = NULL;

	say = fn;
	for (int i = 1; i < argc - 1; i++) {
		incoming = incoming || !strcmp(argv[i], "-incoming");
	}
	for (int i = 1; i < argc - 1; i++) {
		char name[16], path[128];
		json_t *dev;

		if (!strcmp(argv[i], "-chardev") &&
		    sscanf(argv[i + 1], "socket,id=%15[a-z0-9],path=%127[^,]", name, path) == 2)
			remember_chardev(name, path);
		if (strcmp(argv[i], "-device") || argv[i + 1][0] != '{')
			continue;
		dev = json_loads(argv[i + 1], 0, NULL);
		if (dev && is_nic(dev) && !add(dev, &error))
			fprintf(stderr, "fake: %s: %s\n", argv[i + 1], error);
		json_decref(dev);
	}
}

void nics_boot(void)
{
	booted = true;
	for (unsigned int i = 0; i < MAX_NICS; i++)
		if (syns[i].there)
			plug(&syns[i]);
	for (unsigned int i = 0; i < MAX_NICS; i++) {
		if (!vfs[i].there)
			continue;
		plug(&vfs[i]);
		if (!no_drive)
			drive(&vfs[i]);
	}
}

/* ---- migration: the sides meet at a socket, and nothing is sent ---- */

bool nics_incoming(void)
{
	return incoming;
}

static void status(const char *word)
{
	char line[128];

	snprintf(line, sizeof(line),
		 "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"%s\"}}\r\n", word);
	say(line);
}

static struct sockaddr_un address(const json_t *args)
{
	const char *uri = json_string_value(json_object_get(args, "uri"));
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", uri + strlen("unix:"));
	return sa;
}

static void migrate_incoming(const json_t *args)
{
	struct sockaddr_un sa = address(args);

	unlink(sa.sun_path);
	incoming_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(incoming_fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(incoming_fd, 1))
		fprintf(stderr, "fake: %s: %s\n", sa.sun_path, strerror(errno));
}

/* The guest lets its paired VFs go; their connections stay. */
static void failover_unplug(void)
{
	for (unsigned int i = 0; i < MAX_NICS; i++) {
		if (!vfs[i].there || !vfs[i].driven || !syns[i].there)
			continue;
		event("UNPLUG_PRIMARY", "device-id", vfs[i].id);
		status("wait-unplug");
		undrive(&vfs[i]);
		drv_deregister(&vfs[i].drv);
		drv_hwc_down(&vfs[i].drv);
	}
}

static void failover_replug(void)
{
	for (unsigned int i = 0; i < MAX_NICS; i++)
		if (vfs[i].there && vfs[i].open && !vfs[i].driven)
			drive(&vfs[i]);
}

static void migrate(const json_t *args)
{
	struct sockaddr_un sa = address(args);
	int fd;

	status("setup");
	failover_unplug();
	status("active");
	if (mig_mode == MIG_HANG || mig_mode == MIG_LATE) {
		migrating = true;
		return;
	}
	fd = mig_mode == MIG_GOOD ? fd_unix_connect(sa.sun_path) : -1;
	if (fd < 0) {
		status("failed");
		failover_replug();
		return;
	}
	status("completed");
}

bool nics_qmp(const char *command, const json_t *args, const char **error)
{
	const char *id = json_string_value(json_object_get(args, "id"));
	const json_t *backend;
	struct dev *d;

	if (!strcmp(command, "chardev-add")) {
		backend = json_object_get(json_object_get(args, "backend"), "data");
		remember_chardev(id ? id : "",
				 json_string_value(json_object_get(
					 json_object_get(json_object_get(backend, "addr"), "data"),
					 "path")));
		return true;
	}
	if (!strcmp(command, "migrate-incoming")) {
		migrate_incoming(args);
		return true;
	}
	if (!strcmp(command, "migrate")) {
		to_migrate = json_incref((json_t *)args);
		return true;
	}
	if (!strcmp(command, "migrate_cancel")) {
		to_cancel = migrating;
		return true;
	}
	if (!strcmp(command, "cont") && paused) {
		paused = false;
		to_replug = true;
		return true;
	}
	if (!strcmp(command, "cont") && arrived) {
		incoming = arrived = false;
		to_arrive = true;
		return true;
	}
	if (!strcmp(command, "device_add") && is_nic(args)) {
		if (migrating)
			*error = "device_add not allowed while migrating";
		else if (add_mode == ADD_REFUSE)
			*error = "Bus 'rv9' not found";
		else if ((d = add(args, error))) {
			plug(d);
			to_drive = d;
		}
		return true;
	}
	if (!strcmp(command, "device_del")) {
		d = id ? find(id) : NULL;
		if (!d || !d->there)
			*error = "Device not found";
		else if (del_mode == DEL_REFUSE)
			*error = "device_del not allowed while migrating";
		else
			to_delete = d;
		return true;
	}
	return false;
}

bool nics_silent(const char *command)
{
	return add_mode == ADD_SILENT && !strcmp(command, "device_add");
}

void nics_after(void)
{
	struct dev *gone = to_delete, *come = to_drive;

	to_delete = to_drive = NULL;
	if (to_migrate)
		migrate(to_migrate);
	json_decref(to_migrate);
	to_migrate = NULL;
	if (to_cancel) {
		to_cancel = migrating = false;
		paused = mig_mode == MIG_LATE; /* all was sent when the wish came */
		status(paused ? "completed" : "cancelled");
		if (!paused)
			failover_replug();
	}
	if (to_replug)
		failover_replug();
	to_replug = false;
	if (to_arrive) {
		to_arrive = false;
		nics_boot();
		say("{\"event\": \"VSERPORT_CHANGE\", \"data\": {\"open\": true, "
		    "\"id\": \"agent0\"}}\r\n");
	}
	if (gone && del_mode == DEL_GOOD)
		go_away(gone);
	else if (gone && del_mode == DEL_KEEP)
		gone->kept = true;
	else if (gone && !gone->gone_at)
		gone->gone_at = now_ns() + SLOW_MS * NSEC_PER_MSEC;
	if (come && booted && !no_drive)
		drive(come);
}

int nics_timeout(void)
{
	uint64_t soonest = 0, now = now_ns();

	if (incoming_fd >= 0)
		return 5;
	for (unsigned int i = 0; i < MAX_NICS; i++) {
		const uint64_t at[] = {vfs[i].gone_at, syns[i].gone_at};

		for (unsigned int k = 0; k < ARRAY_SIZE(at); k++)
			if (at[k] && (!soonest || at[k] < soonest))
				soonest = at[k];
	}
	if (!soonest)
		return -1;
	return soonest <= now ? 0 : (int)((soonest - now) / NSEC_PER_MSEC) + 1;
}

void nics_due(void)
{
	uint64_t now = now_ns();

	if (incoming_fd >= 0 && accept(incoming_fd, NULL, NULL) >= 0) {
		close(incoming_fd);
		incoming_fd = -1;
		arrived = true;
		status("completed");
	}
	for (unsigned int i = 0; i < MAX_NICS; i++) {
		if (vfs[i].gone_at && vfs[i].gone_at <= now)
			go_away(&vfs[i]);
		if (syns[i].gone_at && syns[i].gone_at <= now)
			go_away(&syns[i]);
	}
}

static void let_go_of_kept(void)
{
	for (unsigned int i = 0; i < MAX_NICS; i++) {
		if (vfs[i].kept)
			go_away(&vfs[i]);
		if (syns[i].kept)
			go_away(&syns[i]);
	}
}

/* "0:00155d...": the guest sends that frame on the synthetic path of that slot. */
static bool send_frame(const char *arg)
{
	const char *hex = arg ? strchr(arg, ':') : NULL;
	struct dev *d = &syns[arg ? (unsigned int)atoi(arg) % MAX_NICS : 0];
	uint8_t frame[2048];
	uint32_t len = 0;
	int rc;

	if (!hex || !d->open)
		return false;
	for (hex++; hex[0] && hex[1] && len < sizeof(frame); hex += 2)
		if (sscanf(hex, "%2hhx", &frame[len++]) != 1)
			return false;
	vu_tx_reap(vu_txq(&d->vu, 0));
	rc = vu_tx(vu_txq(&d->vu, 0), frame, len, &(struct vu_tx){0});
	if (rc)
		fail(d, "sending", rc);
	return !rc;
}

bool nics_behave(const char *word, const char *arg)
{
	unsigned int n = arg ? (unsigned int)atoi(arg) % MAX_NICS : 0;

	if (!strcmp(word, "add-refuse")) {
		add_mode = ADD_REFUSE;
	} else if (!strcmp(word, "add-silent")) {
		add_mode = ADD_SILENT;
	} else if (!strcmp(word, "del-refuse")) {
		del_mode = DEL_REFUSE;
	} else if (!strcmp(word, "del-keep")) {
		del_mode = DEL_KEEP;
	} else if (!strcmp(word, "del-slow")) {
		del_mode = DEL_SLOW;
	} else if (!strcmp(word, "no-drive")) {
		no_drive = true;
	} else if (!strcmp(word, "mig-fail")) {
		mig_mode = MIG_FAIL;
	} else if (!strcmp(word, "mig-hang")) {
		mig_mode = MIG_HANG;
	} else if (!strcmp(word, "mig-late")) {
		mig_mode = MIG_LATE;
	} else if (!strcmp(word, "good")) {
		mig_mode = MIG_GOOD;
		add_mode = ADD_GOOD;
		del_mode = DEL_GOOD;
		no_drive = false;
		let_go_of_kept();
	} else if (!strcmp(word, "down")) {
		undrive(&vfs[n]);
	} else if (!strcmp(word, "up")) {
		drive(&vfs[n]);
	} else if (!strcmp(word, "send")) {
		return send_frame(arg);
	} else if (!strcmp(word, "eject")) {
		go_away(&vfs[n]);
	} else if (!strcmp(word, "refused")) {
		event("DEVICE_UNPLUG_GUEST_ERROR", "device", vfs[n].id);
	} else {
		return false;
	}
	return true;
}
