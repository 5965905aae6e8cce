/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a drill's report looks: as text, as JUnit XML, as one HTML file with a picture of each
 * cycle. Functions of the report alone (docs/drills.md describes it). Whatever came from a guest
 * is escaped.
 */
#ifndef HVLAB_HOST_CLI_REPORT_H
#define HVLAB_HOST_CLI_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "host/output.h"

void report_text(struct output *out, const json_t *report);
/* One testcase per cycle, and one for the whole. */
void report_junit(FILE *to, const json_t *report);
void report_html(FILE *to, const json_t *report);

/*
 * Text for XML and HTML, in content and in quoted attributes: the five special characters are
 * escaped, what XML 1.0 does not allow becomes U+FFFD. The input may be anything.
 */
void report_escape(FILE *to, const char *text);

/* ---- report_svg.c ---- */

/* The picture of one cycle: paths, states, steps, gaps. @samples: sampler-stop's; may be NULL. */
void report_svg(FILE *to, const json_t *report, const json_t *cycle, const json_t *samples);

#endif
