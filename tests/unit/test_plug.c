/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims about plugging: the order of commands, undoing, patience, and every end of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/util.h"
#include "host/plug.h"

#define MAX_SENT 64

/* A monitor that answers when it is told to. */
struct sent {
	char command[32];
	json_t *args;
	qmp_reply_fn fn;
	void *arg;
};

struct rig {
	struct event_base *base;
	struct plug *plug;
	struct sent sent[MAX_SENT];
	unsigned int n, answered;
	int refuse; /* what send itself returns */
	unsigned int n_done, n_gone, n_unplug_primary, n_negotiated;
	int rc;
	char why[200];
	unsigned int slot;
	enum plug_path path;
};

static int fake_send(void *arg, const char *command, json_t *args, unsigned int timeout_ms,
		     qmp_reply_fn fn, void *fn_arg)
{
	struct rig *r = arg;

	assert_true(timeout_ms >= 5000); /* a device_add may take as long as VERSION's answer */
	if (r->refuse) {
		json_decref(args);
		return r->refuse;
	}
	assert_true(r->n < MAX_SENT);
	snprintf(r->sent[r->n].command, sizeof(r->sent[r->n].command), "%s", command);
	r->sent[r->n].args = args;
	r->sent[r->n].fn = fn;
	r->sent[r->n].arg = fn_arg;
	r->n++;
	return 0;
}

static void on_gone(void *arg, unsigned int slot, enum plug_path path)
{
	struct rig *r = arg;

	r->n_gone++;
	r->slot = slot;
	r->path = path;
}

static void on_failover_unplug(void *arg, unsigned int slot)
{
	struct rig *r = arg;

	r->n_unplug_primary++;
	r->slot = slot;
}

static void on_negotiated(void *arg, unsigned int slot)
{
	struct rig *r = arg;

	r->n_negotiated++;
	r->slot = slot;
}

static const struct plug_ops ops = {
	.send = fake_send,
	.gone = on_gone,
	.failover_unplug = on_failover_unplug,
	.negotiated = on_negotiated,
};

static void on_done(void *arg, int rc, const char *why)
{
	struct rig *r = arg;

	r->n_done++;
	r->rc = rc;
	snprintf(r->why, sizeof(r->why), "%s", why);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	log_set_level(LOG_ERR);
	r->base = event_base_new();
	r->plug = plug_new(r->base, &ops, r);
	assert_non_null(r->plug);
	*state = r;
	return 0;
}

/* Answers all that is open, so that nothing of it leaks. */
static int teardown(void **state)
{
	struct rig *r = *state;

	while (r->answered < r->n) {
		struct sent *s = &r->sent[r->answered++];

		s->fn(s->arg, -ECANCELED, NULL, "given up");
	}
	plug_free(r->plug);
	for (unsigned int i = 0; i < r->n; i++)
		json_decref(r->sent[i].args);
	event_base_free(r->base);
	free(r);
	return 0;
}

static const struct vm_nic_conf nic = {
	.vf = true,
	.synthetic = true,
	.failover = true,
	.mac = {0, 0x15, 0x5d, 1, 2, 3},
	.queues = 2,
	.mtu = 1500,
	.socket = "/run/eth3.vfio",
	.vhost = "/run/eth3.vhost",
};

/* The oldest open command must be @command for @id; answer it. */
static void answer_rc(struct rig *r, const char *command, const char *id, int rc, const char *desc)
{
	struct sent *s = &r->sent[r->answered];
	const char *got;

	assert_true(r->answered < r->n);
	assert_string_equal(s->command, command);
	got = json_string_value(json_object_get(s->args, "id"));
	assert_string_equal(got, id);
	r->answered++;
	s->fn(s->arg, rc, NULL, desc);
}

static void answer(struct rig *r, const char *command, const char *id)
{
	answer_rc(r, command, id, 0, NULL);
}

static void refused(struct rig *r, const char *command, const char *id, const char *desc)
{
	answer_rc(r, command, id, -EREMOTEIO, desc);
}

static void nothing_open(const struct rig *r)
{
	assert_int_equal(r->answered, r->n);
}

static void event(struct rig *r, const char *name, const char *key, const char *id)
{
	json_t *data = json_pack("{s:s}", key, id);

	plug_on_event(r->plug, name, data);
	json_decref(data);
}

static void deleted(struct rig *r, const char *id)
{
	event(r, "DEVICE_DELETED", "device", id);
}

static void run_for(struct rig *r, unsigned int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	event_base_loopexit(r->base, &tv);
	event_base_loop(r->base, 0);
}

static void add(struct rig *r, enum plug_path path)
{
	assert_int_equal(plug_add(r->plug, 3, path, &nic, on_done, r), 0);
	assert_int_equal(r->n_done, 0);
	assert_int_equal(plug_state(r->plug, 3, path), PLUG_ADDING);
}

static void added(struct rig *r, enum plug_path path)
{
	add(r, path);
	if (path == PLUG_SYNTHETIC) {
		answer(r, "chardev-add", "cs3");
		answer(r, "netdev_add", "ns3");
		answer(r, "device_add", "syn3");
	} else {
		answer(r, "device_add", "vf3");
	}
	assert_int_equal(plug_state(r->plug, 3, path), PLUG_THERE);
	assert_int_equal(r->n_done, 1);
	assert_int_equal(r->rc, 0);
	r->n_done = 0;
}

static void del(struct rig *r, enum plug_path path, unsigned int deadline_ms)
{
	assert_int_equal(plug_del(r->plug, 3, path, deadline_ms, on_done, r), 0);
	assert_int_equal(r->n_done, 0);
	assert_int_equal(plug_state(r->plug, 3, path), PLUG_REMOVING);
}

static void ended(struct rig *r, enum plug_path path, enum plug_state state, int rc,
		  const char *words)
{
	nothing_open(r);
	assert_int_equal(plug_state(r->plug, 3, path), state);
	assert_int_equal(r->n_done, 1);
	assert_int_equal(r->rc, rc);
	assert_non_null(strstr(r->why, words));
	r->n_done = 0;
}

/* ---- up ---- */

static void a_synthetic_nic_is_built_from_below(void **state)
{
	struct rig *r = *state;
	const json_t *backend, *dev;

	added(r, PLUG_SYNTHETIC);
	backend = json_object_get(json_object_get(r->sent[0].args, "backend"), "data");
	assert_true(json_is_false(json_object_get(backend, "server")));
	assert_int_equal(json_integer_value(json_object_get(backend, "reconnect-ms")), 1000);
	assert_string_equal(
		json_string_value(json_object_get(
			json_object_get(json_object_get(backend, "addr"), "data"), "path")),
		"/run/eth3.vhost");
	assert_string_equal(json_string_value(json_object_get(r->sent[1].args, "chardev")), "cs3");
	dev = r->sent[2].args;
	assert_string_equal(json_string_value(json_object_get(dev, "bus")), "rs3");
	assert_true(json_is_true(json_object_get(dev, "failover")));
	assert_int_equal(plug_add(r->plug, 3, PLUG_SYNTHETIC, &nic, on_done, r), -EBUSY);
	assert_int_equal(plug_state(r->plug, 3, PLUG_VF), PLUG_NONE);
}

static void a_vf_is_one_command(void **state)
{
	struct rig *r = *state;

	added(r, PLUG_VF);
	nothing_open(r);
	assert_string_equal(json_string_value(json_object_get(r->sent[0].args, "failover_pair_id")),
			    "syn3");
}

static void without_a_monitor_nothing_begins(void **state)
{
	struct rig *r = *state;

	r->refuse = -ENOTCONN;
	for (int path = 0; path < PLUG_N_PATHS; path++) {
		assert_int_equal(plug_add(r->plug, 3, (enum plug_path)path, &nic, on_done, r),
				 -ENOTCONN);
		assert_int_equal(plug_state(r->plug, 3, (enum plug_path)path), PLUG_NONE);
	}
	assert_int_equal(r->n_done, 0);
	r->refuse = 0;
	added(r, PLUG_VF);
	r->refuse = -ENOTCONN;
	assert_int_equal(plug_del(r->plug, 3, PLUG_VF, 0, on_done, r), -ENOTCONN);
	assert_int_equal(plug_state(r->plug, 3, PLUG_VF), PLUG_THERE);
	r->refuse = 0;
	assert_int_equal(plug_del(r->plug, 4, PLUG_VF, 0, on_done, r), -ENOENT);
}

static void each_refusal_undoes_what_was_made(void **state)
{
	struct rig *r = *state;

	add(r, PLUG_SYNTHETIC);
	refused(r, "chardev-add", "cs3", "Failed to connect");
	ended(r, PLUG_SYNTHETIC, PLUG_NONE, -EREMOTEIO, "Failed to connect");

	add(r, PLUG_SYNTHETIC);
	answer(r, "chardev-add", "cs3");
	refused(r, "netdev_add", "ns3", "Failed to connect to vhost");
	answer(r, "chardev-remove", "cs3");
	ended(r, PLUG_SYNTHETIC, PLUG_NONE, -EREMOTEIO, "to vhost");

	add(r, PLUG_SYNTHETIC);
	answer(r, "chardev-add", "cs3");
	answer(r, "netdev_add", "ns3");
	refused(r, "device_add", "syn3", "Bus 'rs3' not found");
	answer(r, "netdev_del", "ns3");
	refused(r, "chardev-remove", "cs3", "Chardev 'cs3' not found");
	ended(r, PLUG_SYNTHETIC, PLUG_NONE, -EREMOTEIO, "Bus 'rs3'");

	add(r, PLUG_VF);
	refused(r, "device_add", "vf3", "Connection refused");
	ended(r, PLUG_VF, PLUG_NONE, -EREMOTEIO, "refused");
	assert_int_equal(r->n_gone, 0);
}

static void what_was_not_answered_may_be_there(void **state)
{
	struct rig *r = *state;

	/* QEMU made the device after all. */
	add(r, PLUG_VF);
	answer_rc(r, "device_add", "vf3", -ETIMEDOUT, "QEMU did not answer device_add in time");
	answer(r, "device_del", "vf3");
	assert_int_equal(r->n_done, 0);
	deleted(r, "vf3");
	ended(r, PLUG_VF, PLUG_NONE, -ETIMEDOUT, "did not answer");

	/* It did not. */
	add(r, PLUG_VF);
	answer_rc(r, "device_add", "vf3", -ETIMEDOUT, "QEMU did not answer device_add in time");
	refused(r, "device_del", "vf3", "Device 'vf3' not found");
	ended(r, PLUG_VF, PLUG_NONE, -ETIMEDOUT, "did not answer");

	add(r, PLUG_SYNTHETIC);
	answer(r, "chardev-add", "cs3");
	answer_rc(r, "netdev_add", "ns3", -ETIMEDOUT, "QEMU did not answer netdev_add in time");
	answer(r, "netdev_del", "ns3");
	answer(r, "chardev-remove", "cs3");
	ended(r, PLUG_SYNTHETIC, PLUG_NONE, -ETIMEDOUT, "netdev_add");

	add(r, PLUG_SYNTHETIC);
	answer(r, "chardev-add", "cs3");
	answer(r, "netdev_add", "ns3");
	answer_rc(r, "device_add", "syn3", -ETIMEDOUT, "QEMU did not answer device_add in time");
	refused(r, "device_del", "syn3", "Device 'syn3' not found");
	answer(r, "netdev_del", "ns3");
	answer(r, "chardev-remove", "cs3");
	ended(r, PLUG_SYNTHETIC, PLUG_NONE, -ETIMEDOUT, "device_add");
}

static void a_monitor_that_goes_in_the_middle_ends_it(void **state)
{
	struct rig *r = *state;

	add(r, PLUG_SYNTHETIC);
	r->refuse = -ENOTCONN;
	answer(r, "chardev-add", "cs3");
	assert_int_equal(plug_state(r->plug, 3, PLUG_SYNTHETIC), PLUG_ADDING);
	plug_on_vm_down(r->plug);
	ended(r, PLUG_SYNTHETIC, PLUG_NONE, -ECANCELED, "QEMU ended");
}

/* ---- down ---- */

static void a_removal_waits_for_the_guest_then_clears_up(void **state)
{
	struct rig *r = *state;

	added(r, PLUG_SYNTHETIC);
	del(r, PLUG_SYNTHETIC, 5000);
	answer(r, "device_del", "syn3");
	nothing_open(r);
	deleted(r, "syn2"); /* another's */
	deleted(r, "vf3");
	nothing_open(r);
	deleted(r, "syn3");
	answer(r, "netdev_del", "ns3");
	refused(r, "chardev-remove", "cs3", "Chardev 'cs3' not found");
	ended(r, PLUG_SYNTHETIC, PLUG_NONE, 0, "");
	assert_int_equal(r->n_gone, 0);

	added(r, PLUG_VF);
	del(r, PLUG_VF, 0);
	/* The event may come before the answer. */
	deleted(r, "vf3");
	assert_int_equal(r->n_done, 1);
	answer(r, "device_del", "vf3");
	ended(r, PLUG_VF, PLUG_NONE, 0, "");
}

/* Until it is asked for once more; at most a few seconds. */
static void asked_again(struct rig *r)
{
	for (unsigned int i = 0; i < 400 && r->answered == r->n; i++)
		run_for(r, 20);
	assert_int_equal(r->n, r->answered + 1);
}

static void what_a_booting_guest_may_not_have_heard_is_repeated(void **state)
{
	struct rig *r = *state;

	added(r, PLUG_VF);
	del(r, PLUG_VF, 0);
	answer(r, "device_del", "vf3"); /* OK, says QEMU; the guest boots and never hears it */
	asked_again(r);
	refused(r, "device_del", "vf3", "Device vf3 is already in the process of unplug");
	asked_again(r);
	answer_rc(r, "device_del", "vf3", -ETIMEDOUT, "QEMU did not answer device_del in time");
	asked_again(r);
	refused(r, "device_del", "vf3",
		"Hot-unplug failed: guest is busy (power indicator blinking)");
	asked_again(r);
	assert_int_equal(r->n_done, 0);
	answer(r, "device_del", "vf3");
	deleted(r, "vf3");
	ended(r, PLUG_VF, PLUG_NONE, 0, "");
	run_for(r, 1200);
	nothing_open(r);
}

static void requests_that_qemu_takes_become_rarer(void **state)
{
	struct rig *r = *state;
	uint64_t began;

	added(r, PLUG_VF);
	del(r, PLUG_VF, 0);
	for (unsigned int i = 0; i < 2; i++) { /* 1 s, 2 s */
		answer(r, "device_del", "vf3");
		began = now_ns();
		asked_again(r);
		assert_true(now_ns() - began >= (i ? 1900 : 900) * NSEC_PER_MSEC);
	}
	/* One that QEMU does not take costs the guest nothing. */
	refused(r, "device_del", "vf3", "Device vf3 is already in the process of unplug");
	began = now_ns();
	asked_again(r);
	assert_true(now_ns() - began < 1900 * NSEC_PER_MSEC);
}

static void what_a_guest_has_heard_is_not_repeated(void **state)
{
	struct rig *r = *state;

	plug_on_guest(r->plug, true);
	added(r, PLUG_VF);
	added(r, PLUG_SYNTHETIC);
	del(r, PLUG_VF, 0);
	answer(r, "device_del", "vf3");
	/* Nor by who comes later and wants the same. */
	del(r, PLUG_VF, 0);
	plug_on_guest(r->plug, true);
	run_for(r, 2500);
	nothing_open(r);
	/* Of the other nobody spoke. */
	assert_int_equal(plug_state(r->plug, 3, PLUG_SYNTHETIC), PLUG_THERE);
	deleted(r, "vf3");
	ended(r, PLUG_VF, PLUG_NONE, 0, "");
	/* The next one begins anew. */
	added(r, PLUG_VF);
	del(r, PLUG_VF, 0);
	refused(r, "device_del", "vf3", "Device vf3 is already in the process of unplug");
	asked_again(r);
	answer(r, "device_del", "vf3");
	run_for(r, 1500);
	nothing_open(r);
}

/* Without an answer QEMU may have taken it: then "in the process" is what tells. */
static void a_request_without_an_answer_may_have_been_heard(void **state)
{
	struct rig *r = *state;

	plug_on_guest(r->plug, true);
	added(r, PLUG_VF);
	del(r, PLUG_VF, 0);
	answer_rc(r, "device_del", "vf3", -ETIMEDOUT, "QEMU did not answer device_del in time");
	asked_again(r);
	refused(r, "device_del", "vf3", "Device vf3 is already in the process of unplug");
	run_for(r, 1500);
	nothing_open(r);
}

static void a_guest_that_came_up_is_asked_at_once_and_once(void **state)
{
	struct rig *r = *state;
	uint64_t began;

	added(r, PLUG_VF);
	del(r, PLUG_VF, 0);
	answer(r, "device_del", "vf3");
	plug_on_guest(r->plug, true);
	began = now_ns();
	asked_again(r);
	assert_true(now_ns() - began < 900 * NSEC_PER_MSEC);
	answer(r, "device_del", "vf3");
	run_for(r, 1500);
	nothing_open(r);
	/* It boots: what it had heard it knows no more. */
	plug_on_guest(r->plug, false);
	asked_again(r);
	answer(r, "device_del", "vf3");
	plug_on_guest(r->plug, true);
	asked_again(r);
	/* It goes down before the answer to that. */
	plug_on_guest(r->plug, false);
	answer(r, "device_del", "vf3");
	asked_again(r);
	answer(r, "device_del", "vf3");
	plug_on_vm_down(r->plug);
	assert_int_equal(r->rc, -ECANCELED);
	plug_on_guest(r->plug, true);
	run_for(r, 1200);
	nothing_open(r);
}

/* The coming up of a guest is no reason to take away what is being added. */
static void what_is_being_added_is_left_alone(void **state)
{
	struct rig *r = *state;

	add(r, PLUG_VF);
	plug_on_guest(r->plug, true);
	run_for(r, 100);
	plug_on_guest(r->plug, false);
	run_for(r, 1200);
	answer(r, "device_add", "vf3");
	ended(r, PLUG_VF, PLUG_THERE, 0, "");
	/* But what is half made goes, whatever QEMU says. */
	add(r, PLUG_SYNTHETIC);
	answer(r, "chardev-add", "cs3");
	answer(r, "netdev_add", "ns3");
	answer_rc(r, "device_add", "syn3", -ETIMEDOUT, "QEMU did not answer device_add in time");
	refused(r, "device_del", "syn3", "device_del not allowed while migrating");
	asked_again(r);
	answer(r, "device_del", "syn3");
	asked_again(r);
	refused(r, "device_del", "syn3", "Device 'syn3' not found");
	answer(r, "netdev_del", "ns3");
	answer(r, "chardev-remove", "cs3");
	ended(r, PLUG_SYNTHETIC, PLUG_NONE, -ETIMEDOUT, "device_add");
}

static void a_guest_that_keeps_it_may_let_go_later(void **state)
{
	struct rig *r = *state;

	plug_on_guest(r->plug, true);
	added(r, PLUG_SYNTHETIC);
	del(r, PLUG_SYNTHETIC, 200);
	answer(r, "device_del", "syn3");
	run_for(r, 300);
	ended(r, PLUG_SYNTHETIC, PLUG_REMOVING, -ETIMEDOUT, "has not let");
	/* Somebody else waits now. */
	del(r, PLUG_SYNTHETIC, 200);
	run_for(r, 300);
	ended(r, PLUG_SYNTHETIC, PLUG_REMOVING, -ETIMEDOUT, "has not let");
	deleted(r, "syn3");
	answer(r, "netdev_del", "ns3");
	answer(r, "chardev-remove", "cs3");
	assert_int_equal(r->n_done, 0);
	assert_int_equal(r->n_gone, 1);
	assert_int_equal(r->slot, 3);
	assert_int_equal(r->path, PLUG_SYNTHETIC);
	assert_int_equal(plug_state(r->plug, 3, PLUG_SYNTHETIC), PLUG_NONE);
	added(r, PLUG_SYNTHETIC);
}

static void a_refused_removal_leaves_it_there(void **state)
{
	static const char *const events[] = {"DEVICE_UNPLUG_GUEST_ERROR", "MEM_UNPLUG_ERROR"};
	struct rig *r = *state;

	added(r, PLUG_VF);
	del(r, PLUG_VF, 0);
	refused(r, "device_del", "vf3", "device_del not allowed while migrating");
	ended(r, PLUG_VF, PLUG_THERE, -EREMOTEIO, "while migrating");
	for (unsigned int i = 0; i < ARRAY_SIZE(events); i++) {
		event(r, events[i], "device", "vf3"); /* nobody asked */
		assert_int_equal(plug_state(r->plug, 3, PLUG_VF), PLUG_THERE);
		assert_int_equal(r->n_done, 0);
		del(r, PLUG_VF, 0);
		answer(r, "device_del", "vf3");
		event(r, events[i], "device", "vf3");
		ended(r, PLUG_VF, PLUG_THERE, -EPERM, "refused");
	}
	run_for(r, 1100);
	nothing_open(r);
}

static void a_device_that_qemu_holds_back_is_not_found(void **state)
{
	struct rig *r = *state;

	plug_assume(r->plug, 3, PLUG_VF);
	del(r, PLUG_VF, 0);
	refused(r, "device_del", "vf3", "Device 'vf3' not found");
	ended(r, PLUG_VF, PLUG_NONE, 0, "");
}

static void a_device_may_go_unasked(void **state)
{
	struct rig *r = *state;

	plug_assume(r->plug, 3, PLUG_SYNTHETIC);
	plug_assume(r->plug, 3, PLUG_VF);
	deleted(r, "vf3");
	assert_int_equal(r->n_gone, 1);
	assert_int_equal(r->path, PLUG_VF);
	deleted(r, "vf3"); /* twice is once */
	assert_int_equal(r->n_gone, 1);
	deleted(r, "syn3");
	answer(r, "netdev_del", "ns3");
	answer(r, "chardev-remove", "cs3");
	assert_int_equal(r->n_gone, 2);
	assert_int_equal(plug_state(r->plug, 3, PLUG_SYNTHETIC), PLUG_NONE);
}

/* ---- ends ---- */

static void a_late_answer_belongs_to_nobody(void **state)
{
	struct rig *r = *state;
	struct sent late;

	add(r, PLUG_VF);
	late = r->sent[r->answered++];
	plug_on_vm_down(r->plug);
	ended(r, PLUG_VF, PLUG_NONE, -ECANCELED, "QEMU ended");
	/* QEMU is started again and has it from the beginning. */
	plug_assume(r->plug, 3, PLUG_VF);
	late.fn(late.arg, -EREMOTEIO, NULL, "of the QEMU before");
	assert_int_equal(plug_state(r->plug, 3, PLUG_VF), PLUG_THERE);
	assert_int_equal(r->n_done, 0);
}

static void every_state_survives_the_end_of_qemu(void **state)
{
	struct rig *r = *state;

	added(r, PLUG_SYNTHETIC);
	add(r, PLUG_VF);
	plug_on_vm_down(r->plug);
	assert_int_equal(r->n_done, 1);
	r->n_done = 0;
	plug_assume(r->plug, 3, PLUG_VF);
	assert_int_equal(plug_del(r->plug, 3, PLUG_VF, 1000, on_done, r), 0);
	plug_on_vm_down(r->plug);
	assert_int_equal(r->n_done, 1);
	assert_int_equal(r->rc, -ECANCELED);
	plug_on_vm_down(r->plug);
	assert_int_equal(r->n_done, 1);
	for (int path = 0; path < PLUG_N_PATHS; path++)
		assert_int_equal(plug_state(r->plug, 3, (enum plug_path)path), PLUG_NONE);
	run_for(r, 1200);
	assert_int_equal(r->n_done, 1);
	assert_int_equal(r->n_gone, 0);
}

static void failover_is_told(void **state)
{
	struct rig *r = *state;

	event(r, "FAILOVER_NEGOTIATED", "device-id", "syn3");
	assert_int_equal(r->n_negotiated, 1);
	assert_int_equal(r->slot, 3);
	event(r, "UNPLUG_PRIMARY", "device-id", "vf15");
	assert_int_equal(r->n_unplug_primary, 1);
	assert_int_equal(r->slot, 15);
}

static void names_that_are_not_ours_mean_nothing(void **state)
{
	static const char *const names[] = {"vf",   "vf16",  "vf3x", "syn",  "syn99", "agent0",
					    "vf-1", "vf003", "",     "xvf3", "syn 3x"};
	struct rig *r = *state;
	json_t *data = json_object();

	plug_assume(r->plug, 3, PLUG_VF);
	plug_assume(r->plug, 3, PLUG_SYNTHETIC);
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		deleted(r, names[i]);
		event(r, "UNPLUG_PRIMARY", "device-id", names[i]);
	}
	plug_on_event(r->plug, "DEVICE_DELETED", data);
	plug_on_event(r->plug, "DEVICE_DELETED", NULL);
	plug_on_event(r->plug, "UNPLUG_PRIMARY", NULL);
	json_decref(data);
	nothing_open(r);
	assert_int_equal(r->n_gone, 0);
	assert_int_equal(r->n_unplug_primary, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_synthetic_nic_is_built_from_below),
		T(a_vf_is_one_command),
		T(without_a_monitor_nothing_begins),
		T(each_refusal_undoes_what_was_made),
		T(what_was_not_answered_may_be_there),
		T(a_monitor_that_goes_in_the_middle_ends_it),
		T(a_removal_waits_for_the_guest_then_clears_up),
		T(what_a_booting_guest_may_not_have_heard_is_repeated),
		T(requests_that_qemu_takes_become_rarer),
		T(what_a_guest_has_heard_is_not_repeated),
		T(a_request_without_an_answer_may_have_been_heard),
		T(a_guest_that_came_up_is_asked_at_once_and_once),
		T(what_is_being_added_is_left_alone),
		T(a_guest_that_keeps_it_may_let_go_later),
		T(a_refused_removal_leaves_it_there),
		T(a_device_that_qemu_holds_back_is_not_found),
		T(a_device_may_go_unasked),
		T(a_late_answer_belongs_to_nobody),
		T(every_state_survives_the_end_of_qemu),
		T(failover_is_told),
		T(names_that_are_not_ours_mean_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
