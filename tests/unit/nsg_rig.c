/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests of policy files stand on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/nsg_rig.h"

struct nsg_file *rig_load(const char *text)
{
	struct lab_errors errs = {0};
	struct nsg_file *f;
	char line[1024];

	if (nsg_load_text("p.yaml", text, strlen(text), &f, &errs)) {
		for (unsigned int i = 0; i < errs.n; i++) {
			lab_error_format(&errs, &errs.list[i], line, sizeof(line));
			print_error("%s\n", line);
		}
		fail_msg("refused: %s", text);
	}
	assert_int_equal(errs.n, 0);
	lab_errors_free(&errs);
	return f;
}

unsigned int rig_refuse(const char *text, unsigned int line, const char *words)
{
	struct lab_errors errs = {0};
	struct nsg_file *f = NULL;
	bool found = false;
	char out[1024];
	unsigned int n;

	if (!nsg_load_text("p.yaml", text, strlen(text), &f, &errs))
		fail_msg("taken: %s", text);
	assert_null(f);
	for (unsigned int i = 0; i < errs.n; i++) {
		lab_error_format(&errs, &errs.list[i], out, sizeof(out));
		found = found || (strstr(out, words) && (!line || errs.list[i].line == line));
	}
	for (unsigned int i = 0; !found && i < errs.n; i++) {
		lab_error_format(&errs, &errs.list[i], out, sizeof(out));
		print_error("%s\n", out);
	}
	if (!found)
		fail_msg("no mistake at line %u says \"%s\"", line, words);
	n = errs.n + errs.n_more;
	lab_errors_free(&errs);
	return n;
}

struct lab *rig_lab(const char *text)
{
	struct lab_errors errs = {0};
	struct lab *lab;

	assert_int_equal(lab_load_text("lab.yaml", text, strlen(text), &lab, &errs), 0);
	lab_errors_free(&errs);
	return lab;
}

struct lab *rig_lab3(void)
{
	return rig_lab("networks:\n"
		       "  - {name: blue, subnet: 10.0.0.0/24}\n"
		       "  - {name: red, subnet: 10.0.1.0/24}\n"
		       "vms:\n"
		       "  - {name: a, labels: [web], nics: [{network: blue}, {network: red}]}\n"
		       "  - {name: b, labels: [db, back], nics: [{network: blue}]}\n"
		       "  - {name: c, nics: [{network: red}]}\n");
}

static json_t *explain(struct policy_nic *pn, const struct lab *lab, enum policy_dir dir,
		       const char *packet, enum policy_verdict *verdict)
{
	struct nsg_packet p;
	char why[256];

	if (nsg_packet_parse(packet, lab, NULL, &p, why, sizeof(why)))
		fail_msg("%s: %s", packet, why);
	return policy_explain(pn, dir, &p.f, verdict);
}

void rig_group(const char *text, const struct lab *lab, const char *nsg, enum policy_dir dir,
	       const char *packet, enum policy_verdict want, const char *rule)
{
	struct nsg_file *f = rig_load(text);
	struct nsg_set set = {&f, 1};
	struct nsg_world *w = nsg_world_new(&set, lab);
	struct policy_error err;
	struct policy_nic pn = {0};
	enum policy_verdict got;
	const char *by;
	char why[256];
	json_t *o;

	assert_int_equal(nsg_compile_group(w, nsg_find(&set, nsg), lab, lab ? 0 : -1, &pn.spec, why,
					   sizeof(why)),
			 0);
	pn.policy = policy_new(&pn.spec.spec, NULL, &err);
	assert_non_null(pn.policy);
	o = explain(&pn, lab, dir, packet, &got);
	by = json_string_value(json_object_get(json_object_get(o, "decided_by"), "rule"));
	if (got != want || (rule && (!by || strcmp(by, rule) != 0)))
		fail_msg("%s: %s by %s, not %s by %s", packet,
			 got == POLICY_DENY ? "deny" : "allow", by ? by : "none",
			 want == POLICY_DENY ? "deny" : "allow", rule ? rule : "any");
	json_decref(o);
	policy_nic_fini(&pn);
	nsg_world_free(w);
	nsg_free(f);
}

enum policy_verdict rig_nic(const char *text, const struct lab *lab, const char *nic,
			    enum policy_dir dir, const char *packet, json_t **out)
{
	struct nsg_file *f = rig_load(text);
	struct nsg_set set = {&f, 1};
	struct nsg_world *w = nsg_world_new(&set, lab);
	struct lab_nic *n = lab_find_nic(lab, nic, NULL);
	struct nsg_target t = {.lab = lab, .nic = nic};
	enum policy_verdict verdict;
	struct policy_nic pn;
	char why[256];
	json_t *o;

	assert_non_null(n);
	t.net = (int)n->net;
	if (policy_nic_init(&pn, &set, w, &t, NULL, why, sizeof(why)))
		fail_msg("%s", why);
	o = explain(&pn, lab, dir, packet, &verdict);
	if (out)
		*out = o;
	else
		json_decref(o);
	policy_nic_fini(&pn);
	nsg_world_free(w);
	nsg_free(f);
	return verdict;
}
