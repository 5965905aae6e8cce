/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns how a lab file's mistakes are printed. */
#include "host/cli/lab_file.h"

#include <stdio.h>
#include <string.h>

void cli_lab_errors(const struct lab_errors *errs, int ret)
{
	unsigned int n = errs->n + errs->n_more;
	char line[1024];

	for (unsigned int i = 0; i < errs->n; i++) {
		lab_error_format(errs, &errs->list[i], line, sizeof(line));
		fprintf(stderr, "%s\n", line);
	}
	if (!n)
		fprintf(stderr, "%s: %s\n", errs->file, strerror(-ret));
	else if (errs->n_more)
		fprintf(stderr, "%s: %u more mistakes are not shown\n", errs->file, errs->n_more);
	fprintf(stderr, "hvlab: %s: %u mistake%s; nothing was started\n", errs->file, n ? n : 1,
		n > 1 ? "s" : "");
}
