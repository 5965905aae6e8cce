/* SPDX-License-Identifier: BSD-2-Clause */
/* What arguments a command takes: checked, and described for query-schema. */
#ifndef HVLAB_HOST_CONTROL_ARGS_H
#define HVLAB_HOST_CONTROL_ARGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum arg_type { ARG_STRING, ARG_INT, ARG_BOOL, ARG_OBJECT, ARG_STRINGS };

/**
 * struct arg_spec - One argument
 * @values:	ARG_STRING: the legal ones as "a|b|c"; NULL: any without NUL bytes
 * @min, @max:	ARG_INT: legal range; ARG_STRING and ARG_STRINGS: bytes, or elements; 0,0: any
 */
struct arg_spec {
	const char *name;
	enum arg_type type;
	bool required;
	json_int_t min, max;
	const char *values;
	const char *doc;
};

/* True when @args (an object) fits; else *@why says which argument is wrong and how. */
bool args_check(const struct arg_spec *specs, size_t n, const json_t *args, char *why,
		size_t why_size);
/* For query-schema; a new reference. */
json_t *args_schema(const struct arg_spec *specs, size_t n);

/* Values of checked arguments; @def when absent. */
const char *args_str(const json_t *args, const char *name, const char *def);
json_int_t args_int(const json_t *args, const char *name, json_int_t def);
bool args_bool(const json_t *args, const char *name, bool def);

#endif
