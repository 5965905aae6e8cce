/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the list of what is wrong with a lab file, and how an entry reads. */
#include "host/lab_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lab_errors_add(struct lab_errors *errs, unsigned int line, unsigned int column,
		    const char *key, const char *remedy, const char *fmt, ...)
{
	struct lab_error *e;
	va_list ap;

	if (!errs->list)
		errs->list = calloc(LAB_MAX_ERRORS, sizeof(*errs->list));
	if (!errs->list || errs->n == LAB_MAX_ERRORS) {
		errs->n_more++;
		return;
	}
	e = &errs->list[errs->n++];
	e->line = line;
	e->column = column;
	snprintf(e->key, sizeof(e->key), "%s", key);
	snprintf(e->remedy, sizeof(e->remedy), "%s", remedy ? remedy : "");
	va_start(ap, fmt);
	vsnprintf(e->reason, sizeof(e->reason), fmt, ap);
	va_end(ap);
}

void lab_errors_sort(struct lab_errors *errs)
{
	/* By insertion: few, nearly sorted, and equal lines keep the order they were found in. */
	for (unsigned int i = 1; i < errs->n; i++) {
		struct lab_error e = errs->list[i];
		unsigned int j = i;

		for (; j > 0 && errs->list[j - 1].line > e.line; j--)
			errs->list[j] = errs->list[j - 1];
		errs->list[j] = e;
	}
}

void lab_error_format(const struct lab_errors *errs, const struct lab_error *err, char *buf,
		      size_t size)
{
	char where[320];

	if (err->line)
		snprintf(where, sizeof(where), "%s:%u", errs->file, err->line);
	else
		snprintf(where, sizeof(where), "%s", errs->file);
	snprintf(buf, size, "%s: %s%s%s%s%s", where, err->key, *err->key ? ": " : "", err->reason,
		 *err->remedy ? "; " : "", err->remedy);
	for (char *c = buf; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

/* As a JSON string even when the file was not UTF-8. */
static json_t *text(const char *s)
{
	json_t *j = json_string(s);
	char *copy, *c;

	if (j)
		return j;
	copy = strdup(s);
	if (!copy)
		return json_null();
	for (c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	j = json_string(copy);
	free(copy);
	return j ? j : json_null();
}

json_t *lab_errors_to_json(const struct lab_errors *errs)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < errs->n; i++) {
		const struct lab_error *e = &errs->list[i];

		json_array_append_new(list,
				      json_pack("{s:o, s:i, s:i, s:o, s:o, s:o}", "file",
						text(errs->file), "line", (int)e->line, "column",
						(int)e->column, "key", text(e->key), "reason",
						text(e->reason), "remedy", text(e->remedy)));
	}
	return list;
}

void lab_errors_free(struct lab_errors *errs)
{
	free(errs->list);
	errs->list = NULL;
	errs->n = errs->n_more = 0;
}

/* Levenshtein distance; only words that can be keys, so rows fit the stack. */
static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	size_t row[64];

	if (la >= 64 || lb >= 64)
		return 64;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diag = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t up = row[j];
			size_t best = diag + (a[i - 1] != b[j - 1]);

			best = MIN(best, MIN(up + 1, row[j - 1] + 1));
			row[j] = best;
			diag = up;
		}
	}
	return row[lb];
}

const char *lab_nearest(const char *word, const char *const *words)
{
	const char *best = NULL;
	size_t limit = strlen(word) / 2 + 1, least = MIN(limit, 4);

	for (; *words; words++) {
		size_t d = distance(word, *words);

		/* A key that is the other's beginning is near however much is missing. */
		if (strlen(word) >= 3 && strncmp(word, *words, strlen(word)) == 0)
			d = 1;
		if (d < least) {
			least = d;
			best = *words;
		}
	}
	return best;
}
