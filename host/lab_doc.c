/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the YAML text as a tree of nodes that know their lines.
 *
 * libcyaml maps text onto structs and stops at the first difference from its schema table. A
 * person wants all differences, with lines and remedies. So the same table is first held against
 * the document here, and libcyaml only sees text that fits. Recursion follows the table, not the
 * document: depth and work are bounded whatever aliases the text plays with.
 */
#include "host/lab_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lab_path lab_path(const char *fmt, ...)
{
	struct lab_path p;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p.s, sizeof(p.s), fmt, ap);
	va_end(ap);
	return p;
}

int lab_doc_init(struct lab_doc *ld, const char *text, size_t size, struct lab_errors *errs)
{
	return lab_doc_init_as(ld, text, size, "a lab file",
			       "name at least one VM under the key vms", errs);
}

int lab_doc_init_as(struct lab_doc *ld, const char *text, size_t size, const char *what,
		    const char *remedy, struct lab_errors *errs)
{
	yaml_parser_t parser;
	yaml_document_t second;
	int ret = -EINVAL;

	memset(ld, 0, sizeof(*ld));
	ld->errs = errs;
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	if (!yaml_parser_load(&parser, &ld->doc)) {
		bool marked = parser.error != YAML_READER_ERROR;

		lab_errors_add(errs, marked ? (unsigned int)parser.problem_mark.line + 1 : 0,
			       marked ? (unsigned int)parser.problem_mark.column + 1 : 0, "",
			       marked ? "check the indentation, the colons and the quotes here"
				      : "save the file as UTF-8 text",
			       "not valid YAML: %s%s%s", parser.problem ? parser.problem : "error",
			       parser.context ? " " : "", parser.context ? parser.context : "");
		goto out;
	}
	if (!yaml_document_get_root_node(&ld->doc)) {
		lab_errors_add(errs, 0, 0, "", remedy, "the file is empty");
		goto out_doc;
	}
	if (!yaml_parser_load(&parser, &second)) {
		lab_errors_add(errs, (unsigned int)parser.problem_mark.line + 1,
			       (unsigned int)parser.problem_mark.column + 1, "",
			       "check the indentation, the colons and the quotes here",
			       "not valid YAML: %s", parser.problem ? parser.problem : "error");
		goto out_doc;
	}
	if (yaml_document_get_root_node(&second)) {
		lab_errors_add(errs, (unsigned int)second.start_mark.line + 1, 1, "",
			       "remove the second document, or put it into a file of its own",
			       "%s holds one YAML document", what);
		yaml_document_delete(&second);
		goto out_doc;
	}
	yaml_document_delete(&second);
	ret = 0;
	goto out;
out_doc:
	yaml_document_delete(&ld->doc);
out:
	yaml_parser_delete(&parser);
	return ret;
}

void lab_doc_fini(struct lab_doc *ld)
{
	yaml_document_delete(&ld->doc);
}

static const char *scalar(const yaml_node_t *n)
{
	return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

static yaml_node_t *member(struct lab_doc *ld, yaml_node_t *map, const char *key, size_t len)
{
	if (map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
	     p++) {
		const char *name = scalar(yaml_document_get_node(&ld->doc, p->key));

		if (name && strlen(name) == len && strncmp(name, key, len) == 0)
			return yaml_document_get_node(&ld->doc, p->value);
	}
	return NULL;
}

static yaml_node_t *element(struct lab_doc *ld, yaml_node_t *seq, unsigned long i)
{
	if (seq->type != YAML_SEQUENCE_NODE ||
	    (long)i >= seq->data.sequence.items.top - seq->data.sequence.items.start)
		return NULL;
	return yaml_document_get_node(&ld->doc, seq->data.sequence.items.start[i]);
}

/* The node at a path, or NULL; *@last is the deepest node on the way that exists. */
static yaml_node_t *find(struct lab_doc *ld, const char *path, yaml_node_t **last)
{
	yaml_node_t *n = yaml_document_get_root_node(&ld->doc);

	*last = n;
	while (*path) {
		if (*path == '[') {
			char *end;
			unsigned long i = strtoul(path + 1, &end, 10);

			n = element(ld, n, i);
			path = *end == ']' ? end + 1 : end;
		} else {
			size_t len;

			path += *path == '.';
			len = strcspn(path, ".[");
			n = member(ld, n, path, len);
			path += len;
		}
		if (!n)
			return NULL;
		*last = n;
	}
	return n;
}

bool lab_doc_has(struct lab_doc *ld, const char *path)
{
	yaml_node_t *last;

	return find(ld, path, &last) != NULL;
}

unsigned int lab_doc_line(struct lab_doc *ld, const char *path)
{
	yaml_node_t *last;

	find(ld, path, &last);
	return (unsigned int)last->start_mark.line + 1;
}

void lab_doc_error(struct lab_doc *ld, const char *path, const char *remedy, const char *fmt, ...)
{
	yaml_node_t *last;
	char reason[256];
	va_list ap;

	find(ld, path, &last);
	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	lab_errors_add(ld->errs, (unsigned int)last->start_mark.line + 1,
		       (unsigned int)last->start_mark.column + 1, path, remedy, "%s", reason);
}

/* ---- against the schema ---- */

static void node_error(struct lab_doc *ld, const yaml_node_t *n, const char *path,
		       const char *remedy, const char *fmt, ...) PRINTF_LIKE(5, 6);
static void node_error(struct lab_doc *ld, const yaml_node_t *n, const char *path,
		       const char *remedy, const char *fmt, ...)
{
	char reason[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	ld->usable = false;
	lab_errors_add(ld->errs, (unsigned int)n->start_mark.line + 1,
		       (unsigned int)n->start_mark.column + 1, path, remedy, "%s", reason);
}

static const char *node_kind(const yaml_node_t *n)
{
	switch (n->type) {
	case YAML_SEQUENCE_NODE:
		return "a list";
	case YAML_MAPPING_NODE:
		return "a mapping";
	default:
		return "a single value";
	}
}

static bool is_null(const yaml_node_t *n)
{
	const char *s = scalar(n);

	return s && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*s || strcmp(s, "~") == 0 || strcmp(s, "null") == 0);
}

static void check_value(struct lab_doc *ld, yaml_node_t *n, const cyaml_schema_value_t *schema,
			const char *path);

static void unknown_key(struct lab_doc *ld, const yaml_node_t *at, const char *name,
			const cyaml_schema_field_t *fields, const char *path, const char *full)
{
	const char *words[32] = {NULL};
	char remedy[256];
	const char *near;
	size_t n = 0, len = 0;
	bool usable = ld->usable;

	for (const cyaml_schema_field_t *f = fields; f->key && n < ARRAY_SIZE(words) - 1; f++)
		words[n++] = f->key;
	near = lab_nearest(name, words);
	if (near) {
		snprintf(remedy, sizeof(remedy), "did you mean \"%s\"?", near);
	} else {
		len = (size_t)snprintf(remedy, sizeof(remedy), "known keys here:");
		for (size_t i = 0; i < n && len < sizeof(remedy); i++)
			len += (size_t)snprintf(remedy + len, sizeof(remedy) - len, "%s %s",
						i ? "," : "", words[i]);
	}
	node_error(ld, at, full, remedy, "unknown key \"%s\"", name);
	/* The rest still has a meaning, unless a whole part of the file is missing by this. */
	ld->usable = usable && *path;
}

static void check_mapping(struct lab_doc *ld, yaml_node_t *n, const cyaml_schema_field_t *fields,
			  const char *path)
{
	uint64_t seen = 0;

	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top;
	     p++) {
		yaml_node_t *key = yaml_document_get_node(&ld->doc, p->key);
		const char *name = scalar(key);
		const cyaml_schema_field_t *f = fields;
		struct lab_path full;

		if (!name) {
			node_error(ld, key, path, NULL, "a key must be a word, not %s",
				   node_kind(key));
			continue;
		}
		full = lab_path("%s%s%s", path, *path ? "." : "", name);
		while (f->key && strcmp(f->key, name) != 0)
			f++;
		if (!f->key) {
			unknown_key(ld, key, name, fields, path, full.s);
			continue;
		}
		if (seen & 1ull << (f - fields)) {
			node_error(ld, key, full.s, "keep one of them",
				   "the key \"%s\" stands here twice", name);
			continue;
		}
		seen |= 1ull << (f - fields);
		check_value(ld, yaml_document_get_node(&ld->doc, p->value), &f->value, full.s);
	}
	for (const cyaml_schema_field_t *f = fields; f->key; f++) {
		char remedy[96];

		if (f->value.flags & CYAML_FLAG_OPTIONAL || seen & 1ull << (f - fields))
			continue;
		snprintf(remedy, sizeof(remedy), "add \"%s: ...\"", f->key);
		node_error(ld, n, lab_path("%s%s%s", path, *path ? "." : "", f->key).s, remedy,
			   "the key \"%s\" is missing", f->key);
	}
}

static void check_sequence(struct lab_doc *ld, yaml_node_t *n, const cyaml_schema_value_t *schema,
			   const char *path)
{
	long count = n->data.sequence.items.top - n->data.sequence.items.start;

	if (count < (long)schema->sequence.min)
		node_error(ld, n, path, "add one", "the list is empty");
	if (count > (long)schema->sequence.max) {
		node_error(ld, n, path, "split the lab, or remove some",
			   "%ld entries are more than the %u that are possible", count,
			   schema->sequence.max);
		return;
	}
	for (long i = 0; i < count; i++)
		check_value(ld, element(ld, n, (unsigned long)i), schema->sequence.entry,
			    lab_path("%s[%ld]", path, i).s);
}

static void check_enum(struct lab_doc *ld, yaml_node_t *n, const cyaml_schema_value_t *schema,
		       const char *path)
{
	char words[128] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < schema->enumeration.count; i++) {
		const char *word = schema->enumeration.strings[i].str;

		if (strcmp(scalar(n), word) == 0)
			return;
		if (len < sizeof(words))
			len += (size_t)snprintf(words + len, sizeof(words) - len, "%s%s",
						i ? ", " : "", word);
	}
	{
		char remedy[160];

		snprintf(remedy, sizeof(remedy), "write one of: %s", words);
		node_error(ld, n, path, remedy, "\"%s\" is not possible here", scalar(n));
	}
}

static void check_uint(struct lab_doc *ld, yaml_node_t *n, const char *path)
{
	const char *s = scalar(n);

	if (!*s || strspn(s, "0123456789") != strlen(s))
		node_error(ld, n, path, "write a plain decimal number without a unit",
			   "\"%s\" is not a whole number", s);
	else if (*s == '0' && s[1])
		/* libcyaml would read it as octal. */
		node_error(ld, n, path, "remove the leading zero", "\"%s\" starts with 0", s);
	else if (strlen(s) > 10 || strtoull(s, NULL, 10) > UINT32_MAX)
		node_error(ld, n, path, NULL, "the number %s is too large", s);
}

static void check_value(struct lab_doc *ld, yaml_node_t *n, const cyaml_schema_value_t *schema,
			const char *path)
{
	static const struct {
		yaml_node_type_t node;
		const char *text, *remedy;
	} wanted[] = {
		[CYAML_UINT] = {YAML_SCALAR_NODE, "a number", "write KEY: NUMBER"},
		[CYAML_ENUM] = {YAML_SCALAR_NODE, "a word", "write KEY: WORD"},
		[CYAML_STRING] = {YAML_SCALAR_NODE, "a text", "write KEY: TEXT"},
		[CYAML_MAPPING] = {YAML_MAPPING_NODE, "a mapping", "write KEY: VALUE lines here"},
		[CYAML_SEQUENCE] = {YAML_SEQUENCE_NODE, "a list",
				    "start each entry with \"- \" on a line of its own"},
	};
	const char *where = *path ? path : "the file";

	if (is_null(n)) {
		node_error(ld, n, path, "give it one, or remove the key", "%s has no value", where);
		return;
	}
	if (n->type != wanted[schema->type].node) {
		node_error(ld, n, path, wanted[schema->type].remedy, "%s must be %s, not %s", where,
			   wanted[schema->type].text, node_kind(n));
		return;
	}
	switch (schema->type) {
	case CYAML_MAPPING:
		check_mapping(ld, n, schema->mapping.fields, path);
		break;
	case CYAML_SEQUENCE:
		check_sequence(ld, n, schema, path);
		break;
	case CYAML_ENUM:
		check_enum(ld, n, schema, path);
		break;
	case CYAML_UINT:
		check_uint(ld, n, path);
		break;
	default:
		if (strlen(scalar(n)) != n->data.scalar.length)
			node_error(ld, n, path, "remove it", "the text has a NUL byte in it");
		break;
	}
}

void lab_doc_check(struct lab_doc *ld, const cyaml_schema_value_t *schema)
{
	ld->usable = true;
	check_value(ld, yaml_document_get_root_node(&ld->doc), schema, "");
}
