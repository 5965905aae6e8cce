/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the fake surroundings of a VF. */
#include "vf_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/lib/wait.h"

static int plug(void *arg)
{
	struct rig *r = arg;

	r->plugs++;
	return r->plug_rc;
}

static int unplug(void *arg)
{
	struct rig *r = arg;

	r->unplugs++;
	return r->unplug_rc;
}

static void cut(void *arg, bool dead)
{
	struct rig *r = arg;

	r->cuts++;
	r->dead = dead;
}

static void set_link(void *arg, bool up)
{
	struct rig *r = arg;

	assert_true(r->link != up);
	r->link = up;
}

static void set_receive(void *arg, enum vf_receive where)
{
	struct rig *r = arg;

	assert_true(r->receive != where);
	r->receive = where;
}

static bool hears_link(void *arg)
{
	return !((struct rig *)arg)->deaf;
}

static void await(void *arg, bool on)
{
	((struct rig *)arg)->awaited = on;
}

static uint64_t tx_packets(void *arg)
{
	struct rig *r = arg;

	if (r->tx_flows) {
		r->tx_flows--;
		r->tx++;
	}
	return r->tx;
}

static void told(void *arg, const char *name, json_t *data)
{
	struct rig *r = arg;

	assert_string_equal(json_string_value(json_object_get(data, "vnic")), "a/eth0");
	assert_true(json_integer_value(json_object_get(data, "time_ns")) > 0);
	json_array_append_new(r->told, json_pack("{s:s, s:o}", "name", name, "data", data));
}

static const struct vf_ops ops = {
	.plug = plug,
	.unplug = unplug,
	.cut = cut,
	.link = set_link,
	.hears_link = hears_link,
	.receive = set_receive,
	.await = await,
	.tx_packets = tx_packets,
	.event = told,
};

/* One for all: the tests make a hundred thousand rigs. */
static struct event_base *base;

void rig_init(struct rig *r)
{
	const struct vf_conf conf = {
		.id = "a/eth0", .undriven_ms = 60, .retry_ms = 20, .settle_ms = 30};

	log_set_level(LOG_ERR);
	if (!base)
		base = event_base_new();
	*r = (struct rig){.base = base, .link = true, .told = json_array()};
	assert_non_null(r->base);
	r->vf = vf_new(r->base, &conf, &ops, r);
	assert_non_null(r->vf);
}

void rig_fini(struct rig *r)
{
	vf_free(r->vf);
	r->vf = NULL;
	assert_int_equal(r->begun, r->ended);
	json_decref(r->told);
	json_decref(r->steps);
}

static void on_done(void *arg, int rc, const char *why, json_t *steps)
{
	void (*then)(struct rig * r);
	struct rig *r = arg;

	r->ended++;
	r->rc = rc;
	snprintf(r->why, sizeof(r->why), "%s", why);
	assert_int_equal(rc == 0, !*why);
	json_decref(r->steps);
	r->steps = json_incref(steps);
	then = r->then;
	r->then = NULL;
	if (then)
		then(r);
}

int rig_revoke(struct rig *r, const struct vf_revoke_opts *opts)
{
	unsigned int ended = r->ended;
	int rc = vf_revoke(r->vf, opts, on_done, r);

	assert_int_equal(r->ended, ended);
	r->begun += !rc;
	return rc;
}

int rig_restore(struct rig *r, const struct vf_restore_opts *opts)
{
	unsigned int ended = r->ended;
	int rc = vf_restore(r->vf, opts, on_done, r);

	assert_int_equal(r->ended, ended);
	r->begun += !rc;
	return rc;
}

bool rig_run(struct rig *r, bool (*cond)(struct rig *r))
{
	uint64_t end = now_ns() + WAIT_MS * NSEC_PER_MSEC;

	while (!cond(r) && now_ns() < end) {
		struct timeval tick = {.tv_usec = 5000};

		event_base_loopexit(r->base, &tick);
		event_base_loop(r->base, EVLOOP_ONCE);
	}
	return cond(r);
}

void rig_run_ms(struct rig *r, unsigned int ms)
{
	uint64_t end = now_ns() + ms * NSEC_PER_MSEC;

	/* An exit that rig_run() asked for may still be to come. */
	while (now_ns() < end) {
		struct timeval tick = {.tv_usec = 5000};

		event_base_loopexit(r->base, &tick);
		event_base_dispatch(r->base);
	}
}

unsigned int rig_told(const struct rig *r, const char *name)
{
	unsigned int n = 0;
	const json_t *o;
	size_t i;

	json_array_foreach (r->told, i, o)
		n += !strcmp(json_string_value(json_object_get(o, "name")), name);
	return n;
}

const json_t *rig_last(const struct rig *r, const char *name)
{
	for (size_t i = json_array_size(r->told); i--;) {
		const json_t *o = json_array_get(r->told, i);

		if (!strcmp(json_string_value(json_object_get(o, "name")), name))
			return json_object_get(o, "data");
	}
	return NULL;
}

const char *rig_steps(const struct rig *r)
{
	static char buf[2048];
	double last = 0;
	size_t i, len = 0;
	json_t *o;

	buf[0] = 0;
	json_array_foreach (r->steps, i, o) {
		double ms = json_real_value(json_object_get(o, "ms"));

		assert_true(ms >= last);
		last = ms;
		len += (size_t)snprintf(buf + len, sizeof(buf) - len, "%s%s", i ? " " : "",
					json_string_value(json_object_get(o, "step")));
		assert_true(len < sizeof(buf));
	}
	return buf;
}

void rig_check(const struct rig *r)
{
	enum vf_state s = vf_state(r->vf);
	json_t *o = vf_json(r->vf);
	const char *op = json_string_value(json_object_get(o, "operation"));
	bool revoke = op && !strcmp(op, "revoke"), restore = op && !strcmp(op, "restore");
	bool busy = vf_is_busy(r->vf), failover = busy && !op;

	assert_true(s < VF_N_STATES);
	assert_string_equal(json_string_value(json_object_get(o, "state")), vf_state_name(s));
	assert_int_equal(json_is_true(json_object_get(o, "busy")), busy);
	assert_int_equal(r->begun - r->ended, op ? 1 : 0);
	/* Each operation has its states, and each passing state somebody who will end it. */
	assert_true(!revoke || s == VF_DRAINING);
	assert_true(!restore || s == VF_RESTORING || s == VF_DRIVEN);
	assert_true(s != VF_DRAINING || revoke || failover);
	assert_true(s != VF_RESTORING || restore);
	assert_true(!failover || s == VF_DRAINING || s == VF_REVOKED);
	assert_true(!vf_is_pending(r->vf) || (s == VF_REVOKED && !busy));
	/* A link that is held down has an operation that lets it go. */
	assert_true(r->link || op);
	/* Traffic is where the state says. */
	assert_int_equal(r->receive, vf_receive(r->vf));
	assert_int_equal(r->receive == VF_RX_VF,
			 s == VF_DRIVEN || (s == VF_DRAINING && r->receive == VF_RX_VF));
	assert_true(r->receive != VF_RX_PARK || s == VF_DRAINING || s == VF_OFFERED);
	/* What was told last is what is so. */
	if (rig_last(r, "VF_STATE"))
		assert_string_equal(
			json_string_value(json_object_get(rig_last(r, "VF_STATE"), "state")),
			vf_state_name(s));
	if (rig_last(r, "PATH_SWITCHED"))
		assert_string_equal(
			json_string_value(json_object_get(rig_last(r, "PATH_SWITCHED"), "path")),
			vf_receive_name(r->receive));
	json_decref(o);
}
