/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes what a policy file meets: parser of both forms, checks, JSON, compiler and the switch's
 * classifier.
 *
 * Input: the file. Beyond not crashing, it must hold: a file that is refused says why; one that is
 * taken is within its limits, can be compiled for every NIC and asked, and what it says of itself
 * as JSON is read again to the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/policy_eval.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static const char lab_text[] = "networks: [{name: blue}, {name: red}]\n"
			       "vms:\n"
			       "  - {name: a, labels: [web], nics: [{network: blue}]}\n"
			       "  - {name: b, labels: [db], nics: [{network: red}]}\n";

static const char *const packets[] = {
	"tcp a b:80", "tcp 8.8.8.8:4 a:443",   "udp fd00::4 [2001:db8::1]:53",
	"icmp b a",   "esp 10.0.0.4 10.0.1.4", "arp a b",
};

static struct lab *the_lab(void)
{
	static struct lab *lab;
	struct lab_errors errs = {0};

	if (!lab)
		MUST(!lab_load_text("lab.yaml", lab_text, sizeof(lab_text) - 1, &lab, &errs));
	return lab;
}

static void ask(const struct nsg_set *set, const struct lab *lab)
{
	static const char *const nics[] = {"a/eth0", "b/eth0"};
	struct nsg_world *w = nsg_world_new(set, lab);

	MUST(w);
	for (unsigned int i = 0; i < ARRAY_SIZE(nics); i++) {
		struct nsg_target t = {.lab = lab, .nic = nics[i], .net = (int)i};
		struct policy_nic pn;
		char why[256];

		if (policy_nic_init(&pn, set, w, &t, NULL, why, sizeof(why)))
			MUST(*why);
		else
			MUST(!*why && !pn.policy == !pn.spec.spec.n_layers);
		for (unsigned int k = 0; pn.policy && k < ARRAY_SIZE(packets); k++) {
			enum policy_verdict verdict;
			struct nsg_packet p;

			MUST(!nsg_packet_parse(packets[k], lab, NULL, &p, why, sizeof(why)));
			json_decref(policy_explain(&pn, k % 2 ? POLICY_IN : POLICY_OUT, &p.f,
						   &verdict));
		}
		policy_nic_fini(&pn);
	}
	nsg_world_free(w);
}

static void read_again(const struct nsg_set *set)
{
	json_t *o = nsg_file_to_json(set->files[0]), *d;
	char *text = json_dumps(o, JSON_COMPACT);
	struct lab_errors errs = {0};
	struct nsg_file *f;
	struct nsg_set again = {&f, 1};

	json_decref(o);
	/* Priorities of ACLs and so on aside, which have defaults, all of it stands there. */
	MUST(text && !nsg_load_text("again", text, strlen(text), &f, &errs));
	d = nsg_diff(set, &again);
	MUST(!json_array_size(d));
	json_decref(d);
	nsg_free(f);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lab_errors errs = {0}, more = {0};
	const struct lab *lab = the_lab();
	struct nsg_file *f;
	struct nsg_set set = {&f, 1};

	if (nsg_load_text("p.yaml", (const char *)data, size, &f, &errs)) {
		MUST(errs.n > 0 && errs.list[0].reason[0]);
		lab_errors_free(&errs);
		return 0;
	}
	MUST(!errs.n && f->n_nsgs <= NSG_MAX_NSGS && f->n_items <= NSG_MAX_ITEMS);
	json_decref(policy_test(&(struct nsg_set){NULL, 0}, lab));
	read_again(&set);
	if (nsg_set_check(&set, lab, &more) == 0) {
		ask(&set, lab);
		json_decref(policy_test(&set, lab));
	}
	lab_errors_free(&more);
	nsg_free(f);
	return 0;
}
