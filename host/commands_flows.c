/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the commands about connections (docs/protocol.md): listed, counted, ended.
 *
 * A port may have millions of them, and the control thread has more to do: a request is worked on
 * in turns, PIECE records or PIECE_FOUND matches each, and the event loop runs in between. Between
 * turns NICs may come and go: a job knows where it is by numbers, and looks everything up again.
 */
#include "host/commands_util.h"
#include "host/flows.h"

#define PIECE	      8192 /* records of a turn: about a millisecond */
#define PIECE_FOUND   200  /* matches of a turn that are told: another one */
#define LIMIT_MAX     1000
#define LIMIT_DEFAULT 200

enum job_kind { JOB_LIST, JOB_COUNT, JOB_CUT };

/**
 * struct job - One request
 * @args:	the request's, which the filter points into
 * @vnic:	only this one; "": all
 * @vm, @slot, @at: where it is: number of the VM, the NIC's slot, the record
 * @looks, @tells: records that this turn may still look at, and tell
 */
struct job {
	struct daemon *d;
	struct control_req *req;
	enum job_kind kind;
	json_t *args;
	struct flow_filter filter;
	char vnic[ID_MAX];
	unsigned int vm, slot;
	uint32_t at;
	size_t limit, found;
	json_t *list;
	struct event *again;
	uint32_t looks, tells;
	const char *id; /* of the NIC that is being looked at */
	struct job *next;
};

/* Control thread. */
static struct job *jobs;

static void job_free(struct job *j)
{
	struct job **at = &jobs;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	if (j->again)
		event_free(j->again);
	json_decref(j->args);
	json_decref(j->list);
	free(j);
}

/* "2.1.384": the same lab's, until its VMs change. */
static json_t *cursor_json(const struct job *j)
{
	char text[48];

	snprintf(text, sizeof(text), "%u.%u.%u", j->vm, j->slot, j->at);
	return json_string(text);
}

static bool cursor_from(struct job *j, const char *text)
{
	char rest;

	return sscanf(text, "%u.%u.%u%c", &j->vm, &j->slot, &j->at, &rest) == 3 &&
	       j->slot < LAB_VM_NICS;
}

static void job_answer(struct job *j, bool more)
{
	json_t *o;

	switch (j->kind) {
	case JOB_LIST:
		o = json_pack("{s:O, s:b, s:o}", "flows", j->list, "more", more, "next",
			      more ? cursor_json(j) : json_null());
		break;
	case JOB_COUNT:
		o = json_pack("{s:I}", "count", (json_int_t)j->found);
		break;
	default:
		o = json_pack("{s:I}", "cut", (json_int_t)j->found);
		break;
	}
	control_return(j->req, o);
	job_free(j);
}

static bool on_flow(void *arg, const struct vsw_flow_info *i)
{
	struct job *j = arg;

	if (!flow_filter_match(&j->filter, i))
		return true;
	j->found++;
	if (j->kind == JOB_COUNT)
		return true;
	json_array_append_new(j->list, flow_json(j->id, i));
	return --j->tells && j->found < j->limit;
}

static bool is_meant(void *arg, const struct vsw_flow_info *i)
{
	return flow_filter_match(&((struct job *)arg)->filter, i);
}

/* The NIC that the job is at, or the next one that it is about. NULL: it is through. */
static struct run_nic *nic_now(struct job *j, struct run *run)
{
	for (; j->vm < run->lab->n_vms; j->vm++, j->slot = 0) {
		for (; j->slot < LAB_VM_NICS; j->slot++, j->at = 0) {
			struct run_nic *rn = &run->vms[j->vm].nics[j->slot];

			if (rn->vnic && (!*j->vnic || !strcmp(vnic_id(rn->vnic), j->vnic)))
				return rn;
		}
	}
	return NULL;
}

/* One piece of one port. True: there is more of it. */
static bool port_piece(struct job *j, struct run_nic *rn)
{
	struct vsw_port *port = vnic_port(rn->vnic);
	uint32_t before = j->at;
	bool more;

	j->id = vnic_id(rn->vnic);
	if (j->kind == JOB_CUT)
		more = vsw_port_flows_cut_some(port, &j->at, j->looks, is_meant, j, &j->found);
	else
		more = vsw_port_flows_some(port, &j->at, j->looks, on_flow, j);
	j->looks -= j->at - before;
	return more;
}

static void job_turn(struct job *j)
{
	const struct timeval now = {0};
	struct run *run = j->d->run;
	struct run_nic *rn;

	if (!run || run->state == RUN_STOPPING) {
		control_fail(j->req, CTL_CANCELLED, NULL, "the lab went down");
		job_free(j);
		return;
	}
	j->looks = PIECE;
	j->tells = PIECE_FOUND;
	while ((rn = nic_now(j, run))) {
		if (!j->looks || !j->tells) {
			evtimer_add(j->again, &now);
			return;
		}
		if (!port_piece(j, rn)) {
			j->slot++;
			j->at = 0;
		}
		if (j->kind == JOB_LIST && j->found >= j->limit) {
			job_answer(j, nic_now(j, run) != NULL);
			return;
		}
	}
	job_answer(j, false);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	job_turn(arg);
}

static void start(struct daemon *d, struct control_req *req, const json_t *args, enum job_kind kind)
{
	const char *from = args_str(args, "from", NULL);
	struct job *j;
	char why[200];

	if (json_object_get(args, "vnic") ? !need_nic(d, req, args) : !need_lab(d, req))
		return;
	j = calloc(1, sizeof(*j));
	if (!j) {
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "out of memory");
		return;
	}
	*j = (struct job){.d = d,
			  .req = req,
			  .kind = kind,
			  .args = json_deep_copy(args),
			  .limit = (size_t)args_int(args, "limit", LIMIT_DEFAULT),
			  .list = json_array(),
			  .next = jobs};
	jobs = j;
	j->again = evtimer_new(d->base, on_again, j);
	snprintf(j->vnic, sizeof(j->vnic), "%s", args_str(args, "vnic", ""));
	if (!j->args || !j->list || !j->again) {
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "out of memory");
		job_free(j);
	} else if (from && !cursor_from(j, from)) {
		control_fail(req, CTL_INVALID_ARGUMENT, "it is the 'next' of the answer before",
			     "argument 'from' must be one that query-flows gave");
		job_free(j);
	} else if (!flow_filter_from(&j->filter, j->args, why, sizeof(why))) {
		control_fail(req, CTL_INVALID_ARGUMENT, NULL, "%s", why);
		job_free(j);
	} else {
		job_turn(j);
	}
}

void commands_flows_fini(void)
{
	while (jobs) {
		control_fail(jobs->req, CTL_CANCELLED, NULL, "the daemon ends");
		job_free(jobs);
	}
}

static const struct arg_spec query_args[] = {
	FLOW_FILTER_ARGS,
	{.name = "count", .type = ARG_BOOL, .doc = "only how many there are"},
	{.name = "limit",
	 .type = ARG_INT,
	 .min = 1,
	 .max = LIMIT_MAX,
	 .doc = "so many in one answer; default 200"},
	{.name = "from", .type = ARG_STRING, .doc = "go on there: 'next' of the answer before"},
};

static void query_flows(void *arg, struct control_req *req, const json_t *args)
{
	start(arg, req, args, args_bool(args, "count", false) ? JOB_COUNT : JOB_LIST);
}

static const struct arg_spec flush_args[] = {FLOW_FILTER_ARGS};

static void flows_flush(void *arg, struct control_req *req, const json_t *args)
{
	start(arg, req, args, JOB_CUT);
}

const struct control_cmd commands_flows[] = {
	{.name = "query-flows",
	 .doc = "connections that the policies of vNICs have let in",
	 .returns = "{flows: [...], more, next}, or {count}",
	 .slow = true,
	 .specs = query_args,
	 .n_specs = ARRAY_SIZE(query_args),
	 .fn = query_flows},
	{.name = "flows-flush",
	 .doc = "end connections: their next packet is judged as a first one",
	 .returns = "{cut}",
	 .slow = true,
	 .specs = flush_args,
	 .n_specs = ARRAY_SIZE(flush_args),
	 .fn = flows_flush},
	{0},
};
