/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the commands about networks and vNICs (docs/protocol.md). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/commands_util.h"
#include "host/run_capture.h"

#define FDB_MAX	    4096
#define SNAPLEN_MIN 64
#define SNAPLEN_MAX 262144

static const struct arg_spec stats_args[] = {
	{.name = "vnic", .type = ARG_STRING, .doc = "only this one"},
};

static void stats(void *arg, struct control_req *req, const json_t *args)
{
	struct run_nic *rn = NULL;

	if (json_object_get(args, "vnic")) {
		rn = need_nic(arg, req, args);
		if (!rn)
			return;
	} else if (!need_lab(arg, req)) {
		return;
	}
	control_return(req, report_stats(arg, rn));
}

static const struct arg_spec fdb_args[] = {
	{.name = "network", .type = ARG_STRING, .required = true, .doc = "its name"},
};

static void query_fdb(void *arg, struct control_req *req, const json_t *args)
{
	const char *name = args_str(args, "network", "");
	struct run *run = need_lab(arg, req);
	struct vsw_net *net = run ? vsw_net_find(run->d->vsw, name) : NULL;
	struct vsw_fdb_entry *e;
	json_t *list;
	size_t n;

	if (!run)
		return;
	if (!net) {
		control_fail(req, CTL_NOT_FOUND, "hvlab status lists them",
			     "no network is called '%.40s'", name);
		return;
	}
	e = calloc(FDB_MAX, sizeof(*e));
	list = json_array();
	n = e ? vsw_net_fdb(net, e, FDB_MAX) : 0;
	for (size_t i = 0; i < MIN(n, (size_t)FDB_MAX); i++) {
		const uint8_t *m = e[i].mac;
		char mac[18];

		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
			 m[4], m[5]);
		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:s, s:b, s:I}", "mac", mac, "vlan",
						(int)e[i].vid, "port", e[i].port, "fixed",
						e[i].fixed, "age_ms", (json_int_t)e[i].age_ms));
	}
	free(e);
	control_return(req, list);
}

#define CAPTURE_PATH_ARG                                                                           \
	{                                                                                          \
		.name = "path", .type = ARG_STRING, .values = "vf|synthetic",                      \
		.doc = "only this path's packets; absent: the vNIC's"                              \
	}

static enum plug_path capture_path(const json_t *args)
{
	const char *path = args_str(args, "path", NULL);

	return !path ? CAPTURE_ALL : strcmp(path, "vf") ? PLUG_SYNTHETIC : PLUG_VF;
}

/* "a/eth0" or "a/eth0 (vf)", for messages. */
static const char *capture_name(const struct run_nic *rn, const json_t *args)
{
	const char *path = args_str(args, "path", NULL);
	static char name[ID_MAX + 16];

	snprintf(name, sizeof(name), path ? "%s (%s)" : "%s", vnic_id(rn->vnic), path);
	return name;
}

static const struct arg_spec capture_start_args[] = {
	VNIC_ARG,
	CAPTURE_PATH_ARG,
	{.name = "snaplen",
	 .type = ARG_INT,
	 .min = SNAPLEN_MIN,
	 .max = SNAPLEN_MAX,
	 .doc = "bytes kept of a packet; default all"},
};

static void capture_start(void *arg, struct control_req *req, const json_t *args)
{
	struct run_nic *rn = need_nic(arg, req, args);
	int fd, rc;

	if (!rn)
		return;
	fd = control_take_fd(req);
	if (fd < 0) {
		control_fail(req, CTL_INVALID_ARGUMENT,
			     "send a file descriptor with the request (SCM_RIGHTS)",
			     "no file descriptor came with the request");
		return;
	}
	rc = run_capture_start(rn, capture_path(args), fd,
			       (uint32_t)args_int(args, "snaplen", SNAPLEN_MAX));
	if (!rc)
		control_return(req, NULL);
	else if (rc == -EBUSY)
		control_fail(req, CTL_BUSY, "capture-stop ends it", "%s is being captured already",
			     capture_name(rn, args));
	else if (rc == -ENODEV)
		control_fail(req, CTL_INVALID_STATE, "hvlab nic list shows its paths",
			     "%s has no %s path", vnic_id(rn->vnic), args_str(args, "path", ""));
	else
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "%s: capture: %s", capture_name(rn, args),
			     strerror(-rc));
}

static const struct arg_spec capture_stop_args[] = {VNIC_ARG, CAPTURE_PATH_ARG};

static void capture_stop(void *arg, struct control_req *req, const json_t *args)
{
	struct run_nic *rn = need_nic(arg, req, args);

	if (!rn)
		return;
	if (run_capture_stop(rn, capture_path(args)))
		control_fail(req, CTL_INVALID_STATE, NULL, "%s is not being captured",
			     capture_name(rn, args));
	else
		control_return(req, NULL);
}

/* Answer from what a device's function returned. */
static void finish(struct control_req *req, const struct run_nic *rn, int rc, const char *what)
{
	if (!rc)
		control_return(req, NULL);
	else if (rc == -ENOTCONN)
		control_fail(req, CTL_INVALID_STATE,
			     "it needs a guest whose driver runs the device",
			     "%s: %s: no driver is there to hear it", vnic_id(rn->vnic), what);
	else
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "%s: %s: %s", vnic_id(rn->vnic), what,
			     strerror(-rc));
}

static const struct arg_spec event_args[] = {
	VNIC_ARG,
	{.name = "type",
	 .type = ARG_INT,
	 .required = true,
	 .min = 132,
	 .max = 135,
	 .doc = "132: reconfigure, 135: reset"},
};

static void mana_event(void *arg, struct control_req *req, const json_t *args)
{
	json_int_t type = args_int(args, "type", 0);
	struct run_nic *rn;

	if (type != 132 && type != 135) {
		control_fail(req, CTL_INVALID_ARGUMENT, NULL, "argument 'type' must be 132 or 135");
		return;
	}
	rn = need_vf(arg, req, args);
	if (rn)
		finish(req, rn, mana_service_event(vnic_mana(rn->vnic), (unsigned int)type),
		       "service event");
}

static const struct arg_spec silence_args[] = {
	VNIC_ARG,
	{.name = "silent", .type = ARG_BOOL, .required = true, .doc = "true: do not answer"},
};

static void stats_silence(void *arg, struct control_req *req, const json_t *args)
{
	struct run_nic *rn = need_vf(arg, req, args);

	if (rn)
		finish(req, rn,
		       mana_stats_silence(vnic_mana(rn->vnic), args_bool(args, "silent", true)),
		       "statistics");
}

#define ARGS(a) .specs = (a), .n_specs = ARRAY_SIZE(a)

const struct control_cmd commands_vnic[] = {
	{.name = "stats",
	 .doc = "figures of vNICs and workers",
	 .returns = "{vnics, workers}",
	 ARGS(stats_args),
	 .fn = stats},
	{.name = "query-fdb",
	 .doc = "addresses that a network knows",
	 .returns = "[{mac, vlan, port, fixed, age_ms}]",
	 ARGS(fdb_args),
	 .fn = query_fdb},
	{.name = "capture-start",
	 .doc = "write a vNIC's packets, or a path's, as pcapng to the descriptor that comes along",
	 .returns = "{}",
	 .fd = true,
	 ARGS(capture_start_args),
	 .fn = capture_start},
	{.name = "capture-stop",
	 .doc = "end a capture",
	 .returns = "{}",
	 ARGS(capture_stop_args),
	 .fn = capture_stop},
	{.name = "mana-event",
	 .doc = "service event to the guest's driver",
	 .returns = "{}",
	 ARGS(event_args),
	 .fn = mana_event},
	{.name = "stats-silence",
	 .doc = "leave statistics requests of the guest's driver unanswered",
	 .returns = "{}",
	 ARGS(silence_args),
	 .fn = stats_silence},
	{0},
};
