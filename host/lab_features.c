/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns how a NIC's port features are written, and what a VLAN setting means. */
#include "host/lab_features.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "vswitch/vlan.h"

static const char *const mirrors[] = {
	[LAB_MIRROR_NONE] = "none",
	[LAB_MIRROR_SOURCE] = "source",
	[LAB_MIRROR_DESTINATION] = "destination",
};
static_assert(ARRAY_SIZE(mirrors) == LAB_N_MIRRORS, "every mirror has a name");

const char *lab_mirror_name(enum lab_mirror m)
{
	return mirrors[m];
}

int lab_mirror_parse(const char *word)
{
	for (int i = 0; i < LAB_N_MIRRORS; i++)
		if (!strcmp(mirrors[i], word))
			return i;
	return -1;
}

void lab_features_init(struct lab_features *f)
{
	*f = (struct lab_features){.vlan = "none", .mac_spoofing = true,
				   .offload = true,
				   .offload_flows = LAB_OFFLOAD_FLOWS};
}

static json_t *on_off(bool on, bool words)
{
	return words ? json_string(on ? "on" : "off") : json_boolean(on);
}

void lab_features_to_json(const struct lab_features *f, json_t *o, bool words)
{
	json_object_set_new(o, "vlan", json_string(f->vlan));
	json_object_set_new(o, "mac_spoofing", on_off(f->mac_spoofing, words));
	json_object_set_new(o, "dhcp_guard", on_off(f->dhcp_guard, words));
	json_object_set_new(o, "router_guard", on_off(f->router_guard, words));
	json_object_set_new(o, "mirror", json_string(lab_mirror_name(f->mirror)));
	json_object_set_new(o, "storm_pps", json_integer(f->storm_pps));
	json_object_set_new(o, "max_mbps", json_integer(f->max_mbps));
	json_object_set_new(o, "min_mbps", json_integer(f->min_mbps));
	json_object_set_new(o, "min_weight", json_integer(f->min_weight));
	json_object_set_new(o, "offload", on_off(f->offload, words));
	json_object_set_new(o, "offload_flows", json_integer(f->offload_flows));
}

/* ---- VLANs: words ---- */

#define MAX_WORDS 4

struct words {
	unsigned int n;
	char *word[MAX_WORDS];
	char text[LAB_VLAN_TEXT];
};

/* One setting under way. */
struct reading {
	struct vlan_conf v;
	char *why;
	size_t why_size;
};

static int wrong(struct reading *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

static int wrong(struct reading *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, r->why_size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int split(struct reading *r, const char *text, struct words *w)
{
	char *save = NULL;

	if (strlen(text) >= sizeof(w->text))
		return wrong(r, "it is longer than %d characters", LAB_VLAN_TEXT - 1);
	strcpy(w->text, text);
	w->n = 0;
	for (char *s = strtok_r(w->text, " \t", &save); s; s = strtok_r(NULL, " \t", &save)) {
		if (w->n == MAX_WORDS)
			return wrong(r, "there are too many words");
		w->word[w->n++] = s;
	}
	return w->n ? 0 : wrong(r, "it is empty");
}

/* Digits up to @end; -1: it is no number of 1 to 4094. */
static int vlan_id(const char *s, const char *end)
{
	int id = 0;

	if (s == end || end - s > 4)
		return -1;
	for (; s < end; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		id = id * 10 + (*s - '0');
	}
	return id >= 1 && id <= VLAN_MAX ? id : -1;
}

static int read_id(struct reading *r, const char *s, uint16_t *out)
{
	int id = vlan_id(s, s + strlen(s));

	if (id < 0)
		return wrong(r, "\"%.32s\" is not a VLAN id, 1 to %d", s, VLAN_MAX);
	*out = (uint16_t)id;
	return 0;
}

/* "10-20,30" */
static int read_list(struct reading *r, const char *s)
{
	for (;;) {
		size_t n = strcspn(s, ",");
		const char *dash = memchr(s, '-', n), *end = s + n;
		int lo = vlan_id(s, dash ? dash : end), hi = dash ? vlan_id(dash + 1, end) : lo;

		if (lo < 0 || hi < lo)
			return wrong(r, "\"%.*s\" is neither a VLAN id, 1 to %d, nor a range of them",
				     (int)MIN(n, 32ul), s, VLAN_MAX);
		for (int id = lo; id <= hi; id++)
			vlan_allow(&r->v, (uint32_t)id);
		if (!*end)
			return 0;
		s = end + 1;
	}
}

/* ---- VLANs: modes ---- */

static int read_access(struct reading *r, const struct words *w)
{
	if (w->n != 2)
		return wrong(r, "access takes one VLAN id");
	return read_id(r, w->word[1], &r->v.vid);
}

static int read_trunk(struct reading *r, const struct words *w)
{
	int rc;

	if (w->n != 2 && (w->n != 4 || strcmp(w->word[2], "native") != 0))
		return wrong(r, "trunk takes a list of VLAN ids, and perhaps \"native\" and one");
	rc = read_list(r, w->word[1]);
	if (!rc && w->n == 4)
		rc = read_id(r, w->word[3], &r->v.vid);
	return rc;
}

static int read_private(struct reading *r, const struct words *w)
{
	int rc;

	if (w->n != 3)
		return wrong(r, "%s takes the primary VLAN id and the secondary", w->word[0]);
	rc = read_id(r, w->word[1], &r->v.vid);
	if (!rc)
		rc = read_id(r, w->word[2], &r->v.secondary);
	if (!rc && r->v.vid == r->v.secondary)
		return wrong(r, "the secondary VLAN is the primary one, %u", r->v.vid);
	return rc;
}

static int read_promiscuous(struct reading *r, const struct words *w)
{
	int rc;

	if (w->n != 3)
		return wrong(r, "promiscuous takes the primary VLAN id and a list of secondaries");
	rc = read_id(r, w->word[1], &r->v.vid);
	if (!rc)
		rc = read_list(r, w->word[2]);
	if (!rc && vlan_allows(&r->v, r->v.vid))
		return wrong(r, "the primary VLAN, %u, is among the secondaries", r->v.vid);
	return rc;
}

static int read_bare(struct reading *r, const struct words *w)
{
	return w->n == 1 ? 0 : wrong(r, "%s stands alone", w->word[0]);
}

static const struct {
	const char *word;
	int (*read)(struct reading *r, const struct words *w);
} modes[] = {
	[VLAN_NONE] = {"none", read_bare},
	[VLAN_UNTAGGED] = {"untagged", read_bare},
	[VLAN_ACCESS] = {"access", read_access},
	[VLAN_TRUNK] = {"trunk", read_trunk},
	[VLAN_ISOLATED] = {"isolated", read_private},
	[VLAN_COMMUNITY] = {"community", read_private},
	[VLAN_PROMISCUOUS] = {"promiscuous", read_promiscuous},
};
static_assert(ARRAY_SIZE(modes) == VLAN_N_MODES, "each mode is read");

static int read_mode(struct reading *r, const struct words *w)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(modes[i].word, w->word[0]) != 0)
			continue;
		r->v.mode = (enum vlan_mode)i;
		return modes[i].read(r, w);
	}
	if (w->n == 1 && vlan_id(w->word[0], w->word[0] + strlen(w->word[0])) > 0) {
		r->v.mode = VLAN_ACCESS;
		return read_id(r, w->word[0], &r->v.vid);
	}
	return wrong(r, "\"%.32s\" is no VLAN setting", w->word[0]);
}

/* ---- VLANs: back to text ---- */

/* Appends; false: no room. */
static bool add(char *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);

static bool add(char *buf, const char *fmt, ...)
{
	size_t len = strlen(buf);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf + len, LAB_VLAN_TEXT - len, fmt, ap);
	va_end(ap);
	return n >= 0 && (size_t)n < LAB_VLAN_TEXT - len;
}

static bool add_list(char *buf, const struct vlan_conf *v)
{
	const char *sep = " ";
	bool ok = true;

	for (uint32_t lo = 1; ok && lo <= VLAN_MAX; lo++) {
		uint32_t hi = lo;

		if (!vlan_allows(v, lo))
			continue;
		while (hi < VLAN_MAX && vlan_allows(v, hi + 1))
			hi++;
		ok = hi > lo ? add(buf, "%s%u-%u", sep, lo, hi) : add(buf, "%s%u", sep, lo);
		sep = ",";
		lo = hi;
	}
	return ok;
}

static bool print(const struct vlan_conf *v, char *buf)
{
	*buf = '\0';
	if (!add(buf, "%s", modes[v->mode].word))
		return false;
	switch (v->mode) {
	case VLAN_ACCESS:
		return add(buf, " %u", v->vid);
	case VLAN_TRUNK:
		return add_list(buf, v) && (!v->vid || add(buf, " native %u", v->vid));
	case VLAN_ISOLATED:
	case VLAN_COMMUNITY:
		return add(buf, " %u %u", v->vid, v->secondary);
	case VLAN_PROMISCUOUS:
		return add(buf, " %u", v->vid) && add_list(buf, v);
	default:
		return true;
	}
}

int lab_vlan_parse(const char *text, struct vlan_conf *out, char canonical[LAB_VLAN_TEXT],
		   char *why, size_t why_size)
{
	struct reading r = {.why = why, .why_size = why_size};
	char buf[LAB_VLAN_TEXT];
	struct words w;
	int rc = split(&r, text, &w);

	if (!rc)
		rc = read_mode(&r, &w);
	if (!rc && !print(&r.v, buf))
		rc = wrong(&r, "its list of VLAN ids is too long");
	if (rc)
		return rc;
	if (out)
		*out = r.v;
	if (canonical)
		strcpy(canonical, buf);
	return 0;
}
