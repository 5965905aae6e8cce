/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the QMP conversations that plug and unplug the devices of NICs.
 *
 * Theory. A path of a slot is a stack of objects in QEMU: chardev, netdev, device for the synthetic
 * path, a device alone for the VF. Adding goes up the stack one command at a time; undoing and
 * removing go down. Going up stops at the first command that fails, and goes down from there; a
 * command that was not answered in time may still be carried out by QEMU, in order, so its object
 * is taken away as well. Going down, only the device needs patience: device_del asks the guest, and
 * DEVICE_DELETED says that it let go. What is below goes without asking, and "not found" there is
 * as good as gone.
 *
 * Patience. This file alone repeats device_del, and it does so only while the guest may not have
 * heard of it, since a guest keeps every request it has heard: with ACPI each one is one more eject
 * in a queue that is worked off one by one, and the ones that wait while a driver needs minutes to
 * let a dead device go then eject whatever is in the slot by that time, the VF that was restored.
 * What can be known:
 * - "OK" means that QEMU has raised the event, no more. It stays raised until the guest's system
 *   takes it; a guest that is paused, or does not listen at the moment, finds it later. But a
 *   kernel that starts throws away what it finds (Linux clears ACPI's status bits).
 * - "already in the process of unplug" means an "OK" within the last five seconds; after that QEMU
 *   takes the next request (both kinds of hot plug; pending_deleted_expires_ms). "Guest is busy"
 *   is native hot plug's slot whose lamp blinks, during the guest's five seconds and its removal.
 *   Neither reaches the guest, neither is a failure.
 * - QEMU itself ejects, at a reset of the machine, what it was asked for (ACPI).
 * So a request counts as heard when QEMU said "OK" to it while the guest's system was up, which
 * plug_on_guest() says; then it is not repeated. Else it is repeated, after 1, 2, 4 ... 64 s each
 * time QEMU takes it, each second while it does not, and at once when the guest has come up. When
 * the guest goes down (reset, panic) nothing has been heard.
 *
 * Answers carry the number of the conversation they belong to. After QEMU's end, or once another
 * conversation has begun, a late answer is dropped.
 *
 * A VF that is held back until failover is negotiated is "not found" by device_del, and QEMU keeps
 * what device_add said for the day the guest negotiates. Whoever takes such a VF away must keep its
 * socket from being connected (host/vnic.c does); QEMU then fails to make it and forgets it.
 */
#define LOG_TAG "plug"
#include "host/plug.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"

/*
 * ms. device_add of a VF opens its socket and exchanges messages, each bounded by x-msg-timeout and
 * VERSION by 5 s; every other command waits behind it.
 */
#define REPLY_MS     15000
#define RETRY_MS     1000
#define RETRY_MAX_MS 64000

/* How far up the stack. */
enum { AT_NOTHING, AT_CHARDEV, AT_NETDEV, AT_DEVICE };

struct dev {
	struct plug *plug;
	unsigned int slot;
	enum plug_path path;
	enum plug_state state;
	unsigned int number; /* of the conversation */
	int at;		     /* the object that the last command made or takes away */
	struct vm_nic_conf nic;
	plug_done_fn done;
	void *arg;
	int rc; /* adding: why it is being undone */
	char why[200];
	bool heard;	   /* the guest needs no further request */
	bool doubt;	   /* a request was not answered: QEMU may have taken it */
	unsigned int wait; /* ms after the next request that QEMU takes */
	struct event *retry, *deadline;
};

struct plug {
	struct event_base *base;
	const struct plug_ops *ops;
	void *arg;
	bool up; /* the guest's system */
	struct dev devs[LAB_VM_NICS][PLUG_N_PATHS];
};

struct command {
	struct dev *dev;
	unsigned int number;
	void (*fn)(struct dev *dev, int rc, const char *desc);
};

const char *plug_path_name(enum plug_path p)
{
	return p == PLUG_VF ? "vf" : "synthetic";
}

enum plug_state plug_state(const struct plug *p, unsigned int slot, enum plug_path path)
{
	return p->devs[slot][path].state;
}

static void arm(struct event *ev, unsigned int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	evtimer_add(ev, &tv);
}

static void device_id(const struct dev *d, char id[16])
{
	snprintf(id, 16, "%s%u", d->path == PLUG_VF ? "vf" : "syn", d->slot);
}

static bool not_found(int rc, const char *desc)
{
	return rc == -EREMOTEIO && strstr(desc, "not found");
}

/* The conversation is over: nothing that comes late belongs to anybody. */
static void finish(struct dev *d, enum plug_state state, int rc, const char *why)
{
	plug_done_fn done = d->done;
	char text[sizeof(d->why)];

	d->number++;
	d->state = state;
	d->done = NULL;
	d->at = AT_NOTHING;
	d->heard = false;
	evtimer_del(d->retry);
	evtimer_del(d->deadline);
	snprintf(text, sizeof(text), "%s", why);
	if (done)
		done(d->arg, rc, text);
}

static void on_reply(void *arg, int rc, json_t *ret, const char *desc)
{
	struct command *c = arg;

	(void)ret;
	/* The monitor closed: that is no answer, QEMU ends, and plug_on_vm_down() ends this. */
	if (c->dev->number == c->number && rc != -ECONNRESET && rc != -ECANCELED)
		c->fn(c->dev, rc, desc ? desc : "");
	free(c);
}

static int command(struct dev *d, const char *name, json_t *args,
		   void (*fn)(struct dev *dev, int rc, const char *desc))
{
	struct command *c = malloc(sizeof(*c));
	int rc;

	if (!c || !args) {
		json_decref(args);
		free(c);
		return -ENOMEM;
	}
	*c = (struct command){.dev = d, .number = d->number, .fn = fn};
	rc = d->plug->ops->send(d->plug->arg, name, args, REPLY_MS, on_reply, c);
	if (rc)
		free(c);
	return rc;
}

/* ---- down ---- */

static void go_down(struct dev *d);
static void deleted(struct dev *d);

/* The stack is gone. */
static void bottom(struct dev *d)
{
	bool unasked = d->state != PLUG_ADDING && !d->done;
	struct plug *p = d->plug;

	if (d->state == PLUG_ADDING)
		finish(d, PLUG_NONE, d->rc, d->why);
	else
		finish(d, PLUG_NONE, 0, "");
	if (unasked)
		p->ops->gone(p->arg, d->slot, d->path);
}

static void on_below(struct dev *d, int rc, const char *desc)
{
	if (rc && !not_found(rc, desc))
		log_debug("slot %u %s: %s", d->slot, plug_path_name(d->path), desc);
	d->at--;
	go_down(d);
}

/* Asked again too soon. With native hot plug the slot's lamp blinks for five seconds meanwhile. */
static bool under_way(const char *desc)
{
	return strstr(desc, "in the process of unplug") || strstr(desc, "guest is busy");
}

static void on_asked(struct dev *d, int rc, const char *desc)
{
	bool taken = !rc || (d->doubt && under_way(desc));

	if (d->at != AT_DEVICE)
		return;
	if (not_found(rc, desc)) {
		deleted(d);
		return;
	}
	if (rc && rc != -ETIMEDOUT && !under_way(desc)) {
		/* Half made it has to go all the same. */
		if (d->state == PLUG_REMOVING)
			finish(d, PLUG_THERE, rc, desc);
		else
			arm(d->retry, RETRY_MS);
		return;
	}
	d->doubt = rc == -ETIMEDOUT;
	if (taken && d->plug->up) {
		d->heard = true;
		return;
	}
	arm(d->retry, taken ? d->wait : RETRY_MS);
	if (taken)
		d->wait = MIN(2 * d->wait, RETRY_MAX_MS);
}

/* Ask the guest for the device. @first: it has not been asked since it has it. */
static int ask(struct dev *d, bool first)
{
	char id[16];

	if (first) {
		d->heard = d->doubt = false;
		d->wait = RETRY_MS;
	}
	evtimer_del(d->retry);
	device_id(d, id);
	return command(d, "device_del", json_pack("{s:s}", "id", id), on_asked);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct dev *d = arg;

	(void)fd;
	(void)what;
	/* No monitor: QEMU ends, or speaks again in a moment. */
	if (d->at == AT_DEVICE && d->state != PLUG_THERE && ask(d, false))
		arm(d->retry, RETRY_MS);
}

/* Take away what d->at names, and what is below it. */
static void go_down(struct dev *d)
{
	char id[16];
	int rc = 0;

	switch (d->at) {
	case AT_DEVICE: /* undoing */
		rc = ask(d, true);
		break;
	case AT_NETDEV:
		snprintf(id, sizeof(id), "ns%u", d->slot);
		rc = command(d, "netdev_del", json_pack("{s:s}", "id", id), on_below);
		break;
	case AT_CHARDEV:
		/* netdev_del of a vhost-user netdev has taken it along, mostly. */
		snprintf(id, sizeof(id), "cs%u", d->slot);
		rc = command(d, "chardev-remove", json_pack("{s:s}", "id", id), on_below);
		break;
	default:
		bottom(d);
		return;
	}
	/* Without a monitor there is no QEMU any more, or not for long: plug_on_vm_down(). */
	if (rc)
		log_warn("slot %u %s: left half removed: %s", d->slot, plug_path_name(d->path),
			 strerror(-rc));
}

/* DEVICE_DELETED. */
static void deleted(struct dev *d)
{
	if (d->state == PLUG_NONE)
		return;
	if (d->state != PLUG_THERE && d->at != AT_DEVICE)
		return;
	if (d->state == PLUG_THERE)
		log_info("slot %u: the %s device is gone, unasked", d->slot,
			 plug_path_name(d->path));
	if (d->state == PLUG_ADDING && !d->rc) {
		d->rc = -EREMOTEIO;
		snprintf(d->why, sizeof(d->why), "the device was removed while it was added");
	}
	if (d->state != PLUG_ADDING)
		d->state = PLUG_REMOVING;
	evtimer_del(d->retry);
	evtimer_del(d->deadline);
	d->number++;
	d->at = d->path == PLUG_VF ? AT_NOTHING : AT_NETDEV;
	go_down(d);
}

/* ---- up ---- */

static void go_up(struct dev *d);

static void on_up(struct dev *d, int rc, const char *desc)
{
	if (!rc) {
		if (d->at == AT_DEVICE)
			finish(d, PLUG_THERE, 0, "");
		else
			go_up(d);
		return;
	}
	d->rc = rc;
	snprintf(d->why, sizeof(d->why), "%s", desc);
	/* Refused: that object is not there. Not answered: it may be. */
	if (rc != -ETIMEDOUT)
		d->at = d->path == PLUG_VF ? AT_NOTHING : d->at - 1;
	go_down(d);
}

/* Make the next object of the stack. */
static void go_up(struct dev *d)
{
	int rc;

	d->at = d->path == PLUG_VF ? AT_DEVICE : d->at + 1;
	switch (d->at) {
	case AT_CHARDEV:
		rc = command(d, "chardev-add", vm_qmp_chardev(d->slot, &d->nic), on_up);
		break;
	case AT_NETDEV:
		rc = command(d, "netdev_add", vm_netdev(d->slot, &d->nic), on_up);
		break;
	default:
		rc = command(d, "device_add",
			     d->path == PLUG_VF ? vm_vf_device(d->slot, &d->nic)
						: vm_synthetic_device(d->slot, &d->nic),
			     on_up);
		break;
	}
	if (!rc)
		return;
	d->rc = rc;
	snprintf(d->why, sizeof(d->why), "QEMU's monitor: %s", strerror(-rc));
	d->at = d->path == PLUG_VF ? AT_NOTHING : d->at - 1;
	/* Not from within plug_add(): it returns the error itself. */
	if (d->at > AT_NOTHING)
		go_down(d);
}

int plug_add(struct plug *p, unsigned int slot, enum plug_path path, const struct vm_nic_conf *nic,
	     plug_done_fn done, void *arg)
{
	struct dev *d = &p->devs[slot][path];

	if (d->state != PLUG_NONE)
		return -EBUSY;
	d->number++;
	d->state = PLUG_ADDING;
	d->nic = *nic;
	d->rc = 0;
	d->why[0] = '\0';
	d->at = AT_NOTHING;
	d->done = NULL;
	go_up(d);
	if (d->rc) {
		d->state = PLUG_NONE;
		return d->rc;
	}
	d->done = done;
	d->arg = arg;
	return 0;
}

/* ---- removal ---- */

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct dev *d = arg;
	plug_done_fn done = d->done;

	(void)fd;
	(void)what;
	d->done = NULL;
	if (done)
		done(d->arg, -ETIMEDOUT, "the guest has not let the device go");
}

int plug_del(struct plug *p, unsigned int slot, enum plug_path path, unsigned int deadline_ms,
	     plug_done_fn done, void *arg)
{
	struct dev *d = &p->devs[slot][path];
	int rc;

	if (d->state == PLUG_NONE)
		return -ENOENT;
	if (d->state == PLUG_ADDING)
		return -EBUSY;
	if (d->state == PLUG_THERE) {
		d->number++;
		d->at = AT_DEVICE;
		rc = ask(d, true);
		if (rc)
			return rc;
		d->state = PLUG_REMOVING;
	}
	d->done = done;
	d->arg = arg;
	evtimer_del(d->deadline);
	if (deadline_ms)
		arm(d->deadline, deadline_ms);
	return 0;
}

/* ---- what QEMU says ---- */

/* "vf3", "syn0" to its entry; NULL: none of ours. */
static struct dev *find(struct plug *p, const char *id)
{
	unsigned int slot;
	int len = 0;

	if (!id)
		return NULL;
	if (sscanf(id, "vf%2u%n", &slot, &len) == 1 && !id[len] && slot < LAB_VM_NICS)
		return &p->devs[slot][PLUG_VF];
	if (sscanf(id, "syn%2u%n", &slot, &len) == 1 && !id[len] && slot < LAB_VM_NICS)
		return &p->devs[slot][PLUG_SYNTHETIC];
	return NULL;
}

void plug_on_event(struct plug *p, const char *name, json_t *data)
{
	struct dev *d = find(p, json_string_value(json_object_get(data, "device")));

	if (d && !strcmp(name, "DEVICE_DELETED")) {
		deleted(d);
	} else if (d && d->state == PLUG_REMOVING && d->at == AT_DEVICE &&
		   (!strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") ||
		    !strcmp(name, "MEM_UNPLUG_ERROR"))) {
		finish(d, PLUG_THERE, -EPERM, "the guest refused to let the device go");
	} else if (!strcmp(name, "UNPLUG_PRIMARY") || !strcmp(name, "FAILOVER_NEGOTIATED")) {
		d = find(p, json_string_value(json_object_get(data, "device-id")));
		if (d && *name == 'U')
			p->ops->failover_unplug(p->arg, d->slot);
		else if (d)
			p->ops->negotiated(p->arg, d->slot);
	}
}

/* Nobody has heard, or somebody may hear now: what is open is asked for again. */
void plug_on_guest(struct plug *p, bool up)
{
	if (p->up == up)
		return;
	p->up = up;
	for (unsigned int i = 0; i < LAB_VM_NICS; i++)
		for (unsigned int k = 0; k < PLUG_N_PATHS; k++) {
			struct dev *d = &p->devs[i][k];

			if (d->at != AT_DEVICE || d->state == PLUG_NONE ||
			    (up ? !event_pending(d->retry, EV_TIMEOUT, NULL) : !d->heard))
				continue;
			d->heard = false;
			d->wait = RETRY_MS;
			arm(d->retry, up ? 0 : RETRY_MS);
		}
}

void plug_assume(struct plug *p, unsigned int slot, enum plug_path path)
{
	p->devs[slot][path].state = PLUG_THERE;
}

void plug_on_vm_down(struct plug *p)
{
	p->up = false;
	for (unsigned int i = 0; i < LAB_VM_NICS; i++)
		for (unsigned int k = 0; k < PLUG_N_PATHS; k++)
			finish(&p->devs[i][k], PLUG_NONE, -ECANCELED, "QEMU ended");
}

struct plug *plug_new(struct event_base *base, const struct plug_ops *ops, void *arg)
{
	struct plug *p = calloc(1, sizeof(*p));
	bool ok = p;

	if (!p)
		return NULL;
	p->base = base;
	p->ops = ops;
	p->arg = arg;
	for (unsigned int i = 0; i < LAB_VM_NICS; i++)
		for (unsigned int k = 0; k < PLUG_N_PATHS; k++) {
			struct dev *d = &p->devs[i][k];

			d->plug = p;
			d->slot = i;
			d->path = (enum plug_path)k;
			d->retry = evtimer_new(base, on_retry, d);
			d->deadline = evtimer_new(base, on_deadline, d);
			ok = ok && d->retry && d->deadline;
		}
	if (ok)
		return p;
	plug_free(p);
	errno = ENOMEM;
	return NULL;
}

void plug_free(struct plug *p)
{
	if (!p)
		return;
	for (unsigned int i = 0; i < LAB_VM_NICS; i++)
		for (unsigned int k = 0; k < PLUG_N_PATHS; k++) {
			struct dev *d = &p->devs[i][k];

			if (d->done)
				d->done(d->arg, -ECANCELED, "the VM goes away");
			if (d->retry)
				event_free(d->retry);
			if (d->deadline)
				event_free(d->deadline);
		}
	free(p);
}
