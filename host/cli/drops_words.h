/* SPDX-License-Identifier: BSD-2-Clause */
/* What a reason for drops means to somebody who looks for the cause. */
#ifndef HVLAB_HOST_CLI_DROPS_WORDS_H
#define HVLAB_HOST_CLI_DROPS_WORDS_H

/* What to look at; "" for a reason that is not known. */
const char *drops_hint(const char *reason);
/* Is there such a reason? */
int drops_is_reason(const char *reason);
/* All names, "a, b, c". */
const char *drops_reasons(void);

#endif
