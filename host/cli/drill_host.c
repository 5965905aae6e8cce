/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns a drill's dealings with the daemon: calls, operations, events, counters, the sampler. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "host/cli/drill.h"

#define MAX_EVENTS 4000
#define CALL_MS	   30000

int drill_fail(struct drill *d, int rc, const char *fmt, ...)
{
	va_list ap;

	if (rc == -EINTR) {
		d->interrupted = true;
		return rc;
	}
	va_start(ap, fmt);
	vsnprintf(d->why, sizeof(d->why), fmt, ap);
	va_end(ap);
	return rc;
}

/* What the answer's error means to the one who looks at a number. */
static int class_errno(const char *class)
{
	static const struct {
		const char *class;
		int rc;
	} map[] = {
		{"Timeout", -ETIMEDOUT},
		{"GuestDead", -EHOSTDOWN},
		{"Busy", -EBUSY},
		{"NotFound", -ENOENT},
		{"InvalidState", -EINVAL},
		{"InvalidArgument", -EINVAL},
		{"CommandNotFound", -ENOSYS},
		{"Cancelled", -ECANCELED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (!strcmp(class, map[i].class))
			return map[i].rc;
	return -EIO;
}

int drill_call(struct drill *d, const char *command, json_t *args, int timeout_ms, json_t **value)
{
	struct client_answer a = {NULL, NULL};
	int ret = client_send(d->cli->client, command, args, -1);

	if (value)
		*value = NULL;
	if (ret > 0)
		ret = client_wait(d->cli->client, ret, timeout_ms ? timeout_ms : CALL_MS, &a);
	if (ret == -EPIPE)
		return drill_fail(d, ret, "%s: the daemon is gone", command);
	if (ret)
		return drill_fail(d, ret, "%s: %s", command, strerror(-ret));
	if (a.error) {
		ret = class_errno(client_error_class(&a));
		drill_fail(d, ret, "%s: %s", command, client_error_desc(&a));
	} else if (value) {
		*value = json_incref(a.value);
	}
	client_answer_fini(&a);
	return ret;
}

bool drill_can(struct drill *d, const char *command)
{
	return drill_call(d, "query-schema", json_pack("{s:s}", "command", command), 0, NULL) == 0;
}

int drill_pause(struct drill *d, unsigned int ms)
{
	uint64_t end = now_ns() + ms * NSEC_PER_MSEC, now;

	while ((now = now_ns()) < end) {
		int ret = client_wait(d->cli->client, 0, (int)((end - now) / NSEC_PER_MSEC) + 1,
				      NULL);

		if (ret && ret != -ETIMEDOUT)
			return drill_fail(d, ret, "the daemon is gone");
	}
	return 0;
}

void drill_signals_end(struct drill *d)
{
	struct signalfd_siginfo info;

	/* What has come is dealt with; unblocked, it would end us before we cleaned up. */
	while (d->sigfd >= 0 && read(d->sigfd, &info, sizeof(info)) == sizeof(info))
		d->interrupted = true;
	client_wake_on(d->cli->client, -1);
	cli_signals_reset();
}

int drill_op(struct drill *d, const char *op, const char *command, json_t *args,
	     unsigned int limit_ms)
{
	json_t *value = NULL, *o, *steps;
	uint64_t start = now_ns();
	int ret = drill_call(d, command, args, (int)limit_ms + CALL_MS, &value);

	steps = json_object_get(value, "steps");
	o = json_pack("{s:s, s:I, s:f, s:o, s:O}", "op", op, "start_ns", (json_int_t)start, "ms",
		      (double)(now_ns() - start) / 1e6, "error",
		      ret ? json_string(ret == -EINTR ? "stopped" : d->why) : json_null(), "steps",
		      steps ? steps : json_null());
	json_array_append_new(json_object_get(d->cycle, "operations"), o);
	json_decref(value);
	return ret;
}

int drill_status(struct drill *d, json_t **status)
{
	return drill_call(d, "query-status", NULL, 0, status);
}

int drill_nic(struct drill *d, const char *vnic, json_t **out)
{
	json_t *status, *vm, *nic;
	size_t i, k;
	int ret = drill_status(d, &status);

	*out = NULL;
	if (ret)
		return ret;
	json_array_foreach (json_object_get(status, "vms"), i, vm)
		json_array_foreach (json_object_get(vm, "vnics"), k, nic)
			if (!strcmp(out_str(nic, "id", ""), vnic))
				*out = json_incref(nic);
	json_decref(status);
	return *out ? 0 : drill_fail(d, -ENOENT, "there is no NIC %s", vnic);
}

/* Events with a time of their own say it in time_ns; others came about now. */
void drill_on_event(void *arg, const json_t *event)
{
	struct drill *d = arg;
	json_t *data = json_deep_copy(json_object_get(event, "data"));

	if (!data)
		return;
	if (!json_is_integer(json_object_get(data, "time_ns")))
		json_object_set_new(data, "time_ns", json_integer((json_int_t)now_ns()));
	json_object_set(data, "event", json_object_get(event, "event"));
	json_object_del(data, "console");
	json_array_append_new(d->events, data);
	while (json_array_size(d->events) > MAX_EVENTS)
		json_array_remove(d->events, 0);
}

/*
 * A frame that the switch has taken from a sender and that then reaches nobody for one of these
 * reasons was accepted and lost. The others (no such address, the receiver's filter, too big) are
 * no business of a path that changes.
 */
static void add_drops(json_t *sum, const char *vnic, const char *way, const json_t *drops)
{
	static const char *const reasons[] = {"no-buffer", "link-down", "rx-error"};
	char key[128];

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		const json_t *v = json_object_get(drops, reasons[i]);

		if (!json_is_integer(v))
			continue;
		snprintf(key, sizeof(key), "%s %s %s", vnic, way, reasons[i]);
		json_object_set_new(sum, key, json_integer(json_integer_value(v)));
	}
}

int drill_counters(struct drill *d, json_t **out)
{
	const char *const vnics[] = {d->target.vnic, d->peer.vnic};
	json_t *sum = json_object(), *stats, *nic;
	char key[2 * DRILL_NAME + 16];
	int ret = 0;
	size_t i;

	for (size_t n = 0; n < ARRAY_SIZE(vnics) && !ret; n++) {
		if (!*vnics[n])
			continue;
		ret = drill_call(d, "stats", json_pack("{s:s}", "vnic", vnics[n]), 0, &stats);
		json_array_foreach (json_object_get(stats, "vnics"), i, nic) {
			add_drops(sum, vnics[n], "rx", out_path(nic, "port.rx_drops"));
			add_drops(sum, vnics[n], "tx", out_path(nic, "port.tx_drops"));
			snprintf(key, sizeof(key), "%s parked", vnics[n]);
			json_object_set_new(sum, key, json_integer(out_int(nic, "receive.parked")));
		}
		json_decref(stats);
	}
	if (ret) {
		json_decref(sum);
		sum = NULL;
	}
	*out = sum;
	return ret;
}

int drill_sampler_start(struct drill *d, unsigned int max_ms)
{
	json_t *args = json_pack("{s:i}", "max_ms", (int)MIN(max_ms, 600000u)), *vnics;
	int ret;

	/* Of a VM also those that come while it runs. */
	if (d->kind && d->kind->nic) {
		vnics = json_pack("[s]", d->target.vnic);
		if (*d->peer.vnic)
			json_array_append_new(vnics, json_string(d->peer.vnic));
		json_object_set_new(args, "vnics", vnics);
	}
	ret = drill_call(d, "sampler-start", args, 0, NULL);
	if (ret == -EBUSY)
		return drill_fail(d, ret,
				  "another drill runs in this lab, or one was killed: "
				  "hvlab raw sampler-stop ends its sampler");
	d->sampling = !ret;
	return ret;
}

int drill_sampler_stop(struct drill *d, json_t **samples)
{
	d->sampling = false;
	return drill_call(d, "sampler-stop", NULL, 0, samples);
}
