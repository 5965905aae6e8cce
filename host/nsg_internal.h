/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the nsg*.c files: nodes of a policy file, and the values in them. */
#ifndef HVLAB_HOST_NSG_INTERNAL_H
#define HVLAB_HOST_NSG_INTERNAL_H

#include "host/lab_internal.h"
#include "host/nsg.h"

/* ---- nsg_doc.c: the text as nodes that know their lines and paths ---- */

/**
 * struct nsg_doc - A policy file while it is read
 * @about:	put before every reason: "rule \"AllowSsh\": "; "" outside of rules
 */
struct nsg_doc {
	struct lab_doc ld;
	struct nsg_file *file;
	char about[128];
};

/* A node, by value. @n NULL: it is not there. */
struct nsg_node {
	struct nsg_doc *d;
	yaml_node_t *n;
	struct lab_path path;
};

struct nsg_node nsg_root(struct nsg_doc *d);
/* A member of a mapping; not there: neither is one whose value is null. */
struct nsg_node nsg_get(struct nsg_node map, const char *key);
bool nsg_is_map(struct nsg_node v);
bool nsg_is_list(struct nsg_node v);
unsigned int nsg_line(struct nsg_node v);
/* Elements of a list; a single value counts as a list of one. */
uint32_t nsg_count(struct nsg_node v);
struct nsg_node nsg_at(struct nsg_node list, uint32_t i);
/* Pairs of a mapping in their order. */
uint32_t nsg_n_pairs(struct nsg_node map);
struct nsg_node nsg_pair(struct nsg_node map, uint32_t i, const char **key);

/* Report at a node; @remedy may be NULL. */
void nsg_error(struct nsg_node v, const char *remedy, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Is it a mapping, a list of at most @max? Reports when it is not; not there: false, silently. */
bool nsg_need_map(struct nsg_node v);
bool nsg_need_list(struct nsg_node v, uint32_t max);
/* Report keys beyond @known (NULL-terminated) and those that stand twice. */
void nsg_keys(struct nsg_node map, const char *const *known);
/* A single value's text, the document's; NULL when not there, or reported when it is no text. */
const char *nsg_text(struct nsg_node v);
/* The same, in the file's memory. */
const char *nsg_keep(struct nsg_node v);
/* A legal name; NULL when not there or reported. */
const char *nsg_name(struct nsg_node v, const char *what);
/* Report a key that is missing from @map. */
void nsg_missing(struct nsg_node map, const char *key);
/* False: not there, or reported. */
bool nsg_number(struct nsg_node v, uint32_t min, uint32_t max, uint32_t *out);
/* Priority, direction and access of a rule; all three must be there. */
void nsg_read_decision(struct nsg_node v, uint32_t min, uint32_t max, struct nsg_rule *r);
/* Index into @words (NULL-terminated; case does not matter); -1: not there, -2: reported. */
int nsg_word(struct nsg_node v, const char *const *words);
/* yes/no, true/false, on/off. @def when not there or reported. */
bool nsg_bool(struct nsg_node v, bool def);
/* Count what a file holds in all; false: too much, reported once. */
bool nsg_budget(struct nsg_node v, uint32_t n);

/* ---- nsg_value.c: addresses, ports, protocols ---- */

/* "10.0.0.0/8", "fd00::1". 0; -EINVAL with @why and @remedy. */
int nsg_parse_prefix(const char *text, struct policy_prefix *p, char *why, size_t why_size,
		     char *remedy, size_t remedy_size);
/* "22", "1000-2000". 0 or -EINVAL. */
int nsg_parse_range(const char *text, struct policy_range *r);
/* Add to @side what @v (a value or a list of values) says: prefixes, tags, "any", "*". */
void nsg_read_addrs(struct nsg_node v, struct nsg_side *side);
/* Names of application security groups; with @ids by {"id": ".../name"} too. */
void nsg_read_asgs(struct nsg_node v, struct nsg_side *side, bool ids);
void nsg_read_ports(struct nsg_node v, struct nsg_side *side);
/* Words, numbers, "any", "*". */
void nsg_read_proto(struct nsg_node v, struct nsg_proto *proto);
/* Ports belong to TCP and UDP: report them with anything else. @what: "ports". */
void nsg_check_ports(struct nsg_node v, const struct nsg_proto *proto, const struct nsg_side *a,
		     const struct nsg_side *b);
/* One address, no prefix. False: not there, or reported. */
bool nsg_read_address(struct nsg_node v, struct policy_prefix *p);
/* A list of prefixes without tags. */
void nsg_read_prefixes(struct nsg_node v, struct policy_prefix **list, uint32_t *n);

/* ---- the forms ---- */

extern const char *const nsg_directions[]; /* in the order of enum policy_dir */
extern const char *const nsg_verdicts[];   /* in the order of enum policy_verdict */

/* Is the root Azure's? */
bool nsg_is_azure(struct nsg_node root);
void nsg_read_azure(struct nsg_node root);
void nsg_read_yaml(struct nsg_node root);
/* nsg_acl.c: acls. nsg_extra.c: nat, meters, tunnels. */
void nsg_read_acls(struct nsg_node v);
void nsg_read_nats(struct nsg_node v);
void nsg_read_extras(struct nsg_node v, bool tunnels);
void nsg_read_scope(struct nsg_node map, struct nsg_scope *scope);
/* A group's rules are all read: are priorities and names unique? */
void nsg_check_group(struct nsg_node at, const struct nsg *g);
/* Append a zeroed element to a list of the file; NULL: no memory, the read fails as a whole. */
void *nsg_append(struct nsg_doc *d, void *list_ptr, uint32_t *n, size_t size);

#endif
