/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of policy files: text to model, mistakes, and what a packet meets. */
#ifndef HVLAB_TESTS_UNIT_NSG_RIG_H
#define HVLAB_TESTS_UNIT_NSG_RIG_H

#include <stdbool.h>

#include "host/policy_eval.h"

/* The file, or a failed assertion with what is wrong. */
struct nsg_file *rig_load(const char *text);
/*
 * It must be refused, with a mistake at @line (0: any) whose printed form has @words in it. Returns
 * how many mistakes there are.
 */
unsigned int rig_refuse(const char *text, unsigned int line, const char *words);
struct lab *rig_lab(const char *text);
/* A lab of networks blue 10.0.0.0/24 and red 10.0.1.0/24, VMs a (label web), b (label db), c. */
struct lab *rig_lab3(void);

/*
 * What group @nsg of @text says to @packet; @rule (NULL: whatever) must have decided. @lab may be
 * NULL. "allow" or "deny" are what *_allow and *_deny expect.
 */
void rig_group(const char *text, const struct lab *lab, const char *nsg, enum policy_dir dir,
	       const char *packet, enum policy_verdict want, const char *rule);
/* What NIC @nic of @lab says. *@out (may be NULL): what policy_explain() gave, the caller's. */
enum policy_verdict rig_nic(const char *text, const struct lab *lab, const char *nic,
			    enum policy_dir dir, const char *packet, json_t **out);

#endif
