/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NICs of the fake QEMU and the drivers of its fake guest: what is on the command line or
 * comes over QMP is connected to the daemon's sockets and driven, by the test drivers of
 * tests/driver and tests/vhost.
 */
#ifndef HVLAB_TESTS_PROTOCOL_FAKE_NICS_H
#define HVLAB_TESTS_PROTOCOL_FAKE_NICS_H

#include <jansson.h>
#include <stdbool.h>

/* Says a line of QMP. */
typedef void (*fake_say_fn)(const char *line);

/* Started with -incoming: there is no guest before a migration. */
bool nics_incoming(void);
/* Devices of the command line, in order. They are driven by nics_boot(). */
void nics_init(int argc, char **argv, fake_say_fn say);
/* The guest is up. */
void nics_boot(void);
/*
 * A QMP command about devices. True: it has been taken; *@error is what to refuse it with, or NULL.
 */
bool nics_qmp(const char *command, const json_t *args, const char **error);
/* Is that command to stay without an answer? */
bool nics_silent(const char *command);
/* After the answer to a command: what follows from it. */
void nics_after(void);
/*
 * How QEMU and the guest behave from now on. Words:
 *	add-refuse add-silent del-refuse del-keep del-slow	QEMU, about the next devices
 *	no-drive	the guest does not drive what comes
 *	mig-fail	a migration fails; mig-hang: it does not end until it is cancelled;
 *			mig-late: then it has completed, and the guest stands still until "cont"
 *	good		all as it should be; what was kept is let go
 *	down N, up N	the guest's driver of VF N turns receive off and on
 *	eject N		the guest ejects VF N
 *	refused N	DEVICE_UNPLUG_GUEST_ERROR for VF N
 * False: no such word.
 */
bool nics_behave(const char *word, const char *arg);
/* Milliseconds until something is due, -1: nothing. Then nics_due(). */
int nics_timeout(void);
void nics_due(void);

#endif
