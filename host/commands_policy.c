/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the commands about policy: files applied, shown, compared, tested, removed. */
#include "host/commands_util.h"
#include "host/policy_eval.h"
#include "host/policy_set.h"

/* A request's files, as policy_set.h takes them. */
struct input {
	struct policy_input *files;
	unsigned int n;
	char *text; /* of @files[0], when it was read here */
};

#define FILE_ARGS                                                                                  \
	{.name = "content", .type = ARG_STRING, .doc = "a policy file's text"},                    \
		{.name = "file",                                                                   \
		 .type = ARG_STRING,                                                               \
		 .doc = "with content: its name; a file of that name is replaced"},                \
		{.name = "path", .type = ARG_STRING, .doc = "absolute path of a policy file"},     \
	{                                                                                          \
		.name = "files", .type = ARG_OBJECT, .doc = "{NAME: TEXT}: several files at once"  \
	}

#define CHANGE_ARGS                                                                                \
	{.name = "only", .type = ARG_BOOL, .doc = "all other files go"},                           \
		{.name = "nsg",                                                                    \
		 .type = ARG_STRING,                                                               \
		 .doc = "the group meant by networks and nics; absent: the file's only one"},      \
		{.name = "networks", .type = ARG_STRINGS, .doc = "give the group to these too"},   \
	{                                                                                          \
		.name = "nics", .type = ARG_STRINGS, .doc = "give the group to these too"          \
	}

/* ---- arguments ---- */

static int read_path(const char *path, struct input *in)
{
	size_t size;
	int rc = path[0] == '/' ? nsg_read_text(path, &in->text, &size) : -EINVAL;

	if (rc)
		return rc;
	in->files[in->n++] = (struct policy_input){path, in->text, size};
	return 0;
}

static void input_free(struct input *in)
{
	free(in->files);
	free(in->text);
}

/* False: @req has been refused. */
static bool read_input(struct control_req *req, const json_t *args, struct input *in)
{
	const char *content = args_str(args, "content", NULL), *path = args_str(args, "path", NULL);
	const json_t *files = json_object_get(args, "files");
	const char *name;
	json_t *text;
	int rc;

	memset(in, 0, sizeof(*in));
	if (!!content + !!path + !!files != 1 || (files && !json_object_size(files))) {
		control_fail(req, CTL_INVALID_ARGUMENT, NULL,
			     "exactly one of 'content', 'path' and 'files' is needed");
		return false;
	}
	in->files = calloc(files ? json_object_size(files) : 1, sizeof(*in->files));
	if (!in->files) {
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "out of memory");
		return false;
	}
	if (content)
		in->files[in->n++] = (struct policy_input){args_str(args, "file", "policy.yaml"),
							   content, strlen(content)};
	json_object_foreach ((json_t *)files, name, text) {
		if (!json_is_string(text)) {
			control_fail(req, CTL_INVALID_ARGUMENT, NULL,
				     "'files' has a text for each "
				     "name");
			input_free(in);
			return false;
		}
		in->files[in->n++] = (struct policy_input){name, json_string_value(text),
							   json_string_length(text)};
	}
	if (!path)
		return true;
	rc = read_path(path, in);
	if (!rc)
		return true;
	control_fail(req, rc == -EINVAL ? CTL_INVALID_ARGUMENT : CTL_SYSTEM_ERROR, NULL, "%s",
		     rc == -EINVAL ? "'path' must be absolute" : strerror(-rc));
	input_free(in);
	return false;
}

/* A list of strings, NULL-terminated; the caller's. */
static const char **strings(const json_t *args, const char *name)
{
	const json_t *list = json_object_get(args, name);
	const char **out = calloc(json_array_size(list) + 1, sizeof(*out));

	for (size_t i = 0; out && i < json_array_size(list); i++)
		out[i] = json_string_value(json_array_get(list, i));
	return out;
}

static void refuse(struct control_req *req, int rc, struct policy_outcome *out)
{
	enum control_class cls = rc == -ENOENT	 ? CTL_NOT_FOUND
				 : rc == -EINVAL ? CTL_POLICY_INVALID
				 : rc == -E2BIG	 ? CTL_POLICY_INVALID
						 : CTL_SYSTEM_ERROR;
	json_t *extra = NULL, *first;
	const char *key;
	json_t *v;

	if (out->errors) {
		first = json_array_get(out->errors, 0);
		extra = json_pack("{s:O}", "errors", out->errors);
		json_object_foreach (first, key, v)
			json_object_set(extra, key, v);
		json_decref(out->errors);
	}
	control_fail_with(req, cls, extra,
			  rc == -ENOENT ? "hvlab policy show lists them" : "nothing has changed",
			  "%s", out->why);
}

/* ---- commands ---- */

typedef void (*change_fn)(struct daemon *d, struct control_req *req,
			  const struct policy_request *change);

static void with_change(struct daemon *d, struct control_req *req, const json_t *args, change_fn fn)
{
	const char **networks, **nics;
	struct input in;

	if (!need_lab(d, req) || !read_input(req, args, &in))
		return;
	networks = strings(args, "networks");
	nics = strings(args, "nics");
	if (networks && nics)
		fn(d, req,
		   &(struct policy_request){.files = in.files,
					    .n_files = in.n,
					    .only = args_bool(args, "only", false),
					    .flush = args_bool(args, "flush", false),
					    .nsg = args_str(args, "nsg", NULL),
					    .networks = networks,
					    .nics = nics});
	else
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "out of memory");
	free(networks);
	free(nics);
	input_free(&in);
}

static void tell(struct daemon *d, const struct policy_outcome *out)
{
	json_t *o = policy_set_json(d->run->policy, false), *names = json_array(), *f;
	size_t i;

	json_array_foreach (json_object_get(o, "files"), i, f)
		json_array_append(names, json_object_get(f, "name"));
	control_event(d->control, "POLICY_CHANGED",
		      json_pack("{s:o, s:i, s:b, s:I}", "files", names, "vnics",
				(int)out->n_changed, "flush", out->flushed, "time_ns",
				(json_int_t)now_ns()));
	json_decref(o);
}

static void do_change(struct daemon *d, struct control_req *req, const struct policy_request *c)
{
	struct policy_outcome out;
	int rc = policy_set_apply(d->run->policy, c, &out);
	json_t *o;

	if (rc) {
		refuse(req, rc, &out);
		return;
	}
	tell(d, &out);
	o = policy_set_json(d->run->policy, false);
	json_object_set_new(o, "changed", json_integer(out.n_changed));
	json_object_set_new(o, "flushed", json_boolean(out.flushed));
	control_return(req, o);
}

static void do_diff(struct daemon *d, struct control_req *req, const struct policy_request *c)
{
	struct policy_outcome out;
	json_t *diff = policy_set_diff(d->run->policy, c, &out);

	if (diff)
		control_return(req, json_pack("{s:o}", "changes", diff));
	else
		refuse(req, -errno, &out);
}

static const struct arg_spec apply_args[] = {
	FILE_ARGS,
	{.name = "flush",
	 .type = ARG_BOOL,
	 .doc = "connections that the new rules would not have let in end"},
	CHANGE_ARGS,
};

static void policy_apply(void *arg, struct control_req *req, const json_t *args)
{
	with_change(arg, req, args, do_change);
}

static const struct arg_spec diff_args[] = {FILE_ARGS, CHANGE_ARGS};

static void policy_diff(void *arg, struct control_req *req, const json_t *args)
{
	with_change(arg, req, args, do_diff);
}

static const struct arg_spec remove_args[] = {
	{.name = "files", .type = ARG_STRINGS, .doc = "names; absent: all"},
	{.name = "flush", .type = ARG_BOOL, .doc = "judge all connections anew"},
};

static void policy_remove(void *arg, struct control_req *req, const json_t *args)
{
	const json_t *list = json_object_get(args, "files");
	const char **names;

	if (!need_lab(arg, req))
		return;
	names = strings(args, "files");
	if (names)
		do_change(arg, req,
			  &(struct policy_request){.only = !list,
						   .remove = names,
						   .flush = args_bool(args, "flush", false)});
	else
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "out of memory");
	free(names);
}

static const struct arg_spec show_args[] = {
	{.name = "full", .type = ARG_BOOL, .doc = "with all rules"},
};

static void policy_show(void *arg, struct control_req *req, const json_t *args)
{
	struct run *run = need_lab(arg, req);

	if (run)
		control_return(req, policy_set_json(run->policy, args_bool(args, "full", false)));
}

static const struct arg_spec test_args[] = {FILE_ARGS};

/* The expectations of files, against themselves and the lab that is up. */
static void do_test(struct daemon *d, struct control_req *req, struct nsg_set *set, int rc,
		    json_t *errors)
{
	json_t *o = rc ? NULL : policy_test(set, d->run->lab);

	if (o)
		control_return(req, o);
	else if (errors && json_array_size(errors))
		control_fail_with(
			req, CTL_POLICY_INVALID, json_pack("{s:O}", "errors", errors), NULL, "%s",
			json_string_value(json_object_get(json_array_get(errors, 0), "reason")));
	else
		control_fail(req, CTL_SYSTEM_ERROR, NULL, "%s", strerror(rc ? -rc : ENOMEM));
}

static void add_errors(json_t *errors, struct lab_errors *errs)
{
	json_t *list = lab_errors_to_json(errs);

	json_array_extend(errors, list);
	json_decref(list);
	lab_errors_free(errs);
}

static void policy_test_cmd(void *arg, struct control_req *req, const json_t *args)
{
	struct lab_errors errs[NSG_MAX_FILES] = {{.n = 0}};
	struct nsg_file *files[NSG_MAX_FILES] = {NULL};
	struct nsg_set set = {files, 0};
	struct run *run = need_lab(arg, req);
	json_t *errors = json_array();
	struct input in;
	int rc = 0;

	if (!run || !read_input(req, args, &in)) {
		json_decref(errors);
		return;
	}
	for (unsigned int i = 0; i < in.n && i < NSG_MAX_FILES; i++) {
		int one = nsg_load_text(in.files[i].name, in.files[i].text, in.files[i].size,
					&files[set.n], &errs[i]);

		set.n += one == 0;
		rc = one ? one : rc;
		add_errors(errors, &errs[i]);
	}
	if (!rc) {
		rc = nsg_set_check(&set, run->lab, errs);
		for (unsigned int i = 0; i < set.n; i++)
			add_errors(errors, &errs[i]);
	}
	do_test(arg, req, &set, rc, errors);
	json_decref(errors);
	for (unsigned int i = 0; i < set.n; i++)
		nsg_free(files[i]);
	input_free(&in);
}

#define ARGS(a) .specs = (a), .n_specs = ARRAY_SIZE(a)

const struct control_cmd commands_policy[] = {
	{.name = "policy-apply",
	 .doc = "put policy files in force, all of them at one moment",
	 .returns = "{files, nics, asgs, changed, flushed}",
	 ARGS(apply_args),
	 .fn = policy_apply},
	{.name = "policy-diff",
	 .doc = "what policy-apply would change",
	 .returns = "{changes: [{what, name, change, rules | before, after}]}",
	 ARGS(diff_args),
	 .fn = policy_diff},
	{.name = "policy-remove",
	 .doc = "put policy files out of force",
	 .returns = "{files, nics, asgs, changed, flushed}",
	 ARGS(remove_args),
	 .fn = policy_remove},
	{.name = "policy-show",
	 .doc = "policy files in force, and what each vNIC has of them",
	 .returns = "{files, nics, asgs}",
	 ARGS(show_args),
	 .fn = policy_show},
	{.name = "policy-test",
	 .doc = "check the expectations in policy files against the lab that is up",
	 .returns = "{passed, failed, results}",
	 ARGS(test_args),
	 .fn = policy_test_cmd},
	{0},
};
