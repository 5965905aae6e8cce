/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns a policy file's way from text to model, and what several files are together. */
#include "host/nsg_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* ---- loading ---- */

int nsg_load_text(const char *name, const char *text, size_t size, struct nsg_file **out,
		  struct lab_errors *errs)
{
	struct nsg_file *f = calloc(1, sizeof(*f));
	struct nsg_doc d = {.file = f};
	int ret;

	*out = NULL;
	snprintf(errs->file, sizeof(errs->file), "%s", name);
	if (!f)
		return -ENOMEM;
	f->name = arena_strdup(&f->mem, name);
	f->peered = true;
	if (size > NSG_MAX_TEXT) {
		lab_errors_add(errs, 0, 0, "", "split it",
			       "the file is larger than the %u bytes that are possible",
			       NSG_MAX_TEXT);
		ret = -EINVAL;
		goto out;
	}
	ret = lab_doc_init_as(&d.ld, text, size, "a policy file", "name a group under the key nsgs",
			      errs);
	if (ret)
		goto out;
	f->azure = nsg_is_azure(nsg_root(&d));
	if (f->azure)
		nsg_read_azure(nsg_root(&d));
	else
		nsg_read_yaml(nsg_root(&d));
	lab_doc_fini(&d.ld);
	lab_errors_sort(errs);
	if (f->mem.failed)
		ret = -ENOMEM;
	else if (errs->n || errs->n_more)
		ret = -EINVAL;
out:
	if (ret)
		nsg_free(f);
	else
		*out = f;
	return ret;
}

static int read_all(int fd, char *text, size_t *size)
{
	ssize_t n;

	*size = 0;
	do {
		n = read(fd, text + *size, NSG_MAX_TEXT + 1 - *size);
		if (n < 0 && errno != EINTR)
			return -errno;
		*size += n > 0 ? (size_t)n : 0;
	} while (n != 0 && *size <= NSG_MAX_TEXT);
	return 0;
}

int nsg_read_text(const char *path, char **text, size_t *size)
{
	struct stat st;
	int fd, ret;

	*text = malloc(NSG_MAX_TEXT + 1);
	if (!*text)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ret = fd < 0 || fstat(fd, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? -EISDIR : 0;
	if (!ret)
		ret = read_all(fd, *text, size);
	fd_close(&fd);
	if (!ret)
		return 0;
	free(*text);
	*text = NULL;
	return ret;
}

int nsg_load_file(const char *path, struct nsg_file **file, struct lab_errors *errs)
{
	char *text;
	size_t size;
	int ret = nsg_read_text(path, &text, &size);

	*file = NULL;
	if (!ret) {
		ret = nsg_load_text(path, text, size, file, errs);
		free(text);
		return ret;
	}
	snprintf(errs->file, sizeof(errs->file), "%s", path);
	lab_errors_add(errs, 0, 0, "",
		       ret == -EISDIR ? "name the file in it"
				      : "check the path, or its permissions",
		       "cannot read the policy file: %s", strerror(-ret));
	return ret;
}

void nsg_free(struct nsg_file *f)
{
	if (!f)
		return;
	arena_free(&f->mem);
	free(f);
}

/* ---- the rules that every group has ---- */

static struct nsg_addr vnet = {.kind = NSG_ADDR_VNET}, lb = {.kind = NSG_ADDR_LB},
		       internet = {.kind = NSG_ADDR_INTERNET};

/* Azure's, "Azure network security groups overview", "Default security rules". */
static const struct nsg_rule defaults[NSG_N_DEFAULTS] = {
	{.name = "AllowVnetInBound",
	 .priority = 65000,
	 .dir = POLICY_IN,
	 .verdict = POLICY_ALLOW,
	 .src = {.addrs = &vnet, .n_addrs = 1},
	 .dst = {.addrs = &vnet, .n_addrs = 1}},
	{.name = "AllowAzureLoadBalancerInBound",
	 .priority = 65001,
	 .dir = POLICY_IN,
	 .verdict = POLICY_ALLOW,
	 .src = {.addrs = &lb, .n_addrs = 1}},
	{.name = "DenyAllInBound", .priority = 65500, .dir = POLICY_IN, .verdict = POLICY_DENY},
	{.name = "AllowVnetOutBound",
	 .priority = 65000,
	 .dir = POLICY_OUT,
	 .verdict = POLICY_ALLOW,
	 .src = {.addrs = &vnet, .n_addrs = 1},
	 .dst = {.addrs = &vnet, .n_addrs = 1}},
	{.name = "AllowInternetOutBound",
	 .priority = 65001,
	 .dir = POLICY_OUT,
	 .verdict = POLICY_ALLOW,
	 .dst = {.addrs = &internet, .n_addrs = 1}},
	{.name = "DenyAllOutBound", .priority = 65500, .dir = POLICY_OUT, .verdict = POLICY_DENY},
};

const struct nsg_rule *nsg_defaults(void)
{
	return defaults;
}

/* ---- several files together ---- */

const struct nsg *nsg_find(const struct nsg_set *set, const char *name)
{
	for (uint32_t i = 0; i < set->n; i++)
		for (uint32_t k = 0; k < set->files[i]->n_nsgs; k++)
			if (strcmp(set->files[i]->nsgs[k].name, name) == 0)
				return &set->files[i]->nsgs[k];
	return NULL;
}

static bool listed(const char *const *list, uint32_t n, const char *s)
{
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(list[i], s) == 0)
			return true;
	return false;
}

bool nsg_scope_has(const struct nsg_scope *scope, const char *nic, const char *network)
{
	if (!scope->n_nics && !scope->n_networks)
		return true;
	return listed(scope->nics, scope->n_nics, nic) ||
	       listed(scope->networks, scope->n_networks, network);
}

struct check {
	const struct nsg_set *set;
	const struct lab *lab;
	struct lab_errors *errs; /* of the file looked at */
};

static void check_network(const struct check *c, const char *name, unsigned int line)
{
	const char *words[LAB_MAX_NETS + 1] = {NULL};
	char remedy[128];

	if (!c->lab)
		return;
	for (unsigned int i = 0; i < c->lab->n_nets; i++) {
		if (strcmp(c->lab->nets[i].name, name) == 0)
			return;
		words[i] = c->lab->nets[i].name;
	}
	words[0] = lab_nearest(name, words);
	snprintf(remedy, sizeof(remedy), words[0] ? "did you mean \"%s\"?" : "name one of the lab",
		 words[0]);
	lab_errors_add(c->errs, line, 1, "", remedy, "there is no network \"%.80s\"", name);
}

/* On whatever host. */
static bool has_vm(const struct lab *lab, const char *name)
{
	for (unsigned int v = 0; v < lab->n_all; v++)
		if (strcmp(lab->vms[v].name, name) == 0)
			return true;
	return false;
}

/* The VM must be there; a NIC of it may come later. */
static void check_nic(const struct check *c, const char *name, unsigned int line)
{
	const char *slash = strchr(name, '/');
	char vm[LAB_NAME_MAX + 1];

	if (!slash || !slash[1] || slash == name || strchr(slash + 1, '/') ||
	    (size_t)(slash - name) > LAB_NAME_MAX) {
		lab_errors_add(c->errs, line, 1, "", "write VM/NIC, as a/eth0",
			       "\"%.80s\" is not a NIC", name);
		return;
	}
	snprintf(vm, sizeof(vm), "%.*s", (int)(slash - name), name);
	if (c->lab && !has_vm(c->lab, vm))
		lab_errors_add(c->errs, line, 1, "", "name a VM of the lab",
			       "there is no VM \"%s\" that could have the NIC %.80s", vm, name);
}

static void check_scope(const struct check *c, const struct nsg_scope *s)
{
	for (uint32_t i = 0; i < s->n_nics; i++)
		check_nic(c, s->nics[i], s->line);
	for (uint32_t i = 0; i < s->n_networks; i++)
		check_network(c, s->networks[i], s->line);
}

/* Did a file before this one give the same target a group? */
static void check_given(const struct check *c, uint32_t file, const struct nsg_apply *a, bool nic)
{
	for (uint32_t i = 0; i < file; i++) {
		const struct nsg_file *f = c->set->files[i];
		const struct nsg_apply *list = nic ? f->nics : f->networks;

		for (uint32_t k = 0; k < (nic ? f->n_nics : f->n_networks); k++)
			if (strcmp(list[k].target, a->target) == 0)
				lab_errors_add(c->errs, a->line, 1, "apply",
					       "keep one of them, or remove that file first",
					       "%.80s has a group already (%.80s, line %u)",
					       a->target, f->name, list[k].line);
	}
}

static void check_apply(const struct check *c, uint32_t file, const struct nsg_apply *list,
			uint32_t n, bool nic)
{
	for (uint32_t i = 0; i < n; i++) {
		const char *words[NSG_MAX_FILES * NSG_MAX_NSGS + 1] = {NULL};
		char remedy[160];
		uint32_t w = 0;

		check_given(c, file, &list[i], nic);
		if (nic)
			check_nic(c, list[i].target, list[i].line);
		else
			check_network(c, list[i].target, list[i].line);
		if (nsg_find(c->set, list[i].nsg))
			continue;
		for (uint32_t f = 0; f < c->set->n; f++)
			for (uint32_t k = 0; k < c->set->files[f]->n_nsgs; k++)
				words[w++] = c->set->files[f]->nsgs[k].name;
		words[0] = lab_nearest(list[i].nsg, words);
		snprintf(remedy, sizeof(remedy),
			 words[0] ? "did you mean \"%s\"?"
				  : "add it under nsgs, or apply the file that has it too",
			 words[0]);
		lab_errors_add(c->errs, list[i].line, 1, "apply", remedy,
			       "there is no group \"%.80s\"", list[i].nsg);
	}
}

static void check_names(const struct check *c, uint32_t file)
{
	const struct nsg_file *f = c->set->files[file];

	for (uint32_t k = 0; k < f->n_nsgs; k++)
		for (uint32_t i = 0; i <= file; i++) {
			const struct nsg_file *o = c->set->files[i];

			for (uint32_t j = 0; j < (i == file ? k : o->n_nsgs); j++)
				if (strcmp(o->nsgs[j].name, f->nsgs[k].name) == 0)
					lab_errors_add(c->errs, f->nsgs[k].line, 1, "nsgs",
						       "rename one of them",
						       "the group's name \"%s\" is taken (%.80s, "
						       "line %u)",
						       f->nsgs[k].name, o->name, o->nsgs[j].line);
		}
}

static uint32_t count_meters(const struct nsg_set *set)
{
	const char *names[POLICY_MAX_METERS + 1];
	uint32_t n = 0;

	for (uint32_t i = 0; i < set->n; i++) {
		const struct nsg_file *f = set->files[i];

		for (uint32_t k = 0; k < f->n_meters && n <= POLICY_MAX_METERS; k++)
			if (f->meters[k].meter && !listed(names, n, f->meters[k].meter))
				names[n++] = f->meters[k].meter;
		for (uint32_t a = 0; a < f->n_acls; a++)
			for (uint32_t k = 0; k < f->acls[a].n_rules && n <= POLICY_MAX_METERS; k++)
				if (f->acls[a].rules[k].action == NSG_ACL_METER &&
				    !listed(names, n, f->acls[a].rules[k].meter))
					names[n++] = f->acls[a].rules[k].meter;
	}
	return n;
}

int nsg_set_check(const struct nsg_set *set, const struct lab *lab, struct lab_errors *errs)
{
	struct check c = {.set = set, .lab = lab};
	int ret = 0;

	for (uint32_t i = 0; i < set->n; i++) {
		const struct nsg_file *f = set->files[i];

		c.errs = &errs[i];
		snprintf(errs[i].file, sizeof(errs[i].file), "%s", f->name);
		check_names(&c, i);
		check_apply(&c, i, f->networks, f->n_networks, false);
		check_apply(&c, i, f->nics, f->n_nics, true);
		for (uint32_t k = 0; k < f->n_acls; k++)
			check_scope(&c, &f->acls[k].scope);
		for (uint32_t k = 0; k < f->n_nats; k++)
			check_scope(&c, &f->nats[k].scope);
		for (uint32_t k = 0; k < f->n_meters; k++)
			check_scope(&c, &f->meters[k].scope);
		for (uint32_t k = 0; k < f->n_tunnels; k++)
			check_scope(&c, &f->tunnels[k].scope);
		for (uint32_t k = 0; k < f->n_tests; k++)
			if (f->tests[k].nsg && !nsg_find(set, f->tests[k].nsg))
				lab_errors_add(c.errs, f->tests[k].line, 1, "tests", NULL,
					       "there is no group \"%.80s\"", f->tests[k].nsg);
		if (i + 1 == set->n && count_meters(set) > POLICY_MAX_METERS)
			lab_errors_add(c.errs, 0, 0, "meters", "share some names",
				       "more than the %d meters that are possible",
				       POLICY_MAX_METERS);
		lab_errors_sort(&errs[i]);
		if (errs[i].n || errs[i].n_more)
			ret = -EINVAL;
	}
	return ret;
}
