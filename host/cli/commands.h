/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands, each in cli/NAME.c. */
#ifndef HVLAB_HOST_CLI_COMMANDS_H
#define HVLAB_HOST_CLI_COMMANDS_H

#include "host/cli/cli.h"

extern const struct cli_command cmd_up, cmd_down, cmd_check, cmd_policy, cmd_explain, cmd_status, cmd_exec, cmd_console,
	cmd_log, cmd_stats, cmd_capture, cmd_events, cmd_nic, cmd_vf, cmd_link, cmd_migrate, cmd_fabric, cmd_reset, cmd_raw,
	cmd_version, cmd_drill, cmd_compare, cmd_help, cmd_flows, cmd_drops;

#endif
