/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the nodes of a policy file: what is there, what kind it is, and how a mistake is told.
 *
 * A policy file is not mapped by a schema as a lab file is (lab_doc.c): Azure's form has the same
 * thing in several shapes. Whoever reads it asks for the keys that it knows and goes on after a
 * mistake, so that all of them are reported at once. How deep the reading goes is in the code, not
 * in the file.
 */
#include "host/nsg_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct nsg_node node(struct nsg_doc *d, yaml_node_t *n, struct lab_path path)
{
	return (struct nsg_node){d, n, path};
}

static const char *scalar(const yaml_node_t *n)
{
	return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

static bool is_null(const yaml_node_t *n)
{
	const char *s = scalar(n);

	return s && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*s || strcmp(s, "~") == 0 || strcmp(s, "null") == 0);
}

struct nsg_node nsg_root(struct nsg_doc *d)
{
	return node(d, yaml_document_get_root_node(&d->ld.doc), lab_path("%s", ""));
}

bool nsg_is_map(struct nsg_node v)
{
	return v.n && v.n->type == YAML_MAPPING_NODE;
}

bool nsg_is_list(struct nsg_node v)
{
	return v.n && v.n->type == YAML_SEQUENCE_NODE;
}

unsigned int nsg_line(struct nsg_node v)
{
	return v.n ? (unsigned int)v.n->start_mark.line + 1 : 0;
}

uint32_t nsg_n_pairs(struct nsg_node map)
{
	if (!nsg_is_map(map))
		return 0;
	return (uint32_t)(map.n->data.mapping.pairs.top - map.n->data.mapping.pairs.start);
}

struct nsg_node nsg_pair(struct nsg_node map, uint32_t i, const char **key)
{
	const yaml_node_pair_t *p = &map.n->data.mapping.pairs.start[i];
	const char *name = scalar(yaml_document_get_node(&map.d->ld.doc, p->key));

	*key = name ? name : "?";
	return node(map.d, yaml_document_get_node(&map.d->ld.doc, p->value),
		    lab_path("%s%s%s", map.path.s, *map.path.s ? "." : "", *key));
}

struct nsg_node nsg_get(struct nsg_node map, const char *key)
{
	struct lab_path path = lab_path("%s%s%s", map.path.s, *map.path.s ? "." : "", key);

	for (uint32_t i = 0; i < nsg_n_pairs(map); i++) {
		const char *name;
		struct nsg_node v = nsg_pair(map, i, &name);

		if (strcmp(name, key) == 0)
			return node(map.d, is_null(v.n) ? NULL : v.n, path);
	}
	return node(map.d, NULL, path);
}

uint32_t nsg_count(struct nsg_node v)
{
	if (!v.n)
		return 0;
	if (v.n->type != YAML_SEQUENCE_NODE)
		return 1;
	return (uint32_t)(v.n->data.sequence.items.top - v.n->data.sequence.items.start);
}

struct nsg_node nsg_at(struct nsg_node list, uint32_t i)
{
	if (list.n->type != YAML_SEQUENCE_NODE)
		return list;
	return node(list.d,
		    yaml_document_get_node(&list.d->ld.doc, list.n->data.sequence.items.start[i]),
		    lab_path("%s[%u]", list.path.s, i));
}

void nsg_error(struct nsg_node v, const char *remedy, const char *fmt, ...)
{
	char reason[256], full[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	snprintf(full, sizeof(full), "%s%.*s", v.d->about,
		 (int)(sizeof(full) - strlen(v.d->about) - 1), reason);
	lab_errors_add(v.d->ld.errs, v.n ? (unsigned int)v.n->start_mark.line + 1 : 0,
		       v.n ? (unsigned int)v.n->start_mark.column + 1 : 0, v.path.s, remedy, "%s",
		       full);
}

static const char *kind(struct nsg_node v)
{
	return nsg_is_list(v) ? "a list" : nsg_is_map(v) ? "a mapping" : "a single value";
}

static const char *where(struct nsg_node v)
{
	const char *dot = strrchr(v.path.s, '.');

	return dot ? dot + 1 : *v.path.s ? v.path.s : "the file";
}

bool nsg_need_map(struct nsg_node v)
{
	if (v.n && !nsg_is_map(v))
		nsg_error(v, "write KEY: VALUE lines here", "%s must be a mapping, not %s",
			  where(v), kind(v));
	return nsg_is_map(v);
}

bool nsg_need_list(struct nsg_node v, uint32_t max)
{
	if (v.n && !nsg_is_list(v))
		nsg_error(v, "start each entry with \"- \" on a line of its own",
			  "%s must be a list, not %s", where(v), kind(v));
	else if (nsg_count(v) > max)
		nsg_error(v, "split it", "%u entries are more than the %u that are possible",
			  nsg_count(v), max);
	else
		return nsg_is_list(v);
	return false;
}

static void unknown(struct nsg_node at, const char *name, const char *const *known)
{
	const char *near = lab_nearest(name, known);
	char remedy[256];
	size_t len;

	if (near) {
		snprintf(remedy, sizeof(remedy), "did you mean \"%s\"?", near);
	} else {
		len = (size_t)snprintf(remedy, sizeof(remedy), "known keys here:");
		for (uint32_t k = 0; known[k] && len < sizeof(remedy); k++)
			len += (size_t)snprintf(remedy + len, sizeof(remedy) - len, "%s %s",
						k ? "," : "", known[k]);
	}
	nsg_error(at, remedy, "unknown key \"%s\"", name);
}

void nsg_keys(struct nsg_node map, const char *const *known)
{
	uint64_t seen = 0;

	for (uint32_t i = 0; i < nsg_n_pairs(map); i++) {
		const yaml_node_pair_t *p = &map.n->data.mapping.pairs.start[i];
		struct nsg_node at;
		const char *name;
		unsigned int k = 0;

		at = nsg_pair(map, i, &name);
		at.n = yaml_document_get_node(&map.d->ld.doc, p->key);
		while (known[k] && strcmp(known[k], name) != 0)
			k++;
		if (!known[k])
			unknown(at, name, known);
		else if (seen & 1ull << k)
			nsg_error(at, "keep one of them", "the key \"%s\" stands here twice", name);
		else
			seen |= 1ull << k;
	}
}

const char *nsg_text(struct nsg_node v)
{
	const char *s = scalar(v.n);

	if (!v.n)
		return NULL;
	if (!s) {
		nsg_error(v, "write KEY: TEXT", "%s must be a text, not %s", where(v), kind(v));
		return NULL;
	}
	if (strlen(s) != v.n->data.scalar.length) {
		nsg_error(v, "remove it", "the text has a NUL byte in it");
		return NULL;
	}
	return s;
}

const char *nsg_keep(struct nsg_node v)
{
	const char *s = nsg_text(v);

	return s ? arena_strdup(&v.d->file->mem, s) : NULL;
}

const char *nsg_name(struct nsg_node v, const char *what)
{
	const char *s = nsg_text(v);

	if (!s)
		return NULL;
	if (!*s || strlen(s) > NSG_NAME_MAX) {
		nsg_error(v, "use 1 to 79 characters", "%s has %zu characters", what, strlen(s));
		return NULL;
	}
	for (const char *c = s; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f || strchr("\"\\[]{}", *c)) {
			nsg_error(v, "use letters, digits, and . - _",
				  "%s \"%.80s\" has an illegal character", what, s);
			return NULL;
		}
	return arena_strdup(&v.d->file->mem, s);
}

void nsg_missing(struct nsg_node map, const char *key)
{
	struct nsg_node v = nsg_get(map, key);
	char remedy[96];

	v.n = map.n;
	snprintf(remedy, sizeof(remedy), "add \"%s: ...\"", key);
	nsg_error(v, remedy, "the key \"%s\" is missing", key);
}

bool nsg_number(struct nsg_node v, uint32_t min, uint32_t max, uint32_t *out)
{
	const char *s = nsg_text(v);
	unsigned long long n;
	char remedy[96];

	if (!s)
		return false;
	snprintf(remedy, sizeof(remedy), "write a number from %u to %u", min, max);
	if (!*s || strspn(s, "0123456789") != strlen(s) || (*s == '0' && s[1])) {
		nsg_error(v, remedy, "\"%.40s\" is not a whole number", s);
		return false;
	}
	n = strlen(s) > 10 ? UINT64_MAX : strtoull(s, NULL, 10);
	if (n < min || n > max) {
		nsg_error(v, remedy, "%.20s is out of range", s);
		return false;
	}
	*out = (uint32_t)n;
	return true;
}

int nsg_word(struct nsg_node v, const char *const *words)
{
	const char *s = nsg_text(v);
	char remedy[160];
	size_t len;

	if (!v.n)
		return -1;
	if (!s)
		return -2;
	for (int i = 0; words[i]; i++)
		if (strcasecmp(words[i], s) == 0)
			return i;
	len = (size_t)snprintf(remedy, sizeof(remedy), "write one of:");
	for (int i = 0; words[i] && len < sizeof(remedy); i++)
		len += (size_t)snprintf(remedy + len, sizeof(remedy) - len, "%s %s", i ? "," : "",
					words[i]);
	nsg_error(v, remedy, "\"%.40s\" is not possible here", s);
	return -2;
}

bool nsg_bool(struct nsg_node v, bool def)
{
	static const char *const words[] = {"no", "yes", "false", "true", "off", "on", NULL};
	int w = nsg_word(v, words);

	return w < 0 ? def : w % 2 == 1;
}

bool nsg_budget(struct nsg_node v, uint32_t n)
{
	struct nsg_file *f = v.d->file;

	if (f->n_items > NSG_MAX_ITEMS)
		return false;
	f->n_items += n;
	if (f->n_items <= NSG_MAX_ITEMS)
		return true;
	nsg_error(v, "split the file", "the file has more than %d addresses and ports in all",
		  NSG_MAX_ITEMS);
	return false;
}

void *nsg_append(struct nsg_doc *d, void *list_ptr, uint32_t *n, size_t size)
{
	void **list = list_ptr;
	char *more = arena_grow(&d->file->mem, *list, *n, size);

	if (!more)
		return NULL;
	*list = more;
	return more + size * (*n)++;
}
