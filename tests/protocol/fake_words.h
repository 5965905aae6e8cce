/* SPDX-License-Identifier: BSD-2-Clause */
/* What the fake QEMU says last when it is to say much. */
#ifndef HVLAB_TESTS_PROTOCOL_FAKE_WORDS_H
#define HVLAB_TESTS_PROTOCOL_FAKE_WORDS_H

/* 327 bytes: a device with its socket's path and what is wrong with it, as QEMU says it. */
#define FAKE_LONG_WORDS                                                                            \
	"fake: -device "                                                                           \
	"{\"driver\":\"vfio-user-pci\",\"id\":\"vf0\",\"bus\":\"slot0\",\"x-serial\":\"1\","       \
	"\"socket\":{\"type\":\"unix\",\"path\":\"/run/hvlab/a-lab-with-a-long-name/vm/"           \
	"a-vm-with-a-long-name/eth15.vfio-user.socket\"}}: vfio-user "                             \
	"a-vm-with-a-long-name/eth15: "                                                            \
	"the server has closed the connection before the version was agreed upon: Permission "     \
	"denied"

/* Of 1 + 2 n bytes, more than anybody keeps; each "\303\244" is one character of UTF-8. */
#define FAKE_ENDLESS_HEAD "x"
#define FAKE_ENDLESS_CHAR "\303\244"
#define FAKE_ENDLESS_N	  500

#endif
