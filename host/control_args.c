/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the check of a request's arguments against their table. */
#include "host/control_args.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

static const char *const type_names[] = {
	[ARG_STRING] = "string", [ARG_INT] = "int",	    [ARG_BOOL] = "bool",
	[ARG_OBJECT] = "object", [ARG_STRINGS] = "strings",
};
static_assert(ARRAY_SIZE(type_names) == ARG_STRINGS + 1, "every type has a name");

static const char *const type_words[] = {
	[ARG_STRING] = "a string",
	[ARG_INT] = "an integer",
	[ARG_BOOL] = "a boolean",
	[ARG_OBJECT] = "an object",
	[ARG_STRINGS] = "an array of strings",
};
static_assert(ARRAY_SIZE(type_words) == ARG_STRINGS + 1, "every type has words");

/* C code takes strings up to their NUL: one inside would make what was checked not what is used. */
static bool plain_string(const json_t *v)
{
	return json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v);
}

static bool right_type(const struct arg_spec *s, const json_t *v)
{
	size_t i;
	json_t *e;

	switch (s->type) {
	case ARG_STRING:
		return plain_string(v);
	case ARG_INT:
		return json_is_integer(v);
	case ARG_BOOL:
		return json_is_boolean(v);
	case ARG_OBJECT:
		return json_is_object(v);
	case ARG_STRINGS:
		if (!json_is_array(v))
			return false;
		json_array_foreach ((json_t *)v, i, e)
			if (!plain_string(e))
				return false;
		return true;
	}
	return false;
}

static bool one_of(const char *values, const char *v)
{
	size_t len = strlen(v);

	while (*values) {
		size_t n = strcspn(values, "|");

		if (n == len && !memcmp(values, v, n))
			return true;
		values += n + (values[n] == '|');
	}
	return false;
}

static bool check_one(const struct arg_spec *s, const json_t *v, char *why, size_t why_size)
{
	json_int_t size = 0;

	if (!right_type(s, v)) {
		snprintf(why, why_size, "argument '%s' must be %s%s", s->name, type_words[s->type],
			 s->type == ARG_STRING && json_is_string(v) ? " without NUL" : "");
		return false;
	}
	if (s->values && !one_of(s->values, json_string_value(v))) {
		snprintf(why, why_size, "argument '%s' must be one of %s, not '%.40s'", s->name,
			 s->values, json_string_value(v));
		return false;
	}
	if (!s->min && !s->max)
		return true;
	if (s->type == ARG_INT)
		size = json_integer_value(v);
	else if (s->type == ARG_STRING)
		size = (json_int_t)json_string_length(v);
	else if (s->type == ARG_STRINGS)
		size = (json_int_t)json_array_size(v);
	if (size < s->min || size > s->max) {
		snprintf(why, why_size,
			 "argument '%s' must %s from %" JSON_INTEGER_FORMAT
			 " to %" JSON_INTEGER_FORMAT "%s, not %" JSON_INTEGER_FORMAT,
			 s->name, s->type == ARG_INT ? "be" : "hold", s->min, s->max,
			 s->type == ARG_INT	 ? ""
			 : s->type == ARG_STRING ? " bytes"
						 : " elements",
			 size);
		return false;
	}
	return true;
}

bool args_check(const struct arg_spec *specs, size_t n, const json_t *args, char *why,
		size_t why_size)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)args, key, v) {
		size_t i;

		for (i = 0; i < n && strcmp(specs[i].name, key); i++)
			;
		if (i == n) {
			snprintf(why, why_size, "unknown argument '%.40s'", key);
			return false;
		}
		if (!check_one(&specs[i], v, why, why_size))
			return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (specs[i].required && !json_object_get(args, specs[i].name)) {
			snprintf(why, why_size, "argument '%s' is missing", specs[i].name);
			return false;
		}
	}
	return true;
}

json_t *args_schema(const struct arg_spec *specs, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct arg_spec *s = &specs[i];
		json_t *o = json_pack("{s:s, s:s, s:b, s:s}", "name", s->name, "type",
				      type_names[s->type], "required", s->required, "doc", s->doc);

		if (s->values) {
			json_t *values = json_array();

			for (const char *v = s->values; *v;) {
				size_t len = strcspn(v, "|");

				json_array_append_new(values, json_stringn(v, len));
				v += len + (v[len] == '|');
			}
			json_object_set_new(o, "values", values);
		}
		if (s->min || s->max) {
			json_object_set_new(o, "min", json_integer(s->min));
			json_object_set_new(o, "max", json_integer(s->max));
		}
		json_array_append_new(list, o);
	}
	return list;
}

const char *args_str(const json_t *args, const char *name, const char *def)
{
	const json_t *v = json_object_get(args, name);

	return v ? json_string_value(v) : def;
}

json_int_t args_int(const json_t *args, const char *name, json_int_t def)
{
	const json_t *v = json_object_get(args, name);

	return v ? json_integer_value(v) : def;
}

bool args_bool(const json_t *args, const char *name, bool def)
{
	const json_t *v = json_object_get(args, name);

	return v ? json_is_true(v) : def;
}
