/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns labs with driving guests. */
#include "guest_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/wait.h"

static const char text[] =
	"networks: [{name: blue}, {name: red}]\n"
	"vms:\n"
	"  - {name: a, spare_nics: 15, nics: [{network: blue}]}\n"
	"  - {name: b, spare_nics: 1, nics: [{network: blue}, {network: blue, vf: off},\n"
	"                                    {network: red, synthetic: none}]}\n";

void guest_lab_up(struct ctl *c)
{
	guest_lab_up_as(c, "guest");
}

void guest_lab_up_as(struct ctl *c, const char *mode)
{
	json_t *image = json_pack("{s:s}", "kernel", FAKE_QEMU);

	json_decref(ctl_ok(c, "lab-up",
			   json_pack("{s:s, s:s, s:s, s:{s:{s:s, s:s, s:[s]}, s:{s:O, s:O}}}",
				     "content", text, "file", "nics.yaml", "wait", "ready", "parts",
				     "qemu", "path", FAKE_QEMU, "version", "11.1.3", "args",
				     mode, "images", "a", image, "b", image)));
	json_decref(image);
	guest_wait_vf(c, "a/eth0", "driven", false);
	guest_wait_vf(c, "b/eth0", "driven", false);
	guest_wait_vf(c, "b/eth2", "driven", false);
}

void guest_behave(struct ctl *c, const char *vm, const char *word, const char *arg)
{
	json_t *argv = json_pack("[s, s]", "behave", word);

	if (arg)
		json_array_append_new(argv, json_string(arg));
	json_decref(ctl_ok(c, "vm-exec", json_pack("{s:s, s:o}", "vm", vm, "argv", argv)));
}

static json_t *one_of(struct ctl *c, const char *command, const char *list, const char *key,
		      const char *id)
{
	json_t *v = ctl_ok(c, command, NULL), *o, *found = NULL;
	size_t i;

	json_array_foreach (json_object_get(v, list), i, o)
		if (!strcmp(json_string_value(json_object_get(o, key)), id))
			found = json_incref(o);
	json_decref(v);
	return found;
}

json_t *guest_nic(struct ctl *c, const char *id)
{
	return one_of(c, "nic-list", "nics", "id", id);
}

json_t *guest_vf(struct ctl *c, const char *id)
{
	return one_of(c, "vf-list", "vfs", "vnic", id);
}

static bool vf_is(struct ctl *c, const char *id, const char *state, bool pending)
{
	json_t *v = guest_vf(c, id);
	bool is = v && !strcmp(json_string_value(json_object_get(v, "state")), state) &&
		  json_is_false(json_object_get(v, "busy")) &&
		  json_is_true(json_object_get(v, "pending")) == pending;

	json_decref(v);
	return is;
}

void guest_wait_vf(struct ctl *c, const char *id, const char *state, bool pending)
{
	if (!wait_until(vf_is(c, id, state, pending), WAIT_MS)) {
		json_t *v = guest_vf(c, id);
		char *now = v ? json_dumps(v, 0) : NULL;

		fail_msg("%s is not %s: %s", id, state, now ? now : "there is none");
	}
}

void guest_assert_vf(struct ctl *c, const char *id, const char *state)
{
	json_t *v = guest_vf(c, id);

	assert_non_null(v);
	assert_string_equal(json_string_value(json_object_get(v, "state")), state);
	json_decref(v);
}

const char *guest_steps(const json_t *answer)
{
	static char buf[2048];
	size_t i, len = 0;
	json_t *o;

	buf[0] = '\0';
	json_array_foreach (json_object_get(answer, "steps"), i, o) {
		assert_true(json_is_number(json_object_get(o, "ms")));
		len += (size_t)snprintf(buf + len, sizeof(buf) - len, "%s%s", i ? " " : "",
					json_string_value(json_object_get(o, "step")));
		assert_true(len < sizeof(buf));
	}
	return buf;
}

json_t *guest_vnic(const char *id)
{
	return json_pack("{s:s}", "vnic", id);
}

json_t *guest_with(json_t *args, const char *key, json_t *value)
{
	json_object_set_new(args, key, value);
	return args;
}
