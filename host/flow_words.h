/* SPDX-License-Identifier: BSD-2-Clause */
/* The states of connections as the daemon and the command line take them. */
#ifndef HVLAB_HOST_FLOW_WORDS_H
#define HVLAB_HOST_FLOW_WORDS_H

/* Those of flow_state_name(). */
#define FLOW_STATE_VALUES "new|replied|picked-up|established|closing|time-wait|reset|cut"

#endif
